"""From a store to the page of a sweep: which points are shown, what is said of them, and where it goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwsim.cli.main import main
from hwsim.errors import OutputError
from hwsim.explore import export
from hwsim.explore.export import default_folder, export_page, swept
from hwsim.explore.outcome import METRICS
from hwsim.report import draw
from tests.swept_points import answerless, sample_points


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is taken for a store of the sample's points."""
    path = tmp_path / "tpu.sqlite"
    path.write_bytes(b"")
    monkeypatch.setattr(export, "load_points", lambda _: sample_points())
    return path


def test_all_points_are_shown_where_they_fit() -> None:
    points = sample_points(96)
    found = swept(points)
    assert len(found) == found.tried == 96
    assert np.array_equal(found.indices, points.indices)
    for name, column in points.metrics.items():
        assert np.array_equal(found.metrics[name], column, equal_nan=True)
    assert (found.limits, found.reasons) == (points.limits, points.reasons)
    assert found.status == {"ok": 91, "unsupported": 5}


def test_of_too_many_the_frontier_and_an_even_share_are_shown() -> None:
    points = sample_points(5000)
    found = swept(points, most=500)
    assert len(found) == 500
    assert found.tried == 5000
    assert found.best == found.frontier.sum() == points.frontier.sum() > 3
    assert (found.meeting, found.status) == (points.feasible.sum(), points.counts)
    for i, axis in enumerate(points.axes[1:], 1):  # every value comes about as often as among all points
        whole, some = (np.bincount(rows[:, i] + 1) / len(rows) for rows in (points.indices, found.indices))
        assert np.abs(whole - some).max() < 0.08, axis.name


def test_the_frontier_is_shown_even_where_it_alone_is_too_much() -> None:
    points = sample_points(400)
    found = swept(points, most=2)
    assert found.frontier.all()
    assert len(found) == points.frontier.sum() > 2


def test_choices_lead_to_rows_of_the_page() -> None:
    points = sample_points(3000, workloads=("resnet50", "vgg16"))
    found = swept(points, most=300)
    assert {choice.workload for choice in found.choices} == {"resnet50", "vgg16"}
    for choice in found.choices:
        assert found.frontier[choice.row]
        assert found.axes[0].values[found.indices[choice.row, 0]] == choice.workload
    for name in found.objectives:
        for network in (0, 1):
            mine = found.feasible & (found.indices[:, 0] == network)
            (best,) = (c for c in found.choices if c.why == name and found.indices[c.row, 0] == network)
            assert found.metrics[name][best.row] == found.metrics[name][mine].min()


def test_every_metric_says_how_it_is_written() -> None:
    assert [metric.name for metric in swept(sample_points()).known] == list(METRICS)


def test_a_page_goes_beside_its_store(store: Path) -> None:
    page = export_page(store)
    assert page == store.parent / "tpu-report" / "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == ["points.csv", "report.html", "sweep.json"]
    assert page.read_bytes() == draw(page.parent)
    assert export_page(store) == page  # the earlier one is replaced
    assert default_folder("a/b.c.db") == Path("a/b.c-report")


def test_a_folder_of_other_files_is_kept(store: Path) -> None:
    other = default_folder(store)
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        export_page(store)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]


def test_the_command_takes_a_store_or_a_folder(store: Path) -> None:
    out = store.parent / "elsewhere"
    run = CliRunner().invoke(main, ["report", str(store), "--out", str(out)])
    assert (run.exit_code, run.output.strip()) == (0, str(out / "report.html"))
    drawn = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    run = CliRunner().invoke(main, ["report", str(out)])
    assert (run.exit_code, run.output.strip()) == (0, str(out / "report.html"))
    assert (out / "report.html").read_bytes() == drawn


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such_store"], "no_such_store"),
        (["{folder}"], "result.json"),
        (["{folder}", "--out", "x"], "--out is for the store of a sweep"),
        (["{file}"], "no store of hwsim sweep"),
    ],
)
def test_what_cannot_be_drawn_is_told(arguments: list[str], words: str, tmp_path: Path) -> None:
    file = tmp_path / "text.db"
    file.write_text("not a database, but long enough to be read as one" * 40)
    given = [text.format(folder=tmp_path, file=file) for text in arguments]
    run = CliRunner().invoke(main, ["report", *given])
    assert run.exit_code == 2
    assert words in run.output


def test_same_points_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    script = (
        "from tests.swept_points import answerless, sample_points; from hwsim.explore.export import swept;"
        "from hwsim.report import draw; import sys; swept(sample_points()).save(sys.argv[1], draw)"
    )
    swept(sample_points()).save(tmp_path / "here", draw)
    environment = {"PYTHONHASHSEED": "12345", "PATH": "", "PYTHONPATH": "."}
    command = [sys.executable, "-c", script, str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, timeout=120)
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("here", "there")
    )
    assert here == there


def test_sweeps_without_an_answer_have_a_page_too(tmp_path: Path) -> None:
    for name, points in answerless().items():
        swept(points).save(tmp_path / name, draw)
        page = (tmp_path / name / "report.html").read_text()
        assert "0 points tried" in page if name == "none" else "40 points tried" in page
        assert "Points to look at first" not in page
