"""How a run's weights are stored, and whether their being compressed helps the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hwsim.arrays import BoolArray, Float64Array, Int64Array
from hwsim.result.tables import Columns
from hwsim.units import format_bytes, format_si


def _none() -> Int64Array:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class WeightTable:
    """One row a tensor of weights that operators multiply with, however many do, so that each stored bit is
    counted once. `stored_bits` are what the workload stores under its codec, `dense_bits` what the tensor
    takes without one in the run's number format. `held_bytes` are what the machine keeps, in whichever form
    it keeps them; `moved_bytes` what it brings to its multipliers over the run, biases that come along
    included.
    `macs` are those of the operators that multiply with it, `multiplications` what is carried out for them.
    """

    operators: tuple[str, ...] = ()  # the first that multiplies with it
    layers: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    uses: Int64Array = field(default_factory=_none)  # operators that multiply with it
    weights: Int64Array = field(default_factory=_none)
    density: Float64Array = field(default_factory=lambda: np.zeros(0))
    codebook: Int64Array = field(default_factory=_none)  # shared values beside zero
    quantised: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))  # on a chosen grid
    stored_bits: Int64Array = field(default_factory=_none)
    dense_bits: Int64Array = field(default_factory=_none)
    held_bytes: Int64Array = field(default_factory=_none)
    on_chip: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    moved_bytes: Int64Array = field(default_factory=_none)
    macs: Int64Array = field(default_factory=_none)
    multiplications: Int64Array = field(default_factory=_none)

    def __post_init__(self) -> None:
        for array in (
            self.uses, self.weights, self.density, self.codebook, self.quantised, self.stored_bits,
            self.dense_bits, self.held_bytes, self.on_chip, self.moved_bytes, self.macs, self.multiplications,
        ):  # fmt: skip
            array.setflags(write=False)

    @property
    def smaller(self) -> BoolArray:
        """(rows,) weights with zeros, shared values or a codec: what a machine may or may not make use of."""
        stored: BoolArray = np.array([codec != "dense" for codec in self.codecs], dtype=np.bool_)
        found: BoolArray = (self.density < 1) | (self.codebook > 0) | stored
        return found

    @property
    def compressed(self) -> bool:
        """Whether compression touched any of them, chosen grids included."""
        return bool((self.smaller | self.quantised).any())

    def totals(self) -> dict[str, int]:
        """Sums over all rows: weights, those that are not zero, bits, bytes and multiplications."""
        kept = np.rint(self.weights * self.density)
        return {
            "tensors": len(self.tensors),
            "weights": int(self.weights.sum()),
            "not_zero": int(kept.sum()),
            "stored_bits": int(self.stored_bits.sum()),
            "dense_bits": int(self.dense_bits.sum()),
            "held_bytes": int(self.held_bytes.sum()),
            "moved_bytes": int(self.moved_bytes.sum()),
            "macs": int(self.macs.sum()),
            "multiplications": int(self.multiplications.sum()),
        }

    def remark(self, design: str) -> str:
        """What compressed weights buy on this machine, in a sentence; nothing where there are none. A row is
        helped where the machine keeps it in fewer bytes than dense, or carries out fewer multiplications than
        its operators have MACs."""
        rows = self.smaller
        if not rows.any():
            return ""
        helped = rows & ((8 * self.held_bytes < self.dense_bits) | (self.multiplications < self.macs))
        if not helped.any():
            return self._no_help(design, rows)
        held, dense = int(self.held_bytes[rows].sum()), _bytes(self.dense_bits[rows])
        macs, done = int(self.macs[rows].sum()), int(self.multiplications[rows].sum())
        count, all_of = int(helped.sum()), int(rows.sum())
        where = "here" if count == all_of else f"with {count} of {all_of} tensors here"
        extent = f"help {where}"
        if held >= dense:
            extent = f"save multiplications and no room {where}"
        elif done >= macs:
            extent = f"save room and no multiplication {where}"
        more = ", more than" if held > dense else " for"
        size = f"{format_bytes(held)}{more} {format_bytes(dense)} dense ({_stored(self.stored_bits[rows])})"
        work = f"carries out {_share(done, macs)} of their {format_si(macs, 'MAC')}"
        if done < (self.macs[rows] * self.density[rows]).sum():
            work += ", zero activations skipped" + (" too" if (self.density[rows] < 1).any() else "")
        return f"compressed weights {extent}: {design} keeps them in {size} and {work}"

    def _no_help(self, design: str, rows: BoolArray) -> str:
        held, dense = int(self.held_bytes[rows].sum()), _bytes(self.dense_bits[rows])
        kept = (
            "keeps weights dense" if held <= dense else f"keeps {format_bytes(held)} of them, more than dense"
        )
        moved = int(self.moved_bytes[rows].sum())
        room = f"{format_bytes(moved)} moved" if moved else f"{format_bytes(held)} held"
        zeros = " and multiplies their zeros" if (self.density[rows] < 1).any() else ""
        return (
            f"compressed weights help nothing here: {design} {kept} ({room} for "
            f"{_stored(self.stored_bits[rows])}){zeros}"
        )

    def summary(self, design: str) -> dict[str, object] | None:
        """What `hwsim run --json` says of them; None where nothing is compressed."""
        return {**self.totals(), "remark": self.remark(design)} if self.compressed else None

    def columns(self) -> Columns:
        """One row a tensor."""
        return {
            "operator": self.operators, "layer": self.layers, "tensor": self.tensors, "operators": self.uses,
            "weights": self.weights, "density": self.density, "codebook_entries": self.codebook,
            "dtype": self.dtypes, "quantised": _flags(self.quantised), "codec": self.codecs,
            "stored_bits": self.stored_bits, "dense_bits": self.dense_bits, "held_bytes": self.held_bytes,
            "on_chip": _flags(self.on_chip), "moved_bytes": self.moved_bytes, "macs": self.macs,
            "multiplications": self.multiplications,
        }  # fmt: skip


def _bytes(bits: Int64Array) -> int:
    return -(-int(bits.sum()) // 8)


def _stored(bits: Int64Array) -> str:
    return f"{format_bytes(_bytes(bits))} stored"


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.1f} %" if share >= 0.1 or not part else "less than 0.1 %"


def _flags(column: BoolArray) -> Sequence[str]:
    return [str(flag).lower() for flag in column.tolist()]
