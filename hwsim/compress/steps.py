"""Steps of recipes: what a recipe may say of each method, and which function does it.

A method is a class of its settings, a field of Step, and a row of STEPS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from hwsim.compress.binarise import binarise, binarise_both, ternarise, ternarise_trained
from hwsim.compress.calibrate import Method, Ranges
from hwsim.compress.encode import encode
from hwsim.compress.lowrank import low_rank
from hwsim.compress.prune import (
    MAX_GROUP,
    prune,
    prune_blocks,
    prune_channels,
    prune_global,
    prune_n_of_m,
)
from hwsim.compress.quantise import fixed_point, quantise, quantise_weights
from hwsim.compress.retrained import with_retrained
from hwsim.compress.sensitivity import prune_by_sensitivity
from hwsim.compress.share import MAX_BITS, share
from hwsim.compress.winograd import winograd
from hwsim.schema import Spec, field
from hwsim.workload.graph import Workload

Layers = tuple[str, ...]


class Prune(Spec):
    by: Literal["layer", "network", "channel", "block", "group", "sensitivity"] = field(
        "What is kept: the largest weights of each layer, or of the network; whole channels; blocks; n of "
        "every m inputs; or as many weights of a layer as its sensitivity asks for.",
        default="layer",
    )
    density: float | None = field(
        "Share of weights that stay.", default=None, gt=0, le=1, when_absent="`densities` say it"
    )
    densities: dict[str, float] = field("Densities by layer or pattern; a later one wins.", default={})
    rows: int = field("Outputs of a block.", default=1, ge=1, le=2**20)
    columns: int = field("Inputs of a block.", default=1, ge=1, le=2**20)
    n: int = field("Weights that stay in a group.", default=2, ge=1, le=MAX_GROUP)
    m: int = field("Inputs of a group.", default=4, ge=1, le=MAX_GROUP)
    change: float = field(
        "The change of the network's output that pruning one layer alone may cause, relative.",
        default=0.05,
        gt=0,
    )
    layers: Layers = field("Layers or patterns; all that have weights if left out.", default=())

    def check(self) -> Iterator[tuple[str, str]]:
        for name, density in self.densities.items():
            if not 0 < density <= 1:
                yield "densities", f"{name} has {density:g}: a density is above 0 and at most 1"
        used = {"layer": ("density", "densities"), "block": ("density", "rows", "columns")}
        takes = {**used, "group": ("n", "m"), "sensitivity": ("change",)}.get(self.by, ("density",))
        for name in ("density", "densities", "rows", "columns", "n", "m", "change"):
            if name in self.model_fields_set and name not in takes:
                yield name, f"means nothing when pruning by {self.by}, which takes {' and '.join(takes)}"
        if "density" in takes and self.density is None and not self.densities:
            yield "density", "is missing: say which share of the weights stays"
        if self.by == "group" and self.n > self.m:
            yield "n", f"is {self.n}, and a group has {self.m} inputs: it must be at most m"


class Share(Spec):
    bits: int | None = field(
        "The codebook of a layer has 2**bits entries.", default=None, ge=1, le=MAX_BITS,
        when_absent="`by_layer` says it",
    )  # fmt: skip
    by_layer: dict[str, int] = field("Bits by layer or pattern; a later one wins.", default={})
    start: Literal["linear", "density", "random"] = field("Where k-means begins.", default="linear")
    layers: Layers = field("Layers or patterns; all that have weights if left out.", default=())

    def check(self) -> Iterator[tuple[str, str]]:
        for name, bits in self.by_layer.items():
            if not 1 <= bits <= MAX_BITS:
                yield "by_layer", f"{name} has {bits}: bits are from 1 to {MAX_BITS}"
        if self.bits is None and not self.by_layer:
            yield "bits", "is missing: say how many entries a codebook has"


class Encode(Spec):
    codec: Literal["dense", "csc", "relative", "bitmask", "run-length", "n:m", "codebook"] = field(
        "How weights are stored."
    )
    index_bits: int | None = field("Bits of a gap or run.", default=None, when_absent="4")
    huffman: bool | None = field(
        "Whether values and index are Huffman-coded.", default=None, when_absent="no"
    )
    codebook_bits: int | None = field(
        "Bits of an index into the codebook.", default=None, when_absent="what the codebook needs"
    )
    value_bits: int | None = field("Bits of a raw value.", default=None, when_absent="its format's")
    entry_bits: int | None = field("Bits of a codebook's entry.", default=None, when_absent="32")
    pes: int | None = field("PEs that rows are interleaved over (csc).", default=None, when_absent="1")
    pointer_bits: int | None = field("Bits of a pointer (csc).", default=None, when_absent="16")
    n: int | None = field("Weights of a group (n:m).", default=None, when_absent="2")
    m: int | None = field("Inputs of a group (n:m).", default=None, when_absent="4")
    layers: Layers = field("Layers or patterns; all that have weights if left out.", default=())

    def options(self) -> dict[str, Any]:
        """What is said of the codec."""
        said = {name: getattr(self, name) for name in self.declared if name not in ("codec", "layers")}
        return {name: value for name, value in said.items() if value is not None}

    def check(self) -> Iterator[tuple[str, str]]:
        from hwsim.errors import SpecError
        from hwsim.tensor.codecs import make_codec

        try:
            make_codec(self.codec, **self.options())
        except SpecError as error:
            yield "codec", str(error)


class Quantise(Spec):
    dtype: Literal["int4", "int8", "int16"] = field("Format of activations and weights.", default="int8")
    weight_dtype: Literal["int4", "int8", "int16"] | None = field(
        "Format of the weights.", default=None, when_absent="`dtype`"
    )
    per: Literal["tensor", "channel"] = field("What has a scale of its own.", default="channel")
    symmetric: bool = field("Whether activations have no zero point.", default=True)
    ranges: Method = field("How ranges of activations follow from samples.", default="minmax")
    percentile: float = field("What a percentile range keeps of 100.", default=99.9, gt=50, le=100)
    rounding: Literal["nearest", "stochastic"] = field("How weights are rounded.", default="nearest")
    weights_only: bool = field("Whether activations keep their format.", default=False)
    layers: Layers = field("With weights_only: layers or patterns.", default=())

    def check(self) -> Iterator[tuple[str, str]]:
        if self.layers and not self.weights_only:
            yield "layers", "means nothing where activations are quantised too: say weights_only: true"
        given = {"symmetric": not self.symmetric, "ranges": self.ranges != "minmax"}
        for name, changed in given.items():
            if self.weights_only and changed:
                yield name, "means nothing with weights_only, which leaves activations as they are"
        if self.percentile != 99.9 and (self.weights_only or self.ranges != "percentile"):
            yield "percentile", "means nothing unless the ranges of activations are percentiles"


class FixedPoint(Spec):
    bits: Literal[4, 8, 16] = field("Bits of a number, sign included.", default=16)
    ranges: Method = field("How ranges of activations follow from samples.", default="minmax")
    percentile: float = field("What a percentile range keeps of 100.", default=99.9, gt=50, le=100)
    rounding: Literal["nearest", "stochastic"] = field("How weights are rounded.", default="nearest")


class Binarise(Spec):
    activations: bool = field("Whether activations are binary too, as in XNOR-Net.", default=False)
    layers: Layers = field("Layers or patterns; all but the first and the last if left out.", default=())


class Ternarise(Spec):
    two_scales: bool = field("Whether positive and negative weights have a scale each.", default=False)
    threshold: float | None = field(
        "Below it weights become 0: a share of the mean size, or with two scales of the largest.",
        default=None, ge=0, when_absent="0.7, or 0.05 with two scales",
    )  # fmt: skip
    layers: Layers = field("Layers or patterns; all but the first and the last if left out.", default=())


class LowRank(Spec):
    method: Literal["svd", "tucker", "cp", "separable"] = field("How layers are factored.")
    rank: int | None = field("Channels between the factors.", default=None, ge=1, le=2**20)
    energy: float | None = field("Share of squared singular values to keep.", default=None, gt=0, le=1)
    speedup: float | None = field("How many times fewer MACs.", default=None, ge=1)
    layers: Layers = field("Layers or patterns; all that factor if left out.", default=())

    def check(self) -> Iterator[tuple[str, str]]:
        if sum(value is not None for value in (self.rank, self.energy, self.speedup)) != 1:
            yield "rank", "give exactly one of rank, energy and speedup"


class Winograd(Spec):
    tile: Literal[2, 4] = field("Results of a tile each way: 2 for F(2x2,3x3), 4 for F(4x4,3x3).", default=2)
    integers: Literal["int8", "int16"] = field("Format of transformed integers.", default="int16")
    layers: Layers = field("Layers or patterns; all 3x3 of stride 1 if left out.", default=())


class Retrained(Spec):
    weights: str = field("The weights file: the name of a shipped one, or a path.")
    shared: bool = field("Whether its few different numbers are a codebook.", default=False)


class Step(Spec):
    """One step: the name of a method with its settings."""

    prune: Prune | None = field("Make small weights zero.", default=None, when_absent="not this one")
    share: Share | None = field("Give weights few values.", default=None, when_absent="not this one")
    quantise: Quantise | None = field("Put numbers on grids.", default=None, when_absent="not this one")
    fixed_point: FixedPoint | None = field(
        "Put numbers on binary grids.", default=None, when_absent="not this one"
    )
    binarise: Binarise | None = field("Keep signs.", default=None, when_absent="not this one")
    ternarise: Ternarise | None = field("Keep signs and zeros.", default=None, when_absent="not this one")
    low_rank: LowRank | None = field("Factor layers.", default=None, when_absent="not this one")
    winograd: Winograd | None = field(
        "Lower convolutions to Winograd's algorithm.", default=None, when_absent="not this one"
    )
    retrained: Retrained | None = field("Take retrained weights.", default=None, when_absent="not this one")
    encode: Encode | None = field("Store weights by a codec.", default=None, when_absent="not this one")

    @property
    def method(self) -> str:
        return next(name for name in self.declared if getattr(self, name) is not None)

    def check(self) -> Iterator[tuple[str, str]]:
        said = [name for name in self.declared if getattr(self, name) is not None]
        if len(said) != 1:
            what = f"says {' and '.join(said)}" if said else "says nothing"
            yield "", f"{what}: a step is one of {', '.join(self.declared)}"


def _prune(workload: Workload, said: Any, seed: int) -> Workload:  # noqa: ARG001 - nothing is drawn
    layers = said.layers or None
    if said.by == "network":
        return prune_global(workload, said.density, layers=layers)
    if said.by == "channel":
        return prune_channels(workload, said.density, layers=layers)
    if said.by == "block":
        return prune_blocks(workload, said.density, said.rows, said.columns, layers=layers)
    if said.by == "group":
        return prune_n_of_m(workload, said.n, said.m, layers=layers)
    if said.by == "sensitivity":
        return prune_by_sensitivity(workload, said.change, layers=layers)
    return prune(workload, said.density, densities=said.densities or None, layers=layers)


def _share(workload: Workload, said: Any, seed: int) -> Workload:
    return share(
        workload, said.bits, bits_by_layer=said.by_layer or None, start=said.start, seed=seed,
        layers=said.layers or None,
    )  # fmt: skip


def _quantise(workload: Workload, said: Any, seed: int) -> Workload:
    ranges = Ranges(said.ranges, said.percentile)
    if said.weights_only:
        return quantise_weights(
            workload, said.weight_dtype or said.dtype, per=said.per, rounding=said.rounding, seed=seed,
            layers=said.layers or None,
        )  # fmt: skip
    return quantise(
        workload, said.dtype, weight_dtype=said.weight_dtype, per=said.per, symmetric=said.symmetric,
        ranges=ranges, rounding=said.rounding, seed=seed,
    )  # fmt: skip


def _fixed_point(workload: Workload, said: Any, seed: int) -> Workload:
    ranges = Ranges(said.ranges, said.percentile)
    return fixed_point(workload, said.bits, ranges=ranges, rounding=said.rounding, seed=seed)


def _binarise(workload: Workload, said: Any, seed: int) -> Workload:  # noqa: ARG001 - nothing is drawn
    return (binarise_both if said.activations else binarise)(workload, layers=said.layers or None)


def _ternarise(workload: Workload, said: Any, seed: int) -> Workload:  # noqa: ARG001 - nothing is drawn
    method = ternarise_trained if said.two_scales else ternarise
    given = {} if said.threshold is None else {"threshold": said.threshold}
    return method(workload, layers=said.layers or None, **given)


def _low_rank(workload: Workload, said: Any, seed: int) -> Workload:
    return low_rank(
        workload, said.method, rank=said.rank, energy=said.energy, speedup=said.speedup,
        layers=said.layers or None, seed=seed,
    )  # fmt: skip


def _winograd(workload: Workload, said: Any, seed: int) -> Workload:  # noqa: ARG001 - nothing is drawn
    return winograd(workload, said.tile, layers=said.layers or None, integers=said.integers)


def _retrained(workload: Workload, said: Any, seed: int) -> Workload:  # noqa: ARG001 - nothing is drawn
    return with_retrained(workload, said.weights, shared=said.shared)


def _encode(workload: Workload, said: Any, seed: int) -> Workload:  # noqa: ARG001 - nothing is drawn
    return encode(workload, said.codec, layers=said.layers or None, **said.options())


# Method -> what does it, given the workload, the step's settings and a seed.
STEPS: Mapping[str, Callable[[Workload, Any, int], Workload]] = {
    "prune": _prune,
    "share": _share,
    "quantise": _quantise,
    "fixed_point": _fixed_point,
    "binarise": _binarise,
    "ternarise": _ternarise,
    "low_rank": _low_rank,
    "winograd": _winograd,
    "retrained": _retrained,
    "encode": _encode,
}
