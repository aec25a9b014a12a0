"""Hand-worked counts of shipped image networks, from the layer tables of their papers. They share no code
with the shape rules. A case is the exact (MACs, parameters), and both as published, with the source."""

from __future__ import annotations

from collections.abc import Sequence

Conv = tuple[int, int, int, int]  # channels that one output sees, outputs, kernel, output width
Counts = tuple[int, int]
Case = tuple[Counts, tuple[float | None, float]]


def counted(
    convs: list[Conv], linears: Sequence[tuple[int, int]] = (), *, norm: bool = False, bias: bool = True
) -> Counts:
    """(MACs, parameters); a batch norm has two trained numbers for each channel, a bias one."""
    macs = sum(c * k * r * r * p * p for c, k, r, p in convs) + sum(a * b for a, b in linears)
    extra = sum(k for _, k, _, _ in convs) * (2 if norm else 1 if bias else 0)
    weights = sum(c * k * r * r for c, k, r, _ in convs) + sum(a * b for a, b in linears)
    return macs, weights + extra + (sum(b for _, b in linears) if bias else 0)


def added(*parts: Counts) -> Counts:
    return sum(macs for macs, _ in parts), sum(parameters for _, parameters in parts)


# (channels in, channels out, kernel, stride, blocks, width before): Sandler et al., table 2; Tan & Le, table
# 1. The first row, which widens nothing, is written out below.
MOBILENET_V2_STAGES = [
    (16, 24, 3, 2, 2, 112), (24, 32, 3, 2, 3, 56), (32, 64, 3, 2, 4, 28), (64, 96, 3, 1, 3, 14),
    (96, 160, 3, 2, 3, 14), (160, 320, 3, 1, 1, 7),
]  # fmt: skip
EFFICIENTNET_STAGES = [
    (16, 24, 3, 2, 2, 112), (24, 40, 5, 2, 2, 56), (40, 80, 3, 2, 3, 28), (80, 112, 5, 1, 3, 14),
    (112, 192, 5, 2, 4, 14), (192, 320, 3, 1, 1, 7),
]  # fmt: skip


def inverted(stages: list[tuple[int, int, int, int, int, int]]) -> list[Conv]:
    """Inverted residual blocks: 1x1 to six times the channels, a depthwise convolution, 1x1 back."""
    found = []
    for before, out, kernel, stride, blocks, width in stages:
        for block in range(blocks):
            entry = before if block == 0 else out
            after = width // stride
            found += [
                (entry, 6 * entry, 1, width if block == 0 else after),
                (1, 6 * entry, kernel, after),
                (6 * entry, out, 1, after),
            ]
    return found


