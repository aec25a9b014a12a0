"""The compression table: what each weight tensor holds, how it is stored, and what that did to its numbers.

Rows are measured on two networks, before and after; totals are derived from rows. Every stored bit is in one
part of one row. Weights are those that are multiplied with activations; biases, tables of embeddings and
other constants are told apart, since a step changes their formats at most.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from hwsim.compress.change import float_outputs, outputs_after, relative_change, too_large
from hwsim.compress.encode import stored_values
from hwsim.compress.layers import WeightRef, read_weight, select
from hwsim.tensor.tensor import Array, Tensor, read_values
from hwsim.workload.graph import Workload

PARTS = ("values", "index", "pointers", "codebook", "code tables", "header", "scales")

_CHUNK = 2**20  # elements compared at a time


@dataclass(frozen=True, slots=True)
class Row:
    """One weight tensor after compression. `dense_bits` are those of the tensor before, in its format then; 0
    where the network had none of that name (factors of low rank), and then `sqnr_db` is None. `inertia` is
    the sum of squared distances that sharing moved its weights."""

    layer: str
    tensor: str
    weights: int
    density: float
    dtype: str
    codec: str
    codebook: int
    parts: Mapping[str, int]
    dense_bits: int
    sqnr_db: float | None
    inertia: float | None

    @property
    def stored_bits(self) -> int:
        return sum(self.parts.values())

    @property
    def ratio(self) -> float | None:
        """How many times smaller than before."""
        return self.dense_bits / self.stored_bits if self.dense_bits else None

    @property
    def kept(self) -> int:
        """Weights that are not zero."""
        return round(self.weights * self.density)

    @property
    def bits_per_weight(self) -> float:
        """Bits of values, padding zeros and codes included, for each weight that is not zero; for each weight
        where nothing is left out."""
        return self.parts.get("values", 0) / max(self.kept if "index" in self.parts else self.weights, 1)

    @property
    def index_bits_per_weight(self) -> float:
        """Bits of index for each weight that is not zero."""
        return self.parts.get("index", 0) / max(self.kept, 1)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a table's rows, and the network's bits outside them, after compression and before."""

    weights: int
    kept: int
    parts: Mapping[str, int]
    stored_bits: int
    dense_bits: int
    other_bits: int
    other_dense_bits: int

    @property
    def density(self) -> float:
        return self.kept / self.weights

    @property
    def ratio(self) -> float:
        """Of the weights."""
        return self.dense_bits / self.stored_bits

    @property
    def network_ratio(self) -> float:
        """Of all that the network stores."""
        return (self.dense_bits + self.other_dense_bits) / (self.stored_bits + self.other_bits)


@dataclass(frozen=True, slots=True)
class CompressionTable:
    """What compression made of a network. `output_change` is relative, root mean square, on the input that
    the network's seed draws; None with the reason in `not_computed`. MACs are those that are carried out.
    `accuracy_before` and `accuracy_after` are shares of right answers where labelled data was given. `notes`
    say what its figures rest on."""

    workload: str
    recipe: str
    history: tuple[str, ...]
    rows: tuple[Row, ...]
    dense_bits: int
    other_bits: int
    other_dense_bits: int
    macs_before: int
    macs_after: int
    output_change: float | None = None
    not_computed: str = ""
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def totals(self) -> Totals:
        parts = {part: sum(row.parts.get(part, 0) for row in self.rows) for part in PARTS}
        parts = {part: bits for part, bits in parts.items() if bits}
        return Totals(
            weights=sum(row.weights for row in self.rows),
            kept=sum(row.kept for row in self.rows),
            parts=parts,
            stored_bits=sum(parts.values()),
            dense_bits=self.dense_bits,
            other_bits=self.other_bits,
            other_dense_bits=self.other_dense_bits,
        )

    def to_rows(self) -> list[dict[str, object]]:
        """The rows as plain values, one mapping a row, with what is derived and a column for each part."""
        return [_plain(row) for row in self.rows]

    def to_dict(self) -> dict[str, object]:
        """All of it as plain values, totals included."""
        found: dict[str, object] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}
        totals = self.totals
        summed = {f.name: getattr(totals, f.name) for f in fields(totals)}
        derived = {"density": totals.density, "ratio": totals.ratio, "network_ratio": totals.network_ratio}
        return {
            **found,
            "totals": {**summed, "parts": dict(totals.parts), **derived},
            "layers": self.to_rows(),
        }

    def to_csv(self) -> bytes:
        """The rows as RFC 4180 has them."""
        rows = self.to_rows()
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode("utf-8", errors="backslashreplace")


