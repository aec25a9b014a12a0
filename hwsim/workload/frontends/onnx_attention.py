"""Attention among the operators of a graph: two products with a softmax between, recognised in the spellings
of torch, optimum and tf2onnx (factors before or behind the first product, masks added, heads as batches)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwsim.tensor.tensor import Array, Shape, read_values
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.frontends.onnx_finder import Finder, Match, is_pointwise
from hwsim.workload.operators import Matmul, Move, Operator, Softmax, View

_HIDDEN = -1e4  # at or below this a score is masked (the least number of fp16 is -65504)
_TRACED = 2**22  # elements whose way through views and transpositions is followed


@dataclass(slots=True)
class _Scores:
    """Scores on their way to a softmax: `scale` q k^T + mask."""

    product: Operator
    scale: float
    mask: str


def find_attention(finder: Finder, op: Operator) -> Match | None:
    """The attention whose softmax `op` is."""
    if not isinstance(op.problem, Softmax) or op.problem.masked or op.epilogue:
        return None
    shape = finder.builder.shape(op.output)
    given = dict(op.attributes)
    if given.get("axis") != len(shape) - 1 or not 2 <= len(shape) <= 4:
        return None
    last = finder.reader(op.output)
    if last is None or not isinstance(last.problem, Matmul) or not finder.same(last.inputs[0], op.output):
        return None
    if finder.constant(last.inputs[1]) or last.attributes or last.epilogue:
        return None
    within = [op, last]
    scores = _scores(finder, op.inputs[0], within)
    if scores is None:
        return None
    q, q_scale = _scaled(finder, scores.product.inputs[0], within)
    k, k_scale = _scaled(finder, scores.product.inputs[1], within)
    if finder.constant(k) or finder.constant(q):
        return None
    v = last.inputs[1]
    lead = shape[:-2]
    if any(finder.builder.shape(name)[:-2] != lead for name in (q, k, v)):
        return None
    closed = finder.closed(last, within)
    if closed is None:
        return None
    factor = scores.scale * q_scale * k_scale
    turned = dict(scores.product.attributes)
    if turned.get("trans_a"):
        return None
    attention = _Attention(q, k, v, scores.mask, factor, bool(turned.get("trans_b")), shape)
    return Match("attention", last, closed, lambda b, label: attention.build(b, label, finder))


def _scores(finder: Finder, name: str, within: list[Operator]) -> _Scores | None:
    """What is scaled and masked before a softmax."""
    scale, mask = 1.0, ""
    for _ in range(4):
        op = finder.makers.get(finder.behind(name))
        if op is None or op.epilogue:
            return None
        within.append(op)
        if isinstance(op.problem, Matmul):
            return None if "layout" in dict(op.attributes) else _Scores(op, scale, mask)
        if is_pointwise(op, "mul", "div") and len(op.inputs) == 2:
            number = finder.number(op.inputs[1])
            name = op.inputs[0]
            if number is None and is_pointwise(op, "mul"):
                number, name = finder.number(op.inputs[0]), op.inputs[1]
            if number is None or not number:
                return None
            scale *= 1 / number if is_pointwise(op, "div") else number
            if finder.builder.shape(name) != finder.builder.shape(op.output):
                return None
        elif is_pointwise(op, "add") and len(op.inputs) == 2 and not mask and scale == 1.0:
            name, mask = _masked(finder, op)
            if not mask:
                return None
        else:
            return None
    return None


def _masked(finder: Finder, op: Operator) -> tuple[str, str]:
    """(scores, mask) of their sum: the scores come from a product and have the sum's shape."""
    shape = finder.builder.shape(op.output)
    for scores, mask in (op.inputs, op.inputs[::-1]):
        source = finder.makers.get(finder.behind(scores))
        product = source is not None and (
            isinstance(source.problem, Matmul) or is_pointwise(source, "mul", "div")
        )
        if product and finder.builder.shape(scores) == shape:
            return scores, mask
    return "", ""


def _scaled(finder: Finder, name: str, within: list[Operator]) -> tuple[str, float]:
    """An operand of the first product without the number that it is multiplied by."""
    op = finder.makers.get(finder.behind(name))
    if op is None or not is_pointwise(op, "mul", "div") or len(op.inputs) != 2 or finder.uses[name] != 1:
        return name, 1.0
    pairs = [op.inputs] if is_pointwise(op, "div") else [op.inputs, op.inputs[::-1]]
    for x, other in pairs:
        number = finder.number(other)
        if number and finder.builder.shape(x) == finder.builder.shape(op.output):
            within.append(op)
            return x, 1 / number if is_pointwise(op, "div") else number
    return name, 1.0


