"""The activation unit's operators in machine code, in double precision: pools, normalisation, functions."""

from __future__ import annotations

import math

from hwsim.arrays import Float64Array
from hwsim.kernels.compile import compiled_in_place

# Codes of the functions, in the order of the chain below.
UNARY_CODES = {
    name: code
    for code, name in enumerate(
        (
            "relu", "leaky_relu", "sigmoid", "tanh", "clip", "elu", "celu", "selu", "softplus", "softsign",
            "hard_sigmoid", "hard_swish", "gelu", "mish", "erf", "exp", "log", "sqrt", "reciprocal", "abs",
            "neg", "gelu_tanh", "silu", "scale",
        )
    )
}  # fmt: skip
BINARY_CODES = {
    name: code for code, name in enumerate(("add", "mul", "max", "min", "sub", "div", "pow", "prelu"))
}


@compiled_in_place
def apply_unary(values: Float64Array, code: int, a: float, b: float) -> None:
    """values = function(values) in place, over one dimension. `a` and `b` are its attributes: alpha and beta
    or gamma, min and max, or a factor."""
    for i in range(values.shape[0]):
        x = values[i]
        if code == 0:
            y = x if x > 0 or math.isnan(x) else 0.0
        elif code == 1:
            y = x if x >= 0 else a * x
        elif code == 2:
            y = 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
        elif code == 3:
            y = math.tanh(x)
        elif code == 4:
            y = min(max(x, a), b)
        elif code == 5:
            y = x if x >= 0 else a * math.expm1(x)
        elif code == 6:
            y = max(x, 0.0) + min(0.0, a * math.expm1(x / a)) if x < 0 else x
        elif code == 7:
            y = b * x if x >= 0 else b * (a * math.expm1(x))
        elif code == 8:
            y = max(x, 0.0) + math.log1p(math.exp(-abs(x)))
        elif code == 9:
            y = x / (1.0 + abs(x))
        elif code == 10:
            y = min(max(a * x + b, 0.0), 1.0)
        elif code == 11:
            y = x * min(max(x / 6.0 + 0.5, 0.0), 1.0)
        elif code == 12:
            y = 0.5 * x * math.erfc(-x / math.sqrt(2.0))
        elif code == 13:
            y = x * math.tanh(max(x, 0.0) + math.log1p(math.exp(-abs(x))))
        elif code == 14:
            y = math.erf(x)
        elif code == 15:
            y = math.exp(min(x, 709.0))
        elif code == 16:
            y = math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)
        elif code == 17:
            y = math.sqrt(x) if x >= 0 else math.nan
        elif code == 18:
            y = 1.0 / x if x != 0 else math.copysign(math.inf, x)
        elif code == 19:
            y = abs(x)
        elif code == 20:
            y = -x
        elif code == 21:
            y = 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))
        elif code == 22:
            y = x / (1.0 + math.exp(-x)) if x >= 0 else x * math.exp(x) / (1.0 + math.exp(x))
        else:
            y = a * x
        values[i] = y


@compiled_in_place
def apply_binary(values: Float64Array, other: Float64Array, code: int) -> None:
    """values = function(values, other) in place, over one dimension."""
    for i in range(values.shape[0]):
        x, y = values[i], other[i]
        if code == 0:
            x = x + y
        elif code == 1:
            x = x * y
        elif code == 2:
            x = max(x, y)
        elif code == 3:
            x = min(x, y)
        elif code == 4:
            x = x - y
        elif code == 5:
            x = x / y
        elif code == 6:
            x = x**y
        else:
            x = x if x > 0 else x * y
        values[i] = x


@compiled_in_place
def pool_windows(
    x: Float64Array,
    out: Float64Array,
    window: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int, int, int],
    dilation: tuple[int, int],
    average: bool,
    count_padding: bool,
) -> None:
    """out [N, C, P, Q] from x [N, C, H, W]: the largest number of each window, or the mean. Padding is never
    the largest; it counts in a mean, as zeros, only with `count_padding`, and never beyond the padded map."""
    _, _, height, width = x.shape
    for n in range(out.shape[0]):
        for c in range(out.shape[1]):
            for p in range(out.shape[2]):
                for q in range(out.shape[3]):
                    total, most, inside, padded = 0.0, -math.inf, 0, 0
                    for r in range(window[0]):
                        for s in range(window[1]):
                            h = p * stride[0] - pad[0] + r * dilation[0]
                            w = q * stride[1] - pad[1] + s * dilation[1]
                            if 0 <= h < height and 0 <= w < width:
                                total += x[n, c, h, w]
                                most = max(most, x[n, c, h, w])
                                inside += 1
                            elif h < height + pad[2] and w < width + pad[3]:
                                padded += 1
                    if average:
                        out[n, c, p, q] = total / (inside + padded if count_padding else inside)
                    else:
                        out[n, c, p, q] = most


@compiled_in_place
def normalise_channels(
    x: Float64Array, out: Float64Array, size: int, alpha: float, beta: float, k: float
) -> None:
    """Local response normalisation of [N, C, L] over `size` channels, of which (size - 1) // 2 lie before."""
    channels = x.shape[1]
    before = (size - 1) // 2
    for n in range(x.shape[0]):
        for c in range(channels):
            first, last = max(0, c - before), min(channels, c - before + size)
            for i in range(x.shape[2]):
                total = 0.0
                for j in range(first, last):
                    total += x[n, j, i] * x[n, j, i]
                out[n, c, i] = x[n, c, i] / (k + alpha / size * total) ** beta


@compiled_in_place
def softmax_rows(x: Float64Array) -> None:
    """Softmax of each row of x (rows, columns), in place."""
    for i in range(x.shape[0]):
        most = -math.inf
        for j in range(x.shape[1]):
            most = max(most, x[i, j])
        total = 0.0
        for j in range(x.shape[1]):
            x[i, j] = math.exp(x[i, j] - most)
            total += x[i, j]
        for j in range(x.shape[1]):
            x[i, j] /= total
