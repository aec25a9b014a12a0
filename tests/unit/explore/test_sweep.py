"""Sweeps: the same points and figures whoever evaluates them and however often they end early."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tests.sweeps
from hwsim.arrays import Int64Array
from hwsim.errors import CheckError, HwsimError, SpecError
from hwsim.explore import fork_server
from hwsim.explore import sweep as sweep_module
from hwsim.explore.check import COMPARED, check_point
from hwsim.explore.crew import Processes, Report
from hwsim.explore.dispatch import BATCH_S, LARGEST, TRIES, Dispatch
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.methods import make_method
from hwsim.explore.outcome import FAULT, Outcomes
from hwsim.explore.space import load_space
from hwsim.explore.store import Store
from hwsim.explore.stored import load_points, to_csv
from hwsim.explore.sweep import Run, Standing, make_crew, sweep
from tests.conftest import ROOT
from tests.sweeps import Quick, write_space

ALL = 720  # points that the method asks for


@pytest.fixture
def space(tmp_path: Path) -> Path:
    return write_space(tmp_path)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "Evaluator", Quick)


def evaluator(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sweep_module, "Evaluator", getattr(tests.sweeps, name))


def test_all_is_evaluated_once_and_counted(space: Path, tmp_path: Path) -> None:
    seen: list[Standing] = []
    found = sweep(space, store=tmp_path / "s.db", workers=0, check=0, watch=seen.append)
    assert (found.asked, found.evaluated, len(found)) == (ALL, ALL, ALL)
    assert [one.done for one in seen] == sorted({one.done for one in seen})
    last = seen[-1]
    assert (last.done, last.total, last.evaluated) == (ALL, ALL, ALL)
    assert last.failed == found.points.counts["unsupported"] > 0
    different = {tuple(m[i] for m in found.points.metrics.values())[:3] for i in found.frontier_order()}
    assert last.frontier == len(different)
    assert found.summary()["failed"] == last.failed


def test_workers_find_what_one_process_finds(space: Path) -> None:
    alone, two = (sweep(space, workers=workers, check=0) for workers in (0, 2))
    assert to_csv(alone.points.columns()) == to_csv(two.points.columns())


def test_a_repeated_sweep_evaluates_nothing(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sweep(space, store=tmp_path / "s.db", workers=0, check=0)
    evaluator(monkeypatch, "Unborn")  # would end this process
    again = sweep(space, store=tmp_path / "s.db", workers=0, check=0, resume=True)
    assert (again.asked, again.evaluated) == (ALL, 0)
    assert to_csv(first.points.columns()) == to_csv(again.points.columns())


class Stop(Exception):
    """Ends a sweep from within."""


@pytest.mark.parametrize("method", ["", "method: {kind: nsga2, evaluations: 200, population: 20}"])
def test_a_sweep_that_ended_early_goes_on_where_it_was(space: Path, tmp_path: Path, method: str) -> None:
    space.write_text(space.read_text() + method + "\n")
    whole = sweep(space, workers=0, check=0)

    def stop(standing: Standing) -> None:
        if standing.done > 100:
            raise Stop

    with pytest.raises(Stop):
        sweep(space, store=tmp_path / "s.db", workers=0, check=0, watch=stop)
    stored = len(load_points(tmp_path / "s.db"))
    assert 100 < stored < len(whole)
    rest = sweep(space, store=tmp_path / "s.db", workers=0, check=0)
    assert rest.evaluated == len(whole) - stored
    assert to_csv(rest.points.columns()) == to_csv(whole.points.columns())


def test_a_point_that_ends_its_process_is_a_fault_and_the_others_are_not(
    space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sweep(space, workers=0, check=0).points
    evaluator(monkeypatch, "Fatal")
    found = sweep(space, workers=2, check=0).points
    (at,) = np.flatnonzero(found.status == FAULT)
    assert found.texts(at)["array.rows"] == "6"
    assert (
        found.reasons[at]
        == "the process that evaluated it ended without a word, each time: killed by SIGKILL"
    )
    kept = np.arange(len(whole)) != at
    assert to_csv(found.where(kept & ~found.frontier & ~whole.frontier)) == to_csv(
        whole.where(kept & ~found.frontier & ~whole.frontier)
    )
    for name, column in whole.metrics.items():
        np.testing.assert_array_equal(found.metrics[name][kept], column[kept])


def test_an_unforeseen_error_is_the_outcome_of_its_point(
    space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator(monkeypatch, "Faulty")
    points = sweep(space, workers=0, check=0).points
    assert points.counts["fault"] == 1
    assert points.reasons[int(np.argmax(points.status == FAULT))] == "ZeroDivisionError: deliberate"


def test_processes_that_never_begin_end_the_sweep(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator(monkeypatch, "Unborn")
    with pytest.raises(HwsimError, match=r"end as they start \(exit status 3\), 3 in a row"):
        sweep(space, workers=2, check=0)


def test_an_unguarded_script_is_not_run_again_by_its_workers(space: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, tests.sweeps\n"
        "from hwsim.explore import sweep as module\n"
        "module.Evaluator = tests.sweeps.Quick\n"
        "print('once', len(module.sweep(sys.argv[1], workers=2, check=0)))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(space)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"once {ALL}\n", "")


def test_figures_that_differ_from_a_run_are_told(space: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r"point array.rows=.* the sweep has latency_s .* fault of hwsim"):
        sweep(space, store=tmp_path / "s.db", workers=0, check=2)
    assert len(load_points(tmp_path / "s.db")) == ALL


def test_one_bit_is_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "real.yaml"
    path.write_text("{name: real, workloads: [lenet5], designs: [tpu_v1], axes: {array.rows: [32]}}")
    space = load_space(path)
    found = Evaluator(space).evaluate(space.grid(0, 1))
    metrics = {name: float(column[0]) for name, column in found.metrics.items()}
    texts = space.texts([0])
    check_point(space, texts, metrics, found.limits[0])
    for name in COMPARED:
        changed = metrics | {name: float(np.nextafter(metrics[name], 0))}
        with pytest.raises(CheckError, match=f"point array.rows=32: the sweep has {name} "):
            check_point(space, texts, changed, found.limits[0])
    with pytest.raises(CheckError, match="has limit 'nothing'"):
        check_point(space, texts, metrics, "nothing")


def test_the_points_that_are_run_again_are_the_same_whoever_evaluates(space: Path) -> None:
    loaded = load_space(space)
    drawn = []
    for workers in (0, 2):
        with (
            closing(make_crew(partial(Quick, loaded), workers, None)) as crew,
            Store.open(None, loaded) as store,
        ):
            run = Run(loaded, store, make_method(loaded), crew, check=4)
            run.go()
            drawn.append([(texts, metrics["latency_s"]) for texts, metrics, _ in run.sample])
    rows = loaded.canonical(loaded.grid(0, loaded.total))
    rows = np.unique(rows[loaded.allowed(rows)], axis=0)
    ok = Quick(loaded).evaluate(rows).ok
    least = sorted(zip(loaded.keys(rows[ok]), rows[ok].tolist(), strict=True))[:4]
    assert drawn[0] == drawn[1]
    assert [texts for texts, _ in drawn[0]] == [loaded.texts(row) for _, row in least]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("area_mm2 <= 200", "area_mm2 <= 0"),
            r"none of 720 points meets its constraints: `area_mm2 <= 0` exc",
        ),
        (("latency_s, energy_j", "sqnr_db, utilization"), "none of 720 points has sqnr_db and utilization"),
        (
            ("area_mm2 <= 200", "array.rows > 99"),
            "has no point left: of 1,024, `array.rows > 99` excludes 1,024",
        ),
    ],
)
def test_a_sweep_without_an_answer_says_why(space: Path, change: tuple[str, str], words: str) -> None:
    space.write_text(space.read_text().replace(*change))
    with pytest.raises(SpecError, match=words):
        sweep(space, workers=0, check=0)


def test_files_that_change_while_a_sweep_runs_are_noticed(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    design = tmp_path / "mine.yaml"
    design.write_text(tests.sweeps.DESIGN.read_text())
    space.write_text(space.read_text().replace(str(tests.sweeps.DESIGN), str(design)))
    loaded = load_space(space)
    design.write_text(design.read_text().replace("500 MHz", "600 MHz"))
    for workers in (0, 1):
        with pytest.raises(SpecError, match=r"design .*mine.yaml is no longer, .* when the sweep began"):
            sweep(loaded, workers=workers, check=0)
    design.write_text(design.read_text().replace("600 MHz", "500 MHz"))
    monkeypatch.setattr(sweep_module, "__version__", "9.9")
    with pytest.raises(SpecError, match=r"where points are evaluated, and 9\.9 where the sweep runs"):
        sweep(loaded, workers=1, check=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": -1}, "workers=-1"),
        ({"workers": 257}, "workers=257"),
        ({"check": -1}, "check=-1"),
        ({"resume": True}, "no store to go on with"),
        ({"workers": 0, "scheduler": "local"}, "leave out one"),
        ({"scheduler": "nonsense"}, "write local, or an address as tcp://host:8786|needs dask"),
    ],
)
def test_bad_options_are_told(space: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        sweep(space, **options)  # type: ignore[arg-type]


def test_overrides_change_the_space(space: Path) -> None:
    space.write_text(space.read_text() + "method: {kind: random, points: 90}\n")
    found = sweep(space, workers=0, check=0, overrides=("method.points=7", "seed=5"))
    assert len(found) == 7
    assert found.points.space["seed"] == 5


class Hand:
    """A crew by hand: what is submitted lies here, and dies as often as `deaths` says."""

    retries = False

    def __init__(self, size: int = 2, deaths: int = 0) -> None:
        self.size, self.deaths = size, deaths
        self.out: list[tuple[int, Int64Array]] = []
        self.batches: list[Int64Array] = []

    def submit(self, ticket: int, indices: Int64Array) -> None:
        self.out.append((ticket, indices))
        assert len(self.out) <= self.size
        self.batches.append(indices)

    def wait(self) -> list[Report]:
        ticket, indices = self.out.pop(0)
        if self.deaths:
            self.deaths -= 1
            return [Report(ticket, None, "killed by SIGTERM")]
        nothing = Outcomes({}, np.zeros(len(indices), dtype=np.int8), (), ())
        return [Report(ticket, nothing)]

    def close(self) -> None:
        self.out.clear()


def dispatched(crew: Hand, count: int) -> list[tuple[Int64Array, tuple[str, ...], Outcomes]]:
    rows = np.arange(count, dtype=np.int64)[:, None]
    dispatch, found = Dispatch(crew), []
    dispatch.add(rows[: count // 3], [str(i) for i in range(count // 3)])
    dispatch.add(rows[count // 3 :], [str(i) for i in range(count // 3, count)])
    while dispatch.busy:
        dispatch.send()
        found += dispatch.receive()
    return found


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1000])
def test_every_point_is_handed_out_once_with_its_key(count: int) -> None:
    found = dispatched(Hand(), count)
    assert Counter(i for rows, _, _ in found for i in rows[:, 0].tolist()) == Counter(range(count))
    assert all(keys == tuple(str(i) for i in rows[:, 0]) for rows, keys, _ in found)


def test_batches_grow_while_they_are_quick_and_leave_some_for_the_others() -> None:
    crew = Hand(size=3)
    dispatched(crew, 20_000)
    sizes = [len(rows) for rows in crew.batches]
    assert sizes[0] <= 8
    assert max(sizes) == LARGEST
    assert sizes[-1] < 10
    assert BATCH_S > 0


@pytest.mark.parametrize(("deaths", "faults"), [(1, 0), (TRIES - 1, 0), (TRIES, 0), (TRIES + TRIES * 8, 8)])
def test_a_batch_is_tried_again_and_then_each_point_alone(deaths: int, faults: int) -> None:
    crew = Hand(size=1, deaths=deaths)
    found = dispatched(crew, 8)
    assert Counter(i for rows, _, _ in found for i in rows[:, 0].tolist()) == Counter(range(8))
    assert sum(int((one.status == FAULT).sum()) for _, _, one in found) == faults
    sizes = [len(rows) for rows in crew.batches]
    assert sizes[:TRIES] == [8] * min(deaths + 1, TRIES)
    assert sizes[TRIES:] == [1] * (0 if deaths < TRIES else 8 * (TRIES if faults else 1))


def test_threads_are_bounded_where_points_are_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    with fork_server._as_library():
        assert {name: os.environ[name] for name in fork_server.ONE_THREAD} == fork_server.ONE_THREAD
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["NUMBA_NUM_THREADS"] == "7"


def test_closing_a_crew_ends_its_processes(space: Path) -> None:
    crew = Processes(partial(tests.sweeps.Slow, load_space(space)), 2)
    for ticket in (1, 2):
        crew.submit(ticket, np.zeros((500, 4), dtype=np.int64))
    pids = crew.pids
    crew.close()
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
