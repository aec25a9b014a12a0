"""The store: what goes in comes out, what is not ours stays as it is, and what cannot be written is told."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import numpy as np
import pytest

from hwsim.errors import OutputError, SpecError
from hwsim.explore import store as store_module
from hwsim.explore.outcome import METRICS, OK, Found, Outcomes, outcomes
from hwsim.explore.space import Space, load_space
from hwsim.explore.store import Store
from hwsim.explore.store_file import uri
from hwsim.explore.stored import load_points, load_sweep, to_csv
from tests.conftest import ROOT
from tests.sweeps import Quick, write_space

NOBODY = 65534


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return load_space(write_space(tmp_path_factory.mktemp("space")))


def places(space: Space, rows: np.ndarray) -> list[list[int | None]]:
    active = space.active(rows).tolist()
    return [
        [i if on else None for i, on in zip(row, ons, strict=True)]
        for row, ons in zip(rows.tolist(), active, strict=True)
    ]


def fill(store: Store, space: Space, first: int, last: int) -> tuple[list[str], Outcomes]:
    rows = space.canonical(space.grid(first, last))
    keys, found = space.keys(rows), Quick(space).evaluate(rows)
    store.put(keys, places(space, rows), found, np.where(found.ok, 0.0, np.inf))
    return keys, found


def test_figures_come_back_to_the_last_bit(space: Space, tmp_path: Path) -> None:
    odd = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, math.inf, 0.0, math.nan]
    found = outcomes([Found(latency_s=x, energy_j=x, sqnr_db=-x, limit="a b", batch=3) for x in odd])
    rows = space.grid(0, len(odd))
    keys = [f"key {i}" for i in range(len(odd))]
    with Store.open(tmp_path / "s.db", space) as store:
        store.put(keys, rows.tolist(), found, np.linspace(0, 1, len(odd)))
        known = store.look_up(["absent", *keys])
    assert known.stored.tolist() == [False] + [True] * len(odd)
    np.testing.assert_array_equal(known.violations[1:], np.linspace(0, 1, len(odd)))
    for i, name in enumerate(METRICS):
        np.testing.assert_array_equal(known.metrics[1:, i], found.metrics[name])
    points = load_points(tmp_path / "s.db")
    for name, column in points.metrics.items():
        np.testing.assert_array_equal(column, found.metrics[name])
    assert points.limits == ("a b",) * len(odd)


def test_points_lie_in_the_order_of_the_grid_whatever_order_they_came_in(
    space: Space, tmp_path: Path
) -> None:
    for name, parts in (("a", ((0, 500), (500, 1024))), ("b", ((500, 1024), (250, 500), (0, 250)))):
        with Store.open(tmp_path / name, space) as store:
            for first, last in parts:
                fill(store, space, first, last)
    a, b = (load_points(tmp_path / name) for name in "ab")
    assert len(a) == 768  # the grid's 1,024, less 256 that an inactive axis would write twice
    assert to_csv(a.columns()) == to_csv(b.columns())
    assert np.array_equal(np.lexsort(a.indices.T[::-1]), np.arange(len(a)))


def test_a_point_that_comes_twice_is_one_row_and_the_first_stays(space: Space, tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", space) as store:
        store.put(["k"], [[0, 0, 0, 0]], outcomes([Found(latency_s=1.0)]), np.zeros(1))
        store.put(["k"], [[0, 0, 0, 0]], outcomes([Found(latency_s=2.0)]), np.zeros(1))
        assert store.counts() == {"ok": 1}
        assert store.look_up(["k"]).metrics[0, 0] == 1.0


def test_failed_points_keep_their_reason_and_are_counted(space: Space, tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", space) as store:
        fill(store, space, 0, 1024)
        counts = store.counts()
    points = load_points(tmp_path / "s.db")
    assert counts == points.counts
    assert counts["unsupported"] == sum(reason.endswith("cannot run") for reason in points.reasons) > 0
    assert not points.frontier[points.status != OK].any()
    frame = load_sweep(tmp_path / "s.db")
    failed = frame[frame.status == "unsupported"]
    assert len(failed) == counts["unsupported"]
    assert failed.latency_s.isna().all()
    assert failed.reason.str.endswith("cannot run").all()


def test_an_axis_that_does_not_count_is_empty(space: Space, tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", space) as store:
        fill(store, space, 0, 1024)
    frame = load_sweep(tmp_path / "s.db")
    assert frame["weight_fifo.depth_tiles"].isna().sum() == 256
    assert (frame["weight_fifo.depth_tiles"].isna() == (frame["array.dataflow"] == "os")).all()
    assert frame["array.rows"].dtype == np.int64


def test_the_frontier_is_that_of_each_workload(tmp_path: Path) -> None:
    text = write_space(tmp_path).read_text().replace("[lenet5]", "[lenet5, alexnet]")
    (tmp_path / "two.yaml").write_text(text)
    two = load_space(tmp_path / "two.yaml")
    rows = two.canonical(two.grid(0, two.total))
    slower = rows[:, 0] == 1
    with Store.open(tmp_path / "s.db", two) as store:
        quick = Quick(two).evaluate(rows[:, 1:])
        metrics = {name: np.where(slower, 9 * column, column) for name, column in quick.metrics.items()}
        found = Outcomes(metrics, quick.status, quick.limits, quick.reasons)
        store.put(two.keys(rows), places(two, rows), found, np.where(found.ok, 0.0, np.inf))
    points = load_points(tmp_path / "s.db")
    halves = [points.frontier[points.networks == network] for network in (0, 1)]
    assert halves[0].any()
    assert np.array_equal(*halves)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("low: 1, high: 16", "low: 1, high: 17"), "other axes"),
        (("area_mm2 <= 200", "area_mm2 <= 100"), "other constraints"),
        (("latency_s, energy_j", "latency_s"), "other objectives"),
        (("name: tiny_space", "seed: 4\nname: tiny_space"), "other seed"),
        (("lenet5", "alexnet"), "other workloads and files"),
    ],
)
def test_a_store_of_another_space_is_refused(
    space: Space, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    with Store.open(tmp_path / "s.db", space) as store:
        fill(store, space, 0, 10)
    path = write_space(tmp_path)
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(SpecError, match=f"s.db: holds points of another space .* {words}"):
        Store.open(tmp_path / "s.db", load_space(path))
    assert len(load_points(tmp_path / "s.db")) > 0


def test_another_method_goes_on_in_the_same_store(space: Space, tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", space) as store:
        keys, _ = fill(store, space, 0, 10)
    path = write_space(tmp_path)
    path.write_text(path.read_text() + "method: {kind: random, points: 5}\ndescription: else\n")
    with Store.open(tmp_path / "s.db", load_space(path)) as store:
        assert store.look_up(keys).stored.all()


def test_a_store_of_another_version_is_refused(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "__version__", "0.0.1")
        Store.open(tmp_path / "s.db", space).close()
    with pytest.raises(SpecError, match=r"was written by hwsim 0\.0\.1, and this is .*name a new store"):
        Store.open(tmp_path / "s.db", space)
    assert load_points(tmp_path / "s.db").version == "0.0.1"  # it can still be read


def test_a_store_of_another_format_is_refused(space: Space, tmp_path: Path) -> None:
    Store.open(tmp_path / "s.db", space).close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    for act in (lambda: Store.open(tmp_path / "s.db", space), lambda: load_points(tmp_path / "s.db")):
        with pytest.raises(SpecError, match="is a store of format 7, this hwsim reads format 1"):
            act()


def test_files_that_are_no_stores_are_refused_and_stay(space: Space, tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("not a database, but rather long " * 40)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = text.read_bytes(), other.read_bytes()
    for path, words in ((text, "is no store of hwsim sweep"), (other, "is an SQLite file, but no store")):
        with pytest.raises(SpecError, match=words):
            Store.open(path, space)
        with pytest.raises(SpecError, match=words):
            load_points(path)
    assert (text.read_bytes(), other.read_bytes()) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "other.db"]


def test_places_that_hold_no_store_are_told(space: Space, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is a folder; name a file"):
        Store.open(tmp_path, space)
    with pytest.raises(SpecError, match="is a folder; name a file"):
        load_points(tmp_path)
    with pytest.raises(SpecError, match="there is no such store"):
        load_points(tmp_path / "absent")
    with pytest.raises(SpecError, match="no such store to go on with"):
        Store.open(tmp_path / "absent", space, must_exist=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*: (Not a directory|File exists)"):
        Store.open(tmp_path / "file" / "s.db", space)


def test_one_sweep_at_a_time_writes_a_store(space: Space, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Store.open(path, space) as store:
        fill(store, space, 0, 10)
        with pytest.raises(OutputError, match="another sweep does"):
            Store.open(path, space)
        assert len(load_points(path)) == 8  # readers are free: the grid's ten are eight points
    Store.open(path, space).close()
    assert [p.name for p in tmp_path.iterdir()] == ["s.db"]


def test_a_full_store_keeps_what_it_has(space: Space, tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", space) as store:
        fill(store, space, 0, 100)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(OutputError, match=r"no space left .* the 75 points stored so far are kept"):
            fill(store, space, 100, 1000)
    assert len(load_points(tmp_path / "s.db")) == 75
    with Store.open(tmp_path / "s.db", space) as store:  # with room again
        fill(store, space, 100, 1024)
    assert len(load_points(tmp_path / "s.db")) == 768


def test_a_file_that_may_not_grow_keeps_what_it_has(tmp_path: Path) -> None:
    """In a process of its own, whose files end at 200 kB: the system refuses, not SQLite."""
    resource = pytest.importorskip("resource", reason="Windows limits no file's size")
    path = write_space(tmp_path)
    program = (
        "import sys; from hwsim.explore import sweep; from tests.sweeps import Quick; "
        "sweep.Evaluator = Quick; sweep.sweep(sys.argv[1], store=sys.argv[2], workers=0, check=0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(tmp_path / "s.db")], cwd=ROOT, timeout=60,
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )  # fmt: skip
    assert "OutputError: cannot write" in done.stderr
    assert "points stored so far are kept" in done.stderr
    points = load_points(tmp_path / "s.db")
    assert 0 < len(points) < 720
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (PurePosixPath("/home/a b/50%?.db"), "file:///home/a%20b/50%25%3F.db"),
        (PureWindowsPath(r"C:\Users\a b\s.db"), "file:///C:/Users/a%20b/s.db"),
        (PureWindowsPath(r"\\host\share\s.db"), "file:////host/share/s.db"),
    ],
)
def test_sqlite_is_given_addresses_that_it_reads(path: PurePath, address: str) -> None:
    """As in section 3.1 of sqlite.org/uri.html, where an authority may only be empty or localhost."""
    assert uri(path) == address


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write anywhere, so it must not be root who tries."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(mine)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights of folders are POSIX's")
def test_read_only_folders_and_files_are_told_and_can_be_read(space: Space) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "kept"
        folder.mkdir()
        path = folder / "s.db"
        with Store.open(path, space) as store:
            fill(store, space, 0, 10)
        Path(made).chmod(0o755)
        path.chmod(0o444)
        folder.chmod(0o555)
        try:
            with as_nobody():
                with pytest.raises(OutputError, match=r"cannot write .*new.db: Permission denied"):
                    Store.open(folder / "new.db", space)
                with pytest.raises(OutputError, match=r"cannot write .*s.db: Permission denied"):
                    Store.open(path, space)
                assert len(load_points(path)) == 8
            folder.chmod(0o777)
            with as_nobody(), pytest.raises(OutputError, match=r"s.db: the file is read-only"):
                Store.open(path, space)
            assert [p.name for p in folder.iterdir()] == ["s.db"]
        finally:
            folder.chmod(0o755)
