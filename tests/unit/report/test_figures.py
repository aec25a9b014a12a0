"""Figures of the report against cases worked by hand and slow second answers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.design import load_design
from hwsim.devices.kinds import make_device
from hwsim.library import names
from hwsim.pipeline import run as simulate
from hwsim.report.layers import LEAKAGE, layer_energy_j, layer_table
from hwsim.report.reading import Row, Run, Span, read_folder
from hwsim.report.roofline import memory_port, roofline
from hwsim.report.stacks import MAX_COLUMNS, SERIES, stack
from hwsim.report.tables import CAUSES, shares, sources
from hwsim.report.ticks import decades, linear_ticks
from hwsim.report.timeline import MAX_BARS, timeline
from hwsim.report.wording import NARROW, area, percent, quantity, rate, short
from hwsim.result.folder import write_folder
from tests.unit.report.folders import sample_folder, wide_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_folder(sample_folder(tmp_path_factory.mktemp("figures") / "out"))


def test_roofline_of_the_sample_by_hand(run: Run) -> None:
    """78 bytes in the memory's 690 busy ps make 113 GB/s; 4 MACs a cycle at 1 GHz make 4 GMAC/s. conv1 has 6
    MACs, 30 bytes and 1,700 ps. fc has 4 MACs, 40 bytes and no time of its own, but keeps the memory busy
    for 340 ps. Axes: 0.01 to 1 MAC/B, since three times 0.2 is 0.6, and 1 to 100 GMAC/s."""
    figure = roofline(run)
    assert figure is not None
    assert memory_port(run) == figure.port == "memory"
    assert figure.slope_label == f"memory 113{NARROW}GB/s"
    assert figure.peak.label == f"peak 4{NARROW}GMAC/s"
    assert [tick.label for tick in figure.x_ticks] == ["0.01", "0.1", "1"]
    assert [tick.label for tick in figure.y_ticks] == [
        f"1{NARROW}GMAC/s", f"10{NARROW}GMAC/s", f"100{NARROW}GMAC/s",
    ]  # fmt: skip
    fc, conv1 = figure.points  # the one that took longer lies on top
    assert (conv1.title[:5], fc.title[:9]) == ("conv1", 'fc, "two"')
    assert conv1.x == pytest.approx(50 * (math.log10(6 / 30) + 2))
    assert conv1.y == pytest.approx(50 * (11 - math.log10(6 / 1700e-12)))
    assert fc.x == pytest.approx(50.0)
    assert fc.y == pytest.approx(50 * (11 - math.log10(4 / 340e-12)))
    assert figure.whole.x == pytest.approx(50 * (math.log10(10 / 78) + 2))
    assert figure.left_out == 1


@pytest.mark.parametrize(("workload", "design"), [("lenet5", "tpu_v1"), ("lenet300", "systolic_starved")])
def test_no_layer_of_a_real_run_stands_above_a_roof(tmp_path: Path, workload: str, design: str) -> None:
    figure = roofline(read_folder(write_folder(simulate(workload, design), tmp_path / "out")))
    assert figure is not None
    assert figure.slope is not None
    assert len(figure.points) >= 3
    x1, y1, x2, y2 = figure.slope
    for point in (*figure.points, figure.whole):
        roof = y2 if point.x >= x2 else y1 + (y2 - y1) * (point.x - x1) / (x2 - x1)
        assert point.y >= roof - 1e-3
        assert point.y >= figure.peak.at - 1e-6


def test_there_is_no_roofline_without_traffic(run: Run) -> None:
    assert roofline(replace(run, usage=())) is None


def test_stacks_add_up_and_stand_on_the_axis() -> None:
    parts = [{"active": 3.0, "b": 1.0}, {}, {"b": 2.0, "c": 0.5}]
    figure = stack(["x", "y", "z"], parts, lambda v: f"{v:g}", first="active")
    assert [one.name for one in figure.series] == ["active", "b", "c"]
    assert [one.share for one in figure.series] == pytest.approx([3 / 6.5, 3 / 6.5, 0.5 / 6.5])
    assert [tick.label for tick in figure.y_ticks] == ["0", "1", "2", "3", "4"]
    heights: dict[float, float] = {}
    for one in figure.segments:
        heights[one.x] = heights.get(one.x, 0.0) + one.height
    assert [round(h, 9) for h in heights.values()] == [100.0, 62.5]  # of 4, and of 2.5
    first = [one for one in figure.segments if "1 x" in one.title]
    assert [one.y for one in first] == [25.0, 0.0]
    assert first[0].title == "1 x, 4 in all\nactive: 3"


def test_stacks_gather_small_series_and_share_columns() -> None:
    parts = [{f"s{i}": 100.0 - i for i in range(12)} for _ in range(MAX_COLUMNS + 1)]
    figure = stack([f"n{i}" for i in range(len(parts))], parts, lambda v: f"{v:g}")
    assert len(figure.series) == SERIES + 1
    assert figure.series[-1].name == "other (5)"
    assert sum(one.share for one in figure.series) == pytest.approx(1)
    assert figure.per_column == 2
    assert len({one.x for one in figure.segments}) == -(-len(parts) // 2)
    assert max(one.x + one.width for one in figure.segments) <= 100


def test_stacks_of_nothing_are_empty() -> None:
    figure = stack(["a"], [{"active": 0.0}], str, first="active")
    assert figure.segments == ()


@given(st.floats(1e-12, 1e12))
def test_linear_ticks_are_round_and_reach_the_top(top: float) -> None:
    ticks = linear_ticks(top)
    assert ticks[0] == 0
    assert ticks[-1] >= top * (1 - 1e-6)
    assert ticks[-2] < top
    assert 2 <= len(ticks) <= 7
    lead = float(f"{ticks[1]:.3e}".split("e")[0])
    assert lead in (1.0, 2.0, 2.5, 5.0, 10.0)


def test_decades_hold_both_ends() -> None:
    assert decades(0.3, 2e4) == (-1, 5)
    assert decades(10, 10) == (1, 2)
    assert decades(1, 1000) == (0, 3)


def spans(*times: tuple[float, float], name: str = "conv1") -> tuple[Span, ...]:
    return tuple(Span(start, end, name, 1) for start, end in times)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=30, max_size=50),
        min_size=1,
        max_size=3,
    )
)
def test_the_busiest_stretch_is_the_busiest(run: Run, gaps: list[list[tuple[int, int]]]) -> None:
    rows, end = [], 0.0
    for index, row in enumerate(gaps):
        time, made = 0, []
        for gap, length in row:
            made.append((float(time + gap), float(time + gap + length)))
            time += gap + length
        rows.append(Row(f"row {index}", spans(*made)))
        end = max(end, float(time))
    operators = Row("operators", spans((0.0, end)))
    figure = timeline(replace(run, timeline=(operators, *rows)))
    assert figure is not None
    length = figure.end_us - figure.start_us

    def busy(start: float) -> float:
        inside = (
            min(span.end_us, start + length) - max(span.start_us, start) for row in rows for span in row.spans
        )
        return sum(part for part in inside if part > 0)

    best = max(busy(start / 2) for start in range(int(2 * (end - length)) + 1))
    assert busy(figure.start_us) >= best - 1e-6 * length
    assert 0 <= figure.start_us <= figure.end_us <= end + 1e-9
    for lane in figure.lanes:
        assert all(0 <= bar.x <= 100 and bar.x + bar.width <= 100 + 0.03 for bar in lane.bars)
    told = sum(lane.busy for lane in figure.lanes[1:]) * length
    assert told == pytest.approx(busy(figure.start_us))


def test_a_crowded_stretch_is_thinned_and_says_so(run: Run) -> None:
    crowd = spans(*((i / 1000, i / 1000 + 0.0009) for i in range(5 * MAX_BARS)))
    rows = [Row("operators", spans((0.0, 1000.0))), Row("crowd", (*crowd, *spans((900.0, 1000.0))))]
    rows += [Row(f"idle {i}", spans((500.0 + i, 501.0 + i))) for i in range(3)]
    figure = timeline(replace(run, timeline=tuple(rows)))
    assert figure is not None
    drawn = sum(len(lane.bars) for lane in figure.lanes)
    assert drawn <= MAX_BARS


def test_idle_rows_are_named_and_not_drawn(run: Run) -> None:
    rows = (
        Row("operators", spans((0.0, 100.0))),
        Row("much", spans(*((float(i), i + 0.9) for i in range(95)))),
        Row("late", spans((99.0, 100.0))),
    )
    figure = timeline(replace(run, timeline=rows))
    assert figure is not None
    assert figure.idle == ("late",)
    assert [lane.name for lane in figure.lanes] == ["operators", "much"]


def test_there_is_no_timeline_without_work(run: Run) -> None:
    assert timeline(replace(run, timeline=(Row("operators", ()),))) is None


def test_energy_of_layers_adds_up_to_the_run(run: Run) -> None:
    parts = layer_energy_j(run)
    assert sum(sum(part.values()) for part in parts) == pytest.approx(run.summary.energy_j, rel=1e-12)
    assert parts[0] == {"memory": pytest.approx(20e-12), LEAKAGE: pytest.approx(0.003 * 50e-12)}
    assert sum(part[LEAKAGE] for part in parts) == pytest.approx(0.003 * 1.75e-9)


def test_the_layer_table_says_what_the_files_say(run: Run) -> None:
    table = layer_table(run)
    assert [h.name for h in table.columns] == [
        "number", "operator", "kind", "limit", "elapsed_ps", "share_of_time", "macs", "share_of_peak",
        "memory_bytes", "energy_j", "tiles", "main_stall", "layer",
    ]  # fmt: skip
    conv1 = dict(zip((h.name for h in table.columns), table.rows[1], strict=True))
    assert {name: cell.value for name, cell in conv1.items()} == {
        "number": "2", "operator": "conv1", "kind": "conv2d", "limit": "array", "elapsed_ps": "1700",
        "share_of_time": repr(1.7e-9 / 1.75e-9), "macs": "6", "share_of_peak": repr(6 / (1.7e-9 * 1e9 * 4)),
        "memory_bytes": "30", "energy_j": repr(75e-12 + 1.8e-12 + 0.003 * 1.7e-9), "tiles": "3",
        "main_stall": "weights", "layer": "conv1",
    } | {"energy_j": conv1["energy_j"].value, "share_of_peak": conv1["share_of_peak"].value}  # fmt: skip
    assert float(conv1["energy_j"].value) == pytest.approx(76.8e-12 + 5.1e-12)
    assert float(conv1["share_of_peak"].value) == pytest.approx(6 / 6.8)
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.left_out == 0


def test_a_long_table_keeps_the_layers_that_took_longest(tmp_path: Path) -> None:
    wide = read_folder(wide_folder(tmp_path / "out", 1500))
    table = layer_table(wide)
    assert (len(table.rows), table.left_out) == (1000, 500)
    kept = [int(row[4].value) for row in table.rows]
    assert min(kept) >= np.sort([row.elapsed_ps for row in wide.operators])[500]
    assert [int(row[0].value) for row in table.rows] == sorted(int(row[0].value) for row in table.rows)


def test_shares_lead_with_the_first_and_drop_what_is_nothing() -> None:
    found = shares({"a": 1.0, "b": 3.0, "none": 0.0, "active": 0.0}, whole=4.0, first="active")
    assert [(one.name, one.share) for one in found] == [("active", 0.0), ("b", 0.75), ("a", 0.25)]


def test_sources_are_listed_once_with_their_sums(run: Run) -> None:
    found = sources(run)
    assert [(one.component, one.action, one.count, one.source) for one in found] == [
        ("memory", "read", "78", "row 1"), ("array", "mac_int8", "10", "row 2"),
    ]  # fmt: skip


def test_every_cause_of_every_kind_is_explained() -> None:
    """The report knows files only; here its words are held against the causes that devices name."""
    causes = {
        cause.name
        for design in names("designs")
        for device in load_design(design).devices.values()
        for cause in make_device(device).causes
    }
    assert causes
    assert causes <= set(CAUSES)


def test_words_for_quantities() -> None:
    assert quantity(0.00135, "s") == f"1.35{NARROW}ms"
    assert quantity(2.2e-5, "s") == f"22{NARROW}\u00b5s"
    assert quantity(0.0, "s") == f"0{NARROW}s"
    assert quantity(78, "") == "78"
    assert quantity(1.2e4, "") == f"12{NARROW}k"
    assert quantity(3.0, "units") == f"3{NARROW}units"
    assert area(0.0396) == f"0.0396{NARROW}mm\u00b2"
    assert percent(0.0001) == f"<{NARROW}0.1{NARROW}%"
    assert percent(0.5) == f"50.0{NARROW}%"
    assert percent(0) == f"0{NARROW}%"
    assert rate(1049.9) == "1,050/s"
    assert rate(10.93) == "10.9/s"
    assert short("gpu_0/conv1") == "conv1"
    assert short("odd/") == "odd/"
