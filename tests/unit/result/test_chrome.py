"""Chrome trace events: what a viewer needs, and that the rows tell the truth about who was busy when."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hwsim.result import Result, Trace
from hwsim.result.chrome import MAX_LANES, chrome_trace
from tests.samples import OPERATORS, sample_result


def events_of(result: Result, **options: int) -> tuple[list[dict[str, Any]], dict[int, str], dict[str, str]]:
    """Complete events with exact times, names of threads, and the remarks, as read back from JSON."""
    found = json.loads(json.dumps(chrome_trace(result, **options), allow_nan=False), parse_float=Decimal)
    spans = [e for e in found["traceEvents"] if e["ph"] == "X"]
    threads = {e["tid"]: e["args"]["name"] for e in found["traceEvents"] if e["name"] == "thread_name"}
    return spans, threads, found["otherData"]


def check_rows(spans: list[dict[str, Any]], threads: dict[int, str]) -> None:
    """Rules of every trace: times not negative, known operators, named rows, no overlap within a row."""
    rows: dict[int, list[tuple[Decimal, Decimal]]] = {}
    for event in spans:
        assert event["ts"] >= 0
        assert event["dur"] > 0
        assert event["args"]["operator"] in OPERATORS
        assert event["pid"] == 1
        assert event["tid"] in threads
        rows.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    for row in rows.values():
        ends = sorted(row)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(ends))


def test_every_tile_that_took_time_is_there_with_its_exact_time() -> None:
    spans, threads, remarks = events_of(sample_result())
    check_rows(spans, threads)
    assert remarks["detail"] == "one event a tile and stage"
    assert {"operators", "weights on memory", "settle on delay", "settle on delay 3"} <= set(threads.values())
    compute = [e for e in spans if e["cat"] == "compute"]
    assert [(e["ts"], e["dur"], e["args"]["operator"], e["args"]["tile"]) for e in compute] == [
        (Decimal("0.00015"), Decimal("0.0002"), "conv1", 0),
        (Decimal("0.00035"), Decimal("0.0002"), "conv1", 1),
        (Decimal("0.00055"), Decimal("0.0002"), "conv1", 2),
        (Decimal("0.00075"), Decimal("0.00025"), OPERATORS[2], 0),
    ]


def test_stages_of_a_single_server_never_overlap_even_across_rows() -> None:
    spans, threads, _ = events_of(sample_result())
    memory = sorted((e["ts"], e["ts"] + e["dur"]) for e in spans if threads[e["tid"]].endswith("on memory"))
    assert len(memory) == 6
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(memory))


def test_the_operator_row_covers_the_run_without_gaps() -> None:
    spans, _, _ = events_of(sample_result())
    row = sorted((e["ts"], e["dur"], e["name"]) for e in spans if e["tid"] == 1)
    assert row == [(0, Decimal("0.00005"), "input:x"), (Decimal("0.00005"), Decimal("0.0017"), "conv1")]


def test_many_tiles_are_merged_to_one_event_an_operator_and_stage_and_said_so() -> None:
    spans, threads, remarks = events_of(sample_result(), max_tile_events=12)
    check_rows(spans, threads)
    assert remarks["detail"].startswith("13 tile events, merged")
    conv = [e for e in spans if e["name"] == "conv1" and e["cat"] == "weights"]
    assert [(e["ts"], e["dur"], e["args"]["tiles"], e["args"]["busy_us"]) for e in conv] == [
        (Decimal("0.00005"), Decimal("0.0003"), 3, Decimal("0.0003"))
    ]
    assert events_of(sample_result(), max_tile_events=13)[2]["detail"] == "one event a tile and stage"


def in_flight(count: int, settle_ps: int) -> Result:
    """`count` tiles of conv1 that start every 200 ps and settle for `settle_ps`, side by side."""
    result = sample_result()
    durations = result.trace.durations_ps.copy()
    durations[3, 1] = settle_ps
    trace = Trace(
        result.trace.stages, result.trace.stage_resources, np.array([0, 1, 1 + count, 2 + count]),
        np.array([0] + [1] * count + [2], dtype=np.int32), durations,
        np.tile(np.arange(count + 2) * 200, (4, 1)), 200 * (count + 100), "fast",
    )  # fmt: skip
    return replace(result, trace=trace)


@pytest.mark.parametrize(("settle_ps", "rows"), [(200, 1), (201, 2), (900, 5), (1000, 5), (1001, 6)])
def test_tiles_that_overlap_take_as_many_rows_as_are_needed(settle_ps: int, rows: int) -> None:
    spans, threads, _ = events_of(in_flight(40, settle_ps), max_tile_events=1000)
    check_rows(spans, threads)
    assert sum(name.startswith("settle on delay") for name in threads.values()) == rows
    assert sum(e["cat"] == "settle" for e in spans) == 40


def test_a_stage_with_too_many_tiles_in_flight_is_merged_alone() -> None:
    count = MAX_LANES + 4
    spans, threads, _ = events_of(in_flight(count, 9000), max_tile_events=1000)
    settle = [e for e in spans if e["cat"] == "settle"]
    assert len(settle) == 1
    assert settle[0]["args"]["tiles"] == count
    assert len([e for e in spans if e["cat"] == "compute"]) == count + 1
    assert "settle on delay 2" not in threads.values()


@pytest.mark.parametrize("makespan_ps", [10**15 + 1, 123_456_789_012_345])
def test_times_are_exact_for_runs_of_minutes(makespan_ps: int) -> None:
    result = sample_result()
    late = replace(result.trace, start_ps=result.trace.start_ps + makespan_ps)
    spans, _, _ = events_of(replace(result, trace=late))
    first = min(e["ts"] for e in spans if e["cat"] == "compute")
    assert first == Decimal(makespan_ps + 150) / 10**6