ENDS: list[Conv] = [(3, 32, 3, 112), (1, 32, 3, 112), (32, 16, 1, 112), (320, 1280, 1, 7)]
EXCITED = [
    (32, 8),
    *((6 * entry, entry // 4) for a, b, _, _, blocks, _ in EFFICIENTNET_STAGES
      for entry in (a, *[b] * (blocks - 1))),
]  # fmt: skip
SQUEEZES: list[Conv] = [
    conv for wide, narrow in EXCITED for conv in ((wide, narrow, 1, 1), (narrow, wide, 1, 1))
]

# Fire modules: channels in, squeezed, expanded by either kernel, width; Iandola et al., table 1.
FIRES = [
    (96, 16, 64, 54), (128, 16, 64, 54), (128, 32, 128, 54), (256, 32, 128, 27), (256, 48, 192, 27),
    (384, 48, 192, 27), (384, 64, 256, 27), (512, 64, 256, 13),
]  # fmt: skip
SQUEEZENET: list[Conv] = [
    (3, 96, 7, 109),
    *(conv for c, s, e, p in FIRES for conv in ((c, s, 1, p), (s, e, 1, p), (s, e, 3, p))),
    (512, 1000, 1, 13),
]

# Modules: width, channels in, and the row of table 1 of Szegedy et al., with 3x3 for 5x5.
MODULES = [
    (28, 192, 64, 96, 128, 16, 32, 32), (28, 256, 128, 128, 192, 32, 96, 64),
    (14, 480, 192, 96, 208, 16, 48, 64), (14, 512, 160, 112, 224, 24, 64, 64),
    (14, 512, 128, 128, 256, 24, 64, 64), (14, 512, 112, 144, 288, 32, 64, 64),
    (14, 528, 256, 160, 320, 32, 128, 128), (7, 832, 256, 160, 320, 32, 128, 128),
    (7, 832, 384, 192, 384, 48, 128, 128),
]  # fmt: skip
INCEPTION: list[Conv] = [
    (3, 64, 7, 112),
    (64, 64, 1, 56),
    (64, 192, 3, 56),
    *(
        conv
        for p, x, a, b, c, d, e, f in MODULES
        for conv in ((x, a, 1, p), (x, b, 1, p), (b, c, 3, p), (x, d, 1, p), (d, e, 3, p), (x, f, 1, p))
    ),
]


def dense() -> Counts:
    """DenseNet-121; batch norms stand before its convolutions, and so have the channels that come in."""
    convs: list[Conv] = [(3, 64, 7, 112)]
    normed, channels = 64, 64
    for layers, width in ((6, 56), (12, 28), (24, 14), (16, 7)):
        for _ in range(layers):
            convs += [(channels, 128, 1, width), (128, 32, 3, width)]
            normed += channels + 128
            channels += 32
        normed += channels
        if width > 7:  # the transition, before its pooling
            convs.append((channels, channels // 2, 1, width))
            channels //= 2
    return added(counted(convs, bias=False), (0, 2 * normed), counted([], [(1024, 1000)]))


def shuffled() -> list[Conv]:
    """ShuffleNet v2 of width 1: table 5 and figure 3 of Ma et al."""
    convs: list[Conv] = [(3, 24, 3, 112), (464, 1024, 1, 7)]
    for before, half, more, width in ((24, 58, 3, 28), (116, 116, 7, 14), (232, 232, 3, 7)):
        convs += [(1, before, 3, width), (before, half, 1, width)]
        convs += [(before, half, 1, 2 * width), (1, half, 3, width), (half, half, 1, width)]
        convs += [(half, half, 1, width), (1, half, 3, width), (half, half, 1, width)] * more
    return convs


# Figure 1 of Ronneberger et al.; a transposed convolution makes 2 x 2 numbers of each place of its input.
UNET: list[Conv] = [
    (1, 64, 3, 570), (64, 64, 3, 568), (64, 128, 3, 282), (128, 128, 3, 280), (128, 256, 3, 138),
    (256, 256, 3, 136), (256, 512, 3, 66), (512, 512, 3, 64), (512, 1024, 3, 30), (1024, 1024, 3, 28),
    (1024, 512, 2, 28), (1024, 512, 3, 54), (512, 512, 3, 52),
    (512, 256, 2, 52), (512, 256, 3, 102), (256, 256, 3, 100),
    (256, 128, 2, 100), (256, 128, 3, 198), (128, 128, 3, 196),
    (128, 64, 2, 196), (128, 64, 3, 390), (64, 64, 3, 388), (64, 2, 1, 388),
]  # fmt: skip

HEAD = counted([], [(1280, 1000)])
# MACs and parameters of torchvision's networks are those that it lists with its weights (pytorch.org/vision).
IMAGES: dict[str, Case] = {
    # "300 M" in table 4 of Sandler et al.; torchvision lists 0.301 G and 3.50 M.
    "mobilenet_v2": (
        added(counted(ENDS + inverted(MOBILENET_V2_STAGES), norm=True), HEAD),
        (0.301e9, 3.50e6),
    ),
    # "0.39 B" and "5.3 M" in table 2 of Tan & Le; torchvision lists 0.386 G and 5.29 M.
    "efficientnet_b0": (
        added(counted(ENDS + inverted(EFFICIENTNET_STAGES), norm=True), counted(SQUEEZES), HEAD),
        (0.386e9, 5.29e6),
    ),
    # 1,248,424 in table 1 of Iandola et al.; torchvision lists 0.819 G.
    "squeezenet": (counted(SQUEEZENET), (0.819e9, 1_248_424)),
    # torchvision lists 1.498 G and 6.62 M for GoogLeNet.
    "inception_v1": (added(counted(INCEPTION, norm=True), counted([], [(1024, 1000)])), (1.498e9, 6.62e6)),
    # torchvision lists 2.834 G and 7.98 M; "8.0 M" in figure 3 of Huang et al.
    "densenet121": (dense(), (2.834e9, 7.98e6)),
    # "146 M" and "2.3 M" in tables 5 and 8 of Ma et al.; torchvision lists 0.145 G and 2.28 M.
    "shufflenet": (added(counted(shuffled(), norm=True), counted([], [(1024, 1000)])), (0.145e9, 2.28e6)),
    # 31.03 M is what implementations report of the network as published; nobody prints its MACs.
    "unet": (counted(UNET), (None, 31.03e6)),
}
