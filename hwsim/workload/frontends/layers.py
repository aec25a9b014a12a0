"""Layers of feature maps and vectors, as a workload file holds them: a spec class for each kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hwsim.schema import field
from hwsim.workload.frontends.layer_base import Extent, Layer, Padding, Size, Weighted, Window, Windowed


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
    weight_of: str | None = field(
        "A layer before it whose weight it shares, as an output projection does an embedding's table.",
        default=None,
        when_absent="it has a weight of its own",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if self.weight_of is not None and self.draws != (1.0, 0):
            yield "weight_of", "leaves no choice of density or shared values: those are the other layer's"


class Recurrent(Layer):
    kind: Literal["lstm", "gru", "rnn"]
    hidden: Size = field("Size of the state, and of the last dimension of the result.")
    input: Literal["batched", "stepwise", "absent"] = field(
        "Where products of its inputs are made: for all steps in one product before the first (batched), in "
        "each step (stepwise), or not at all (absent): then the input, as large as the state, is added to "
        "each gate.",
        default="batched",
    )
    layers: Size = field(
        "How many stand one above the other, each taking the states of the one below.", default=1
    )
    bidirectional: bool = field(
        "Whether each has a second half that goes from the last step to the first; their states then stand "
        "side by side.",
        default=False,
    )
    reverse: bool = field("Whether it goes from the last step to the first alone.", default=False)
    batch_first: bool = field(
        "Whether it takes and gives [batch, steps, features]; steps come first unless stated.", default=False
    )
    bias: bool = field(
        "Whether trained numbers are added to each gate, to products of the input and of the state; most "
        "layers have them.",
        default=True,
    )
    function: Literal["tanh", "relu"] = field("What an rnn applies; only for kind rnn.", default="tanh")
    peepholes: bool = field(
        "Whether the gates see the cell, each unit its own, times a trained number; only for kind lstm.",
        default=False,
    )
    projection: Size | None = field(
        "Numbers that the state is projected to, and the size of the result; only for kind lstm.",
        default=None,
        when_absent="it is not projected",
    )
    reset_after: bool = field(
        "Whether the reset gate multiplies the product of the state, as cuDNN has it, or else the state "
        "before the product; only for kind gru.",
        default=True,
    )

    def check(self) -> Iterator[tuple[str, str]]:
        for name, kind in (
            ("function", "rnn"), ("peepholes", "lstm"), ("projection", "lstm"), ("reset_after", "gru"),
        ):  # fmt: skip
            if self.kind != kind and getattr(self, name) != type(self).model_fields[name].default:
                yield name, f"is for kind {kind}: a {self.kind} has functions of its own, so leave it out"
        if self.bidirectional and self.reverse:
            yield "reverse", "is half of a bidirectional layer: leave one of the two out"
        if len(self.inputs) > (3 if self.kind == "lstm" else 2):
            takes = "a sequence, a state and a cell" if self.kind == "lstm" else "a sequence and a state"
            yield "inputs", f"has {len(self.inputs)} names: a {self.kind} takes at most {takes}"


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
        "softsign", "hard_sigmoid", "hard_swish", "gelu", "gelu_tanh", "silu", "mish", "erf", "exp", "log",
        "sqrt", "reciprocal", "abs", "neg",
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
    size: Extent = field("Neighbouring channels that are summed.")
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
    before: tuple[Size, ...] = field("Places put before each dimension.")
    after: tuple[Size, ...] = field("Places put after each dimension.")
    fill: float = field("What they hold; zero, as in most networks.", default=0.0)


class Slice(Layer):
    kind: Literal["slice"]
    axis: int = field("Dimension that is cut.", ge=-16, le=15)
    start: Size = field("First place kept; from the front.", default=0)
    end: Size = field("First place no longer kept; negative ones count from the end.")


class Dropout(Layer):
    kind: Literal["dropout", "identity"]


class ConvTranspose(Windowed):
    """A convolution backwards, which enlarges a feature map."""

    kind: Literal["conv_transpose"]
    out_channels: Size = field("Channels of the result.")
    stride: Window = field("Distance between the windows in the result.", default=1)
    dilation: Window = field("Distance between the taps of a window; 1 is dense.", default=1)
    output_padding: Padding = field("Places added to the end of height and width.", default=0)
    groups: Size = field("Groups of channels that do not mix.", default=1)
    bias: bool = field(
        "Whether a trained number is added to each channel; most layers have one.", default=True
    )


class Upsample(Layer):
    kind: Literal["upsample"]
    scale: Extent | None = field(
        "How many times height and width grow.", default=None, when_absent="`size` says what they become"
    )
    size: Window | None = field(
        "Height and width of the result; one number for a square.",
        default=None,
        when_absent="`scale` says how they grow",
    )
    function: Literal["nearest", "linear"] = field(
        "Whether a result is the nearest place's number, or interpolated along each axis.", default="nearest"
    )
    align_corners: bool = field(
        "Whether the corners of both maps lie on one another; else the edges do.", default=False
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if (self.scale is None) == (self.size is None):
            yield "scale", "or `size` says how large the result is: write one of the two"
        if isinstance(self.size, tuple) and len(self.size) != len("hw"):
            yield "size", f"must be one number or [height, width], not {len(self.size)} numbers"


class SqueezeExcite(Layer):
    """Each channel of a feature map times a number that two small layers make of all channels' means (Hu et
    al., "Squeeze-and-excitation networks", 2018)."""

    kind: Literal["squeeze_excite"]
    squeeze: Size = field("Channels between its two layers.")
    function: Literal["relu", "silu"] = field("What stands between its two layers.", default="relu")
    gate: Literal["sigmoid", "hard_sigmoid"] = field("What stands behind the second.", default="sigmoid")


class ChannelShuffle(Layer):
    kind: Literal["channel_shuffle"]
    groups: Size = field("Groups of channels that are dealt out among one another.")


class Reduce(Layer):
    kind: Literal["reduce"]
    function: Literal["mean", "sum", "max", "min"] = field("What becomes of the numbers along the axes.")
    axes: tuple[int, ...] = field("Dimensions that are reduced; negative ones count from the end.")
    keep: bool = field("Whether the dimensions stay, with size 1.", default=False)

    def check(self) -> Iterator[tuple[str, str]]:
        if not self.axes:
            yield "axes", "names no dimension; list at least one"
