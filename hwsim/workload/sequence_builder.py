"""The builder's methods for sequence networks and for what enlarges feature maps: normalisation, lookup,
attention, caches, reductions, resampling, transposed convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Array, Shape, Tensor, check_shape, format_shape, read_values
from hwsim.workload import shapes
from hwsim.workload.draft import Draft, Label, naming
from hwsim.workload.operators import (
    Append,
    Attention,
    Attributes,
    Conv2d,
    Elementwise,
    Fold,
    Gather,
    Norm,
    Pair,
    Reduce,
    Resize,
)

NORMS = ("layer_norm", "rms_norm", "group_norm")
REDUCTIONS = ("mean", "sum", "max", "min")
RESIZES = ("nearest", "linear")
# Where a result's place lies in the input, and which input place "nearest" takes: as ONNX Resize names them.
COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


class SequenceBuilder(Draft):
    """Part of `GraphBuilder`; see there."""

    def norm(
        self,
        label: Label,
        x: str,
        function: str,
        scale: str = "",
        shift: str = "",
        *,
        axis: int = -1,
        groups: int = 1,
        epsilon: float = 1e-5,
    ) -> str:
        """layer_norm or rms_norm over `axis` and all behind it, with scale and shift of that shape; or
        group_norm over each of `groups` of the channels of x [N, C, ...], with scale and shift [C] (`axis`
        means nothing there; as many groups as channels is instance normalisation)."""
        with naming(label, function):
            shape = self.shape(x)
            if function not in NORMS:
                raise SpecError(f"unknown normalisation; hwsim knows {', '.join(NORMS)}")
            if shift and not scale:
                raise SpecError("takes a shift only beside a scale: give a scale of ones")
            if not (epsilon >= 0 and math.isfinite(epsilon)):
                raise SpecError(f"has epsilon {epsilon}: it must be a number of at least 0")
            if function == "group_norm":
                if len(shape) < 2 or groups < 1 or shape[1] % groups:
                    raise SpecError(f"{groups} groups do not divide the channels of {format_shape(shape)}")
                rows = shape[0] * groups
                wanted: Shape = (shape[1],)
                given: Attributes = (("epsilon", epsilon), ("groups", groups))
            else:
                axis = shapes.axis_of(axis, len(shape))
                rows, wanted = math.prod(shape[:axis]), shape[axis:]
                given = (("axis", axis), ("epsilon", epsilon))
            constants = [name for name in (scale, shift) if name]
            for name in constants:
                if self.shape(name) != wanted:
                    raise SpecError(
                        f"{name!r} of shape {format_shape(self.shape(name))} does not fit: it must be "
                        f"{format_shape(wanted)}"
                    )
            problem = Norm(function, rows, math.prod(shape) // rows, bool(scale), bool(shift))
            return self.add(label, problem, (x, *constants), shape, given)

    def gather(self, label: Label, table: str, indices: str, axis: int = 0) -> str:
        """What stands in `table` at each of `indices` along `axis`: [..., indices' shape, ...]."""
        with naming(label, "gather"):
            shape, places = self.shape(table), self.tensors[indices]
            axis = shapes.axis_of(axis, len(shape))
            if not places.index_range:
                raise SpecError(f"{indices!r} are not indices: give an input or constant of whole numbers")
            if places.index_range > shape[axis]:
                raise SpecError(
                    f"indices {indices!r} go up to {places.index_range - 1}, and {table!r} of shape "
                    f"{format_shape(shape)} has {shape[axis]} rows: enlarge the table or check the indices"
                )
            result = (*shape[:axis], *places.shape, *shape[axis + 1 :])
            check_shape(result, "the result")
            outer = math.prod(shape[:axis])
            problem = Gather(outer * places.elements, math.prod(shape[axis + 1 :]), outer * shape[axis])
            return self.add(label, problem, (table, indices), result, (("axis", axis),))

    def attention(
        self,
        label: Label,
        q: str,
        k: str,
        v: str,
        mask: str = "",
        *,
        scale: float | None = None,
        causal: bool = False,
        window: int = 0,
    ) -> str:
        """softmax(scale q k^T + mask) v, in one operator: see `operators.Attention` for shapes and masks.
        The scale is 1 / sqrt(D) unless given."""
        with naming(label, "attention"):
            found = [self.shape(name) for name in (q, k, v)]
            if any(len(shape) != 4 for shape in found):
                raise SpecError(
                    "takes [batch, heads, places, size] three times and got "
                    f"{', '.join(map(format_shape, found))}: reshape and transpose them first"
                )
            (batch, heads, queries, size), (_, groups, keys, _), (_, _, _, values) = found
            if found[1] != (batch, groups, keys, size) or found[2] != (batch, groups, keys, values):
                raise SpecError(
                    f"queries {format_shape(found[0])}, keys {format_shape(found[1])} and values "
                    f"{format_shape(found[2])} do not go together"
                )
            if heads % groups:
                raise SpecError(f"{groups} heads of keys and values do not divide {heads} of queries")
            if window < 0:
                raise SpecError(f"has a window of {window}: it must be at least 1, or 0 for none")
            if (causal or window) and queries > keys:
                raise SpecError(
                    f"has {queries} queries and {keys} keys: with a causal mask or a window the queries are "
                    "the last of the places, so there are at least as many keys"
                )
            scores = (batch, heads, queries, keys)
            if mask and shapes.broadcast([self.shape(mask), scores]) != scores:
                raise SpecError(f"a mask of shape {format_shape(self.shape(mask))} does not fit the scores "
                                f"{format_shape(scores)}")  # fmt: skip
            problem = Attention(batch, heads, groups, queries, keys, size, values, causal, window, bool(mask))
            factor = 1 / math.sqrt(size) if scale is None else scale
            if not math.isfinite(factor):
                raise SpecError(f"has scale {factor}: it must be a finite number")
            inputs = (q, k, v, mask) if mask else (q, k, v)
            return self.add(label, problem, inputs, (batch, heads, queries, values), (("scale", factor),))

    def append(self, label: Label, cache: str, new: str, *, axis: int, start: int) -> str:
        """`cache` with `new` written into it from place `start` along `axis`; only the new elements move."""
        with naming(label, "append"):
            whole, part = self.shape(cache), self.shape(new)
            if self.tensors[cache].role != "cache":
                raise SpecError(f"{cache!r} is not a cache")
            axis = shapes.axis_of(axis, len(whole))
            fits = len(part) == len(whole) and part[:axis] == whole[:axis]
            if not fits or part[axis + 1 :] != whole[axis + 1 :] or start < 0:
                raise SpecError(f"{format_shape(part)} does not fit a cache of {format_shape(whole)}")
            if start + part[axis] > whole[axis]:
                raise SpecError(
                    f"places {start} to {start + part[axis]} are past the end of a cache of {whole[axis]}"
                )
            problem = Append(self.tensors[new].elements)
            return self.add(label, problem, (cache, new), whole, (("axis", axis), ("start", start)))

    def rotary(self, label: Label, x: str, cosine: str, sine: str, *, interleaved: bool = False) -> str:
        """x [..., places, D] turned by angles [places, D / 2] (Su et al., "RoFormer", 2021, eq. 34). Number i
        of the first half is turned with number i of the second, or `interleaved` 2 i with 2 i + 1."""
        with naming(label, "rotary"):
            shape = self.shape(x)
            wanted = (shape[-2], shape[-1] // 2) if len(shape) >= 2 else ()
            if len(shape) < 2 or shape[-1] % 2 or {self.shape(cosine), self.shape(sine)} != {wanted}:
                raise SpecError(
                    f"cosines {format_shape(self.shape(cosine))} and sines {format_shape(self.shape(sine))} "
                    f"do not fit {format_shape(shape)}: they must be [places, half the size of a head]"
                )
            problem = Elementwise("rotary", self.tensors[x].elements, 3)
            given: Attributes = (("interleaved", interleaved),)
            return self.add(label, problem, (x, cosine, sine), shape, given)

    def reduce(
        self, label: Label, x: str, function: str, axes: Sequence[int], *, keepdims: bool = True
    ) -> str:
        """mean, sum, max or min over `axes`, which stay as 1 with `keepdims`."""
        with naming(label, f"reduce_{function}"):
            shape = self.shape(x)
            if function not in REDUCTIONS:
                raise SpecError(f"unknown reduction; hwsim knows {', '.join(REDUCTIONS)}")
            places = sorted({shapes.axis_of(axis, len(shape)) for axis in axes})
            kept: Shape = tuple(1 if i in places else size for i, size in enumerate(shape))
            cols = math.prod(shape[i] for i in places)
            if not keepdims:
                kept = tuple(size for i, size in enumerate(kept) if i not in places)
            given: Attributes = (("axes", tuple(places)), ("keepdims", keepdims))
            return self.add(label, Reduce(function, math.prod(kept), cols), (x,), kept or (1,), given)

    def resize(
        self,
        label: Label,
        x: str,
        size: Pair,
        function: str = "nearest",
        *,
        coordinates: str = "half_pixel",
        nearest: str = "round_prefer_floor",
    ) -> str:
        """A feature map resampled to `size` (height, width), "nearest" or "linear" along each axis."""
        with naming(label, "resize"):
            n, c, h, w = shapes.feature_map(self.shape(x))
            for what, value, known in (
                ("function", function, RESIZES), ("coordinates", coordinates, COORDINATES),
                ("nearest", nearest, NEAREST),
            ):  # fmt: skip
                if value not in known:
                    raise SpecError(f"unknown {what} {value!r}; hwsim knows {', '.join(known)}")
            result = (n, c, *size)
            check_shape(result, "the result")
            given: Attributes = (("coordinates", coordinates), ("nearest", nearest))
            return self.add(label, Resize(function, n, c, h, w, *size), (x,), result, given)

    def conv_transpose(
        self,
        label: Label,
        x: str,
        weight: str,
        bias: str = "",
        *,
        stride: Pair = (1, 1),
        pad: shapes.Pads = (0, 0, 0, 0),
        dilation: Pair = (1, 1),
        output_padding: Pair = (0, 0),
        groups: int = 1,
    ) -> str:
        """x [N, C, H, W] with weight [C, K / groups, R, S] and bias [K] makes [N, K, P, Q] with
        P = (H - 1) stride + dilation (R - 1) + 1 + output_padding less the padding. Two operators: a 1x1
        convolution that makes each place's window, and the sum of the windows (`operators.Fold`)."""
        with naming(label, "conv_transpose"):
            n, c, h, w = shapes.feature_map(self.shape(x))
            weights = self.shape(weight)
            if len(weights) != 4 or weights[0] != c or groups < 1 or c % groups:
                raise SpecError(
                    f"weights of shape {format_shape(weights)} do not fit {c} channels in {groups} groups: "
                    "they must be [in, out / groups, height, width]"
                )
            _, per_group, r, s = weights
            k = per_group * groups
            shapes.check_window((r, s), stride, pad, dilation)
            p, q = (
                (size - 1) * stride[i]
                + dilation[i] * (extent - 1)
                + 1
                + output_padding[i]
                - pad[i]
                - pad[i + 2]
                for i, (size, extent) in enumerate(((h, r), (w, s)))
            )
            if min(output_padding) < 0 or any(
                o and o >= max(stride[i], dilation[i]) for i, o in enumerate(output_padding)
            ):
                raise SpecError(f"output padding {list(output_padding)} must be less than stride or dilation")
            if p < 1 or q < 1:
                raise SpecError(f"padding {list(pad)} leaves nothing of the result: use less")
            if bias and self.tensors[bias].elements != k:
                raise SpecError(
                    f"a bias of shape {format_shape(self.shape(bias))} does not fit {k} output channels"
                )
            windows = self._window_weight(weight, groups)
            inner = Conv2d(n, c, h, w, k * r * s, 1, 1, h, w, groups)
            x = self.add(label.part("windows"), inner, (x, windows), (n, k * r * s, h, w))
            problem = Fold(n, k, h, w, r, s, p, q, stride, pad, dilation)
            return self.add(label, problem, (x, bias) if bias else (x,), (n, k, p, q))

    def _window_weight(self, weight: str, groups: int) -> str:
        """The weights of a transposed convolution as those of a 1x1 convolution, under the same name."""
        tensor = self.tensors[weight]
        c, per_group, r, s = tensor.shape
        shape = (groups * per_group * r * s, c // groups, 1, 1)
        found = Tensor(weight, shape, tensor.dtype, tensor.role, tensor.density,
                       values=WindowWeight(tensor, groups))  # fmt: skip
        self.tensors[weight] = found
        return weight


@dataclass(frozen=True, slots=True)
class WindowWeight:
    """Weights [C, K / groups, R, S] laid out [K R S, C / groups, 1, 1]."""

    weight: Tensor
    groups: int

    def __call__(self) -> Array:
        c, per_group, r, s = self.weight.shape
        each = read_values(self.weight).reshape(self.groups, c // self.groups, per_group * r * s)
        return np.ascontiguousarray(each.transpose(0, 2, 1)).reshape(-1, c // self.groups, 1, 1)