@dataclass(frozen=True, slots=True)
class _Attention:
    q: str
    k: str
    v: str
    mask: str
    scale: float
    keys_first: bool  # k is [..., S, D], else [..., D, S]
    scores: Shape

    def build(self, builder: GraphBuilder, label: Label, finder: Finder) -> None:
        lead = (1, 1, *self.scores[:-2])[-2:]
        queries, keys = self.scores[-2:]
        k = self.k if self.keys_first else self._turned(builder, label, finder)
        q, k, v = (
            self._seen(builder, label, name, lead, part)
            for name, part in ((self.q, "q"), (k, "k"), (self.v, "v"))
        )
        causal, window, mask = self._read_mask(builder, (*lead, queries, keys))
        result = (*self.scores[:-1], builder.shape(self.v)[-1])
        inner = label if len(result) == 4 else label.part("attended")
        made = builder.attention(inner, q, k, v, mask, scale=self.scale, causal=causal, window=window)
        if len(result) != 4:
            builder.view(label, made, "reshape", result)

    def _seen(self, builder: GraphBuilder, label: Label, name: str, lead: Shape, part: str) -> str:
        shape = builder.shape(name)
        if len(shape) == 4:
            return name
        seen = (*lead, *shape[-2:])
        return builder.view(label.part(part), name, "reshape", seen)

    def _turned(self, builder: GraphBuilder, label: Label, finder: Finder) -> str:
        """k as [..., S, D]: what it was before it was turned, or turned back."""
        shape = builder.shape(self.k)
        wanted = (*shape[:-2], shape[-1], shape[-2])
        found = _before_turning(finder, self.k, wanted)
        if found is None:
            perm = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
            return builder.transpose(label.part("keys"), self.k, perm)
        if builder.shape(found) == wanted:
            return found
        return builder.view(label.part("keys"), found, "reshape", wanted)

    def _read_mask(self, builder: GraphBuilder, scores: Shape) -> tuple[bool, int, str]:
        """(causal, window, mask): a constant mask that says no more than those is left out."""
        if not self.mask:
            return False, 0, ""
        tensor = builder.tensors[self.mask]
        if tensor.role not in ("weight", "constant") or tensor.elements > 2**26:
            return False, 0, self.mask
        queries, keys = scores[-2:]
        values = read_values(tensor)
        if values.ndim < 2 or values.size != queries * keys or values.shape[-2:] != (queries, keys):
            return False, 0, self.mask
        found = _seen_by(values.reshape(queries, keys), queries, keys)
        return (*found, "") if found is not None else (False, 0, self.mask)


def _seen_by(mask: Array, queries: int, keys: int) -> tuple[bool, int] | None:
    """(causal, window) of a mask of zeros and very low numbers, if it is one of those."""
    hidden = mask <= _HIDDEN
    if queries > keys or np.any(mask[~hidden] != 0):
        return None
    place = np.arange(keys - queries, keys)[:, None] - np.arange(keys)[None, :]
    if not hidden.any():
        return False, 0
    causal = bool(hidden[place < 0].all())
    visible = place[~hidden]
    window = int(np.abs(visible).max(initial=0)) + 1
    for reach in (0, window):
        seen = np.abs(place) < reach if reach else np.ones_like(hidden)
        if causal:
            seen = seen & (place >= 0)
        if np.array_equal(seen, ~hidden):
            return causal, reach
    return None


def _before_turning(finder: Finder, name: str, wanted: Shape) -> str | None:
    """The tensor that views and transpositions turned into `name`, whose elements lie as in `wanted`, the
    last two axes exchanged."""
    chain: list[Operator] = []
    elements = math.prod(wanted)
    while (op := finder.makers.get(name)) is not None:
        turns = isinstance(op.problem, Move) and op.problem.function == "transpose"
        if not turns and not isinstance(op.problem, View):
            return None
        if isinstance(op.problem, View) and op.problem.function == "rows":
            return None
        chain.append(op)
        name = op.inputs[0]
        if finder.builder.tensors[name].elements != elements:
            return None
        if elements <= _TRACED and np.array_equal(
            _traced(finder, chain, name), np.arange(elements).reshape(wanted).swapaxes(-1, -2)
        ):
            return name
        if elements > _TRACED:
            rank = len(finder.builder.shape(name))
            perm = dict(op.attributes).get("perm")
            swapped = (*range(rank - 2), rank - 1, rank - 2)
            return name if len(chain) == 1 and perm == swapped else None
    return None


def _traced(finder: Finder, chain: list[Operator], name: str) -> Array:
    """Where each element of the chain's result lies in the tensor that it begins with."""
    found = np.arange(math.prod(finder.builder.shape(name))).reshape(finder.builder.shape(name))
    for op in reversed(chain):
        if isinstance(op.problem, Move):
            perm = dict(op.attributes)["perm"]
            assert isinstance(perm, tuple)
            found = found.transpose(perm)
        found = found.reshape(finder.builder.shape(op.output))
    return found
