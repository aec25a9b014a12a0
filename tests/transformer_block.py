"""A block of an encoder with biases, layer norms and a mask, put together by the builder."""

from __future__ import annotations

from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label


def encoder(
    batch: int = 2,
    places: int = 11,
    heads: int = 4,
    size: int = 8,
    inner: int = 48,
    *,
    function: str = "gelu",
) -> Workload:
    """Attention over `places` and a feed-forward layer, each normalised behind its sum (Vaswani et al.,
    2017)."""
    g, width = GraphBuilder("encoder", dtype="fp32"), heads * size
    x, mask = g.input("x", (batch, places, width)), g.input("mask", (places,))

    def dense(name: str, x: str, out: int) -> str:
        depth = g.shape(x)[-1]
        weight, bias = (
            g.weight(f"{name}.w", (depth, out), fan_in=depth),
            g.weight(f"{name}.b", (out,), "bias"),
        )
        return g.matmul(Label(name), x, weight, bias)

    def headed(name: str) -> str:
        split = g.view(Label(f"{name}.split"), dense(name, x, width), "reshape", (batch, places, heads, size))
        return g.transpose(Label(f"{name}.heads"), split, (0, 2, 1, 3))

    def normal(name: str, x: str) -> str:
        scale, shift = g.weight(f"{name}.s", (width,), "scale"), g.weight(f"{name}.t", (width,), "shift")
        return g.norm(Label(name), x, "layer_norm", scale, shift)

    q, k, v = (headed(name) for name in "qkv")
    y = g.transpose(Label("back"), g.attention(Label("attention"), q, k, v, mask), (0, 2, 1, 3))
    y = dense("out", g.view(Label("joined"), y, "reshape", (batch, places, width)), width)
    x = normal("norm1", g.combine(Label("sum1"), "add", (x, y)))
    h = g.unary(Label("function"), dense("up", x, inner), function)
    x = normal("norm2", g.combine(Label("sum2"), "add", (x, dense("down", h, width))))
    return g.build([x], Source("builtin", "constructor", ""), parameters={"batch": batch})
