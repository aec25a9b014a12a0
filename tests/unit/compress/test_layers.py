"""Which weights a step works on, and what it leaves behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.compress.layers import (
    WeightRef,
    derived,
    from_matrix,
    held,
    in_axis,
    matrix_of,
    pick,
    read_weight,
    select,
    weights_of,
    with_weights,
)
from hwsim.errors import SpecError
from hwsim.tensor.tensor import Tensor
from hwsim.workload import Operator, load_workload, matmul
from hwsim.workload.operators import Elementwise, Matmul
from tests.networks import network
from tests.weights import linear


def test_weights_are_named_after_their_layers_in_the_networks_order() -> None:
    assert weights_of(load_workload("lenet5")) == {
        "conv1": "conv1.weight", "conv2": "conv2.weight", "ip1": "ip1.weight", "ip2": "ip2.weight"
    }  # fmt: skip


def test_patterns_choose_layers_and_unknown_ones_are_told_with_the_nearest() -> None:
    workload = load_workload("lenet5")
    assert [ref.operator for ref in select(workload, ["ip*", "conv1"])] == ["conv1", "ip1", "ip2"]
    assert [ref.operator for ref in select(workload, "conv2")] == ["conv2"]
    with pytest.raises(
        SpecError, match=r"no layer 'ip3'.*did you mean 'ip2'\? it has conv1, conv2, ip1, ip2"
    ):
        select(workload, ["conv1", "ip3"])


def test_a_later_pattern_wins() -> None:
    workload = load_workload("lenet5")
    found = pick(workload, {"*": 1, "conv*": 2, "conv2": 3}, select(workload))
    assert found == {"conv1.weight": 2, "conv2.weight": 3, "ip1.weight": 1, "ip2.weight": 1}
    with pytest.raises(SpecError, match="no layer 'pool1'"):
        pick(workload, {"pool1": 1}, select(workload))


def test_a_network_without_weights_has_nothing_to_compress() -> None:
    add = Operator("sum", Elementwise("relu", 4), ("x",), "y")
    workload = network({"x": (4,)}, {}, [(add, (4,))], ["y"])
    with pytest.raises(SpecError, match="has no weights"):
        select(workload)


@pytest.mark.parametrize(
    ("attributes", "shape", "axis", "inputs"),
    [((), (3, 5), 1, 0), ((("trans_b", True),), (5, 3), 0, 1)],
)
def test_outputs_and_inputs_of_a_product(
    attributes: tuple[tuple[str, object], ...], shape: tuple[int, int], axis: int, inputs: int
) -> None:
    op = Operator("p", Matmul(1, 2, 5, 3), ("x", "w"), "y", attributes=attributes)
    workload = network({"x": (2, 3)}, {"w": shape}, [(op, (2, 5))], ["y"])
    tensors = {**workload.tensors, "w": replace(workload.tensors["w"], values=held(np.zeros(shape)))}
    (ref,) = select(replace(workload, tensors=tensors))
    assert (ref.out_axis, in_axis(ref, 2)) == (axis, inputs)


def test_a_weight_on_the_left_has_its_outputs_first() -> None:
    op = Operator("p", Matmul(1, 5, 2, 3), ("w", "x"), "y")
    workload = network({"x": (3, 2)}, {"w": (5, 3)}, [(op, (5, 2))], ["y"])
    tensors = {**workload.tensors, "w": replace(workload.tensors["w"], values=held(np.zeros((5, 3))))}
    (ref,) = select(replace(workload, tensors=tensors))
    assert ref.out_axis == 0


def test_matrices_have_a_row_for_each_output_and_turn_back() -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    ref = WeightRef("l", "w", "l", 1)
    matrix = matrix_of(values, ref)
    assert matrix.shape == (3, 8)
    assert matrix[1].tolist() == values[:, 1, :].reshape(-1).tolist()
    assert (from_matrix(matrix, values.shape, ref) == values).all()


def test_weights_that_are_not_finite_are_refused_with_their_place() -> None:
    values = np.ones((3, 4))
    values[2, 1] = np.nan
    workload = linear(values)
    with pytest.raises(SpecError, match=r"layer matmul: its weight 'b' holds nan at \[2, 1\]"):
        read_weight(workload, select(workload)[0])


def test_history_and_source_tell_what_was_done() -> None:
    workload = matmul(1, 2, 3, dtype="fp32")
    once = derived(workload, "a step")
    again = derived(once, "another")
    assert again.history[1:] == ("a step", "another")
    assert again.history[0] == f"from {workload.name} (constructor, content {workload.content_hash[:16]})"
    assert once.source.format == "compressed"
    hashes = {w.content_hash for w in (workload, once, again, derived(workload, "other step"))}
    assert len(hashes) == 4
    assert derived(workload, "a step").content_hash == once.content_hash


def test_a_step_may_not_change_names_or_shapes() -> None:
    workload = linear(np.ones((3, 4)))
    with pytest.raises(SpecError, match="may not change its name or shape"):
        with_weights(workload, {"b": Tensor("b", (4, 3), "fp32", "weight")}, "turn")
    with pytest.raises(SpecError, match="has no tensor 'c'"):
        with_weights(workload, {"c": Tensor("c", (4, 3), "fp32", "weight")}, "add")
