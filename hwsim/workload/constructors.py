"""Workloads of a single operator, by its sizes."""

from __future__ import annotations

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Distribution, Shape
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.graph import Source, Workload
from hwsim.workload.operators import GATES, Pair
from hwsim.workload.recurrent import FORMS
from hwsim.workload.recurrent_layer import Form, RecurrentLayer, add_recurrent_layer
from hwsim.workload.shapes import Pads

_BUILTIN = Source("builtin", "constructor", "")
LAYOUTS = ("nn", "nt", "tn", "tt")
_DEFAULT = "int8"  # until a run takes the design's own


def matmul(m: int, n: int, k: int, *, batch: int = 1, dtype: str | None = None, layout: str = "") -> Workload:
    """out[batch, m, n] = a[batch, m, k] b[batch, k, n], where `a` comes in from outside and `b` is a weight
    (a plain [m, k] [k, n] product when batch is 1), in `dtype`, or else in the design's own
    format. `layout` says how the two lie in memory, as BLAS does of matrices stored by columns: "n" or "t"
    for each; it decides nothing but how well a GPU streams them. Raises SpecError for sizes below one and
    other layouts."""
    _check(m=m, n=n, k=k, batch=batch)
    lead: Shape = (batch,) if batch > 1 else ()
    builder = GraphBuilder(f"matmul_{f'{batch}x' if batch > 1 else ''}{m}x{n}x{k}", dtype=dtype or _DEFAULT)
    a = builder.input("a", (*lead, m, k))
    b = builder.weight("b", (*lead, k, n), fan_in=k)
    if layout not in ("", *LAYOUTS):
        raise SpecError(f"layout is {layout!r}: it must be one of {', '.join(LAYOUTS)}")
    out = builder.matmul(Label("matmul", "out"), a, b, layout=layout)
    description = f"{f'{batch} products' if batch > 1 else 'product'} of {m} x {k} by {k} x {n}"
    built = builder.build([out], _BUILTIN, description=description, parameters={"batch": batch})
    return built if dtype is None else built.astype(dtype)


def matvec(
    outputs: int, inputs: int, *, density: float = 1.0, act_density: float = 1.0, batch: int = 1,
    shared_bits: int = 4, seed: int = 0,
) -> Workload:  # fmt: skip
    """out[batch, outputs] = a[batch, inputs] w^T with a sparse weight matrix [outputs, inputs] and sparse
    activations: `density` and `act_density` say how many elements of each are not zero, at places that the
    seed decides, every choice as likely. Weights share 2**shared_bits - 1 values beside zero. Raises
    SpecError for sizes below one and densities outside (0, 1]."""
    _check(outputs=outputs, inputs=inputs, batch=batch)
    for name, share in (("density", density), ("act_density", act_density)):
        if not 0 < share <= 1:
            raise SpecError(f"{name} is {share!r}: it must be above 0 and at most 1")
    densities = "".join(f"_{share:g}" for share in (density, act_density))
    builder = GraphBuilder(f"matvec_{batch}x{outputs}x{inputs}{densities}", dtype=_DEFAULT, seed=seed)
    a = builder.input("a", (batch, inputs), density=act_density)
    w = builder.weight("w", (outputs, inputs), fan_in=inputs, density=density, shared_bits=shared_bits)
    out = builder.matmul(Label("matvec", "out"), a, w, transpose_b=True)
    return builder.build([out], _BUILTIN, parameters={"batch": batch, "seed": seed})


