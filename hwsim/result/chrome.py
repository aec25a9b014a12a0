"""A run as Chrome trace events, for Perfetto or chrome://tracing: a process a device, a thread a stage.

Events are complete ones ("X") with `ts` and `dur` in microseconds, exact to the picosecond for runs under a
quarter of an hour. Demands of length zero take no server and make no event. Format: "Trace Event Format",
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.result.result import Result
from hwsim.result.trace import Trace
from hwsim.units import PS_PER_US

MAX_TILE_EVENTS = 50_000  # a viewer stays quick up to here
MAX_LANES = 16  # rows that a stage whose tiles overlap may take

Event = dict[str, object]


@dataclass(frozen=True, eq=False)
class _Spans:
    """What one stage did, as columns sorted by start. `tile` counts within the operator; after merging it is
    the number of tiles in the span."""

    operator: Int64Array
    tile: Int64Array
    start_ps: Int64Array
    end_ps: Int64Array
    busy_ps: Int64Array
    merged: bool = False


def chrome_trace(result: Result, max_tile_events: int = MAX_TILE_EVENTS) -> dict[str, object]:
    """The object to write as JSON. With more than `max_tile_events` tile events, each stage's events are
    merged to one an operator (from its first start to its last end), and `otherData.detail` says so."""
    trace = result.trace
    spans = [_tile_spans(trace, stage) for stage in range(len(trace.stages))]
    total = sum(len(found.operator) for found in spans)
    if total > max_tile_events:
        spans = [_merge(found) for found in spans]
        detail = (
            f"{total} tile events, merged to one an operator and stage (args.busy_us is the sum of its tiles)"
        )
    else:
        detail = "one event a tile and stage"
    events = [_names("process_name", 1, 0, result.design), _names("thread_name", 1, 1, "operators")]
    events += _operator_events(result)
    thread = 2
    for stage, resource, found in zip(trace.stages, trace.stage_resources, spans, strict=True):
        lanes = _lanes(found)
        if lanes.max(initial=0) >= MAX_LANES and not found.merged:
            found = _merge(found)
            lanes = _lanes(found)
        for lane in range(int(lanes.max(initial=0)) + 1):
            suffix = f" {lane + 1}" if lane else ""
            events.append(_names("thread_name", 1, thread + lane, f"{stage} on {resource}{suffix}"))
        events += _stage_events(found, lanes, result.timing.names, stage, thread)
        thread += int(lanes.max(initial=0)) + 1
    about = {
        "workload": result.workload,
        "design": result.design,
        "hwsim": result.provenance.version,
        "detail": detail,
    }
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": about}


def _tile_spans(trace: Trace, stage: int) -> _Spans:
    """All tiles that took time in one stage."""
    busy_ps = trace.durations_ps[stage][trace.kind_of_tile]
    tiles = np.flatnonzero(busy_ps)
    tiles = tiles[np.argsort(trace.start_ps[stage, tiles], kind="stable")]
    operator = np.searchsorted(trace.first_tile, tiles, side="right") - 1
    start_ps, busy_ps = trace.start_ps[stage, tiles], busy_ps[tiles]
    return _Spans(operator, tiles - trace.first_tile[operator], start_ps, start_ps + busy_ps, busy_ps)


def _merge(spans: _Spans) -> _Spans:
    """One span an operator: first start, last end, busy time between."""
    if not len(spans.operator):
        return spans
    order = np.argsort(spans.operator, kind="stable")
    operator = spans.operator[order]
    first = np.flatnonzero(np.diff(operator, prepend=-1))
    start_ps = np.minimum.reduceat(spans.start_ps[order], first)
    end_ps = np.maximum.reduceat(spans.end_ps[order], first)
    busy_ps = np.add.reduceat(spans.busy_ps[order], first)
    tiles = np.diff(first, append=len(operator))
    by_start = np.lexsort((operator[first], start_ps))
    return _Spans(
        operator[first][by_start],
        tiles[by_start],
        start_ps[by_start],
        end_ps[by_start],
        busy_ps[by_start],
        True,
    )


def _lanes(spans: _Spans) -> Int64Array:
    """The row of each span, so that no two of a row overlap: 0 for all where one server serves the stage."""
    lanes = np.zeros(len(spans.operator), dtype=np.int64)
    if (spans.start_ps[1:] >= spans.end_ps[:-1]).all():
        return lanes
    free: list[int] = []
    running: list[tuple[int, int]] = []
    rows = 0
    times = zip(spans.start_ps.tolist(), spans.end_ps.tolist(), strict=True)
    for index, (start_ps, end_ps) in enumerate(times):
        while running and running[0][0] <= start_ps:
            heapq.heappush(free, heapq.heappop(running)[1])
        if not free:
            heapq.heappush(free, rows)
            rows += 1
        lanes[index] = heapq.heappop(free)
        heapq.heappush(running, (end_ps, int(lanes[index])))
    return lanes


def _operator_events(result: Result) -> Iterator[Event]:
    """The first row: what the run was waiting to complete, operator by operator, without gaps."""
    timing = result.timing
    ends = np.cumsum(timing.elapsed_ps).tolist()
    columns = zip(timing.names, timing.kinds, timing.limits, timing.elapsed_ps.tolist(), ends, strict=True)
    for name, kind, limit, elapsed_ps, end_ps in columns:
        if elapsed_ps:
            args: Event = {"operator": name, "kind": kind, "limit": limit}
            yield _complete(name, "operator", 1, end_ps - elapsed_ps, elapsed_ps, args)


def _stage_events(
    spans: _Spans, lanes: Int64Array, names: tuple[str, ...], stage: str, thread: int
) -> Iterator[Event]:
    columns = (spans.operator, spans.tile, spans.start_ps, spans.end_ps, spans.busy_ps, lanes)
    for operator, tile, start_ps, end_ps, busy_ps, lane in zip(*(c.tolist() for c in columns), strict=True):
        args: Event = {"operator": names[operator]}
        args |= {"tiles": tile, "busy_us": busy_ps / PS_PER_US} if spans.merged else {"tile": tile}
        yield _complete(names[operator], stage, thread + lane, start_ps, end_ps - start_ps, args)


def _complete(name: str, category: str, thread: int, start_ps: int, length_ps: int, args: Event) -> Event:
    return {
        "name": name, "cat": category, "ph": "X", "pid": 1, "tid": thread,
        "ts": start_ps / PS_PER_US, "dur": length_ps / PS_PER_US, "args": args,
    }  # fmt: skip


def _names(what: str, process: int, thread: int, name: str) -> Event:
    return {"name": what, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
