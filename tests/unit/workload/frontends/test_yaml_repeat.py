"""Repeats in workload files: rows, entries, rounds within rounds, and sizes that are expressions."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.errors import SpecError
from hwsim.workload import Workload, load_workload
from hwsim.workload.operators import Conv2d, Pool

HEAD = "name: net\nparameters: {batch: 1, depth: 2, wide: 4}\ninput: {shape: [batch, 4, 8, 8]}\n"


def load(tmp_path: Path, layers: str, head: str = HEAD, **parameters: int) -> Workload:
    path = tmp_path / "net.yaml"
    path.write_text(f"{head}layers:\n{layers}")
    return load_workload(path, **parameters)


def refusal(tmp_path: Path, layers: str, head: str = HEAD, **parameters: int) -> str:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, layers, head, **parameters)
    return str(caught.value).replace(f"{tmp_path}/", "")


ROUNDS = """\
  - kind: repeat
    name: body
    times: depth
    entry: x
    layers:
      - {name: c, kind: conv, out_channels: wide, kernel: 1}
      - {name: sum, kind: add, inputs: [c, x]}
  - {name: end, kind: add, inputs: [body, input]}
"""


def test_times_follow_a_parameter_and_each_round_begins_where_the_one_before_ended(tmp_path: Path) -> None:
    found = load(tmp_path, ROUNDS, depth=3)
    assert {op.name: op.inputs[:2] for op in found.operators if op.kind == "elementwise"} == {
        "sum.1": ("c.1", "input"),
        "sum.2": ("c.2", "sum.1"),
        "sum.3": ("c.3", "sum.2"),
        "end": ("sum.3", "input"),
    }
    assert len(load(tmp_path, ROUNDS, depth=1).operators) == 3


def test_rows_give_sizes_to_rounds_and_rounds_lie_within_rounds(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """\
  - kind: repeat
    each:
      - {out: 2 * wide, more: 2}
      - {out: 6, more: 0}
    layers:
      - {name: first, kind: conv, out_channels: out, kernel: 1}
      - kind: repeat
        name: rest
        times: more
        entry: x
        layers:
          - {name: next, kind: conv, out_channels: out, kernel: 1}
          - {name: sum, kind: add, inputs: [next, x]}
      - {name: last, kind: add, inputs: [rest, first]}
""",
    )
    convs = {op.name: op.problem.K for op in found.operators if isinstance(op.problem, Conv2d)}
    assert convs == {"first.1": 8, "next.1.1": 8, "next.1.2": 8, "first.2": 6}
    inputs = {op.name: op.inputs for op in found.operators if op.kind == "elementwise"}
    assert inputs["sum.1.2"] == ("next.1.2", "sum.1.1")
    assert inputs["last.1"] == ("sum.1.2", "first.1")
    assert inputs["last.2"] == ("first.2", "first.2")  # no rounds: what they would have begun with


def test_each_of_two_rounds_has_an_entry_of_its_own(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """\
  - kind: repeat
    times: 2
    entry: x
    layers:
      - {name: a, kind: relu}
      - kind: repeat
        times: 2
        entry: y
        layers:
          - {name: b, kind: add, inputs: [x, y]}
      - kind: repeat
        times: 1
        entry: x
        layers:
          - {name: c, kind: add, inputs: [x, a]}
""",
    )
    assert {op.name: op.inputs for op in found.operators if op.kind == "elementwise"} == {
        "a.1": ("input",),
        "b.1.1": ("input", "a.1"),
        "b.1.2": ("input", "b.1.1"),
        "c.1.1": ("b.1.2", "a.1"),  # x of the inner repeat hides that of the outer
        "a.2": ("c.1.1",),
        "b.2.1": ("c.1.1", "a.2"),
        "b.2.2": ("c.1.1", "b.2.1"),
        "c.2.1": ("b.2.2", "a.2"),
    }


def test_a_repeat_may_begin_elsewhere(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """\
  - {name: a, kind: relu}
  - {name: b, kind: sigmoid}
  - kind: repeat
    times: 2
    inputs: [a]
    layers: [{name: c, kind: tanh}]
  - {kind: add, inputs: [b, c.2]}
