"""`hwsim compare`: which name is what, what goes to standard output, the table, and exit statuses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import hwsim.comparison
from hwsim.cli.compare import sort_names
from hwsim.cli.main import main
from hwsim.cli.screen import Screen, emit
from hwsim.cli.side_by_side import COLUMNS, side_by_side
from hwsim.errors import SpecError, VerificationError
from hwsim.result.comparison import Comparison
from tests.comparisons import sample_comparison

WIDE = 170


def drawn(found: Comparison, width: int) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    screen = Screen()
    screen.file = stream
    screen.width = width
    emit(screen, side_by_side(found, width))
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


def line(text: str, design: str, number: int = 0) -> str:
    """What a row of a design says, with single blanks."""
    return [" ".join(row.split()) for row in text.splitlines() if row.split()[:1] == [design]][number]


@pytest.fixture
def compare_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["compare", *arguments])


def test_names_are_known_by_what_their_files_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text("name: net\ninput: {shape: [batch, 4]}\nlayers:\n  - {kind: linear}\n")
    Path("chip.yaml").write_text("name: chip\nkind: systolic\n")
    names = ("tpu_v1", "net", "chip.yaml", "resnet50", "host", "./net.yaml", "chip")
    assert sort_names(names) == (["net", "resnet50", "./net.yaml"], ["tpu_v1", "chip.yaml", "host", "chip"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("lenet5", "vgg19"), ["no design, workload or recipe called 'vgg19'", "vgg16"]),
        (("lenet5", "vgg19", "tpu_v9"), ["'vgg19'", "'tpu_v9'"]),
        (("lenet5",), ["there is no design among lenet5", "hwsim compare"]),
        (("tpu_v1", "gemmini_16"), ["there is no workload among tpu_v1, gemmini_16"]),
        (("lenet5", "eie", "tpu_v1"), ["eie is a recipe", "hwsim compress"]),
    ],
)
def test_names_that_do_not_fit_are_refused(names: tuple[str, ...], words: list[str]) -> None:
    with pytest.raises(SpecError) as told:
        sort_names(names)
    for word in words:
        assert word in str(told.value)


def test_json_is_one_object_with_all_rows(compare_here, tmp_path: Path) -> None:
    result = compare_here("lenet300", "tpu_v1", "gemmini_16", "--batch", "2", "--json")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert [row["design"] for row in found["rows"]] == ["tpu_v1", "gemmini_16"]
    assert {row["batch"] for row in found["rows"]} == {2}
    assert all(row["numbers_checked"] for row in found["rows"])
    folder = Path(found["folder"])
    assert folder.parent == tmp_path / "reports" / "runs"
    assert {path.name for path in folder.iterdir()} == {"comparison.json", "comparison.csv", "report.html"}
    assert json.loads((folder / "comparison.json").read_text())["rows"] == found["rows"]


def test_the_order_of_kinds_of_names_does_not_matter_and_the_folder_follows_the_inputs(compare_here) -> None:
    first = compare_here("lenet300", "tpu_v1", "-q").stdout
    assert first == compare_here("tpu_v1", "lenet300", "-q").stdout
    assert first.count("\n") == 1
    assert first != compare_here("lenet300", "tpu_v1", "-q", "--batch", "2").stdout


def test_out_names_the_folder_and_report_draws_it_again(compare_here, tmp_path: Path) -> None:
    assert compare_here("lenet300", "tpu_v1", "--out", "mine").exit_code == 0
    page = tmp_path / "mine" / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert CliRunner().invoke(main, ["report", "mine"]).exit_code == 0
    assert page.read_bytes() == before


def test_the_table_says_all_that_matters() -> None:
    text = drawn(sample_comparison(), WIDE)
    for column in COLUMNS:
        assert column.heading in text
    for words in (
        "3 workloads on 2 designs, 4 of 6 pairs ran", "net, batch 1, dense",
        "net, batch 4, 10 % not zero, csc", "other, batch 2, dense, synthetic", "Did not run",
        "no way to run", "Not verified", "not computed", "Published     a 40 W busy, 331 mm2 die",
    ):  # fmt: skip
        assert words in text, words
    assert "Without room here" not in text
    assert line(text, "a") == "a systolic int8 2 ms unknown 1x 500 8 mJ 1x 4 W 20 100.0 % memory yes"
    assert line(text, "b") == "b eie - - - - - - - - - - unsupported -"
    found = line(text, "b", 1)
    assert found == "b eie int16 1 ms 917 us to 1.05 ms 8x 4 k 250 uJ 32x 1 W 5 10.0 % memory no"
    assert "Time error    b: -5 to +9 %" in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_what_has_no_room_is_named(width: int) -> None:
    sample = sample_comparison()
    long = tuple(replace(row, design=row.design * 60) for row in sample.rows)
    for found in (sample, replace(sample, rows=long)):
        text = drawn(found, width)
        assert max(len(line) for line in text.splitlines()) <= width
        heading = next(line for line in text.splitlines() if line.startswith("design"))
        left_out = [column.heading for column in COLUMNS if column.heading not in heading]
        for name in left_out:
            assert name in " ".join(text.split("Without room here:")[1].split())


def test_names_are_not_control_codes() -> None:
    sample = sample_comparison()
    rows = tuple(replace(row, design="\x1b[2J" + row.design, reason="\x07") for row in sample.rows)
    workloads = tuple(replace(one, workload="\x1b]0;w") for one in sample.workloads)
    text = drawn(replace(sample, rows=rows, workloads=workloads), WIDE)
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_run_that_fails_leaves_status_zero_and_none_that_ran_does_not(compare_here, tmp_path: Path) -> None:
    some = compare_here("lenet5", "eie_64pe", "tpu_v1", "--out", "some")
    assert some.exit_code == 0
    assert "1 of 2 pairs ran" in some.stdout
    none = compare_here("lenet5", "eie_64pe", "--out", "none")
    assert none.exit_code == 2
    assert "no design could run any workload; the first: eie_64pe: " in none.stderr
    assert (tmp_path / "none" / "comparison.json").is_file()


def test_wrong_numbers_are_an_error_after_all_is_shown(
    compare_here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    true = hwsim.comparison.run

    def wrong(workload, design, **options):
        if design.name == "tpu_v1":
            raise VerificationError("fc1", (0,), 1.0, 2.0, 3, "compute", "it is wrong")
        return true(workload, design, **options)

    monkeypatch.setattr(hwsim.comparison, "run", wrong)
    result = compare_here("lenet300", "tpu_v1", "gemmini_16", "--out", "out")
    assert result.exit_code == 1
    assert "wrong numbers" in result.stdout
    assert "1 of 2 runs failed a check, the first lenet300 on tpu_v1: operator fc1" in result.stderr


def test_choices_of_lowering_hold_for_every_run_and_are_shown(compare_here) -> None:
    plain, lowered = (
        compare_here("lenet5", "tpu_v1", "gemmini_16", *words, "--out", "out")
        for words in ((), ("--lower", "conv=im2col"))
    )
    assert lowered.exit_code == 0, lowered.stderr
    said = " ".join(lowered.stdout.split())
    assert "Lowered conv=im2col, where a network has layers for it" in said
    assert "Lowered" not in plain.stdout
    assert line(lowered.stdout, "tpu_v1") != line(plain.stdout, "tpu_v1")
    page = Path("out", "report.html")
    drawn_first = page.read_bytes()
    assert b"<code>conv=im2col</code>" in drawn_first
    assert CliRunner().invoke(main, ["report", "out"]).exit_code == 0
    assert page.read_bytes() == drawn_first


def test_bad_input_writes_nothing(compare_here, tmp_path: Path) -> None:
    for arguments in (
        ("lenet5", "tpu_v1", "lenet5"),
        ("lenet5", "tpu_v1", "--batch", "0"),
        ("lenet5", "tpu_v1", "--dtype", "int99"),
        ("lenet5", "tpu_v1", "--param", "dtype=3"),
        ("lenet5", "tpu_v1", "--param", "no_such=3"),
        ("lenet5", "tpu_v1", "--lower", "conv=fft"),
        (),
    ):
        result = compare_here(*arguments)
        assert result.exit_code == 2, arguments
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep")
    assert compare_here("lenet5", "tpu_v1", "--out", "mine").exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
