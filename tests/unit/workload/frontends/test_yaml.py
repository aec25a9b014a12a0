"""Workload files: what may be written, and one message with its place for each fault."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from hwsim.errors import CapacityError, SpecError
from hwsim.schema import json_schema
from hwsim.workload import Step, Workload, load_workload
from hwsim.workload.frontends.layers import Pointwise
from hwsim.workload.frontends.workload_file import WorkloadSpec
from hwsim.workload.functions import UNARY
from hwsim.workload.operators import Conv2d, Elementwise, Move, Pool

HEAD = """name: net
input: {shape: [batch, 3, 8, 8]}
layers:
"""


def load(tmp_path: Path, layers: str, head: str = HEAD, **parameters: int) -> Workload:
    path = tmp_path / "net.yaml"
    path.write_text(head + "\n".join(f"  - {line.strip()}" for line in layers.strip().splitlines()) + "\n")
    return load_workload(path, **parameters)


def refusal(tmp_path: Path, layers: str, head: str = HEAD) -> str:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, layers, head)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_convolution_with_everything_written(tmp_path: Path) -> None:
    net = load(
        tmp_path,
        "{name: c, kind: conv, out_channels: 2 * batch, kernel: [3, 1], stride: [2, 1], pad: [1, 0, 2, 3], "
        "dilation: [1, 2], groups: 1, bias: false}",
        batch=2,
    )
    assert net.operators[0].problem == Conv2d(2, 3, 8, 8, 4, 3, 1, 5, 11, 1, (2, 1), (1, 0, 2, 3), (1, 2))
    assert net.operators[0].epilogue == ()


def test_unnamed_layers_are_called_by_kind_and_number(tmp_path: Path) -> None:
    net = load(
        tmp_path,
        """{kind: max_pool, kernel: 2}
        {name: max_pool2, kind: max_pool, kernel: 2}
        {kind: max_pool, kernel: 2}
        {kind: average_pool, kernel: 1}""",
    )
    assert [op.name for op in net.operators] == ["max_pool1", "max_pool2", "max_pool3", "average_pool1"]
    assert net.outputs == ("average_pool1",)


def test_branches_are_joined_by_name_in_any_order(tmp_path: Path) -> None:
    net = load(
        tmp_path,
        """{name: sum, kind: add, inputs: [left, right]}
        {name: left, kind: relu, inputs: [input]}
        {name: right, kind: conv, out_channels: 3, kernel: 1, inputs: [input]}
        {name: out, kind: concat, inputs: [sum, left], axis: 1}""",
    )
    assert [op.name for op in net.operators] == ["left", "right", "sum", "out"]
    assert net.tensors["out"].shape == (1, 6, 8, 8)


def test_repeats_are_written_out(tmp_path: Path) -> None:
    net = load(
        tmp_path,
        "{kind: repeat, times: 3, layers: [{name: a, kind: conv, out_channels: 3, kernel: 1}, "
        "{name: b, kind: add, inputs: [a, relu9]}]}\n{name: relu9, kind: relu, inputs: [input]}\n"
        "{name: end, kind: add, inputs: [b.3, b.1]}",
    )
    adds = {op.name: op.inputs for op in net.operators if op.kind == "elementwise" and len(op.inputs) == 2}
    assert adds == {
        "b.1": ("a.1", "relu9"),
        "b.2": ("a.2", "relu9"),
        "b.3": ("a.3", "relu9"),
        "end": ("b.3", "b.1"),
    }


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    head = (
        "name: net\nparameters: {batch: 1, width: 5}\n"
        "inputs: {a: {shape: [batch, width]}, b: {shape: [width, 4]}}\noutputs: [m, s]\nlayers:\n"
    )
    net = load(
        tmp_path, "{name: m, kind: matmul, inputs: [a, b]}\n{name: s, kind: softmax}", head, width=7, batch=3
    )
    assert net.inputs == ("a", "b")
    assert net.outputs == ("m", "s")
    assert net.macs == 3 * 7 * 4
    assert net.parameters == {"batch": 3, "width": 7, "seed": 0}


def test_every_kind_of_layer_lowers(tmp_path: Path) -> None:
    net = load(
        tmp_path,
        """{kind: pad, before: [0, 0, 1, 0], after: [0, 0, 0, 1]}
        {kind: slice, axis: 2, start: 1, end: -1}
        {kind: lrn, size: 3}
        {kind: batch_norm}
        {kind: average_pool, kernel: 3, stride: 2, pad: 1, ceil_mode: true, count_include_pad: true}
        {kind: transpose, perm: [0, 2, 3, 1]}
        {kind: reshape, shape: [batch, -1, 6]}
        {kind: linear, out_features: 4}
        {kind: identity}
        {kind: dropout}
        {kind: flatten}
        {kind: relu6}
        {kind: leaky_relu, alpha: 0.5}
        {kind: softmax, axis: 1}""",
    )
    assert [op.kind for op in net.operators] == [
        "move",
        "move",
        "lrn",
        "elementwise",
        "pool",
        "move",
        "view",
        "matmul",
        "view",
        "view",
        "view",
        "elementwise",
        "elementwise",
        "softmax",
    ]
    pool = net.operators[4].problem
    assert isinstance(pool, Pool)
    assert (pool.P, pool.Q, pool.count_include_pad) == (4, 5, True)
    assert net.operators[1].problem == Move("slice", 3 * 7 * 9)
    assert dict(net.operators[11].attributes) == {"min": 0.0, "max": 6.0}
    assert net.operators[11].problem == Elementwise("clip", 40)


def test_relu6_is_a_clip_behind_what_it_follows(tmp_path: Path) -> None:
    net = load(tmp_path, "{kind: conv, out_channels: 2, kernel: 1, bias: false}\n{kind: relu6}")
    assert net.operators[0].epilogue == (Step("clip", "", (("max", 6.0), ("min", 0.0))),)


def test_every_pointwise_function_is_a_kind() -> None:
    kinds = set(get_args(Pointwise.model_fields["kind"].annotation))
    assert kinds == set(UNARY) | {"relu6"}


def test_the_schema_for_editors_names_every_kind() -> None:
    text = str(json_schema(WorkloadSpec))
    assert all(kind in text for kind in ("conv", "average_pool", "repeat", "batch_norm", "hard_sigmoid"))


RELU = "{kind: relu}"
REFUSALS = [
    ("{name: c, out_channels: 3, kernel: 1}", "net.yaml:4:5: layers[0]: has no `kind`"),
    (
        "{kind: cnov, out_channels: 3, kernel: 1}",
        "net.yaml:4:12: layers[0].kind: 'cnov' is not known here; did you mean",
    ),
    (
        "{kind: conv, out_chanels: 3, kernel: 1}",
        "net.yaml:4:18: layers[0].out_chanels: is not a field here; did you mean",
    ),
    (
        "{kind: conv, out_channels: 0, kernel: 1}",
        "net.yaml:4:5: layers[0]: layer 'conv1' (conv): 1 groups do not divide",
    ),
    ("{kind: conv, out_channels: -4, kernel: 1}", "net.yaml:4:5"),
    ("{kind: conv, out_channels: .nan, kernel: 1}", "net.yaml:4:32: layers[0].out_channels"),
    (
        "{kind: conv, out_channels: 3, kernel: 9}",
        "net.yaml:4:5: layers[0]: layer 'conv1' (conv2d): a window of 9 does not",
    ),
    ("{kind: conv, out_channels: 3, kernel: [3]}", "must be one number or [height, width], not 1 numbers"),
    (
        "{kind: conv, out_channels: 3, kernel: 3, pad: [1, 2, 3]}",
        "net.yaml:4:51: layers[0].pad: must be one number",
    ),
    (
        "{kind: conv, out_channels: 4, kernel: 3, groups: 2}",
        "2 groups do not divide 3 input and 4 output channels",
    ),
    ("{kind: conv, out_channels: btach, kernel: 3}", "there is no parameter 'btach': did you mean 'batch'"),
    (
        f"{RELU}\n{{kind: linear, out_features: 4}}",
        "net.yaml:5:5: layers[1]: layer 'linear1' (linear): takes [batch, features]",
    ),
    (
        (
            "{name: s, kind: add, inputs: [input, p]}\n"
            "{name: p, kind: max_pool, kernel: 2, inputs: [input]}\n"
            "{kind: add, inputs: [s, p]}"
        ),
        "net.yaml:4:5: layers[0]: layer 's' (add): shapes [1, 3, 8, 8] and [1, 3, 4, 4] do not",
    ),
    ("{kind: add}", "takes two or more inputs and got 1"),
    ("{kind: relu, inputs: [input, input]}", "layer 'relu1' takes one input and got 2"),
    (
        "{kind: relu, inputs: [inptu]}",
        "takes 'inptu', which is neither a layer nor an input; did you mean 'input'?",
    ),
    (
        "{name: a, kind: relu, inputs: [c]}\n{name: b, kind: relu}\n{name: c, kind: relu}",
        "net.yaml:4:3: layers: the layers form a cycle: a needs c needs b needs a",
    ),
    (
        f"{{name: a, kind: relu}}\n{RELU}\n{{name: a, kind: relu}}",
        "net.yaml:6:5: layers[2]: the name 'a' is given twice, first in line 4",
    ),
    ("{name: input, kind: relu}", "the name 'input' is given twice"),
    ("{name: lost, kind: relu}\n{kind: relu, inputs: [input]}", "nothing takes the result of layer 'lost'"),
    ("{kind: relu, alpha: 1.0}", "relu has no attribute 'alpha'"),
    ("{kind: relu6, max: 1.0}", "relu6 takes no attributes"),
    ("{kind: reshape, shape: [-1, -1]}", "layer 'reshape1' (reshape): target shape [-1, -1] must hold sizes"),
    ("{kind: reshape, shape: [batch, 5]}", "has 192 elements and cannot become [1, 5]"),
    ("{kind: matmul, inputs: [input]}", "takes two inputs and got 1"),
    ("{kind: flatten, axis: 9}", "axis 9 is out of range"),
    ("{kind: relu, kind: relu}", "net.yaml:4:18: layers[0].kind: the key is written twice"),
    ("{kind: capsule}", "layers[0].kind: 'capsule' is not known here"),
    ("{kind: repeat, times: 0, layers: [{kind: relu}]}", "layers[0].times"),
    ("{kind: repeat, times: 2, layers: []}", "layers[0].layers: has no layers"),
    (
        "{kind: repeat, times: 2, layers: [{kind: repeat, times: 2, layers: []}]}",
        "layers[0].layers[0].layers: has no layers",
    ),
    (
        "{kind: repeat, times: 99999, layers: [{kind: relu}, {kind: relu}]}",
        "layers[0].layers[1]: here the network comes to more than the 100,000 layers",
    ),
]


@pytest.mark.parametrize(("layers", "message"), REFUSALS, ids=[case[1][-40:] for case in REFUSALS])
def test_a_fault_has_a_place_and_a_cure(tmp_path: Path, layers: str, message: str) -> None:
    told = refusal(tmp_path, layers)
    assert message in told
    assert told.startswith("net.yaml:")


HEADS = [
    ("layers:\n", "net.yaml:1:1: name: is missing", ""),
    ("name: ../up\ninput: {shape: [1, 3]}\nlayers:\n", "name: '../up' must be", "letters"),
    ("name: net\nlayers:\n", "have nothing to work on", "net.yaml:3:3: layers"),
    (
        "name: net\ninput: {shape: [1, 3]}\ninputs: {a: {shape: [1]}}\nlayers:\n",
        "keep one of the two",
        "net.yaml:3:9: inputs",
    ),
    ("name: net\ninput: {shape: [batch, 0]}\nlayers:\n", "net.yaml:2:8: input", "at least 1"),
    (
        "name: net\ninput: {shape: [width, 3]}\nlayers:\n",
        "there is no parameter 'width'",
        "net.yaml:2:17: input.shape[0]",
    ),
    (
        "name: net\nparameters: {batch: 0}\ninput: {shape: [1]}\nlayers:\n",
        "net.yaml:2:21: parameters.batch",
        "at least 1",
    ),
    ("name: net\nparameters: {seed: 1}\ninput: {shape: [1]}\nlayers:\n", "`seed` is taken", "net.yaml:2"),
    (
        "name: net\ndtype: int88\ninput: {shape: [1]}\nlayers:\n",
        "net.yaml:2:8: dtype: unknown number format",
        "'int8'",
    ),
    (
        "name: net\ninput: {shape: [1]}\noutputs: [rleu1]\nlayers:\n",
        "there is no layer 'rleu1'; did you mean 'relu1'",
        "3:10",
    ),
    (
        "name: net\ninputs: {a: {shape: [1]}, b: {shape: [1]}}\nlayers:\n",
        "say which this layer takes",
        "net.yaml:4:5",
    ),
    (
        "name: net\ninput: {shape: [9999999999999999999999999, 99999999999999999999]}\nlayers:\n",
        "at most",
        "input",
    ),
]


@pytest.mark.parametrize(("head", "message", "more"), HEADS, ids=[case[1][-30:] for case in HEADS])
def test_a_fault_of_the_head_has_a_place(tmp_path: Path, head: str, message: str, more: str) -> None:
    told = refusal(tmp_path, RELU, head)
    assert message in told
    assert more in told


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    told = refusal(tmp_path, "{kind: conv, kernel: 0}\n{kind: rleu}\n{kind: relu, out: 3}")
    assert [line.split(": ")[0] for line in told.splitlines()] == [
        "net.yaml:4:5",
        "net.yaml:4:26",
        "net.yaml:5:12",
        "net.yaml:6:18",
    ]


def test_a_batch_that_the_file_does_not_name_has_a_cure(tmp_path: Path) -> None:
    head = "name: net\nparameters: {}\ninput: {shape: [1, 3]}\nlayers:\n"
    with pytest.raises(SpecError, match=r"there is no parameter 'batch'.*add `parameters: {batch: 1}`"):
        load(tmp_path, RELU, head, batch=2)


def test_a_layer_too_large_to_count_says_where(tmp_path: Path) -> None:
    head = "name: net\ninput: {shape: [1, 8, 262144, 262144]}\nlayers:\n"
    with pytest.raises(
        CapacityError, match=r"net.yaml:4:5: layers\[0\]: layer 'conv1' .* operations are more"
    ):
        load(tmp_path, "{kind: conv, out_channels: 4, kernel: 131072}", head)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02", "binary"),
        (b"\xff\xfe\xfa", "not UTF-8"),
        (b"a: [1", "not valid YAML"),
        (b"- 1\n- 2\n", "holds no `key: value` lines"),
        (b"name: !!python/object:os.system x\n", "tag"),
    ],
)
def test_what_is_no_workload_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=message):
        load_workload(path)
