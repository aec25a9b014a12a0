"""Folding and fusing: what merges, what must not, and that no number is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hwsim.tensor.tensor import Array
from hwsim.workload import Source, Step, Workload
from hwsim.workload.builder import GraphBuilder, Label

SOURCE = Source("builtin", "constructor", "")


def finish(builder: GraphBuilder, *outputs: str) -> Workload:
    return builder.build(outputs, SOURCE)


def norm(b: GraphBuilder, name: str, x: str, channels: int) -> str:
    parts = [
        b.weight(f"{name}.{part}", (channels,), part)  # type: ignore[arg-type]
        for part in ("bias", "mean", "variance")
    ]
    gamma = b.weight(f"{name}.gamma", (channels,), "scale")
    return b.batch_norm(Label(name), x, gamma, *parts, epsilon=1e-3)


def conv(b: GraphBuilder, x: str, *, bias: bool = True, name: str = "conv") -> str:
    """1 x 1, 2 -> 3 channels, so that a test can follow it by hand."""
    w = b.weight(f"{name}.w", (3, 2, 1, 1), fan_in=2)
    return b.conv2d(Label(name), x, w, b.weight(f"{name}.b", (3,), "bias") if bias else "")


def start() -> GraphBuilder:
    b = GraphBuilder("net")
    b.input("x", (1, 2, 4, 4))
    return b


def values(b: GraphBuilder, *names: str) -> list[Array]:
    """Before folding, straight from the draft's tensors."""
    return [b.tensors[name].values() for name in names]  # type: ignore[misc]


@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_folds_into_the_convolution_before_it(bias: bool) -> None:
    b = start()
    y = norm(b, "bn", conv(b, "x", bias=bias), 3)
    w, g, beta, mean, var = values(b, "conv.w", "bn.gamma", "bn.bias", "bn.mean", "bn.variance")
    c = values(b, "conv.b")[0] if bias else np.zeros(3)
    net = finish(b, b.unary(Label("out"), y, "relu"))
    (op,) = net.operators
    added = op.epilogue[0].tensor
    assert [step.function for step in op.epilogue] == ["bias", "relu"]
    # y = g (w x + c - mean) / sqrt(var + eps) + beta, for x = (1, 0) and (0, 1)
    deviation = np.sqrt(var + 1e-3)
    for channel in (0, 1):
        x = np.eye(2)[channel]
        wanted = g * (w[:, :, 0, 0] @ x + c - mean) / deviation + beta
        found = net.values("conv.w")[:, :, 0, 0] @ x + net.values(added)
        assert np.allclose(found, wanted, rtol=1e-5)
    assert net.parameter_count == 3 * 2 + (3 if bias else 0) + 2 * 3
    assert any("folded" in note for note in net.notes)


def test_mul_and_add_by_channel_fold_like_a_batch_norm() -> None:
    b = start()
    s, t = b.weight("s", (3, 1, 1), "scale"), b.weight("t", (1, 3, 1, 1), "shift")
    y = b.combine(Label("mul"), "mul", [s, conv(b, "x")])
    w, c, scale, shift = values(b, "conv.w", "conv.b", "s", "t")
    net = finish(b, b.combine(Label("add"), "add", [y, t]))
    (op,) = net.operators
    assert np.allclose(net.values("conv.w")[:, 0, 0, 0], w[:, 0, 0, 0] * scale[:, 0, 0], rtol=1e-6)
    wanted = c * scale.reshape(-1) + shift.reshape(-1)
    assert np.allclose(net.values(op.epilogue[0].tensor), wanted, rtol=1e-5)
    assert net.parameter_count == 6 + 3 + 3 + 3


def test_a_scalar_folds_into_every_channel() -> None:
    b = start()
    half = b.weight("half", (), "scale", values=lambda: np.array(0.5, dtype=np.float32), role="constant")
    y = conv(b, "x")
    w, c = values(b, "conv.w", "conv.b")
    net = finish(b, b.combine(Label("mul"), "mul", [y, half]))
    assert np.allclose(net.values("conv.w"), w / 2)
    assert np.allclose(net.values(net.operators[0].epilogue[0].tensor), c / 2)
    assert net.parameter_count == 9


@pytest.mark.parametrize("transpose", [True, False])
def test_a_batch_norm_folds_into_a_matmul_along_its_columns(transpose: bool) -> None:
    b = GraphBuilder("net")
    b.input("x", (5, 2))
    w = b.weight("w", (3, 2) if transpose else (2, 3), fan_in=2)
    y = b.matmul(Label("fc"), "x", w, transpose_b=transpose)
    y = norm(b, "bn", y, 3)
    before, g, var = values(b, "w", "bn.gamma", "bn.variance")
    net = finish(b, y)
    factor = g / np.sqrt(var + 1e-3)
    assert np.allclose(net.values("w"), before * (factor[:, None] if transpose else factor), rtol=1e-5)


