"""Deep Compression beside its paper: the stored size of each layer, from the encoded streams.

The shipped recipe holds the paper's densities and bits. Weights are drawn from the seed, since the paper's
trained ones are not at hand: counts of weights and of index entries follow from densities and carry over, how
well a Huffman code does depends on the weights and does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from hwsim.compress import Recipe, apply_recipe, load_recipe
from hwsim.compress.encode import encode
from hwsim.compress.layers import select
from hwsim.compress.prune import magnitude_mask
from hwsim.compress.share import k_means, nearest
from hwsim.compress.steps import Step
from hwsim.tensor.codecs import make_codec
from hwsim.tensor.tensor import Tensor
from hwsim.validate.published import Comparison, deep_compression_published
from hwsim.workload import Workload, load_workload

# Network -> its layers. VGG-16's two large ones are 120 million weights of the same kind as AlexNet's.
NETWORKS: dict[str, tuple[str, ...]] = {
    "lenet300": ("*",),
    "lenet5": ("*",),
    "alexnet": ("*",),
    "vgg16": ("conv*", "fc8"),
}
CONVOLUTIONS_PCT = 5.0
TAIL = 884_736  # weights of AlexNet's conv3
DENSE_BITS = 32  # of a weight that the paper's sizes are shares of


@dataclass(frozen=True)
class DeepCompression:
    """All comparisons: sizes before and after the Huffman code, and what a weight and an index take in it.
    `padding` is how many padding zeros a layer stores for each weight, `expected_padding` what a layer has
    whose zeros lie evenly. `tail_bits` are the coded bits of a weight of AlexNet's conv3 by the distribution
    that its weights are drawn from."""

    sizes: tuple[Comparison, ...]
    coded_sizes: tuple[Comparison, ...]
    coded_bits: tuple[Comparison, ...]
    padding: dict[str, float] = field(default_factory=dict)
    expected_padding: dict[str, float] = field(default_factory=dict)
    tail_bits: dict[str, float] = field(default_factory=dict)

    @property
    def sections(self) -> tuple[tuple[str, tuple[Comparison, ...]], ...]:
        return (
            ("size P+Q", self.sizes),
            ("size P+Q+H", self.coded_sizes),
            ("bits P+Q+H", self.coded_bits),
        )

    @property
    def largest_gap_pct(self) -> float:
        """Of the convolutions' sizes before the Huffman code, in percent of the published size."""
        demanded = (c for c in self.sizes if c.allowed is not None)
        return max((100 * c.gap / c.published.value for c in demanded), key=abs)


@cache
def compare_deep_compression() -> DeepCompression:
    """Compress the four networks and set each layer beside the paper's tables."""
    found = [_network(name, layers) for name, layers in NETWORKS.items()]
    return DeepCompression(
        sizes=tuple(c for part in found for c in part.sizes),
        coded_sizes=tuple(c for part in found for c in part.coded_sizes),
        coded_bits=tuple(c for part in found for c in part.coded_bits),
        padding={key: value for part in found for key, value in part.padding.items()},
        expected_padding={key: value for part in found for key, value in part.expected_padding.items()},
        tail_bits=_tail_bits(),
    )


def _tail_bits() -> dict[str, float]:
    """What a weight of 884,736 takes that are pruned to 35 % and share 8 bits: normal ones, and ones of
    Student's t with 3 degrees of freedom, whose tails are heavy."""
    draw = np.random.Generator(np.random.PCG64(0))
    found = {}
    for name, values in (("normal", draw.standard_normal(TAIL)), ("t", draw.standard_t(3, TAIL))):
        single = values.astype(np.float32)
        kept = single[magnitude_mask(single, round(0.35 * TAIL))]
        shared = nearest(k_means(np.sort(kept), 255).centres, kept)
        parts = dict(make_codec("codebook", codebook_bits=8, huffman=True).encode(shared).storage.parts)
        found[name] = parts["values"] / kept.size
    return found


def _network(name: str, layers: tuple[str, ...]) -> DeepCompression:
    workload = load_workload(name)
    *before, last = (_only(step, layers) for step in load_recipe("deep_compression").steps_for(workload))
    shared = apply_recipe(workload, Recipe(name=name, steps=tuple(before)))
    assert last.encode is not None
    options = last.encode.options()
    plain = encode(shared, last.encode.codec, layers=layers, **{**options, "huffman": False})
    coded = encode(shared, last.encode.codec, layers=layers, **options)
    index_bits = options["index_bits"]
    sizes: list[Comparison] = []
    coded_sizes: list[Comparison] = []
    coded_bits: list[Comparison] = []
    padding: dict[str, float] = {}
    expected: dict[str, float] = {}
    for ref in select(workload, layers):
        subject = f"{name} {ref.operator}"
        raw, short = plain.tensors[ref.tensor], coded.tensors[ref.tensor]
        entries = _part(raw, "index") / index_bits
        padding[subject] = entries / _kept(raw) - 1
        expected[subject] = _expected_padding(raw.density, index_bits)
        sizes.append(
            _size(subject, "size_pq", raw, padding[subject], demanded=_is_convolution(plain, ref.operator))
        )
        coded_sizes.append(_size(subject, "size_pqh", short, padding[subject]))
        coded_bits += _bits(subject, short)
    return DeepCompression(tuple(sizes), tuple(coded_sizes), tuple(coded_bits), padding, expected)


def _only(step: Step, layers: tuple[str, ...]) -> Step:
    """The step for these layers alone."""
    chosen = getattr(step, step.method).model_copy(update={"layers": layers})
    return step.model_copy(update={step.method: chosen})


def _size(subject: str, figure: str, tensor: Tensor, padding: float, *, demanded: bool = False) -> Comparison:
    published = deep_compression_published()[subject, figure]
    share = 100 * tensor.stored_bits / (tensor.elements * DENSE_BITS)
    allowed = CONVOLUTIONS_PCT / 100 * published.value if demanded else None
    remark = f"{100 * padding:.0f} % padding zeros" if padding >= 0.005 else ""
    return Comparison(published, share, allowed, remark)


def _bits(subject: str, tensor: Tensor) -> Iterator[Comparison]:
    for figure, part in (("weight_bits_pqh", "values"), ("index_bits_pqh", "index")):
        published = deep_compression_published()[subject, figure]
        yield Comparison(published, _part(tensor, part) / _kept(tensor))


def _expected_padding(density: float, index_bits: int) -> float:
    """Padding zeros for each weight where every place is as likely: a gap of 2**k zeros or more, which has
    probability q = (1 - density)**(2**k), needs one, and again for each further 2**k: q / (1 - q)."""
    q: float = (1 - density) ** (2**index_bits)
    return q / (1 - q)


def _is_convolution(workload: Workload, operator: str) -> bool:
    return next(op for op in workload.operators if op.name == operator).kind == "conv2d"


def _part(tensor: Tensor, part: str) -> int:
    assert tensor.storage is not None
    return dict(tensor.storage.parts)[part]


def _kept(tensor: Tensor) -> int:
    return round(tensor.density * tensor.elements)
