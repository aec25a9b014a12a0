"""Recurrent layers as operators: where the products of their inputs are made, and who holds which weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Distribution, Shape, format_shape
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import GATES

Form = Literal["batched", "stepwise", "absent"]
Weigh = Callable[[str, Shape, Distribution, int], str]  # part, shape, distribution, fan-in -> tensor


@dataclass(frozen=True, slots=True)
class RecurrentLayer:
    """A layer of `hidden` units. `form` says where the products of its inputs are made: "batched", for all
    steps in one matrix product before the first step; "stepwise", in each step; "absent", nowhere: the input
    is added to each gate as it comes (cuDNN's skip-input mode). `batch_first` takes and gives [batch, steps,
    features]; else steps come first."""

    cell: str
    hidden: int
    form: Form = "batched"
    bias: bool = True
    batch_first: bool = False
    function: str = "tanh"


def add_recurrent_layer(
    builder: GraphBuilder, label: Label, x: str, layer: RecurrentLayer, weigh: Weigh
) -> str:
    """The tensor of the states after all steps. Raises SpecError for an input that does not fit."""
    name = label.name
    if layer.batch_first:
        _check_rank(builder, label, x, layer, "[batch, steps, features]")
        x = builder.transpose(_part(label, "steps_first"), x, (1, 0, 2))
        found = add_recurrent_layer(
            builder, _part(label, "cells"), x, replace(layer, batch_first=False), weigh
        )
        return builder.transpose(Label(name, label.output, label.layer or name), found, (1, 0, 2))
    _check_rank(builder, label, x, layer, "[steps, batch, features]")
    rows, features = GATES[layer.cell] * layer.hidden, builder.shape(x)[-1]
    weight = weigh("state_weight", (rows, layer.hidden), "weight", layer.hidden)
    bias = weigh("state_bias", (rows,), "bias", 1) if layer.bias else ""
    input_weight = input_bias = ""
    if layer.form != "absent":
        input_weight = weigh("input_weight", (rows, features), "weight", features)
        input_bias = weigh("input_bias", (rows,), "bias", 1) if layer.bias else ""
    if layer.form == "batched":
        x = builder.matmul(_part(label, "inputs"), x, input_weight, input_bias, transpose_b=True)
        input_weight = input_bias = ""
    return builder.recurrent(
        label, x, weight, input_weight, bias, input_bias,
        cell=layer.cell, skip=layer.form == "absent", function=layer.function,
    )  # fmt: skip


def _part(label: Label, part: str) -> Label:
    """An operator that belongs to the layer."""
    return Label(f"{label.name}.{part}", "", label.layer or label.name)


def _check_rank(builder: GraphBuilder, label: Label, x: str, layer: RecurrentLayer, wanted: str) -> None:
    shape = builder.shape(x)
    if len(shape) != 3:
        raise SpecError(
            f"layer {label.layer or label.name!r} ({layer.cell}): takes {wanted} and got "
            f"{format_shape(shape)}: add a `{{kind: reshape}}` layer before it"
        )
