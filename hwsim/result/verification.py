"""What a check of the numbers found, operator by operator. Kept only when everything was right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.arrays import BoolArray, Float64Array, Int64Array
from hwsim.result.tables import Columns


@dataclass(frozen=True, eq=False)
class Verification:
    """One row an operator whose results were compared with the reference. `exact` rows agree bit for bit;
    for the others `max_error` is the largest difference and `bound` what was allowed there, both absolute,
    `max_units` the largest in units of the last place of integers (0 for floats), and `used` the largest
    share of its bound that any element took. `sqnr_db` is the signal to quantisation noise against a float64
    flow of the whole network (infinite where nothing was lost), for each network output in `output_sqnr_db`
    too. `outputs` are the numbers that the machine computed, as reals. `scheme` says how numbers were stored.
    `unexecuted` names operators whose tiles say how much they fetch and multiply and not which elements: the
    reference computed them for the others to read, and they have no row."""

    workload: str
    design: str
    dtype: str
    scheme: str
    seed: int
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    layers: tuple[str, ...]
    tiles: Int64Array
    elements: Int64Array
    exact: BoolArray
    max_error: Float64Array
    max_units: Float64Array
    bound: Float64Array
    used: Float64Array
    sqnr_db: Float64Array
    output_sqnr_db: Mapping[str, float]
    outputs: Mapping[str, Float64Array]
    unexecuted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in (
            self.tiles, self.elements, self.exact, self.max_error, self.max_units, self.bound, self.used,
            self.sqnr_db,
        ):  # fmt: skip
            array.setflags(write=False)
        for array in self.outputs.values():
            array.setflags(write=False)

    @property
    def bit_exact(self) -> bool:
        """Whether every operator agreed bit for bit."""
        return bool(self.exact.all())

    @property
    def verdict(self) -> str:
        """One clause: 'all 57 operators bit for bit (10,812,416 results)'."""
        count, results = len(self.names), f"{int(self.elements.sum()):,} results"
        checked = f"all {count} operators" if count > 1 else "the one operator"
        left = ""
        if self.unexecuted:
            checked = f"{count} of {count + len(self.unexecuted)} operators"
            left = f"; {len(self.unexecuted)} (first: {self.unexecuted[0]}) by the reference, unchecked"
        if self.bit_exact:
            return f"{checked} bit for bit ({results}){left}"
        share = float(self.used.max(initial=0.0))
        bounds = "their bounds" if count > 1 else "its bounds"
        return f"{checked} within {bounds}, at most {share:.1%} of one used ({results}){left}"

    def columns(self) -> Columns:
        """One row an operator."""
        return {
            "operator": self.names, "kind": self.kinds, "layer": self.layers, "tiles": self.tiles,
            "results": self.elements, "exact": [str(flag).lower() for flag in self.exact.tolist()],
            "max_error": self.max_error, "max_units": self.max_units, "bound": self.bound,
            "bound_used": self.used, "sqnr_db": self.sqnr_db,
        }  # fmt: skip
