"""Workloads: what makes one sound, what it says of itself, and its number formats."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Tensor
from hwsim.workload import Operator, Source, Step, Workload, load_workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Elementwise
from tests.processes import printed

SOURCE = Source("builtin", "constructor", "")


def residual() -> Workload:
    """x -> conv1 -> relu -> conv2 -> + x -> relu."""
    b = GraphBuilder("residual")
    x = b.input("x", (2, 4, 5, 5))
    w1, w2 = (b.weight(name, (4, 4, 3, 3), fan_in=36) for name in ("w1", "w2"))
    bias = b.weight("b1", (4,), "bias")
    y = b.conv2d(Label("conv1"), x, w1, bias, pad=(1, 1, 1, 1))
    y = b.unary(Label("relu1"), y, "relu")
    y = b.conv2d(Label("conv2"), y, w2, pad=(1, 1, 1, 1))
    y = b.combine(Label("add"), "add", [y, x])
    y = b.unary(Label("out"), y, "relu")
    return b.build([y], SOURCE, parameters={"batch": 2})


def test_a_workload_knows_its_totals_and_neighbours() -> None:
    net = residual()
    assert net.macs == 2 * (2 * 4 * 5 * 5 * 4 * 9)
    assert net.parameter_count == 4 * 4 * 9 * 2 + 4
    assert net.batch == 2
    conv1, conv2, add = net.operators
    assert net.producer("relu1") is conv1
    assert net.producer("x") is None
    assert net.consumers("x") == (conv1, add)
    assert net.consumers("b1") == (conv1,)
    assert net.consumers("out") == ()
    assert net.tensors["out"].role == "output"
    assert conv2.layer == "conv2"


def test_astype_keeps_sums_wide_and_is_cached() -> None:
    net = residual().astype("int16", "int8")
    formats = {name: t.dtype for name, t in net.tensors.items()}
    assert formats == {
        "x": "int16",
        "w1": "int8",
        "b1": "int32",
        "relu1": "int16",
        "w2": "int8",
        "conv2": "int16",
        "out": "int16",
    }
    assert (net.dtype, net.weight_dtype) == ("int16", "int8")
    base = residual()
    assert base.astype("int8") is base.astype("int8")
    assert base.astype("fp32").tensors == base.tensors
    assert (base.formats_chosen, base.astype("fp32").formats_chosen) == (False, True)
    assert base.astype("bf16").tensors["b1"].dtype == "fp32"
    assert base.macs == net.macs
    with pytest.raises(SpecError, match="did you mean 'int8'"):
        base.astype("int88")
    with pytest.raises(SpecError, match="unknown number format"):
        base.astype("int8", "fp9")


def test_the_content_hash_is_stable_and_says_what_differs() -> None:
    code = (
        "from hwsim.workload import load_workload, matmul\n"
        "print(load_workload('lenet5').content_hash, matmul(3, 4, 5).content_hash)"
    )
    assert printed(code, hash_seed=1) == printed(code, hash_seed=2)
    net = residual()
    assert net.content_hash == residual().content_hash
    assert net.content_hash != net.astype("int8").content_hash
    assert net.content_hash != replace(net, name="other").content_hash  # seeded values follow the name
    assert load_workload("lenet5").content_hash != load_workload("lenet5", batch=2).content_hash
    assert load_workload("lenet5").content_hash != load_workload("lenet5", seed=1).content_hash


def test_a_workload_survives_pickling() -> None:
    net = pickle.loads(pickle.dumps(load_workload("lenet5").astype("int8")))
    assert net.content_hash == load_workload("lenet5").astype("int8").content_hash
    assert np.array_equal(net.values("conv1.weight"), load_workload("lenet5").values("conv1.weight"))


def test_a_workload_cannot_be_changed() -> None:
    net = residual()
    with pytest.raises(TypeError, match="does not support item assignment"):
        net.tensors["x"] = net.tensors["w1"]  # type: ignore[index]
    with pytest.raises(TypeError, match="does not support item assignment"):
        net.parameters["batch"] = 3  # type: ignore[index]


def test_an_unknown_tensor_is_refused_with_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean 'relu1'"):
        residual().values("relu2")
    with pytest.raises(SpecError, match="no values of its own"):
        residual().values("relu1")


def _chain(*operators: tuple[str, str, str]) -> Workload:
    """Operators as (name, input, output) over one-element tensors; x comes from outside."""
    names = {"x"} | {o for _, _, o in operators} | {i for _, i, _ in operators}
    tensors = {n: Tensor(n, (1,), "int8", "input" if n == "x" else "activation") for n in sorted(names)}
    made = tuple(Operator(n, Elementwise("relu", 1), (i,), o) for n, i, o in operators)
    return Workload("w", made, tensors, ("x",), (operators[-1][2],), SOURCE)


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ([("a", "q", "p"), ("b", "p", "q")], "a needs b needs a"),
        ([("a", "x", "p"), ("a", "p", "q")], "two operators are called 'a'"),
        ([("a", "x", "p"), ("b", "x", "p")], "'a' and 'b' both make tensor 'p'"),
        ([("a", "x", "p"), ("b", "r", "q")], "'b' reads 'r', which no operator makes"),
        ([("b", "p", "q"), ("a", "x", "p")], "'b' stands before"),
    ],
)
def test_an_unsound_graph_is_refused(operators: list[tuple[str, str, str]], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        _chain(*operators)


def test_names_that_are_no_tensors_are_refused() -> None:
    net = _chain(("a", "x", "y"))
    with pytest.raises(SpecError, match="output 'z' is not one of its tensors"):
        replace(net, outputs=("z",))
    with pytest.raises(SpecError, match="no input"):
        replace(net, inputs=())
    fused = replace(net.operators[0], epilogue=(Step("bias", "lost"),))
    with pytest.raises(SpecError, match="names tensor 'lost'"):
        replace(net, operators=(fused,))
