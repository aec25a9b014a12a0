"""A workload file as a whole: its head, its inputs, and its layers with their repeats. Declarations; `yaml`
reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from hwsim.schema import Count, Spec, by_kind, field
from hwsim.workload.frontends import layers as plain
from hwsim.workload.frontends.layer_base import Expression, Extent, Size
from hwsim.workload.frontends.sequence_layers import SEQUENCE_LAYERS, SequenceLayer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # of a workload: result folders are called after it
Times = Count | Annotated[str, Expression(0)]

LAYERS = (
    plain.Conv, plain.Linear, plain.Recurrent, plain.Matmul, plain.Pool, plain.GlobalPool, plain.Combine,
    plain.Pointwise, plain.BatchNorm, plain.Lrn, plain.Softmax, plain.Concat, plain.Reshape, plain.Flatten,
    plain.Transpose, plain.Pad, plain.Slice, plain.Reduce, plain.ConvTranspose, plain.Upsample,
    plain.SqueezeExcite, plain.ChannelShuffle, plain.Dropout, *SEQUENCE_LAYERS,
)  # fmt: skip
PlainLayer = (
    plain.Conv | plain.Linear | plain.Recurrent | plain.Matmul | plain.Pool | plain.GlobalPool | plain.Combine
    | plain.Pointwise | plain.BatchNorm | plain.Lrn | plain.Softmax | plain.Concat | plain.Reshape
    | plain.Flatten | plain.Transpose | plain.Pad | plain.Slice | plain.Reduce | plain.ConvTranspose
    | plain.Upsample | plain.SqueezeExcite | plain.ChannelShuffle | plain.Dropout | SequenceLayer
)  # fmt: skip


class Repeat(Spec):
    """Layers written once and laid one after the other. Names in `inputs` are looked up in the same round
    first. A layer called x becomes x.1, x.2 and so on; within a repeat of a repeat x.1.1, x.1.2 and so on."""

    kind: Literal["repeat"]
    name: str | None = field(
        "What the result of the last round is called as well.", default=None, descriptive=True,
        when_absent="it has the name of the last layer alone",
    )  # fmt: skip
    inputs: tuple[str, ...] = field(
        "What the first round begins with; the layer before if left out.", default=()
    )
    times: Times | None = field("How many rounds.", default=None, when_absent="one for each row of `each`")
    each: tuple[dict[str, Size], ...] = field(
        "A row a round, of names that sizes within the round may use, each with its number.", default=()
    )
    entry: str | None = field(
        "What layers of a round call that which the round begins with: the result of the round before.",
        default=None,
        descriptive=True,
        when_absent="only the first layer takes it",
    )

    layers: tuple[Annotated[PlainLayer | Repeat, by_kind(*LAYERS, Repeat)], ...] = field(
        "The layers of one round, in order."
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if (self.times is None) == (not self.each):
            yield "times", "or a row for each round under `each` says how many: write one of the two"
        if not self.layers:
            yield "layers", "has no layers; list at least one"
        if len(self.inputs) > 1:
            yield "inputs", f"has {len(self.inputs)} names: a round begins with one result"
        for row in self.each:
            if set(row) != set(self.each[0]):
                yield "each", f"has a row of {', '.join(row)} and one of {', '.join(self.each[0])}"
                break
        for name in self.each[0] if self.each else ():
            if not name.isidentifier():
                yield "each", f"{name!r} is not a name that sizes can use; write letters, digits and _"


class Input(Spec):
    shape: tuple[Size, ...] = field("Sizes, the batch first; names stand for parameters.")
    density: float = field(
        "Share of its elements that are not zero, when they are drawn from a seed; all unless stated.",
        default=1.0,
        gt=0,
        le=1,
    )
    indices: Extent | None = field(
        "It holds whole numbers below this, such as the tokens of a vocabulary.",
        default=None,
        when_absent="it holds numbers of the workload's format",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if self.indices is not None and self.density != 1:
            yield "density", "is of numbers that are multiplied, and these are indices: leave it out"


class WorkloadSpec(Spec):
    """A network as a workload file holds it."""

    name: str = field("What the workload is called: letters, digits, and _ . - within.")
    description: str = field("One sentence about the network.", default="", descriptive=True)
    source: str = field("Who published the network, and which variant this is.", default="", descriptive=True)
    synthetic: bool = field(
        "Whether its shapes are assumed, because no publication gives them.", default=False, descriptive=True
    )
    parameters: dict[str, Count] = field(
        "Names that sizes may use, with their defaults.", default={"batch": 1}
    )
    dtype: str = field("Number format; fp32, in which most networks are trained.", default="fp32")
    weights: str = field(
        "Its trained weights: an npz file, beside this one, of arrays called `<layer>.weight` and so on.",
        default="", when_absent="they are drawn from a seed",
    )  # fmt: skip
    input: Input | None = field(
        "The only input, called `input`.", default=None, when_absent="`inputs` names them"
    )
    inputs: dict[str, Input] = field("Several inputs, by name.", default={})
    layers: tuple[Annotated[PlainLayer | Repeat, by_kind(*LAYERS, Repeat)], ...] = field(
        "The layers in order; each takes the result of the one before it unless its `inputs` say else."
    )
    outputs: tuple[str, ...] = field(
        "Layers whose results leave the network; the last one if left out.", default=()
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if not _NAME.fullmatch(self.name):
            yield (
                "name",
                f"{self.name[:100]!r} must be 1 to 100 letters, digits, underscores, dots and hyphens",
            )
        if self.input is None and not self.inputs:
            yield "layers", "have nothing to work on: add `input: {shape: [...]}`, or `inputs` by name"
        if self.input is not None and self.inputs:
            yield "inputs", "stand beside `input`: keep one of the two"
        if not self.layers:
            yield "layers", "has no layers; list at least one"
        if "seed" in self.parameters:
            yield "parameters", "`seed` is taken: it is the seed of the weights, given when loading"
        for name in self.parameters:
            if not name.isidentifier():
                yield "parameters", f"{name!r} is not a name that sizes can use; write letters, digits and _"
