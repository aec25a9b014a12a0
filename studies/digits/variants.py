"""The networks of this study, and every method of compression that is measured on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.compress.accuracy import load_labelled
from hwsim.compress.binarise import binarise, binarise_both, ternarise, ternarise_trained
from hwsim.compress.calibrate import Ranges, Samples
from hwsim.compress.layers import select
from hwsim.compress.lowrank import low_rank
from hwsim.compress.prune import prune, prune_blocks, prune_channels, prune_global, prune_n_of_m
from hwsim.compress.quantise import fixed_point, quantise
from hwsim.compress.retrained import with_retrained
from hwsim.compress.share import share
from hwsim.compress.winograd import winograd
from hwsim.tensor.tensor import Array
from hwsim.workload import Workload, load_workload

SHELF = Path(__file__).resolve().parents[2] / "workloads"
NETWORKS = ("digits_mlp", "digits_cnn")
CALIBRATION_IMAGES = 400  # the first of the training images

Method = Callable[[Workload, Samples], Workload]

# Ten times fewer weights, and more of them where a layer has few: chosen by hand.
DENSITIES = {
    "digits_mlp": {"fc1": 0.1, "fc2": 0.09, "fc3": 0.35},
    "digits_cnn": {"conv1": 0.7, "conv2": 0.25, "conv3": 0.15, "fc1": 0.055, "fc2": 0.4},
}


@dataclass(frozen=True)
class Variant:
    """One method: `apply` compresses a trained network. `retrained` is the kind of constraint under which the
    result is trained again (see `retrain.py`; none where it is not), starting from `begin` where that is
    given. `finish` is what a network with retrained weights still needs."""

    key: str
    words: str
    apply: Method
    retrained: str = ""
    begin: Method | None = None
    finish: Method | None = None
    convolutions: bool = False  # whether it concerns convolutions alone

    def start(self, workload: Workload, samples: Samples) -> Workload:
        """The network that retraining starts from."""
        return (self.begin or self.apply)(workload, samples)

    def finished(self, workload: Workload, samples: Samples) -> Workload:
        """The compressed network with the retrained weights that are shipped."""
        found = with_retrained(
            self.apply(workload, samples),
            weights_name(workload.name, self.key),
            shared=self.retrained in ("codebook", "trained ternary"),
        )
        return found if self.finish is None else self.finish(found, samples)


def weights_name(network: str, key: str) -> str:
    """The shipped weights file of a network, as trained or as retrained for a variant."""
    return f"{network}_{key}" if key else network


def calibration_samples(workload: Workload) -> dict[str, Array]:
    """Training images: the test images take no part in any choice that is made here."""
    images = load_labelled("digits", "train")
    (name,) = workload.inputs
    return {name: images.shaped(workload.tensors[name].shape)[:CALIBRATION_IMAGES]}


def _all_but_last(workload: Workload) -> list[str]:
    return [ref.operator for ref in select(workload)[:-1]]


def _inner(workload: Workload) -> list[str]:
    return [ref.operator for ref in select(workload)[1:-1]]


def _shared(bits: int) -> Method:
    """As many bits, or as many as give no more entries than the layer has weights."""

    def apply(workload: Workload, _: Samples) -> Workload:
        sizes = {ref.operator: workload.tensors[ref.tensor].elements for ref in select(workload)}
        table = {name: min(bits, size.bit_length() - 1) for name, size in sizes.items()}
        return share(workload, bits_by_layer=table)

    return apply


def _pruned_and_retrained(workload: Workload) -> Workload:
    return with_retrained(prune_global(workload, 0.1), weights_name(workload.name, "prune_10x"))


def _quantised(dtype: str = "int8", **choices: Any) -> Method:
    return lambda w, samples: quantise(w, dtype, samples=samples, **choices)


_ALIKE = (  # the same for every weight
    Variant("fp16", "fp16", lambda w, _: w.astype("fp16")),
    Variant("bf16", "bf16", lambda w, _: w.astype("bf16")),
    Variant("fp8_e4m3", "fp8 (e4m3)", lambda w, _: w.astype("fp8_e4m3")),
    Variant("fp8_e5m2", "fp8 (e5m2)", lambda w, _: w.astype("fp8_e5m2")),
    Variant("int8", "int8, symmetric, weights by channel, min-max", _quantised()),
    Variant("int8_tensor", "int8, symmetric, weights by tensor, min-max", _quantised(per="tensor")),
    Variant(
        "int8_asymmetric",
        "int8, asymmetric, weights too and by channel, min-max",
        _quantised(symmetric=False, weights_symmetric=False),
    ),
    Variant(
        "int8_percentile",
        "int8, symmetric, weights by channel, 99.9th percentile",
        _quantised(ranges=Ranges("percentile", 99.9)),
    ),
    Variant(
        "int8_entropy",
        "int8, symmetric, weights by channel, entropy",
        _quantised(ranges=Ranges("entropy")),
    ),
    Variant(
        "int8_stochastic",
        "int8, symmetric, weights by channel and rounded stochastically",
        _quantised(rounding="stochastic"),
    ),
    Variant("int8x4", "int8 activations, int4 weights by channel", _quantised(weight_dtype="int4")),
    Variant("int4", "int4, symmetric, weights by channel, min-max", _quantised("int4")),
    Variant(
        "int4_entropy",
        "int4, asymmetric, weights by channel, entropy",
        _quantised("int4", symmetric=False, ranges=Ranges("entropy")),
    ),
    Variant("fixed_16", "fixed point of 16 bits", lambda w, s: fixed_point(w, 16, samples=s)),
    Variant("fixed_8", "fixed point of 8 bits", lambda w, s: fixed_point(w, 8, samples=s)),
)

_PRUNED = (
    Variant(
        "prune_10x",
        "pruned to 10 %: the smallest weights of all layers together",
        lambda w, _: prune_global(w, 0.1),
        "mask",
    ),
    Variant(
        "prune_table",
        "pruned to 10 %: the smallest of each layer, densities by layer",
        lambda w, _: prune(w, densities=DENSITIES[w.name]),
        "mask",
    ),
    Variant("prune_2_4", "pruned 2:4", lambda w, _: prune_n_of_m(w, 2, 4), "mask"),
    Variant(
        "prune_blocks",
        "pruned to a quarter of the 4 x 4 blocks, but in the first and last layer",
        lambda w, _: prune_blocks(w, 0.25, 4, 4, layers=_inner(w)),
        "mask",
    ),
    Variant(
        "prune_channels",
        "pruned to half of the channels, but in the last layer",
        lambda w, _: prune_channels(w, 0.5, layers=_all_but_last(w)),
        "mask",
    ),
)

_SHARED = (
    Variant("share_8", "shared, 8 bits (fewer in a layer of fewer weights)", _shared(8), "codebook"),
    Variant("share_4", "shared, 4 bits", _shared(4), "codebook"),
    Variant("share_2", "shared, 2 bits", _shared(2), "codebook"),
    Variant(
        "deep",
        "Deep Compression: pruned to 10 %, then shared, 4 bits",
        lambda w, _: share(prune_global(w, 0.1), 4),
        "codebook",
        begin=lambda w, _: share(_pruned_and_retrained(w), 4),
    ),
)

_FEW_LEVELS = (
    Variant(
        "binary", "binary weights (BWN)", lambda w, _: binarise(w), "binary", finish=lambda w, _: binarise(w)
    ),
    Variant(
        "xnor",
        "binary weights and activations (XNOR)",
        lambda w, s: binarise_both(w, samples=s),
        "binary both",
        finish=lambda w, s: binarise_both(w, samples=s),
    ),
    Variant(
        "ternary",
        "ternary weights (TWN)",
        lambda w, _: ternarise(w),
        "ternary",
        finish=lambda w, _: ternarise(w),
    ),
    Variant(
        "ternary_int8",
        "ternary weights (TWN), int8 activations",
        lambda w, s: quantise(ternarise(w), samples=s),
    ),
    Variant(
        "ternary_trained", "ternary weights, two scales (TTQ)", lambda w, _: ternarise_trained(w),
        "trained ternary",
    ),
)  # fmt: skip

_WINOGRAD = (
    Variant(
        "winograd_4",
        "Winograd F(4x4, 3x3)",
        lambda w, _: winograd(w, 4),
        convolutions=True,
    ),
    Variant(
        "winograd_2_int8",
        "int8 as in its first row, then Winograd F(2x2, 3x3)",
        lambda w, s: winograd(quantise(w, samples=s), 2),
        convolutions=True,
    ),
)

_LOW_RANK = (
    Variant(
        "tucker",
        "Tucker-2 of convolutions, 2x fewer MACs",
        lambda w, _: low_rank(w, "tucker", speedup=2.0),
        convolutions=True,
    ),
    Variant(
        "cp",
        "CP of the second convolution, 2x fewer MACs",
        lambda w, _: low_rank(w, "cp", speedup=2.0, layers="conv2"),
        convolutions=True,
    ),
    Variant(
        "separable",
        "spatially separable convolutions, 2x fewer MACs",
        lambda w, _: low_rank(w, "separable", speedup=2.0),
        convolutions=True,
    ),
    Variant("svd", "SVD of linear layers, 2x fewer MACs", lambda w, _: low_rank(w, "svd", speedup=2.0)),
)

VARIANTS = (*_ALIKE, *_PRUNED, *_SHARED, *_FEW_LEVELS, *_LOW_RANK, *_WINOGRAD)


def variants_of(network: str) -> tuple[Variant, ...]:
    """Those that concern a network: not what only convolutions have, where it has none."""
    convolves = any(op.kind == "conv2d" for op in load_workload(network).operators)
    return tuple(v for v in VARIANTS if convolves or not v.convolutions)
