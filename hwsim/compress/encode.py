"""Encoding: weights stored by a codec, with the exact bits of what is stored. The numbers stay the same."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim.compress.layers import Patterns, WeightRef, in_axis, read_weight, select, with_weights
from hwsim.errors import SpecError
from hwsim.tensor.codecs import CODECS, make_codec
from hwsim.tensor.encoding import chosen_encoding, scaled_encoding
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.folder import Coded
from hwsim.workload.graph import Workload


def encode(workload: Workload, codec: str, *, layers: Patterns = None, **options: Any) -> Workload:
    """Store the weights of `layers` by `codec` (see hwsim.tensor.codecs).

    Unless `options` say otherwise, shared weights are stored as indices of as many bits as their codebook
    needs, with zero among its entries where the layer is pruned; weights on a chosen grid as its whole
    numbers; others in their number format. Raises SpecError for unknown codecs and options, and for weights
    that the codec cannot hold.
    """
    make_codec(codec, **options)  # its faults are not a layer's
    refs = select(workload, layers)
    found = {ref.tensor: _encoded(workload, ref, codec, options) for ref in refs}
    words = "".join(f", {name}" if value is True else f", {name} {value}" for name, value in options.items())
    names = " ".join(ref.operator for ref in refs)
    return with_weights(workload, found, f"encode: {codec}{words} ({names})")


def stored_values(tensor: Tensor, values: Array) -> Array:
    """What `values` of a weight become in its number format and on its grid, as reals."""
    if tensor.quantisation is None and tensor.dtype == "fp32":
        return values
    encoding = chosen_encoding(tensor) if tensor.quantisation else scaled_encoding(tensor.dtype, values)
    return encoding.reals(encoding.store(values))


def _encoded(workload: Workload, ref: WeightRef, codec: str, options: dict[str, Any]) -> Tensor:
    tensor = workload.tensors[ref.tensor]
    reals, stored, bits = _numbers(tensor, read_weight(workload, ref), ref)
    known = {field.name for field in dataclasses.fields(CODECS[codec])}
    chosen = dict(options)
    if tensor.codebook and "codebook_bits" in known and not {"codebook_bits", "value_bits"} & set(options):
        entries = len(tensor.codebook) + (tensor.density < 1.0)
        chosen["codebook_bits"] = max(1, (entries - 1).bit_length())
    elif bits is not None and "value_bits" in known and "codebook_bits" not in options:
        chosen.setdefault("value_bits", bits)
    if "out_axis" in known:
        chosen.setdefault("out_axis", ref.out_axis)
    if "axis" in known:
        chosen.setdefault("axis", in_axis(ref, len(tensor.shape)))
    try:
        found = make_codec(codec, **chosen).encode(stored)
    except SpecError as error:
        raise SpecError(f"layer {ref.operator}: {error}") from None
    reals.setflags(write=False)
    return replace(tensor, storage=found.storage, values=Coded(reals, found))


def _numbers(tensor: Tensor, values: Array, ref: WeightRef) -> tuple[Array, Array, int | None]:
    """A weight's numbers as reals and as they are stored, and the bits of one where they are not its own."""
    if tensor.quantisation is not None:
        if any(tensor.quantisation.zero_points):
            raise SpecError(
                f"layer {ref.operator}: its grid has zero points, so that zero is not stored as 0: quantise "
                "its weights symmetrically before a codec stores them"
            )
        encoding = chosen_encoding(tensor)
        stored = encoding.store(values)
        return encoding.reals(stored).astype(np.float32), stored, find_format(tensor.dtype).bits
    found = find_format(tensor.dtype)
    if found.kind != "float":
        raise SpecError(
            f"layer {ref.operator}: its format {tensor.dtype} has no grid yet, and takes it from the numbers "
            "when they are used: quantise the weights before a codec stores them"
        )
    if found.bits >= 32 or tensor.codebook:
        return values, values, None
    rounded = np.asarray(stored_values(tensor, values), dtype=np.float32)
    return rounded, rounded, found.bits
