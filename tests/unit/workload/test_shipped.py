"""The shipped networks against the literature: MACs and parameters, and where the exact counts come from.

The exact figures are sums worked by hand from the layer tables of the papers, written out below; they share
no code with the shape rules. `said` is what publications print, with their rounding.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from hwsim.workload import load_workload
from tests.shipped_images import IMAGES, Conv, counted
from tests.shipped_sequences import SEQUENCES

SHELF = Path(__file__).resolve().parents[3] / "workloads"

# Convolutions are (channels seen, out, kernel, output width), linear layers (in, out).
VGG16: list[Conv] = [
    (3, 64, 3, 224),
    (64, 64, 3, 224),
    (64, 128, 3, 112),
    (128, 128, 3, 112),
    (128, 256, 3, 56),
    (256, 256, 3, 56),
    (256, 256, 3, 56),
    (256, 512, 3, 28),
    (512, 512, 3, 28),
    (512, 512, 3, 28),
    (512, 512, 3, 14),
    (512, 512, 3, 14),
    (512, 512, 3, 14),
]
RESNET18: list[Conv] = [
    (3, 64, 7, 112),
    *[(64, 64, 3, 56)] * 4,
    (64, 128, 3, 28),
    *[(128, 128, 3, 28)] * 3,
    (64, 128, 1, 28),
    (128, 256, 3, 14),
    *[(256, 256, 3, 14)] * 3,
    (128, 256, 1, 14),
    (256, 512, 3, 7),
    *[(512, 512, 3, 7)] * 3,
    (256, 512, 1, 7),
]


def bottlenecks(entry: int, width: int, size: int, count: int) -> list[Conv]:
    """A stage of ResNet-50 with the stride in its 3 x 3 convolutions: `size` is the width behind it."""
    before = size if width == 64 else 2 * size
    first = [
        (entry, width, 1, before),
        (width, width, 3, size),
        (width, 4 * width, 1, size),
        (entry, 4 * width, 1, size),
    ]
    return first + [(4 * width, width, 1, size), (width, width, 3, size), (width, 4 * width, 1, size)] * (
        count - 1
    )


RESNET50 = [
    (3, 64, 7, 112),
    *bottlenecks(64, 64, 56, 3),
    *bottlenecks(256, 128, 28, 4),
    *bottlenecks(512, 256, 14, 6),
    *bottlenecks(1024, 512, 7, 3),
]


def inception(width: int, entry: int, a: int, b: int, c: int, d: int, e: int, f: int) -> list[Conv]:
    """A row of table 1 of Szegedy et al."""
    return [
        (entry, a, 1, width),
        (entry, b, 1, width),
        (b, c, 3, width),
        (entry, d, 1, width),
        (d, e, 5, width),
        (entry, f, 1, width),
    ]


GOOGLENET = [
    (3, 64, 7, 112),
    (64, 64, 1, 56),
    (64, 192, 3, 56),
    *inception(28, 192, 64, 96, 128, 16, 32, 32),
    *inception(28, 256, 128, 128, 192, 32, 96, 64),
    *inception(14, 480, 192, 96, 208, 16, 48, 64),
    *inception(14, 512, 160, 112, 224, 24, 64, 64),
    *inception(14, 512, 128, 128, 256, 24, 64, 64),
    *inception(14, 512, 112, 144, 288, 32, 64, 64),
    *inception(14, 528, 256, 160, 320, 32, 128, 128),
    *inception(7, 832, 256, 160, 320, 32, 128, 128),
    *inception(7, 832, 384, 192, 384, 48, 128, 128),
]
# Grouped layers are written with the channels that one output sees.
ALEXNET: list[Conv] = [
    (3, 96, 11, 55),
    (48, 256, 5, 27),
    (256, 384, 3, 13),
    (192, 384, 3, 13),
    (192, 256, 3, 13),
]
# Depthwise (1 channel seen) and pointwise pairs of MobileNet, behind its first convolution.
PAIRS = [
    (32, 64, 112),
    (64, 128, 56),
    (128, 128, 56),
    (128, 256, 28),
    (256, 256, 28),
    (256, 512, 14),
    *[(512, 512, 14)] * 5,
    (512, 1024, 7),
    (1024, 1024, 7),
]
MOBILENET: list[Conv] = [
    (3, 32, 3, 112),
    *[row for a, b, size in PAIRS for row in ((1, a, 3, size), (a, b, 1, size))],
]


# name -> exact counts, and (MACs, parameters) as published, with the source of the latter.
CASES = {
    # 266,610 = 784 x 300 + 300 + 300 x 100 + 100 + 100 x 10 + 10; "266 K" in Han et al., Deep Compression
    # (ICLR 2016), table 2; LeNet-5 "431 K" in table 3, AlexNet "61 M" in table 4, VGG-16 "138 M" in table 5.
    "lenet300": (counted([], [(784, 300), (300, 100), (100, 10)], norm=False), (None, 266e3)),
    "lenet5": (counted([(1, 20, 5, 24), (20, 50, 5, 8)], [(800, 500), (500, 10)], norm=False), (None, 431e3)),
    # "724 M" MACs: Sze, Chen, Yang, Emer, Efficient Processing of Deep Neural Networks, Proc. IEEE 105
    # (2017), table II.
    "alexnet": (
        counted(ALEXNET, [(9216, 4096), (4096, 4096), (4096, 1000)], norm=False),
        (724e6, 61e6),
    ),
    # "15.5 G" and "138 M": the same table.
    "vgg16": (counted(VGG16, [(25088, 4096), (4096, 4096), (4096, 1000)], norm=False), (15.5e9, 138e6)),
    # Table 1 of Szegedy et al. sums to 1.5 G with 34 M for its first layer, which has 118 M (a slip of the
    # paper: 64 x 3 x 49 x 112 x 112); "7 M" in Sze et al. and 6.99 M without the auxiliary heads.
    "googlenet": (counted(GOOGLENET, [(1024, 1000)], norm=False), (1.58e9, 7.0e6)),
    # He et al. say 1.8 G for ResNet-18, table 1; torchvision lists 11.69 M and 1.81 G for it, and 25.56 M and
    # 4.09 G for ResNet-50.
    "resnet18": (counted(RESNET18, [(512, 1000)], norm=True), (1.81e9, 11.7e6)),
    "resnet50": (counted(RESNET50, [(2048, 1000)], norm=True), (4.09e9, 25.56e6)),
    # "569 M" and "4.2 M": Howard et al., table 4.
    "mobilenet_v1": (counted(MOBILENET, [(1024, 1000)], norm=True), (569e6, 4.2e6)),
    # "20 M" and "8 M" weights: Jouppi et al., ISCA 2017, table 1.
    "tpu_mlp0": ((200 * 5 * 2000 * 2000, 5 * 2000 * 2000), (None, 20e6)),
    "tpu_cnn0": ((8 * 16 * 236 * 236 * 9 * 19 * 19, 16 * 236 * 236 * 9), (None, 8e6)),
}

# hwsim's own, of studies/digits: no publication counts them.
DIGITS: list[Conv] = [(1, 16, 3, 8), (16, 32, 3, 8), (32, 32, 3, 4)]
CASES |= {
    "digits_cnn": (counted(DIGITS, [(512, 64), (64, 10)], norm=False), (None, 47_530)),
    "digits_mlp": (counted([], [(64, 300), (300, 100), (100, 10)], norm=False), (None, 50_610)),
}

# Inputs and outputs of the EIE paper's layers, its Table III.
EIE = {
    "alex6": (9216, 4096), "alex7": (4096, 4096), "alex8": (4096, 1000), "vgg6": (25088, 4096),
    "vgg7": (4096, 4096), "vgg8": (4096, 1000), "nt_we": (4096, 600), "nt_wd": (600, 8791),
    "nt_lstm": (1201, 2400),
}  # fmt: skip
CASES |= {f"eie_{name}": ((k * m, k * m), (None, k * m)) for name, (k, m) in EIE.items()}
CASES |= IMAGES | SEQUENCES


@pytest.mark.parametrize("name", CASES)
def test_counts_are_those_of_the_literature(name: str) -> None:
    (macs, parameters), (said_macs, said_parameters) = CASES[name]
    net = load_workload(name)
    assert (net.macs, net.parameter_count) == (macs, parameters)
    if said_macs is not None:
        assert net.macs == pytest.approx(said_macs, rel=0.01)
    assert net.parameter_count == pytest.approx(said_parameters, rel=0.01)


# Layers, heads of keys and their size, of networks that keep keys and values.
CACHED = {"gpt2": (12, 12, 64), "llama_7b": (32, 32, 128), "llama_70b": (80, 8, 128), "mixtral": (32, 8, 128)}


@pytest.mark.parametrize("network", CACHED)
@pytest.mark.parametrize(("prompt", "generated", "batch"), [(512, 1, 1), (100, 37, 3)])
def test_keys_and_values_take_exactly_their_bytes(
    network: str, prompt: int, generated: int, batch: int
) -> None:
    """Two tensors a layer, of each place until the token at hand: in fp16 2 * 80 * 8 * 128 * 513 * 2 =
    168,099,840 bytes for Llama of 70 billion parameters, a prompt of 512 and its first token."""
    layers, heads, size = CACHED[network]
    read = load_workload(f"{network}_prefill", batch=batch, prompt=prompt).astype("fp16")
    made = load_workload(f"{network}_decode", batch=batch, prompt=prompt, generated=generated).astype("fp16")
    for net, places in ((read, prompt), (made, prompt + generated)):
        held = [t for t in net.tensors.values() if t.role == "cache"]
        assert len(held) == 2 * layers
        assert sum(t.size_bytes for t in held) == 2 * layers * heads * size * places * 2 * batch


def test_idle_experts_take_the_room_of_their_format() -> None:
    """Of 46.7 billion parameters, 93.4 GB in two bytes each, whether or not a token takes them."""
    for name in ("mixtral_prefill", "mixtral_decode"):
        net = load_workload(name).astype("fp16")
        held = sum(t.size_bytes for t in net.tensors.values() if t.role == "weight")
        assert held == pytest.approx(2 * net.parameter_count, rel=1e-4)


def test_a_token_stands_behind_the_prompt_and_what_was_made_before_it() -> None:
    net = load_workload("gpt2_decode", prompt=100, generated=37)
    assert net.values("positional1.places").tolist() == [136]
    rotated = load_workload("llama_7b_decode", prompt=100, generated=37)
    angles = next(t for t in rotated.tensors.values() if t.name.endswith(".cosine"))
    assert rotated.values(angles.name)[0, 0] == pytest.approx(math.cos(136), abs=1e-6)


def test_every_shipped_file_is_counted() -> None:
    assert {path.stem for path in SHELF.iterdir() if path.is_file()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_every_file_says_what_it_is(name: str) -> None:
    net = load_workload(name)
    assert net.synthetic == name.startswith("tpu_")
    assert len(net.source.sha256) == 64
    assert net.source.path.endswith((f"{name}.yaml", f"{name}.onnx"))
    if net.source.format == "yaml":
        assert net.description.endswith(".")
        assert net.notes[0].startswith("network after ")
        assert net.synthetic == ("its shapes are assumed, because no publication gives them" in net.notes)
        assert "\nsource: >-" in (SHELF / f"{name}.yaml").read_text()
        assert net.name == name


@pytest.mark.parametrize("name", CASES)
def test_batch_four_infers_every_shape_anew(name: str) -> None:
    own = load_workload(name)
    four = load_workload(name, batch=4)
    assert four.macs * own.batch == 4 * own.macs
    assert four.parameter_count == own.parameter_count
    if name in SEQUENCES:  # steps or places come first in some, and which experts run hangs on the places
        return
    assert [op.name for op in four.operators] == [op.name for op in own.operators]
    for tensor in four.tensors.values():
        if tensor.role in ("input", "activation", "output"):
            assert tensor.shape[0] == 4


def test_resnet50_is_fused_as_an_accelerator_would() -> None:
    """53 convolutions with their batch norms, 16 residual adds with their ReLU, and nothing in between."""
    net = load_workload("resnet50")
    assert Counter(op.kind for op in net.operators) == {
        "conv2d": 53,
        "elementwise": 16,
        "pool": 2,
        "matmul": 1,
        "view": 1,
        "softmax": 1,
    }
    adds = [op for op in net.operators if op.kind == "elementwise"]
    assert all([step.function for step in op.epilogue] == ["relu"] for op in adds)
    behind = Counter(
        tuple(step.function for step in op.epilogue) for op in net.operators if op.kind == "conv2d"
    )
    assert behind == {("bias", "relu"): 33, ("bias",): 20}
    assert {op.problem.stride for op in net.operators if op.kind == "conv2d" and op.problem.R == 3} == {
        (1, 1),
        (2, 2),
    }  # type: ignore[union-attr]
    assert "gpu_0/res2_0_branch2a" in [op.name for op in net.operators]


def test_mobilenet_alternates_depthwise_and_pointwise() -> None:
    convs = [op.problem for op in load_workload("mobilenet_v1").operators if op.kind == "conv2d"]
    assert [c.groups == c.C for c in convs[1:]] == [True, False] * 13  # type: ignore[union-attr]