def conv2d(
    batch: int,
    in_channels: int,
    height: int,
    width: int,
    out_channels: int,
    kernel: int | Pair,
    *,
    stride: int | Pair = 1,
    pad: int | Pair | Pads = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    dtype: str | None = None,
) -> Workload:
    """A convolution of [batch, in_channels, height, width] without bias. `kernel`, `stride` and `dilation`
    are one number or (height, width), `pad` also (top, left, bottom, right). In `dtype`, or else
    in the design's own format. Raises SpecError for sizes below one and windows that do not fit."""
    _check(
        batch=batch,
        in_channels=in_channels,
        height=height,
        width=width,
        out_channels=out_channels,
        groups=groups,
    )
    r, s = _pair("kernel", kernel)
    pads = _pads(pad)
    builder = GraphBuilder(
        f"conv2d_{batch}x{in_channels}x{height}x{width}_{out_channels}x{r}x{s}", dtype=dtype or _DEFAULT
    )
    x = builder.input("x", (batch, in_channels, height, width))
    per_group = max(1, in_channels // groups)
    weight = builder.weight("weight", (out_channels, per_group, r, s), fan_in=per_group * r * s)
    out = builder.conv2d(
        Label("conv2d", "out"), x, weight, stride=_pair("stride", stride), pad=pads,
        dilation=_pair("dilation", dilation), groups=groups,
    )  # fmt: skip
    built = builder.build([out], _BUILTIN, parameters={"batch": batch})
    return built if dtype is None else built.astype(dtype)


def elementwise(elements: int, *, function: str = "relu", dtype: str | None = None) -> Workload:
    """`function` of each of so many elements, from memory to memory. In `dtype`, or else in the design's own
    format. Raises SpecError for sizes below one."""
    _check(elements=elements)
    builder = GraphBuilder(f"{function}_{elements}", dtype=dtype or _DEFAULT)
    out = builder.unary(Label("elementwise", "out"), builder.input("x", (elements,)), function)
    built = builder.build([out], _BUILTIN)
    return built if dtype is None else built.astype(dtype)


def recurrent(
    cell: str,
    hidden: int,
    batch: int,
    steps: int,
    *,
    form: Form = "absent",
    features: int | None = None,
    function: str = "tanh",
    dtype: str | None = None,
) -> Workload:
    """`steps` steps of a layer of `hidden` units over `batch` sequences, without bias: "lstm", "gru", or
    "rnn" with `function` "tanh" or "relu". `form` says where the products of its inputs are made: in one
    product before ("batched"), in each step ("stepwise"), or nowhere ("absent", as cuDNN's skip-input mode,
    in which inputs are as large as the state). An input has as many `features` as the state unless given.
    Raises SpecError for sizes below one and other names."""
    _check(hidden=hidden, batch=batch, steps=steps, features=hidden if features is None else features)
    for name, given, known in (("cell", cell, tuple(GATES)), ("form", form, FORMS)):
        if given not in known:
            raise SpecError(f"{name} is {given!r}: it must be one of {', '.join(known)}")
    wide = hidden if features is None else features
    name = f"{cell}_{steps}x{batch}x{hidden}" + ("" if form == "absent" else f"_{form}_{wide}")
    builder = GraphBuilder(name, dtype=dtype or _DEFAULT)
    x = builder.input("x", (steps, batch, wide))

    def weigh(part: str, shape: Shape, distribution: Distribution, fan_in: int) -> str:
        return builder.weight(part, shape, distribution, fan_in=fan_in)

    layer = RecurrentLayer(cell, hidden, form, bias=False, function=function)
    out = add_recurrent_layer(builder, Label(cell, "out"), x, layer, weigh)
    built = builder.build([out], _BUILTIN, parameters={"batch": batch, "steps": steps})
    return built if dtype is None else built.astype(dtype)


def _check(**sizes: object) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise SpecError(f"{name} is {size!r}: it must be a whole number of at least 1")


def _pair(name: str, given: int | Pair) -> Pair:
    found = (given, given) if isinstance(given, int) else tuple(given)
    if len(found) != 2:
        raise SpecError(f"{name} is {given!r}: it must be one number or (height, width)")
    _check(**{name: found[0]})
    _check(**{name: found[1]})
    return found


def _pads(given: int | Pair | Pads) -> Pads:
    sides = (given,) * 4 if isinstance(given, int) else tuple(given) * (2 if len(given) == 2 else 1)
    if len(sides) != 4 or any(type(side) is not int or side < 0 for side in sides):
        raise SpecError(f"pad is {given!r}: it must be whole numbers of at least 0, one, two or four")
    return sides
