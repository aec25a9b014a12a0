"""What a sweep says, on points small enough to be judged by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwsim.explore.axes import Axis
from hwsim.explore.insight import insight, spoken
from hwsim.explore.outcome import METRICS, NO_ROOM, OK, UNSUPPORTED
from hwsim.explore.quality import TEST_IMAGES
from hwsim.explore.stored import Points

BEST = (
    "3 points are on the frontier: no other that was tried is better in latency or area without being worse "
    "in another."
)


def points_of(
    axes: Sequence[Axis],
    indices: Sequence[Sequence[int]],
    *,
    objectives: Sequence[str],
    constraints: Sequence[str] = (),
    violations: Sequence[float] | None = None,
    status: Sequence[int] | None = None,
    limits: Sequence[str] | None = None,
    **metrics: Sequence[float],
) -> Points:
    count = len(indices)
    columns = {name: np.array(metrics.get(name, [np.nan] * count), dtype=np.float64) for name in METRICS}
    return Points(
        name="made", description="", version="0", axes=tuple(axes),
        space={"objectives": list(objectives), "constraints": list(constraints)},
        indices=np.array(indices, dtype=np.int64).reshape(count, len(axes)),
        status=np.array([OK] * count if status is None else status, dtype=np.int8),
        reasons=("",) * count, limits=tuple(limits or ["dram"] * count),
        violations=np.array([0.0] * count if violations is None else violations),
        metrics=columns,
    )  # fmt: skip


def axis(name: str, *values: str, kind: str = "field") -> Axis:
    numbers = np.array([float(v) for v in values]) if values[0].isdigit() else None
    return Axis(name, kind, values, numbers)


def machine(**changes: Any) -> Points:
    """Rows 32 and 64 by bandwidth 1, 2 and 4: time falls with bandwidth, area grows with both; one point has
    no room and one is too large."""
    settings: dict[str, Any] = {
        "objectives": ("latency_s", "area_mm2"),
        "constraints": ("area_mm2 <= 60",),
        "latency_s": [8e-3, 4e-3, 2e-3, 7e-3, np.nan, 1e-3],
        "area_mm2": [10, 20, 40, 30, np.nan, 80],
        "violations": [0, 0, 0, 0, np.inf, 0.33],
        "status": [OK, OK, OK, OK, NO_ROOM, OK],
        "limits": ["dram", "dram", "array", "dram", "", "array"],
    }
    rows = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    return points_of([axis("rows", "32", "64"), axis("bandwidth", "1", "2", "4")], rows, **settings | changes)


def test_all_of_it() -> None:
    found = insight(machine())
    assert [(c.why, c.point, dict(c.texts)) for c in found.choices] == [
        ("balanced", 1, {"rows": "32", "bandwidth": "2"}),
        ("latency_s", 2, {"rows": "32", "bandwidth": "4"}),
        ("area_mm2", 0, {"rows": "32", "bandwidth": "1"}),
    ]
    # Latency from 2 to 8 ms and area from 10 to 40 mm2: the middle point leaves two thirds of each.
    assert found.hypervolumes == {"": pytest.approx(4 / 9)}
    assert found.limits == {"dram": 2, "array": 1}
    assert found.excluded == {"area_mm2 <= 60": 1}
    assert found.failed == {"no room": 1}
    assert [e.axis for e in found.effects["", "latency_s"]] == ["bandwidth", "rows"]
    assert found.sentences[:8] == (
        "6 points tried: 4 meet every constraint, 1 does not and 1 could not be evaluated (1 no room).",
        "Of the 5 with figures, `area_mm2 <= 60` excludes 1.",
        BEST,
        "They dominate 44 % of what lies between the best and the worst of each.",
        "Balanced, nearest to the best of each: 4 ms and 20 mm2 with rows=32 and bandwidth=2.",
        "Least latency: 2 ms with rows=32 and bandwidth=4.",
        "Least area: 10 mm2 with rows=32 and bandwidth=1.",
        "What limits them: dram in 2 and array in 1.",
    )


def test_what_matters_most_is_named_with_what_it_does() -> None:
    whole = machine(
        latency_s=[8e-3, 4e-3, 2e-3, 8e-3, 4e-3, 2e-3], area_mm2=[10, 20, 40] * 2, constraints=(),
        violations=[0] * 6, status=[OK] * 6,
    )  # fmt: skip
    said = insight(whole).sentences
    assert said[0] == "6 points tried: 6 have figures."
    assert (
        "Latency depends most on bandwidth (100 % of what varies): on average 2 ms at 4 and 8 ms at 1."
        in said
    )


def test_workloads_are_never_compared() -> None:
    networks = axis("workload", "mlp", "cnn", kind="workload")
    found = insight(
        points_of(
            [networks, axis("rows", "32", "64")], [[0, 0], [0, 1], [1, 0], [1, 1]],
            objectives=("latency_s", "area_mm2"),
            latency_s=[1e-3, 9e-4, 5e-1, 1e-1], area_mm2=[10, 20, 10, 20],
        )
    )  # fmt: skip
    assert {c.workload for c in found.choices} == {"mlp", "cnn"}
    assert all("workload" not in c.texts for c in found.choices)
    assert "4 points are on the frontier" in found.sentences[1]
    assert "for the same workload" in found.sentences[1]
    assert any(said.startswith("Balanced for cnn") for said in found.sentences)
    assert set(found.effects) == {(w, o) for w in ("mlp", "cnn") for o in ("latency_s", "area_mm2")}
    assert [e.axis for e in found.effects["cnn", "area_mm2"]] == ["rows"]
    assert "Area depends most on rows (100 % of what varies), for each workload." in found.sentences


def test_workloads_of_which_the_same_is_said_stand_together() -> None:
    networks = axis("workload", "mlp", "cnn", "lstm", kind="workload")
    places = [[w, r, b] for w in range(3) for r in range(2) for b in range(2)]
    by_rows, by_bandwidth = [1e-3, 1e-3, 2e-3, 2e-3], [1e-3, 2e-3, 1e-3, 2e-3]
    found = insight(
        points_of(
            [networks, axis("rows", "32", "64"), axis("bandwidth", "1", "2")], places,
            objectives=("latency_s",), latency_s=[*by_bandwidth, *by_rows, *by_bandwidth],
        )
    )  # fmt: skip
    said = "bandwidth (100 % of what varies) for mlp and lstm; rows (100 %) for cnn."
    assert found.sentences[-1] == f"Latency depends most on {said}"


def test_points_that_a_search_chose_are_no_even_sample() -> None:
    rows, bandwidth = axis("rows", *map(str, range(10))), axis("bandwidth", "1", "2")
    grid = [[r, b] for r in range(10) for b in range(2)]
    searched = [*grid, *([[9, 1]] * 200)]
    for places, uneven in ((grid, False), (searched, True)):
        latency_s = [1e-3 * (1 + r) for r, _ in places]
        found = insight(points_of([rows, bandwidth], places, objectives=("latency_s",), latency_s=latency_s))
        assert any("unevenly" in sentence for sentence in found.sentences) is uneven


def test_of_every_point_shares_are_exact() -> None:
    """Constraints leave three of the values: nothing is put down to chance."""
    places = [[0], [1], [2]]
    made = points_of(
        [axis("rows", "1", "2", "4", "8")], places, objectives=("latency_s",), latency_s=[1, 2, 4]
    )
    assert not any("depends" in said for said in insight(made).sentences)
    assert any(
        "rows (100 % of what varies)" in said for said in insight(replace(made, of_points=3)).sentences
    )


def test_axes_that_constraints_tie_share_what_they_explain() -> None:
    pairs = [[0, 0], [1, 1]]
    axes = [axis("rows", "1", "2"), axis("cols", "1", "2")]
    made = points_of(axes, pairs, objectives=("latency_s",), latency_s=[1, 2])
    assert "Shares overlap" in insight(replace(made, of_points=2)).sentences[-1]


def test_one_objective_has_a_best_point() -> None:
    found = insight(machine(objectives=("throughput_per_s",), throughput_per_s=[1, 2, 4000, 3, np.nan, 9]))
    assert [(c.why, c.point) for c in found.choices] == [("throughput_per_s", 2)]
    assert "Most throughput: 4,000 inferences/s with rows=32 and bandwidth=4." in found.sentences
    assert "What limits it is array." in found.sentences


def test_nothing_to_say() -> None:
    failed = machine(status=[UNSUPPORTED] * 6, violations=[np.inf] * 6)
    found = insight(failed)
    assert found.choices == ()
    assert found.sentences == (
        "6 points tried: 0 meet every constraint and 6 could not be evaluated (6 unsupported).",
    )
    assert insight(machine(objectives=())).choices == ()
    assert insight(points_of([], [], objectives=("latency_s",))).sentences == (
        "0 points tried: 0 have figures.",
    )
    assert insight(points_of([], [[]], objectives=("latency_s",), latency_s=[1e-3])).sentences == (
        "1 point tried: 1 has figures.",
        "Least latency: 1 ms with the design as it is.",
        "What limits it is dram.",
    )


def test_every_metric_has_words_and_a_unit() -> None:
    assert len({metric.noun for metric in METRICS.values()}) == len(METRICS)
    said = {name: spoken(name, 0.5) for name in METRICS}
    assert said["latency_s"] == "500 ms"
    assert said["energy_delay_js"] == "500 mJs"
    assert said["utilization"] == said["accuracy"] == "50 %"
    assert said["weight_bytes"] == "0 B"
    assert said["throughput_per_mm2"] == "0.5 inferences/s/mm2"
    assert spoken("area_mm2", 12345.6) == "12,346 mm2"
    assert all(" " in text for text in said.values())


@pytest.mark.parametrize("value", [float("inf"), 1e300])
def test_figures_without_bound_are_written(value: float) -> None:
    assert spoken("throughput_per_s", value) == f"{value:.3g} inferences/s"


def test_a_metric_that_no_point_has_is_said_with_the_reason() -> None:
    """Accuracy is asked for and unknown: a constraint on it excludes all, an objective of it has no best."""
    said = f"No point has accuracy: {METRICS['accuracy'].known}."
    asked = machine(constraints=("accuracy >= 0.9", "area_mm2 <= 60"), violations=[1] * 6)
    assert asked.why_no_answer() == (
        "space made: none of 6 points meets its constraints: `accuracy >= 0.9` excludes 5, `area_mm2 <= 60` "
        f"excludes 1; no point has accuracy: {METRICS['accuracy'].known}"
    )
    assert said in insight(asked).sentences
    wanted = machine(objectives=("latency_s", "accuracy"))
    assert wanted.why_no_answer() == (
        "space made: none of 6 points has accuracy, which the space asks for; " + METRICS["accuracy"].known
    )
    assert said in insight(wanted).sentences
    assert not any("No point has" in sentence for sentence in insight(machine()).sentences)


def test_who_has_accuracy_is_told_by_name() -> None:
    assert all(name in METRICS["accuracy"].known for name in TEST_IMAGES)
    assert METRICS["accuracy"].known.count("digits") == len(TEST_IMAGES)
