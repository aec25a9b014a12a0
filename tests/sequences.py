"""Networks of one operator of sequence models, and a small decoder: what tests of machines run."""

from __future__ import annotations

import math

from hwsim.tensor.tensor import Shape
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Attention, Move

BUILTIN = Source("builtin", "constructor", "")


def drafted(dtype: str = "int8") -> GraphBuilder:
    return GraphBuilder("small", dtype=dtype)


def built(g: GraphBuilder, output: str) -> Workload:
    return g.build([output], BUILTIN)


def normed(rows: int, cols: int, function: str = "layer_norm", *, dtype: str = "int8") -> Workload:
    """Rows of so many numbers, with a scale, and a shift where the function has one; or one group for each
    row."""
    g = drafted(dtype)
    if function == "group_norm":
        x = g.input("x", (1, rows, cols))
        scale, shift = (g.weight(name, (rows,), "scale") for name in ("scale", "shift"))
        return built(g, g.norm(Label("y"), x, function, scale, shift, groups=rows))
    x = g.input("x", (rows, cols))
    scale = g.weight("scale", (cols,), "scale")
    shift = g.weight("shift", (cols,), "shift") if function == "layer_norm" else ""
    return built(g, g.norm(Label("y"), x, function, scale, shift))


def gathered(rows: int, width: int, table_rows: int, *, dtype: str = "int8") -> Workload:
    g = drafted(dtype)
    places = g.indices("places", (rows,), table_rows)
    return built(g, g.gather(Label("y"), g.weight("table", (table_rows, width)), places))


def appended(past: int, new: int, width: int, *, dtype: str = "int8") -> Workload:
    """New places of a cache, which a sum over all of it then reads."""
    g = drafted(dtype)
    x = g.input("x", (1, 1, new, width))
    cache = g.cache("cache", (1, 1, past + new, width))
    grown = g.append(Label("grown"), cache, x, axis=2, start=past)
    return built(g, g.reduce(Label("y"), grown, "sum", (2,)))


def reduced(shape: Shape, function: str = "mean", axis: int = -1, *, dtype: str = "int8") -> Workload:
    g = drafted(dtype)
    return built(g, g.reduce(Label("y"), g.input("x", shape), function, (axis,)))


def resized(shape: Shape, size: tuple[int, int], function: str = "nearest") -> Workload:
    g = drafted()
    return built(g, g.resize(Label("y"), g.input("x", shape), size, function))


def transposed_conv(shape: Shape, channels: int, window: int, stride: int) -> Workload:
    g = drafted()
    x = g.input("x", shape)
    weight = g.weight("w", (shape[1], channels, window, window), fan_in=shape[1])
    return built(g, g.conv_transpose(Label("y"), x, weight, stride=(stride, stride)))


def masked_softmax(rows: int, cols: int) -> Workload:
    g = drafted()
    mask = g.weight("mask", (1, cols), "shift", role="constant")
    return built(g, g.softmax(Label("y"), g.input("x", (rows, cols)), mask=mask))


def rotated(places: int, size: int) -> Workload:
    g = drafted()
    angles = [g.weight(n, (places, size // 2), "scale", role="constant") for n in ("cosine", "sine")]
    return built(g, g.rotary(Label("y"), g.input("x", (1, 2, places, size)), *angles))


def patches(channels: int, side: int, window: int) -> Workload:
    """The patches of a convolution without padding, copied."""
    g = drafted()
    x = g.input("x", (1, channels, side, side))
    places = (side - window + 1) ** 2
    shape = (1, places, channels * window * window)
    given = (("dilation", (1, 1)), ("kernel", (window, window)), ("pad", (0, 0, 0, 0)), ("stride", (1, 1)))
    return built(g, g.add(Label("y"), Move("im2col", math.prod(shape)), (x,), shape, given))


def attended(problem: Attention, *, dtype: str = "fp16", cached: bool = False) -> Workload:
    """One attention operator, whose keys and values are inputs or lie in a cache."""
    p, g = problem, drafted(dtype)
    q = g.input("q", (p.B, p.H, p.Q, p.D))
    make = g.cache if cached else g.input
    k, v = make("k", (p.B, p.G, p.S, p.D)), make("v", (p.B, p.G, p.S, p.V))
    mask = g.weight("mask", (1, 1, p.Q, p.S), "shift", role="constant") if p.masked else ""
    y = g.attention(Label("y"), q, k, v, mask, causal=p.causal, window=p.window)
    return built(g, y)


def decoder(
    *,
    layers: int = 1,
    batch: int = 1,
    queries: int = 1,
    past: int = 0,
    heads: int = 4,
    groups: int = 2,
    size: int = 8,
    inner: int = 64,
    rows: int = 50,
    dtype: str = "fp16",
) -> Workload:
    """Layers of a decoder with grouped queries and a gated inner layer, without rotation: `queries` tokens of
    each of `batch` sequences behind `past` cached ones."""
    g, width, places = drafted(dtype), heads * size, past + queries
    g.weight("table", (rows, width))
    x = g.gather(Label("embedding"), "table", g.indices("tokens", (batch, queries), rows))

    def dense(name: str, x: str, out: int) -> str:
        weight = g.weight(f"{name}.w", (g.shape(x)[-1], out), fan_in=g.shape(x)[-1])
        return g.matmul(Label(name), x, weight)

    def headed(name: str, x: str, count: int) -> str:
        split = g.view(Label(f"{name}.split"), dense(name, x, count * size), "reshape",
                       (batch, queries, count, size))  # fmt: skip
        return g.transpose(Label(f"{name}.heads"), split, (0, 2, 1, 3))

    def normal(name: str, x: str) -> str:
        return g.norm(Label(name), x, "rms_norm", g.weight(f"{name}.scale", (width,), "scale"))

    for at in range(layers):
        h = normal(f"{at}.norm1", x)
        q, *kept = (headed(f"{at}.{n}", h, c) for n, c in (("q", heads), ("k", groups), ("v", groups)))
        if past:
            kept = [
                g.append(Label(f"{name}.all"), g.cache(f"{name}.past", (batch, groups, places, size)), name,
                         axis=2, start=past)
                for name in kept
            ]  # fmt: skip
        y = g.attention(Label(f"{at}.attention"), q, *kept, causal=True)
        y = g.view(Label(f"{at}.joined"), g.transpose(Label(f"{at}.back"), y, (0, 2, 1, 3)), "reshape",
                   (batch, queries, width))  # fmt: skip
        x = g.combine(Label(f"{at}.sum1"), "add", (x, dense(f"{at}.out", y, width)))
        h = normal(f"{at}.norm2", x)
        gate = g.unary(Label(f"{at}.silu"), dense(f"{at}.gate", h, inner), "silu")
        h = g.combine(Label(f"{at}.product"), "mul", (gate, dense(f"{at}.up", h, inner)))
        x = g.combine(Label(f"{at}.sum2"), "add", (x, dense(f"{at}.down", h, width)))
    return g.build([dense("head", normal("last", x), rows)], BUILTIN, parameters={"batch": batch})