""",
    )
    assert {op.name: op.inputs for op in found.operators}["c.1"] == ("a",)


def test_every_number_of_a_window_may_be_an_expression(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """\
  - {kind: conv, out_channels: "max(3, wide) % 5", kernel: [depth + 1, 1],
      stride: "ceil_div(3, depth)", pad: [1, "min(depth, 0)"]}
  - {kind: average_pool, kernel: depth, stride: depth // 2}
""",
    )
    conv, pool = (op.problem for op in found.operators)
    assert conv == Conv2d(1, 4, 8, 8, 4, 3, 1, 4, 4, 1, (2, 2), (1, 0, 1, 0))
    assert isinstance(pool, Pool)
    assert (pool.R, pool.stride) == (2, (1, 1))


def repeat(what: str) -> str:
    return f"  - {{kind: repeat, {what}, layers: [{{name: r, kind: relu}}]}}\n"


REFUSALS = [
    (repeat("times: depht"), "net.yaml:5:27: layers[0].times: there is no parameter 'depht': did you mean"),
    (repeat("times: depth // 0"), "net.yaml:5:27: layers[0].times: 'depth // 0' divides by zero"),
    (repeat("times: depth - 3"), "layers[0].times: 'depth - 3' is -1: it must be at least 0"),
    (repeat("times: depth - 2"), "layers: come to no layer"),
    (repeat("entry: x"), "layers[0].times: or a row for each round under `each` says"),
    (repeat("times: 2, each: [{a: 1}]"), "layers[0].times: or a row for each round under `each` says"),
    (repeat("each: [{a: 1}, {b: 2}]"), "layers[0].each: has a row of b and one of a"),
    (repeat("each: [{wide: 1}]"), "layers[0].each: 'wide' is a parameter already"),
    (repeat("each: [{a-b: 1}]"), "'a-b' is not a name that sizes can use"),
    (repeat("each: [{a: wide * tall}]"), "net.yaml:5:31: layers[0].each[0].a: there is no parameter 'tall'"),
    (repeat("times: 2, entry: r"), "layers[0].entry: 'r' is the name of a layer or input"),
    (repeat("times: 2, entry: input"), "layers[0].entry: 'input' is the name"),
    (repeat("times: 2, inputs: [a, b]"), "layers[0].inputs: has 2 names"),
    (repeat("times: 2, name: input"), "the name 'input' is that of an input and of a repeat"),
    (
        repeat("times: 1, name: x") + repeat("times: 1, name: x").replace("name: r", "name: s"),
        "net.yaml:6:36: layers[1].name: the name 'x' is given twice",
    ),
    (
        "  - {kind: conv, out_channels: 4, kernel: [1, wide - 4]}\n",
        "net.yaml:5:47: layers[0].kernel[1]: 'wide - 4' is 0: it must be at least 1",
    ),
    (
        "  - {kind: conv, out_channels: 9999999999 * 9999999999, kernel: 1}\n",
        "layers[0].out_channels: '9999999999 * 9999999999' is 1e+20, more than",
    ),
]


@pytest.mark.parametrize(("layers", "message"), REFUSALS, ids=[case[1][-40:] for case in REFUSALS])
def test_a_fault_has_a_place_and_a_cure(tmp_path: Path, layers: str, message: str) -> None:
    assert message in refusal(tmp_path, layers)


def test_rounds_without_layers_come_to_an_end(tmp_path: Path) -> None:
    """Repeats count as layers do, or a small file could turn for years."""
    inner = "{kind: repeat, times: depth - 2, layers: [{kind: relu}]}"
    for _ in range(3):
        inner = f"{{kind: repeat, times: 99999, layers: [{inner}]}}"
    assert "more than the 100,000 layers" in refusal(tmp_path, f"  - {inner}\n")