def test_what_others_read_is_not_folded() -> None:
    b = start()
    y = conv(b, "x")
    net = finish(b, norm(b, "bn", y, 3), b.unary(Label("side"), y, "tanh"))
    assert [op.kind for op in net.operators] == ["conv2d", "elementwise", "elementwise"]
    assert net.operators[1].problem.function == "batch_norm"  # type: ignore[union-attr]
    assert net.operators[1].inputs[1:] == ("bn.scale", "bn.shift")
    b = start()
    y = conv(b, "x")
    net = finish(b, y, norm(b, "bn", y, 3))
    assert len(net.operators) == 2


def test_shared_weights_are_not_scaled_for_all() -> None:
    b = start()
    w = b.weight("w", (3, 2, 1, 1), fan_in=2)
    one = norm(b, "bn", b.conv2d(Label("one"), "x", w), 3)
    two = b.conv2d(Label("two"), "x", w)
    before = values(b, "w")[0]
    net = finish(b, one, two)
    assert [op.kind for op in net.operators] == ["conv2d", "elementwise", "conv2d"]
    assert np.array_equal(net.values("w"), before)
    assert net.parameter_count == 6 + 6


def test_an_activation_between_keeps_a_batch_norm_apart() -> None:
    b = start()
    y = b.unary(Label("relu"), conv(b, "x"), "relu")
    net = finish(b, norm(b, "bn", y, 3))
    assert [op.kind for op in net.operators] == ["conv2d", "elementwise"]


def test_a_lone_batch_norm_takes_up_what_follows() -> None:
    b = start()
    y = norm(b, "bn", "x", 2)
    s = b.weight("s", (2, 1, 1), "scale")
    y = b.combine(Label("mul"), "mul", [y, s])
    y = b.combine(Label("add"), "add", [b.weight("t", (2, 1, 1), "shift"), y])
    scale, shift = values(b, "bn.scale", "bn.shift")
    more, further = values(b, "s", "t")
    net = finish(b, b.unary(Label("relu"), y, "relu"))
    (op,) = net.operators
    assert op.inputs == ("x", "bn.scale", "bn.shift")
    assert np.allclose(net.values("bn.scale"), scale * more.reshape(-1), rtol=1e-6)
    assert np.allclose(net.values("bn.shift"), shift * more.reshape(-1) + further.reshape(-1), rtol=1e-5)
    assert op.epilogue == (Step("relu"),)


@pytest.mark.parametrize("shape", [(4,), (1, 1, 4), (3, 4, 1), (2, 1, 1, 1), (1, 3, 1, 1, 1)])
def test_constants_along_other_axes_stay(shape: tuple[int, ...]) -> None:
    b = start()
    y = conv(b, "x")
    net = finish(b, b.combine(Label("add"), "add", [y, b.weight("c", shape, "shift")]))
    assert [op.kind for op in net.operators] == ["conv2d", "elementwise"]


def test_activations_fuse_in_order_with_their_attributes() -> None:
    b = start()
    y = b.unary(Label("leaky"), conv(b, "x"), "leaky_relu", {"alpha": 0.25})
    y = b.unary(Label("clip"), y, "clip", {"max": 6.0})
    net = finish(b, y)
    (op,) = net.operators
    assert op.output == "clip"
    assert op.epilogue == (
        Step("bias", "conv.b"), Step("leaky_relu", "", (("alpha", 0.25),)), Step("clip", "", (("max", 6.0),)),
    )  # fmt: skip


def test_an_activation_of_a_pool_or_view_stays() -> None:
    b = start()
    y = b.pool(Label("pool"), "x", "max", (2, 2))
    y = b.unary(Label("relu"), y, "relu")
    y = b.view(Label("flat"), y, "flatten", (1, 8))
    net = finish(b, b.unary(Label("tanh"), y, "tanh"))
    assert [op.kind for op in net.operators] == ["pool", "elementwise", "view", "elementwise"]


def test_a_residual_add_stays_and_takes_its_relu() -> None:
    b = start()
    y = b.combine(Label("add"), "add", [conv(b, "x", name="p"), conv(b, "x", name="q")])
    net = finish(b, b.unary(Label("relu"), y, "relu"))
    assert [op.name for op in net.operators] == ["p", "q", "add"]
    assert net.operators[2].epilogue == (Step("relu"),)
    assert [step.function for step in net.operators[1].epilogue] == ["bias"]


def test_only_tensors_in_use_remain() -> None:
    b = start()
    net = finish(b, norm(b, "bn", conv(b, "x"), 3))
    used = {"x", "conv.w", net.operators[0].epilogue[0].tensor, "bn"}
    assert set(net.tensors) == used


def outputs_of(net: Workload) -> Sequence[str]:
    return [name for name, t in net.tensors.items() if t.role == "output"]


def test_outputs_are_marked_and_kept_apart() -> None:
    b = start()
    y = conv(b, "x")
    z = b.unary(Label("relu"), y, "relu")
    net = finish(b, y, z)
    assert [op.output for op in net.operators] == ["conv", "relu"]
    assert outputs_of(net) == ["conv", "relu"]
