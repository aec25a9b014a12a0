"""What a workload file may hold: a spec class for each kind of layer. Declarations; `yaml` lowers them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from hwsim.schema import Count, Spec, by_kind, field

Size = Annotated[int, "whole number"] | str  # or an expression of parameters, such as `2 * batch`
Window = Count | tuple[Count, ...]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # of a workload: result folders are called after it
Padding = int | tuple[int, ...]


class Layer(Spec):
    """What every layer may say."""

    name: str | None = field(
        "What the layer and its result are called.", default=None, descriptive=True,
        when_absent="its kind and a number: relu3 is the third relu",
    )  # fmt: skip
    inputs: tuple[str, ...] = field(
        "Whose results it takes, by name; the layer before it if left out.", default=()
    )


class Weighted(Layer):
    """A layer with weights that are multiplied."""

    weight_density: float = field(
        "Share of the weights that are not zero, when they are drawn from a seed; all unless stated.",
        default=1.0,
        gt=0,
        le=1,
    )
    shared_bits: int | None = field(
        "Bits of the index of the values that seeded weights share; 2^bits - 1 of them beside zero.",
        default=None,
        when_absent="each weight has a value of its own",
        ge=1,
        le=8,
    )

    @property
    def draws(self) -> tuple[float, int]:
        """Density and index bits of seeded weights, 0 where they are not shared."""
        return self.weight_density, self.shared_bits or 0


class Windowed(Layer):
    """A layer that slides a window over a feature map."""

    kernel: Window = field("Height and width of the window; one number for a square.")
    pad: Padding = field(
        "Places around the map: all sides, [height, width] or [top, left, bottom, right].", default=0
    )

    def check(self) -> Iterator[tuple[str, str]]:
        for name in ("kernel", "stride", "dilation"):
            written = getattr(self, name, None)
            if isinstance(written, tuple) and len(written) != 2:
                yield name, f"must be one number or [height, width], not {len(written)} numbers"
        if isinstance(self.pad, tuple) and len(self.pad) not in (2, 4):
            sides = "one number, [height, width] or [top, left, bottom, right]"
            yield "pad", f"must be {sides}, not {len(self.pad)} numbers"


class Conv(Weighted, Windowed):
    kind: Literal["conv"]
    out_channels: Size = field("Channels of the result.")
    stride: Window = field("Steps between windows; 1 visits every place.", default=1)
    dilation: Window = field("Distance between the taps of a window; 1 is dense.", default=1)
    groups: Size = field("Groups of channels that do not mix; as many as channels is depthwise.", default=1)
    bias: bool = field(
        "Whether a trained number is added to each channel; most layers have one.", default=True
    )


class Linear(Weighted):
    kind: Literal["linear"]
    out_features: Size = field("Size of the last dimension of the result.")
    bias: bool = field(
        "Whether a trained number is added to each feature; most layers have one.", default=True
    )


class Recurrent(Layer):
    kind: Literal["lstm", "gru", "rnn"]
    hidden: Size = field("Size of the state, and of the last dimension of the result.")
    input: Literal["batched", "stepwise", "absent"] = field(
        "Where products of its inputs are made: for all steps in one product before the first (batched), in "
        "each step (stepwise), or not at all (absent): then the input, as large as the state, is added to "
        "each gate.",
        default="batched",
    )
    batch_first: bool = field(
        "Whether it takes and gives [batch, steps, features]; steps come first unless stated.", default=False
    )
    bias: bool = field(
        "Whether trained numbers are added to each gate, to products of the input and of the state; most "
        "layers have them.",
        default=True,
    )
    function: Literal["tanh", "relu"] = field("What an rnn applies; only for kind rnn.", default="tanh")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.kind != "rnn" and self.function != "tanh":
            yield "function", f"is for kind rnn: a {self.kind} has functions of its own, so leave it out"


class Matmul(Layer):
    kind: Literal["matmul"]
    transpose_a: bool = field(
        "Whether the last two dimensions of the first input change places.", default=False
    )
    transpose_b: bool = field(
        "Whether the last two dimensions of the second input change places.", default=False
    )


class Pool(Windowed):
    kind: Literal["max_pool", "average_pool"]
    stride: Window | None = field(
        "Steps between windows.", default=None, when_absent="the kernel: no overlap"
    )
    ceil_mode: bool = field("Whether a last window may hang over the end, as in Caffe.", default=False)
    count_include_pad: bool = field("Whether an average counts padding as zeros.", default=False)


class GlobalPool(Layer):
    kind: Literal["global_max_pool", "global_average_pool"]


class Combine(Layer):
    kind: Literal["add", "sub", "mul", "div", "max", "min"]


class Pointwise(Layer):
    kind: Literal[
        "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "clip", "elu", "celu", "selu", "softplus",
        "softsign", "hard_sigmoid", "hard_swish", "gelu", "mish", "erf", "exp", "log", "sqrt", "reciprocal",
        "abs", "neg",
    ]  # fmt: skip
    alpha: float | None = field("Slope or scale, where the function has one.", default=None,
                                when_absent="the function's own default")  # fmt: skip
    beta: float | None = field("Offset, where the function has one.", default=None,
                               when_absent="the function's own default")  # fmt: skip
    gamma: float | None = field("Scale of selu.", default=None, when_absent="the function's own default")
    min: float | None = field("Lower end of clip.", default=None, when_absent="no lower end")
    max: float | None = field("Upper end of clip.", default=None, when_absent="no upper end")


class BatchNorm(Layer):
    kind: Literal["batch_norm"]
    epsilon: float = field("Added to the variance; 1e-5 as in most trainers.", default=1e-5, gt=0)


class Lrn(Layer):
    kind: Literal["lrn"]
    size: int = field("Neighbouring channels that are summed.", ge=1, le=2**20)
    alpha: float = field("Weight of the squares; AlexNet's.", default=1e-4)
    beta: float = field("Exponent; AlexNet's.", default=0.75)
    k: float = field("Offset; 1 as in Caffe.", default=1.0)


class Softmax(Layer):
    kind: Literal["softmax"]
    axis: int = field("Dimension that sums to one; the last, where classes stand.", default=-1, ge=-16, le=15)


class Concat(Layer):
    kind: Literal["concat"]
    axis: int = field("Dimension along which inputs are joined; channels.", default=1, ge=-16, le=15)


class Reshape(Layer):
    kind: Literal["reshape"]
    shape: tuple[Size, ...] = field("The new shape; one -1 is worked out, 0 copies the input's size there.")


class Flatten(Layer):
    kind: Literal["flatten"]
    axis: int = field("First dimension that is merged; 1 keeps the batch.", default=1, ge=-16, le=16)


class Transpose(Layer):
    kind: Literal["transpose"]
    perm: tuple[int, ...] = field("Which dimension of the input stands at each place of the result.")


class Pad(Layer):
    kind: Literal["pad"]
    before: tuple[int, ...] = field("Places put before each dimension.")
    after: tuple[int, ...] = field("Places put after each dimension.")
    fill: float = field("What they hold; zero, as in most networks.", default=0.0)


class Slice(Layer):
    kind: Literal["slice"]
    axis: int = field("Dimension that is cut.", ge=-16, le=15)
    start: Size = field("First place kept; from the front.", default=0)
    end: Size = field("First place no longer kept; negative ones count from the end.")


class Dropout(Layer):
    kind: Literal["dropout", "identity"]


PLAIN_LAYERS = (
    Conv, Linear, Recurrent, Matmul, Pool, GlobalPool, Combine, Pointwise, BatchNorm, Lrn, Softmax, Concat,
    Reshape, Flatten, Transpose, Pad, Slice, Dropout,
)  # fmt: skip
PlainLayer = (
    Conv | Linear | Recurrent | Matmul | Pool | GlobalPool | Combine | Pointwise | BatchNorm | Lrn | Softmax
    | Concat | Reshape | Flatten | Transpose | Pad | Slice | Dropout
)  # fmt: skip


class Repeat(Spec):
    """Layers written once and laid one after the other; `inputs` within name layers of the same round first.
    A layer called x becomes x.1, x.2 and so on."""

    kind: Literal["repeat"]
    times: int = field("How many rounds.", ge=1, le=100_000)
    layers: tuple[Annotated[PlainLayer, by_kind(*PLAIN_LAYERS)], ...] = field(
        "The layers of one round, in order."
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if not self.layers:
            yield "layers", "has no layers; list at least one"


class Input(Spec):
    shape: tuple[Size, ...] = field("Sizes, the batch first; names stand for parameters.")
    density: float = field(
        "Share of its elements that are not zero, when they are drawn from a seed; all unless stated.",
        default=1.0,
        gt=0,
        le=1,
    )


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
    layers: tuple[Annotated[PlainLayer | Repeat, by_kind(*PLAIN_LAYERS, Repeat)], ...] = field(
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
