"""Deliberate faults in the engine on compressed matrices, as tests/contracts/test_mutants.py has them for
systolic arrays: each must be caught by hand-worked runs, a plain count of a matrix's entries, the array of
SimPy processes, executed numbers, or the honesty rules inside every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import hwsim.checks.rules as rules
import hwsim.devices.eie as eie
import hwsim.devices.eie_matrix as eie_matrix
import hwsim.devices.eie_tiles as eie_tiles
import hwsim.devices.eie_weights as eie_weights
import hwsim.kernels.eie_array as eie_array
import hwsim.pipeline as route
from hwsim.errors import HwsimError
from hwsim.workload import conv2d, load_workload, matvec
from tests.hand_worked_eie import CASES, busy, counts, run_case, split
from tests.kept import forget
from tests.oracles.eie_array import Array
from tests.sparse import SPARSE

Patch = pytest.MonkeyPatch

# -- judges --------------------------------------------------------------------------------------------------


def hand_worked_cycles() -> None:
    for case in CASES:
        found = run_case(case)
        assert busy(found) == dict(case.busy), case.name
        assert split(found) == dict(case.split), case.name
        assert case.makespan_ps in (None, found.timing.makespan_ps), case.name


def hand_worked_counts() -> None:
    for case in CASES:
        assert not case.counts or counts(run_case(case)) == dict(case.counts), case.name


def processes() -> None:
    """Cycles of whole runs against the array of SimPy processes, entries counted one by one."""
    for overrides, slots, credit, empty in (
        ((), 7, 2, 1), (("fifo_depth=2", "credit_cycles=3"), 1, 3, 1), (("empty_column_cycles=2",), 7, 2, 2),
    ):  # fmt: skip
        workload = matvec(70, 30, density=0.2)
        stored = plain_entries(workload.values("w"), 4)
        result = route.run(workload, "eie_64pe", overrides=("pes=4", "clock=1 GHz", *overrides))
        assert result.cycles == Array(stored.tolist(), slots, credit, empty).run(range(30))


def plain_entries(weights: np.ndarray, pes: int, most_gap: int = 15) -> np.ndarray:
    """(pes, columns) what is stored: every nonzero, and zeros on the way where a gap is too long to say."""
    found = np.zeros((pes, weights.shape[1]), dtype=np.int64)
    for pe in range(pes):
        for column in range(weights.shape[1]):
            begin = 0
            for row in np.flatnonzero(weights[pe::pes, column]):
                while row - begin > most_gap:
                    begin += most_gap + 1
                    found[pe, column] += 1
                begin = row + 1
                found[pe, column] += 1
    return found


def honesty_rules() -> None:
    """They run inside every run, so it is enough that runs of many sorts go through."""
    for overrides in ((), ("weight_bits=2",), ("matrix_sram.size=64 B",), ("activations.sram=64 B",)):
        for workload in (
            matvec(60, 50, density=0.2, act_density=0.5),
            matvec(60, 50, density=0.2, act_density=0.5, batch=9),
            conv2d(2, 4, 6, 7, 4, 3, stride=2, pad=1, groups=2),
        ):
            route.run(workload, "eie_64pe", overrides=("pes=2", *overrides))


def numbers() -> None:
    for overrides in ((), ("weight_bits=2", "matrix_sram.size=64 B"), ("activations.sram=64 B",)):
        assert route.verify(load_workload(SPARSE), "eie_64pe", overrides=overrides).exact.all()
    for case in CASES:
        assert route.verify(case.workload, "eie_64pe", overrides=("pes=2", *case.overrides)).exact.all()


def both_timing_paths() -> None:
    for case in CASES[-3:]:
        fast, events = run_case(case).trace, run_case(case, "events").trace
        assert (fast.start_ps == events.start_ps).all(), case.name


def fitted_constants() -> None:
    workload = matvec(60, 50, density=0.2)
    plain = ("calibration.sram_energy=1", "calibration.sram_area=1", "calibration.clock_energy_pj=0")
    one, other = (route.run(workload, "eie_64pe", overrides=changed) for changed in (plain, ()))
    energy = [r.usage.by_component()["matrix_sram"] for r in (one, other)]
    area = [dict(zip(r.area.components, r.area.area_mm2, strict=True))["matrix_sram"] for r in (one, other)]
    assert energy[1] == pytest.approx(0.5 * energy[0])
    assert area[1] == pytest.approx(1.109 * area[0])
    clock_j = sum(other.energy_parts.get("clock_network", {}).values())
    assert clock_j == pytest.approx(2.34e-12 * 64 * other.cycles)


def capacity() -> None:
    """What has no room comes in, and what cannot is refused."""
    # One PE with room for 64 entries of a byte: a column a pass, with two pointers of two bytes.
    result = route.run(matvec(64, 8), "eie_64pe", overrides=("pes=1", "matrix_sram.size=64 B"))
    weights_ps = result.timing.busy_ps[:, result.timing.stages.index("weights")].sum()
    assert weights_ps == pytest.approx(8 * (64 + 2 * 2) * 1e12 / 6.4e9, abs=10)
    # Four pointers are for three columns: passes of 3, 3 and 2.
    result = route.run(matvec(64, 8), "eie_64pe", overrides=("pes=1", "pointer_sram.size=8 B"))
    assert result.timing.tiles.max() == 3
    for overrides in (("matrix_sram.size=32 B",), ("activations.sram=8 B", "activations.registers=1")):
        with pytest.raises(HwsimError):
            route.run(matvec(64, 8), "eie_64pe", overrides=("pes=1", *overrides))


JUDGES: tuple[Callable[[], None], ...] = (
    honesty_rules,
    hand_worked_cycles,
    hand_worked_counts,
    processes,
    both_timing_paths,
    fitted_constants,
    capacity,
    numbers,
)


def first_that_catches() -> str:
    for judge in JUDGES:
        try:
            judge()
        except (AssertionError, HwsimError, pytest.fail.Exception):
            return judge.__name__
    return ""


# -- faults --------------------------------------------------------------------------------------------------


def instead(place: object, name: str, change: Callable[..., Callable[..., Any]]) -> Callable[[Patch], None]:
    """`change` gets what stands there and gives what shall stand there."""
    return lambda patch: patch.setattr(place, name, change(getattr(place, name)))


def kernel(change: Callable[[list[Any]], list[Any]]) -> Callable[[Patch], None]:
    """Other arguments for the recurrence: entries, active, first_active, slots, credit_cycles,
    empty_cycles."""
    return instead(eie_array, "broadcast_cycles", lambda right: lambda *given: right(*change(list(given))))


def put(at: int, value: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda given: [*given[:at], value(given[at]), *given[at + 1 :]]


def matrix(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Another matrix than the one that is stored."""
    return instead(eie, "read_matrix", lambda right: lambda *given: change(right(*given)))


