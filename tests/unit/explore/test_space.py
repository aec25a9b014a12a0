"""Spaces: what axes stand for, which points are the same, and that every fault is told once, in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.expressions import read_condition
from hwsim.explore.space import Space, load_space, read_space
from hwsim.explore.space_file import GridSpec, Nsga2Spec

HEAD = "name: few\nworkloads: [lenet5]\ndesigns: [tpu_v1]\n"


def space(folder: Path, text: str) -> Space:
    path = folder / "space.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_space(path)


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("{low: 32, high: 512, factor: 4}", ("32", "128", "512")),
        ("{low: 8, high: 20, step: 6}", ("8", "14", "20")),
        ("{low: 16, high: 256, count: 3, scale: log}", ("16", "64", "256")),
        ("[8, 24]", ("8", "24")),
    ],
)
def test_ranges_are_written_out(tmp_path: Path, written: str, values: tuple[str, ...]) -> None:
    (axis,) = space(tmp_path, f"axes: {{array.rows: {written}}}\n").axes
    assert axis.values == values
    assert axis.numbers is not None
    np.testing.assert_allclose(axis.numbers, [float(value) for value in values])


def test_quantities_keep_their_units(tmp_path: Path) -> None:
    text = "axes: {unified_buffer.size: {low: 2 MiB, high: 8 MiB, factor: 2}, clock: [700 MHz]}\n"
    size, clock = space(tmp_path, text).axes
    assert size.values == ("2 MiB", "4 MiB", "8 MiB")
    assert size.numbers is not None
    assert size.numbers.tolist() == [2.0**21, 2.0**22, 2.0**23]
    assert clock.numbers is not None
    assert clock.numbers.tolist() == [7e8]


def test_an_axis_that_does_not_count_makes_no_points_of_its_own(tmp_path: Path) -> None:
    found = space(
        tmp_path,
        "axes:\n  array.dataflow: [ws, os]\n"
        "  shift_in_cycles: {values: [4, 8, 16], when: array.dataflow == ws}\n",
    )
    grid = found.grid(0, found.total)
    assert len(grid) == found.total == 6
    assert len(np.unique(found.canonical(grid), axis=0)) == 4
    assert found.texts([1, 0]) == {"array.dataflow": "os"}
    assert found.texts([0, 2]) == {"array.dataflow": "ws", "shift_in_cycles": "16"}
    keys = found.keys(found.canonical(grid))
    assert len(set(keys)) == 4


def test_keys_know_the_seed_and_the_values(tmp_path: Path) -> None:
    one = space(tmp_path, "axes: {array.rows: [8, 16]}\n").keys(np.array([[0], [1]]))
    again = space(tmp_path, "axes: {array.rows: [8, 16, 32]}\n").keys(np.array([[0], [1]]))
    seeded = space(tmp_path, "seed: 1\naxes: {array.rows: [8, 16]}\n").keys(np.array([[0], [1]]))
    assert one == again
    assert one[0] != one[1]
    assert set(one).isdisjoint(seeded)


def test_constraints_over_axes_hold_before_anything_runs(tmp_path: Path) -> None:
    found = space(
        tmp_path,
        "axes: {array.rows: [8, 64], array.cols: [16, 32], unified_buffer.size: [1 MiB, 8 MiB]}\n"
        "constraints: [array.rows >= array.cols, \"unified_buffer.size <= '4 MiB'\", area_mm2 <= 50]\n",
    )
    grid = found.grid(0, found.total)
    kept = [found.texts(row) for row in grid[found.allowed(grid)].tolist()]
    assert [(point["array.rows"], point["array.cols"]) for point in kept] == [("64", "16"), ("64", "32")]
    assert [c.text for c in found.metric_constraints] == ["area_mm2 <= 50"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("axes: {array.rowz: [16, 32]}", "did you mean devices.systolic.array.rows"),
        ("axes: {array.rows: []}", "has no values"),
        ("axes: {array.rows: }", "rows: must be a list or a section of .key: value. lines, not nothing$"),
        ("axes: {array.rows: [16, 8, 16]}", "has the value 16 twice: take one of them away$"),
        ("axes: {clock: [1 GHz, 1000 MHz]}", "has the value 1000 MHz twice, which is 1 GHz"),
        ("axes: {array.rows: [0, 1000000, 8]}", r"least 1, not 0 \(and 1 more of its values is refused\)$"),
        ("axes: {unified_buffer.size: [8, 16, 32]}", r"no unit.* \(and 2 more of its values are refused\)$"),
        ("axes: {array.rows: [0]}", "greater than or equal to 1|at least 1"),
        ("axes: {array.rows: {low: 8, high: 4, step: 1}}", "must be less than"),
        ("axes: {array.rows: {low: 8, high: 16}}", "space.yaml:4:20: axes.array.rows: needs one of"),
        ("axes: {array.rows: {valuez: [8]}}", "rows.valuez: is not a field here; did you mean 'values'"),
        ("axes: {array.rows: {low: 8, high: 16 MiB, factor: 2}}", "same kind of unit"),
        ("axes: {workload.batch: [1.5]}", "no whole number"),
        ("axes: {workload.depth: [2]}", "depth"),
        ("axes: {dtype: [int9]}", "int9"),
        ("axes: {recipe: [nosuch]}", "nosuch"),
        ("axes: {array.rows: {values: [8], when: array.colz == 8}}", "colz"),
        ("axes: {array.rows: [8]}\nconstraints: [area_mm <= 5]", "did you mean area_mm2"),
        ("axes: {array.rows: [8]}\nconstraints: [area <= 5]", r"constraints\[0\].*did you mean area_mm2\?"),
        ("axes: {array.rows: [8]}\nconstraints: [clock <= 5]", "can be named where it is an axis"),
        ("axes: {array.rows: [8]}\nconstraints: ['area_mm2 + 5']", "no condition|comparison"),
        ("axes: {array.dataflow: [ws, os]}\nconstraints: [array.dataflow < ws]", "equal or not"),
        ("axes: {array.rows: [8]}\nobjectives: [latency]", "no metric"),
        ("axes: {array.rows: [8]}\nmethod: {kind: annealing}", "annealing"),
    ],
)
def test_faults_are_told_once_with_their_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        space(tmp_path, f"{text}\n")
    assert len(str(caught.value).splitlines()) == 1


def test_a_field_that_one_of_several_designs_lacks_says_which_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    text = "name: two\nworkloads: [lenet5]\ndesigns: [tpu_v1, t4]\naxes: {array.rows: [16, 32]}\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=r"no field has this path.*\(on t4; `when: design == NAME` keeps"):
        load_space(path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a <= 2", [True, True, False]),
        ("a < 3 and not a == 1", [False, True, False]),
        ("2 * a - 1 >= b", [False, True, True]),
        ("word == ws or a > 2", [True, False, True]),
        ("1 < a <= 3", [False, True, True]),
    ],
)
def test_conditions_hold_where_they_say(text: str, wanted: list[bool]) -> None:
    columns = {
        "a": np.array([1.0, 2.0, 3.0]),
        "b": np.array([2.0, 2.0, 2.0]),
        "word": np.array(["ws", "os", "os"], dtype=object),
    }
    condition = read_condition(text, columns)
    assert condition.holds(columns).tolist() == wanted
    assert ((condition.excess(columns) == 0) == np.array(wanted)).all()


@pytest.mark.parametrize(
    "text", ["__import__('os')", "a if b else c", "[a]", "a.b()", "lambda: a", "a" * 300, "a ==", "7 < 8"]
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        read_condition(text, {"a", "b"})


def test_what_is_missing_meets_no_condition() -> None:
    nothing = {"area_mm2": np.array([np.nan, 3.0])}
    condition = read_condition("area_mm2 <= 5", nothing)
    assert condition.holds(nothing).tolist() == [False, True]
    assert condition.excess(nothing)[0] > 0


def test_what_is_missing_is_neither_more_nor_less() -> None:
    """And a condition that holds whatever it may be holds."""
    columns = {"accuracy": np.array([np.nan, 0.95, 0.5]), "word": np.array(["ws", "os", "os"], dtype=object)}
    for text, wanted in {
        "not (accuracy >= 0.9)": [False, False, True],
        "accuracy != 0.5": [False, True, False],
        "not (accuracy < 0.9 and word == os)": [True, True, False],
        "not (accuracy < 0.9 or word == ws)": [False, True, False],
        "not (0.4 < accuracy <= 0.9)": [False, True, False],
        "-accuracy < 0 or word == ws": [True, True, True],
    }.items():
        assert read_condition(text, columns).holds(columns).tolist() == wanted, text


@pytest.mark.parametrize("text", ["1 + (a < 2) > 0", "not a", "-word == ws", "a and b"])
def test_numbers_words_and_conditions_are_not_mixed(text: str) -> None:
    columns = {"a": np.ones(1), "b": np.ones(1), "word": np.array(["ws"], dtype=object)}
    with pytest.raises(SpecError):
        read_condition(text, columns).holds(columns)


CORES = "name: x\nworkloads: [lenet5]\ndesigns: [xeon_e5_2699v3]\naxes:\n  cores.count: [4, 18]\n"


def test_a_value_at_odds_with_another_field_says_which(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(CORES, encoding="utf-8")
    with pytest.raises(
        SpecError, match=r"axes\.cores\.count: cache\.cores_per_cache is more than .* an axis too"
    ):
        load_space(path)


def test_fields_that_two_axes_set_are_matched_at_points(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"{CORES}  cache.cores_per_cache: [4, 18]\n", encoding="utf-8")
    space = load_space(path)
    outcomes = Evaluator(space).evaluate(space.grid(0, 4))
    assert outcomes.ok.tolist() == [True, False, True, True]
    assert "more than the 4 cores" in outcomes.reasons[1]


def test_accuracy_needs_test_images(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    text = "name: x\nworkloads: [{}]\ndesigns: [tpu_v1]\naxes: {{array.rows: [8]}}\nobjectives: [accuracy]\n"
    path.write_text(text.format("lenet5"), encoding="utf-8")
    with pytest.raises(SpecError, match="objectives: no point can have accuracy: "):
        load_space(path)
    path.write_text(text.format("lenet5, digits_mlp"), encoding="utf-8")
    assert load_space(path).objectives == ("accuracy",)


def test_a_search_takes_the_place_of_the_grid_on_the_command_line() -> None:
    assert read_space("eie_fifo").method == GridSpec(kind="grid")
    found = read_space("eie_fifo", ("method.kind=nsga2", "method.evaluations=50")).method
    assert found == Nsga2Spec(kind="nsga2", evaluations=50)