class Measuring:
    """Takes part in a recipe's run and keeps what only shows between its steps."""

    def __init__(self) -> None:
        self.inertia: dict[str, float] = {}

    def __call__(self, method: str, before: Workload, after: Workload) -> None:
        if method == "share":
            for ref in select(after):
                old, new = before.tensors[ref.tensor], after.tensors[ref.tensor]
                if new is not old:
                    self.inertia[ref.tensor] = _squares(read_values(old), read_values(new))[1]


def measure(
    before: Workload, after: Workload, *, recipe: str = "", measuring: Measuring | None = None
) -> CompressionTable:
    """The table of two networks, `after` made from `before`. They are run where that takes seconds."""
    inertia = measuring.inertia if measuring is not None else {}
    rows = tuple(_row(before, after, ref, inertia.get(ref.tensor)) for ref in select(after))
    weights = {ref.tensor for ref in select(before)}
    dense = sum(before.tensors[name].size_bits for name in weights)
    reason = too_large(before, 1) or too_large(after, 1)
    change = None if reason else relative_change(float_outputs(before), outputs_after(before, after))
    return CompressionTable(
        workload=after.name,
        recipe=recipe,
        history=after.history,
        rows=rows,
        dense_bits=dense,
        other_bits=_other_bits(after, {ref.tensor for ref in select(after)}),
        other_dense_bits=_other_bits(before, weights),
        macs_before=_executed(before),
        macs_after=_executed(after),
        output_change=change,
        not_computed=reason,
        notes=_notes(after),
    )


def _row(before: Workload, after: Workload, ref: WeightRef, inertia: float | None) -> Row:
    tensor = after.tensors[ref.tensor]
    old = before.tensors.get(ref.tensor)
    known = old is not None and old.shape == tensor.shape and old.values is not None
    sqnr = None
    if old is not None and known:
        values = read_weight(after, ref)
        signal, noise = _squares(read_values(old), stored_values(tensor, values))
        sqnr = math.inf if not noise else 10 * math.log10(signal / noise) if signal else -math.inf
    return Row(
        layer=ref.operator,
        tensor=ref.tensor,
        weights=tensor.elements,
        density=tensor.density,
        dtype=tensor.dtype,
        codec=tensor.codec,
        codebook=len(tensor.codebook),
        parts=tensor.stored_parts,
        dense_bits=old.size_bits if old is not None and known else 0,
        sqnr_db=sqnr,
        inertia=inertia,
    )


def _squares(before: Array, after: Array) -> tuple[float, float]:
    """Sums of squares of the numbers and of their change, in float64, some at a time."""
    signal = noise = 0.0
    old, new = before.reshape(-1), after.reshape(-1)
    for first in range(0, old.size, _CHUNK):
        part = old[first : first + _CHUNK].astype(np.float64)
        apart = new[first : first + _CHUNK].astype(np.float64) - part
        signal += float(part @ part)
        noise += float(apart @ apart)
    return signal, noise


def _executed(workload: Workload) -> int:
    """Multiply-accumulates that are carried out, which Winograd's lowering makes fewer than the layers'."""
    return sum(op.problem.macs for op in workload.operators)


def _other_bits(workload: Workload, weights: set[str]) -> int:
    kinds = ("weight", "constant")
    return sum(t.size_bits for name, t in workload.tensors.items() if t.role in kinds and name not in weights)


def _notes(after: Workload) -> tuple[str, ...]:
    drawn = tuple(note for note in after.notes if "drawn from seed" in note)
    dense = [ref.operator for ref in select(after) if _only_zeros(after.tensors[ref.tensor])]
    if dense:
        names = ", ".join(dense[:8]) + (f" and {len(dense) - 8} more" if len(dense) > 8 else "")
        drawn += (f"pruned or shared without a codec, which saves no storage: {names}",)
    return drawn


def _only_zeros(tensor: Tensor) -> bool:
    return (
        tensor.storage is None
        and tensor.quantisation is None
        and (tensor.density < 1 or bool(tensor.codebook))
    )


def _plain(row: Row) -> dict[str, object]:
    bits = {f"{part.replace(' ', '_')}_bits": row.parts.get(part, 0) for part in PARTS}
    return {
        "layer": row.layer,
        "tensor": row.tensor,
        "weights": row.weights,
        "density": row.density,
        "dtype": row.dtype,
        "codec": row.codec,
        "codebook_entries": row.codebook,
        "bits_per_weight": row.bits_per_weight,
        "index_bits_per_weight": row.index_bits_per_weight,
        **bits,
        "stored_bits": row.stored_bits,
        "dense_bits": row.dense_bits,
        "ratio": row.ratio,
        "sqnr_db": row.sqnr_db,
        "inertia": row.inertia,
    }
