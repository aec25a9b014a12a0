"""The result folder: what it holds, that it appears at once or not at all, and that its bytes repeat."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import OutputError
from hwsim.result.folder import FILES, check_folder, default_name, strict, write_folder
from tests.processes import printed
from tests.samples import OPERATORS, sample_result

ROOT = Path(__file__).parents[3]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))


def test_folder_holds_the_named_files_and_no_other(tmp_path: Path) -> None:
    folder = write_folder(sample_result(), tmp_path / "deep" / "down" / "out")
    assert folder == tmp_path / "deep" / "down" / "out"
    assert sorted(contents(folder)) == sorted(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def test_result_json_is_strict_and_holds_summary_provenance_and_published(tmp_path: Path) -> None:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    text = (write_folder(sample_result(), tmp_path / "out") / "result.json").read_text(encoding="ascii")
    found = json.loads(text, parse_constant=refuse)
    assert found["summary"]["latency_s"] == 1.75e-9
    assert found["summary"]["cycles"] == 2  # 1,750 ps at 1 GHz, the last begun cycle whole
    assert found["summary"]["energy_j"] == pytest.approx(198e-12 + 0.003 * 1.75e-9, rel=1e-12)
    assert "folder" not in found["summary"]
    assert found["provenance"]["overrides"] == ["rows=2"]
    assert found["published"] == {"idle_power_w": 1.0, "busy_power_w": 2.0}
    parts = found["energy_by_component"].values()
    assert sum(p["dynamic_j"] + p["leakage_j"] for p in parts) == pytest.approx(found["summary"]["energy_j"])


def test_tables_are_rfc_4180_and_agree_with_the_frames(tmp_path: Path) -> None:
    result = sample_result()
    folder = write_folder(result, tmp_path / "out")
    raw = (folder / "operators.csv").read_bytes()
    assert raw.count(b"\r\n") == len(OPERATORS) + 1
    assert raw.replace(b"\r\n", b"").count(b"\n") == 0
    assert [row["operator"] for row in table(folder / "operators.csv")] == list(OPERATORS)
    for name, frame in (
        ("operators.csv", result.timing.frame()),
        ("usage.csv", result.usage.frame()),
        ("area.csv", result.area.frame()),
    ):
        rows = table(folder / name)
        errors = list(result.errors.columns(3)) if name == "operators.csv" else []
        assert list(rows[0]) == [*frame.columns, *errors]
        assert [[row[column] for column in frame.columns] for row in rows] == [
            [str(x) for x in row] for row in frame.to_numpy(object)
        ]


def test_csv_keeps_names_with_separators_quotes_and_line_breaks(tmp_path: Path) -> None:
    names = ('a,"b"', "c\r\nd", "\u00e9\x1b[31m")
    result = sample_result()
    odd = replace(result, timing=replace(result.timing, names=names))
    assert [row["operator"] for row in table(write_folder(odd, tmp_path / "out") / "operators.csv")] == list(
        names
    )


def test_bytes_are_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.samples import sample_result; "
        "from hwsim.result.folder import write_folder; write_folder(sample_result(), sys.argv[1])"
    )
    for seed in (0, 7):
        printed(code, str(tmp_path / f"seed{seed}"), hash_seed=seed)
    assert contents(tmp_path / "seed0") == contents(tmp_path / "seed7")


def test_an_earlier_result_is_replaced_and_an_empty_folder_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_folder(sample_result(batch=1), tmp_path / "out")
    write_folder(sample_result(batch=9), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["summary"]["batch"] == 9
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("failing", FILES)
def test_a_failure_in_the_middle_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = contents(write_folder(sample_result(), tmp_path / "out"))
    real = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == failing:
            real(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="no space left on the device: free some"):
        write_folder(sample_result(batch=9), tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_failure_at_the_last_rename_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = contents(write_folder(sample_result(), tmp_path / "out"))
    real = Path.rename

    def broken(path: Path, target: Path) -> Path:
        if path.suffix == ".partial":
            raise error
        return real(path, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        write_folder(sample_result(batch=9), tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_writers_of_one_folder_leave_one_whole_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[BaseException] = []
    real = Path.rename

    def slow(path: Path, target: Path) -> Path:
        moved = real(path, target)
        time.sleep(0.005)  # the moment in which there is no folder
        return moved

    monkeypatch.setattr(Path, "rename", slow)

    def work(batch: int) -> None:
        try:
            for _ in range(8):
                write_folder(sample_result(batch=batch), tmp_path / "out")
        except OutputError as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(batch,)) for batch in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(contents(tmp_path / "out")) == sorted(FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert not faults


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"thesis.tex": "..."}, "not a result of hwsim .thesis.tex."),
        ({"result.json": "{}"}, "not a result of hwsim .result.json."),
        ({"result.json": '["hwsim result 1"]'}, "not a result"),
        ({"result.json": '{"format": "hwsim result 1"}', "notes.txt": "mine"}, "notes.txt"),
    ],
)
def test_a_folder_with_other_files_is_refused_and_kept(
    tmp_path: Path, files: dict[str, str], match: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(OutputError, match=match):
        write_folder(sample_result(), tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_a_file_in_the_way_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        write_folder(sample_result(), tmp_path / "file")
    with pytest.raises(OutputError, match="a part of the path is a file, not a folder: name another folder"):
        write_folder(sample_result(), tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "mine"


def test_unwritable_parents_and_impossible_names_are_output_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("x" * 300, "a\0b"):
        with pytest.raises(OutputError, match="cannot write"):
            write_folder(sample_result(), tmp_path / path)

    def refuse(*_: object, **__: object) -> None:  # the superuser may write where a test's chmod forbids it
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match="permission denied: name another folder"):
        check_folder(tmp_path / "out")


def test_the_working_directory_itself_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="name a folder inside it"):
        write_folder(sample_result(), ".")


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert write_folder(sample_result(), tmp_path / "link") == tmp_path / "real"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "result.json").is_file()


def test_default_name_follows_the_inputs_and_is_a_safe_file_name() -> None:
    result = sample_result()
    assert default_name(result) == default_name(sample_result())
    assert default_name(result).startswith("sample-machine-")
    for change in (
        {"batch": 3},
        {"dtype": "int16"},
        {"provenance": replace(result.provenance, overrides=("rows=4",))},
    ):
        assert default_name(sample_result(**change)) != default_name(result)
    odd = default_name(sample_result(workload="../../etc/passwd\n", design=""))
    assert odd.startswith("etc_passwd-unnamed-")
    assert "/" not in odd


def test_strict_makes_json_of_what_is_not_finite() -> None:
    given = {"a": [float("inf"), float("nan"), np.float64(2.5), np.int64(3)], "b": Path("x"), "c": None}
    assert strict(given) == {
        "a": [None, None, 2.5, 3], "b": "x", "c": None,
    }  # fmt: skip


def test_gzip_carries_no_time_and_no_name(tmp_path: Path) -> None:
    raw = (write_folder(sample_result(), tmp_path / "out") / "trace.json.gz").read_bytes()
    assert raw[:4] == b"\x1f\x8b\x08\x00"  # no optional fields
    assert raw[4:8] == b"\0\0\0\0"
    assert json.loads(gzip.decompress(raw))["traceEvents"]
