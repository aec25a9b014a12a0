"""Recurrent layers as operators: one for each layer of a stack and each direction, where the products of
their inputs are made, what they begin with, and who holds which weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Distribution, Shape, format_shape
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.draft import Weigh
from hwsim.workload.recurrent import GATES, PEEPHOLES

Form = Literal["batched", "stepwise", "absent"]
ENDS = ("state", "cell")
MAX_LAYERS = 1_000  # more than anyone stacks, and few enough to build


@dataclass(frozen=True, slots=True)
class RecurrentLayer:
    """`layers` layers of `hidden` units one above the other. `form` says where the products of a layer's
    inputs are made: "batched", for all steps in one matrix product before the first step; "stepwise", in each
    step; "absent", nowhere: the input is added to each gate as it comes (cuDNN's skip-input mode).
    `batch_first` takes and gives [batch, steps, features]; else steps come first. A `bidirectional` layer has
    cells that go forward and others that go back, whose states stand side by side; `reverse` has the latter
    alone. `projection` is how many numbers an LSTM's state is projected to. `peepholes` and
    `reset_after` are those of `recurrent.Recurrent`."""

    cell: str
    hidden: int
    form: Form = "batched"
    bias: bool = True
    batch_first: bool = False
    function: str = "tanh"
    layers: int = 1
    bidirectional: bool = False
    reverse: bool = False
    peepholes: bool = False
    projection: int | None = None
    reset_after: bool = True

    @property
    def directions(self) -> tuple[bool, ...]:
        """Of each cell of a layer, whether it goes back."""
        return (False, True) if self.bidirectional else (self.reverse,)

    @property
    def cells(self) -> int:
        """Cells of all layers and directions."""
        return self.layers * len(self.directions)

    def part(self, layer: int, reverse: bool) -> str:
        """How the parts of a cell are prefixed: not at all where there is one."""
        number = f"{layer + 1}." if self.layers > 1 else ""
        return number + ("reverse." if self.bidirectional and reverse else "")


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the cells of a layer begin with: tensors of [layers x directions, batch, size], the first axis
    left out where it is 1; empty for zeros."""

    state: str = ""
    cell: str = ""


def add_recurrent_layer(
    builder: GraphBuilder, label: Label, x: str, layer: RecurrentLayer, weigh: Weigh,
    begin: Beginning = Beginning(), ends: Collection[str] = (),
) -> str:  # fmt: skip
    """The tensor of the states at all places of the sequence, [steps, batch, directions x size]. `ends` asks
    for what the last steps leave as well: "state" and "cell", [layers x directions, batch, size], under the
    result's name with that ending. Raises SpecError for an input that does not fit."""
    _check_layer(label, layer)
    _check_rank(builder, label, x, layer)
    adding = _Adding(builder, label, layer, weigh, begin, tuple(end for end in ENDS if end in ends))
    if not layer.batch_first:
        return adding.all_layers(x, label)
    x = builder.transpose(label.part("steps_first"), x, (1, 0, 2))
    found = adding.all_layers(x, label.part("cells"))
    return builder.transpose(label, found, (1, 0, 2))


class _Adding:
    """The cells of one layer, as they are added."""

    def __init__(
        self, builder: GraphBuilder, label: Label, layer: RecurrentLayer, weigh: Weigh, begin: Beginning,
        ends: tuple[str, ...],
    ) -> None:  # fmt: skip
        self.builder, self.label, self.layer, self.weigh = builder, label, layer, weigh
        self.begin = begin
        self.left: dict[str, list[str]] = {end: [] for end in ends}

    def all_layers(self, x: str, label: Label) -> str:
        """The states of the last layer, under the label's names."""
        layer = self.layer
        for number in range(layer.layers):
            last = number == layer.layers - 1
            of_layer = label if last else label.part(str(number + 1))
            if len(layer.directions) == 1:
                x = self._cell(x, number, layer.reverse, of_layer)
                continue
            both = [
                self._cell(x, number, back, of_layer.part("backward" if back else "forward"))
                for back in layer.directions
            ]
            x = self.builder.concat(of_layer, both, axis=2)
        for end, parts in self.left.items():
            self._gather_ends(end, parts)
        return x

    def _cell(self, x: str, number: int, reverse: bool, label: Label) -> str:
        """The states of one cell of one layer, under the label's names."""
        layer, builder, prefix = self.layer, self.builder, self.layer.part(number, reverse)
        rows, features = GATES[layer.cell] * layer.hidden, builder.shape(x)[-1]
        size, steps = layer.hidden if layer.projection is None else layer.projection, builder.shape(x)[0]

        def weight(part: str, shape: Shape, distribution: Distribution = "weight") -> str:
            return self.weigh(prefix + part, shape, distribution, shape[-1] if len(shape) > 1 else 1)

        state_weight = weight("state_weight", (rows, size))
        bias = weight("state_bias", (rows,), "bias") if layer.bias else ""
        input_weight = input_bias = ""
        if layer.form != "absent":
            input_weight = weight("input_weight", (rows, features))
            input_bias = weight("input_bias", (rows,), "bias") if layer.bias else ""
        projection = weight("projection", (size, layer.hidden)) if layer.projection is not None else ""
        peepholes = weight("peepholes", (PEEPHOLES * layer.hidden,), "bias") if layer.peepholes else ""
        state, cell = (
            self._begins(given, number, reverse, which)
            for given, which in ((self.begin.state, "state"), (self.begin.cell, "cell"))
        )
        if layer.form == "batched":
            x = builder.matmul(label.part("inputs"), x, input_weight, input_bias, transpose_b=True)
            input_weight = input_bias = ""
        keeps = "cell" in self.left
        own = Label(label.name, f"{label.tensor}.and_cell" if keeps else label.output, label.layer)
        found = builder.recurrent(
            own, x, state_weight, input_weight, bias, input_bias, cell=layer.cell, projection=projection,
            peepholes=peepholes, initial_state=state, initial_cell=cell, skip=layer.form == "absent",
            function=layer.function, reset_after=layer.reset_after, reverse=reverse, keeps_cell=keeps,
        )  # fmt: skip
        return self._ends(found, label, steps, reverse)

    def _begins(self, given: str, number: int, reverse: bool, which: str) -> str:
        """What one cell begins with of what all do; an empty name where they begin with zeros."""
        if not given:
            return ""
        shape, count = self.builder.shape(given), self.layer.cells
        if count == 1:
            return given
        if len(shape) != 3 or shape[0] != count:
            raise SpecError(
                f"layer {self.label.owner!r} ({self.layer.cell}): an initial {which} of shape "
                f"{format_shape(shape)} does not fit {count} cells: it must be [{count}, batch, size]"
            )
        place = number * len(self.layer.directions) + (reverse and self.layer.bidirectional)
        part = self.label.part(f"{self.layer.part(number, reverse)}initial_{which}")
        return self.builder.rows(part, given, place, place + 1)

    def _ends(self, found: str, label: Label, steps: int, reverse: bool) -> str:
        """The states among what an operator made; and note what its last step left, where that is asked
        for."""
        builder, states = self.builder, found
        if "cell" in self.left:
            named = Label(f"{label.name}.states", label.tensor, label.owner)
            states = builder.rows(named, found, 0, steps)
            self.left["cell"].append(builder.rows(label.part("last_cell"), found, steps, steps + 1))
        if "state" in self.left:
            last = 0 if reverse else steps - 1
            self.left["state"].append(builder.rows(label.part("last_state"), found, last, last + 1))
        return states

    def _gather_ends(self, end: str, parts: list[str]) -> None:
        """What the last steps of all cells left, in one tensor."""
        self.builder.concat(Label(f"{self.label.tensor}.{end}", "", self.label.owner), parts, axis=0)


def _check_layer(label: Label, layer: RecurrentLayer) -> None:
    told = ""
    if not 1 <= layer.layers <= MAX_LAYERS:
        told = f"layers is {layer.layers:,}: there must be 1 to {MAX_LAYERS:,}"
    elif layer.projection is not None and layer.projection < 1:
        told = f"projection is {layer.projection}: it must be at least 1, or left out"
    elif layer.bidirectional and layer.reverse:
        told = "goes both ways if it is bidirectional: leave `reverse` out"
    if told:
        raise SpecError(f"layer {label.owner!r} ({layer.cell}): {told}")


def _check_rank(builder: GraphBuilder, label: Label, x: str, layer: RecurrentLayer) -> None:
    shape = builder.shape(x)
    if len(shape) != 3:
        wanted = "[batch, steps, features]" if layer.batch_first else "[steps, batch, features]"
        raise SpecError(
            f"layer {label.owner!r} ({layer.cell}): takes {wanted} and got "
            f"{format_shape(shape)}: add a `{{kind: reshape}}` layer before it"
        )