def interleaved(change: Callable[..., tuple[Any, ...]]) -> Callable[[Patch], None]:
    """Nonzeros, PEs and bits of a gap, changed before rows are spread over PEs."""
    return instead(
        eie_matrix, "_interleaved", lambda right: lambda *given: right(*change(*given[:3]), *given[3:])
    )


def in_blocks(found: Any, pes: int, bits: int) -> tuple[Any, int, int]:
    """Nonzeros moved to rows that make each PE hold neighbours."""
    count = int(found.rows.max()) + 1
    place = np.argsort(np.argsort(np.arange(count) % pes, kind="stable"))
    columns = np.repeat(np.arange(len(found.first) - 1), np.diff(found.first))
    moved = place[found.rows]
    return replace(found, rows=moved[np.lexsort((moved, columns))].astype(np.int32)), pes, bits


def actions(key: tuple[str, str], change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    right = eie.EieDevice._product_actions

    def changed(self: Any, *given: Any) -> Any:
        found = right(self, *given)
        return {k: change(count) if k == key else count for k, count in found.items()}

    return lambda patch: patch.setattr(eie.EieDevice, "_product_actions", changed)


def moves(stage: str, change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """What tiles ask of a port."""

    def changed(right: Callable[..., Any]) -> Callable[..., Any]:
        def give(*given: Any) -> Any:
            found = right(*given)
            return replace(found, demands={**found.demands, stage: change(found.demands[stage].copy())})

        return give

    return instead(eie, "tile_moves", changed)


def work(**changes: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """What the array is said to do."""

    def changed(right: Callable[..., Any]) -> Callable[..., Any]:
        def give(*given: Any) -> Any:
            found = right(*given)
            return replace(found, **{name: change(getattr(found, name)) for name, change in changes.items()})

        return give

    return instead(eie, "array_work", changed)


def pipeline_with(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    return instead(eie, "make_pipeline", lambda right: lambda spec: change(right(spec)))


def slots(name: str, count: int) -> Callable[[Any], Any]:
    return lambda p: replace(
        p, pools=tuple(replace(q, slots=count) if q.name == name else q for q in p.pools)
    )


def stage(name: str, **changes: Any) -> Callable[[Any], Any]:
    return lambda p: replace(
        p, stages=tuple(replace(s, **changes) if s.name == name else s for s in p.stages)
    )


def components(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    return instead(
        eie, "eie_components", lambda right: lambda spec: tuple(filter(None, map(change, right(spec))))
    )


def last_to_zero(column: Any) -> Any:
    column[np.flatnonzero(column)[-1:]] = 0
    return column


def stays(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda needs, *_: set(needs)


def one_entry_less(m: Any) -> Any:
    """In the first column of each PE."""
    entries = m.entries.copy()
    entries[:, 0] = np.maximum(entries[:, 0] - 1, 0)
    return replace(m, entries=entries)


def words_from_their_begin(m: Any) -> Any:
    """As if each column began a new one."""
    return replace(m, words=-(-m.entries // 8).sum(axis=2))


def one_group(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda reals, _: (1, (reals != 0).astype(np.uint8))


def everything_broadcast(right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda problem, nonzero: right(problem, np.ones_like(nonzero))


def halved(counts: Any) -> Any:
    return counts // 2


def nothing(counts: Any) -> Any:
    return counts * 0


FAULTS: dict[str, Callable[[Patch], None]] = {
    "padding dropped": interleaved(lambda found, pes, _: (found, pes, 16)),
    "a gap a bit too long": interleaved(lambda found, pes, bits: (found, pes, bits + 1)),
    "rows in blocks instead of in turn": interleaved(in_blocks),
    "credit_cycles ignored": kernel(put(4, lambda _: 0)),
    "credit_cycles one too many": kernel(put(4, lambda credit: credit + 1)),
    "a ring that holds all its places": kernel(put(3, lambda slots: slots + 1)),
    "queues without end": kernel(put(3, lambda _: 10**4)),
    "empty column free": kernel(put(5, lambda _: 0)),
    "empty column counted, not waited for": work(empty=nothing),
    "every column broadcast": instead(eie, "read_broadcast", everything_broadcast),
    "an entry dropped": matrix(one_entry_less),
    "padding not told apart": matrix(lambda m: replace(m, padding=m.padding * 0)),
    "words undercounted": matrix(lambda m: replace(m, words=np.minimum(m.words, 1))),
    "words without what begins within one": matrix(words_from_their_begin),
    "groups ignored": instead(eie_matrix, "value_groups", one_group),
    "array time without the fullest PE": work(cycles=lambda cycles: np.maximum(cycles - 1, 0)),
    "pointer traffic halved": actions(("pointer_sram", "read"), halved),
    "queue written once for all PEs": actions(("act_queue", "write"), halved),
    "table of values not read": actions(("codebook", "read"), nothing),
    "sums written and not read": actions(("activation_registers", "read"), halved),
    "padding not multiplied": work(stored=lambda stored: stored - 1),
    "table bytes dropped": instead(eie_tiles, "_table_bytes", lambda right: lambda *given: right(*given) * 0),
    "capacity ignored": instead(eie, "column_parts", lambda right: lambda *given: right(*given[:-1], None)),
    "everything stays": instead(eie_weights, "_choose", stays),
    "pointers without bytes": instead(
        eie_weights, "_bytes", lambda right: lambda m, g, b, e, bits, _: right(m, g, b, e, bits, 0)
    ),
    "a pass cut a column short": instead(
        eie_weights, "_passes", lambda right: lambda m, room, pointers: right(m, room, max(2, pointers - 1))
    ),
    "room for sums ignored": instead(eie_weights, "_sums_bytes", lambda _: lambda *_: 0),
    "the last pass not fetched": moves("weights", last_to_zero),
    "sums not restored": moves("load", nothing),
    "sums not saved": moves("store", nothing),
    "registers filled for nothing": moves("fetch", nothing),
    "registers emptied for nothing": moves("drain", nothing),
    "weights come in while PEs work": pipeline_with(slots("matrix", 10**6)),
    "sums of two vectors at once": pipeline_with(slots("results", 2)),
    "sources of two vectors at once": pipeline_with(slots("sources", 2)),
    "early drain": pipeline_with(stage("drain", after=("fetch",))),
    "compute before its vector": pipeline_with(stage("compute", after=("load",))),
    "weights not charged to their memory": pipeline_with(stage("weights", charges=(("outside", "read"),))),
    "fitted energy ignored": components(lambda part: replace(part, energy_scale=1.0)),
    "fitted area ignored": components(lambda part: replace(part, area_scale=1.0)),
    "clock network free": components(lambda part: None if part.kind == "clock" else part),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_memory_of_other_faults() -> Iterator[None]:
    """What is kept between runs would hide a fault, or outlive it."""

    def forget_all() -> None:
        forget()
        for cached in (eie_matrix.read_matrix, eie_weights.column_parts, rules.nonzero_products):
            cached.cache_clear()
        eie_matrix.NONZEROS.clear()

    forget_all()
    yield
    forget_all()


def test_without_a_fault_all_judges_are_content() -> None:
    for judge in JUDGES:
        judge()


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str, monkeypatch: Patch) -> None:
    FAULTS[fault](monkeypatch)
    assert first_that_catches(), f"no judge saw: {fault}"
