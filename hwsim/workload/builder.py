"""GraphBuilder: the one place where layers become operators; both front ends and the constructors use it.

Each method infers and checks shapes, adds one operator and returns the name of the tensor it makes. Faults
are SpecErrors that name the layer, the shapes and the cure. Knows no file format.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Shape, check_shape, format_shape
from hwsim.workload import shapes
from hwsim.workload.draft import Label, naming
from hwsim.workload.functions import BINARY, NARY, UNARY, unary_attributes
from hwsim.workload.fuse import NormScale, NormShift, fold_and_fuse
from hwsim.workload.graph import Source, Workload
from hwsim.workload.operators import (
    Attributes,
    Conv2d,
    Elementwise,
    Lrn,
    Move,
    Pair,
    Pool,
    Softmax,
    Step,
    View,
)
from hwsim.workload.recurrent_builder import RecurrentBuilder
from hwsim.workload.sequence_builder import SequenceBuilder

__all__ = ["GraphBuilder", "Label"]


class GraphBuilder(SequenceBuilder, RecurrentBuilder):
    """Turns layers into operators one by one; `build` folds, fuses and returns the Workload."""

    # -- products --------------------------------------------------------------------------------------

    def conv2d(
        self,
        label: Label,
        x: str,
        weight: str,
        bias: str = "",
        *,
        stride: Pair = (1, 1),
        pad: shapes.Pads = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> str:
        """x [N, C, H, W] with weight [K, C / groups, R, S] and bias [K] makes [N, K, P, Q]."""
        with naming(label, "conv2d"):
            n, c, h, w = shapes.feature_map(self.shape(x))
            weights = self.shape(weight)
            if len(weights) != 4:
                raise SpecError(
                    f"weights of shape {format_shape(weights)} must be [out, in / groups, height, width]"
                )
            k, per_group, r, s = weights
            if groups < 1 or c % groups or k % groups:
                raise SpecError(
                    f"{groups} groups do not divide {c} input and {k} output channels: choose a common "
                    "divisor"
                )
            if per_group != c // groups:
                raise SpecError(
                    f"weights of shape {format_shape(weights)} take {per_group} channels a group, and the "
                    f"input {format_shape(self.shape(x))} has {c // groups} in each of {groups}"
                )
            p, q = shapes.window_positions((h, w), (r, s), stride, pad, dilation)
            if bias and self.tensors[bias].elements != k:
                raise SpecError(
                    f"a bias of shape {format_shape(self.shape(bias))} does not fit {k} output channels"
                )
            problem = Conv2d(n, c, h, w, k, r, s, p, q, groups, stride, pad, dilation)
            epilogue = (Step("bias", bias),) if bias else ()
            return self.add(label, problem, (x, weight), (n, k, p, q), epilogue=epilogue)

    def matmul(
        self,
        label: Label,
        a: str,
        b: str,
        bias: str = "",
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
        alpha: float = 1.0,
        beta: float = 1.0,
        layout: str = "",
    ) -> str:
        """alpha a b + beta bias, with a [..., M, K] and b [K, N] or [..., K, N]; batches broadcast as in
        numpy. `transpose_*` exchange the last two dimensions of an operand; bias is [N]. `layout` says how
        the operands lie in memory, as `constructors.matmul` has it."""
        with naming(label, "matmul"):
            problem, shape = shapes.matmul_problem(self.shape(a), self.shape(b), transpose_a, transpose_b)
            steps = [Step("scale", attributes=(("factor", alpha),))] if alpha != 1.0 else []
            if bias:
                if self.tensors[bias].elements not in (1, problem.N):
                    raise SpecError(
                        f"a bias of shape {format_shape(self.shape(bias))} does not fit {problem.N} columns"
                    )
                steps.append(Step("bias", bias, (("factor", beta),) if beta != 1.0 else ()))
            attributes: Attributes = tuple(
                (name, True) for name, on in (("trans_a", transpose_a), ("trans_b", transpose_b)) if on
            )
            if layout:
                attributes = (*attributes, ("layout", layout))
            return self.add(label, problem, (a, b), shape, attributes, tuple(steps))

    # -- pools and pointwise ---------------------------------------------------------------------------

    def pool(
        self,
        label: Label,
        x: str,
        function: str,
        window: Pair,
        *,
        stride: Pair | None = None,
        pad: shapes.Pads = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
        ceil_mode: bool = False,
        count_include_pad: bool = False,
    ) -> str:
        """ "max" or "average" over windows; the stride is the window unless given."""
        with naming(label, f"{function}_pool"):
            n, c, h, w = shapes.feature_map(self.shape(x))
            step = window if stride is None else stride
            p, q = shapes.window_positions((h, w), window, step, pad, dilation, ceil=ceil_mode)
            for axis, extent in enumerate(window):
                if max(pad[axis], pad[axis + 2]) >= (extent - 1) * dilation[axis] + 1:
                    raise SpecError(
                        f"padding {list(pad)} reaches past the {list(window)} kernel: use less padding"
                    )
            problem = Pool(function, n, c, h, w, *window, p, q, step, pad, dilation, count_include_pad)
            attributes = (("ceil_mode", True),) if ceil_mode else ()
            return self.add(label, problem, (x,), (n, c, p, q), attributes)

    def global_pool(self, label: Label, x: str, function: str) -> str:
        """ "max" or "average" over the whole feature map: [N, C, 1, 1]."""
        with naming(label, f"global_{function}_pool"):
            n, c, h, w = shapes.feature_map(self.shape(x))
            problem = Pool(function, n, c, h, w, h, w, 1, 1, (1, 1))
            return self.add(label, problem, (x,), (n, c, 1, 1))

    def unary(
        self, label: Label, x: str, function: str, attributes: Mapping[str, float | None] | None = None
    ) -> str:
        """A pointwise function of one tensor; `functions.UNARY` lists them."""
        with naming(label, function):
            if function not in UNARY:
                raise SpecError(f"unknown pointwise function; hwsim knows {', '.join(UNARY)}")
            given = unary_attributes(function, attributes or {})
            return self.add(
                label, Elementwise(function, self.tensors[x].elements), (x,), self.shape(x), given
            )

    def combine(self, label: Label, function: str, operands: Sequence[str]) -> str:
        """A pointwise function of two or more tensors, broadcast as numpy does."""
        with naming(label, function):
            if function not in BINARY:
                raise SpecError(f"unknown pointwise function; hwsim knows {', '.join(BINARY)}")
            if len(operands) < 2 or (len(operands) > 2 and function not in NARY):
                raise SpecError(
                    f"takes {'two or more' if function in NARY else 'two'} inputs and got {len(operands)}"
                )
            shape = shapes.broadcast([self.shape(name) for name in operands])
            check_shape(shape, "the result")
            problem = Elementwise(function, math.prod(shape), len(operands))
            return self.add(label, problem, operands, shape)

    def batch_norm(
        self, label: Label, x: str, scale: str, shift: str, mean: str, variance: str, *, epsilon: float = 1e-5
    ) -> str:
        """Inference-time batch normalisation over axis 1 (Ioffe & Szegedy 2015, algorithm 2): x * s + t with
        s = scale / sqrt(variance + epsilon) and t = shift - mean * s, both worked out when asked for."""
        with naming(label, "batch_norm"):
            shape = self.shape(x)
            channels = shape[1] if len(shape) > 1 else 0
            for name in (scale, shift, mean, variance):
                if self.shape(name) != (channels,):
                    raise SpecError(
                        f"{name!r} of shape {format_shape(self.shape(name))} does not fit the channels of "
                        f"{format_shape(shape)}: it must be [{channels}]"
                    )
            of = self.tensors
            s = NormScale(of[scale], of[variance], epsilon)
            t = NormShift(s, of[shift], of[mean])
            multiplier = self.weight(f"{label.name}.scale", (channels,), "scale", values=s)
            offset = self.weight(f"{label.name}.shift", (channels,), "shift", values=t)
            problem = Elementwise("batch_norm", of[x].elements, 3)
            return self.add(
                label, problem, (x, multiplier, offset), shape, (("axis", 1), ("epsilon", epsilon))
            )

    def lrn(
        self, label: Label, x: str, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
    ) -> str:
        """x / (k + alpha / size * sum of squares over `size` neighbouring channels) ** beta."""
        with naming(label, "lrn"):
            shapes.feature_map(self.shape(x))
            if size < 1:
                raise SpecError(f"size is {size}: it must be at least 1")
            given: Attributes = (("alpha", alpha), ("beta", beta), ("k", k))
            return self.add(label, Lrn(self.tensors[x].elements, size), (x,), self.shape(x), given)

    def softmax(
        self,
        label: Label,
        x: str,
        axis: int = -1,
        *,
        flattened: bool = False,
        mask: str = "",
        attributes: Attributes = (),
    ) -> str:
        """Softmax along `axis`; `flattened` takes it over that axis and all behind it, as ONNX does
        before opset 13. `mask` and `attributes` are those of `operators.Softmax`."""
        with naming(label, "softmax"):
            shape = self.shape(x)
            axis = shapes.axis_of(axis, len(shape))
            if mask and shapes.broadcast([self.shape(mask), shape]) != shape:
                raise SpecError(
                    f"a mask of {format_shape(self.shape(mask))} does not fit {format_shape(shape)}"
                )
            cols = math.prod(shape[axis:]) if flattened else shape[axis]
            given: Attributes = (("axis", axis), *attributes, ("flattened", flattened))
            problem = Softmax(math.prod(shape) // cols, cols, bool(mask))
            return self.add(label, problem, (x, mask) if mask else (x,), shape, given)

    # -- moves and views -------------------------------------------------------------------------------

    def concat(self, label: Label, operands: Sequence[str], axis: int) -> str:
        with naming(label, "concat"):
            if not operands:
                raise SpecError("takes at least one input")
            found = [self.shape(name) for name in operands]
            axis = shapes.axis_of(axis, len(found[0]))
            shape = shapes.concatenated(found, axis)
            if len(operands) == 1:
                return self.view(label, operands[0], "concat", shape)
            return self.add(label, Move("concat", math.prod(shape)), operands, shape, (("axis", axis),))

    def transpose(self, label: Label, x: str, perm: Sequence[int]) -> str:
        """A copy in another order of axes; a view when only axes of size 1 change places."""
        with naming(label, "transpose"):
            before = self.shape(x)
            shape = shapes.transposed(before, perm)
            kept = [axis for axis in perm if before[axis] != 1]
            if kept == sorted(kept):
                return self.view(label, x, "transpose", shape)
            return self.add(label, Move("transpose", math.prod(shape)), (x,), shape, (("perm", tuple(perm)),))

    def pad(
        self,
        label: Label,
        x: str,
        before: Sequence[int],
        after: Sequence[int],
        *,
        mode: str = "constant",
        fill: float = 0.0,
    ) -> str:
        """`before` and `after` each axis, filled with `fill` or by `mode` ("reflect", "edge", "wrap")."""
        with naming(label, "pad"):
            shape = self.shape(x)
            if len(before) != len(shape) or len(after) != len(shape) or min((*before, *after)) < 0:
                raise SpecError(
                    f"padding {list(before)} before and {list(after)} after does not fit "
                    f"{format_shape(shape)}: give one number of at least 0 for each axis"
                )
            padded = tuple(size + b + a for size, b, a in zip(shape, before, after, strict=True))
            given: Attributes = (
                ("after", tuple(after)),
                ("before", tuple(before)),
                ("fill", fill),
                ("mode", mode),
            )
            return self.add(label, Move("pad", math.prod(padded)), (x,), padded, given)

    def slice(self, label: Label, x: str, ranges: Mapping[int, tuple[int, int, int]]) -> str:
        """The part of x that `ranges`, axis -> (start, end, step), leaves."""
        with naming(label, "slice"):
            shape = list(self.shape(x))
            cut = []
            for axis, (start, end, step) in sorted(ranges.items()):
                place = shapes.axis_of(axis, len(shape))
                begin, stop, stride, shape[place] = shapes.sliced(shape[place], start, end, step)
                cut.append((place, begin, stop, stride))
            result = tuple(shape)
            if result == self.shape(x) and all(stride == 1 for *_, stride in cut):
                return self.view(label, x, "slice", result)
            return self.add(label, Move("slice", math.prod(result)), (x,), result, (("ranges", tuple(cut)),))

    def view(self, label: Label, x: str, function: str, shape: Shape | None = None) -> str:
        """The same elements under `shape`: reshape, flatten, squeeze, identity, dropout."""
        with naming(label, function):
            shape = self.shape(x) if shape is None else shape
            if math.prod(shape) != self.tensors[x].elements:
                raise SpecError(f"{format_shape(self.shape(x))} cannot be seen as {format_shape(shape)}")
            return self.add(label, View(function, self.tensors[x].elements), (x,), shape)

    # -- the end ---------------------------------------------------------------------------------------

    def build(
        self,
        outputs: Sequence[str],
        source: Source,
        *,
        description: str = "",
        parameters: Mapping[str, int] | None = None,
        synthetic: bool = False,
        notes: Sequence[str] = (),
    ) -> Workload:
        """Fold batch norms, fuse pointwise steps, and return the workload. Operators that lead to no output
        stay: whoever does not want them leaves them out."""
        if not outputs:
            raise SpecError(f"{self.name} has no output: name at least one tensor that it computes")
        fused = fold_and_fuse(self.operators, self.tensors, outputs, self.held)
        told = list(notes)
        if self.seeded_weights:
            how = f" ({' and '.join(self.drawn)})" if self.drawn else ""
            s, have, are = ("", "has", "is") if self.seeded_weights == 1 else ("s", "have", "are")
            told.append(
                f"{self.seeded_weights} weight tensor{s} {have} no values in the source and {are} drawn from "
                f"seed {self.seed}{how}"
            )
        if fused.folded:
            told.append(
                f"{fused.folded} batch norms and channel-wise scales and shifts are folded into the weights "
                "before them"
            )
        return Workload(
            self.name,
            fused.operators,
            fused.tensors,
            tuple(self.inputs),
            tuple(dict.fromkeys(outputs)),
            source,
            description=description,
            parameters={**(parameters or {}), "seed": self.seed},
            synthetic=synthetic,
            notes=tuple(told),
            folded_parameters=fused.folded_parameters,
        )
