"""CPUs and GPUs beside their measured operators: errors by group, both baselines, and the constants that were
fitted, as the fields of a page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.design import Design, load_design
from hwsim.library import names
from hwsim.schema import describe
from hwsim.validate.baselines import Half, bootstrap
from hwsim.validate.platform_power import compare_power, median_energy_error_pct
from hwsim.validate.plot import scatter
from hwsim.validate.robust_fit import errors_of
from hwsim.validate.rows import MeasuredRow
from hwsim.validate.score import Outcome, Summary, ValidationReport
from hwsim.validate.tables import Cells, csv_text, markdown, rounded

COLUMNS = (
    "design", "dtype", "op", "harness", "rows", "mdape_pct", "mape_pct", "p90_pct", "bias_pct",
    "roofline_mdape_pct", "half_rows", "half_mdape_pct", "half_mape_pct", "half_p90_pct",
    "calibrated_mdape_pct", "calibrated_mape_pct", "calibrated_p90_pct",
)  # fmt: skip
HEADINGS = (
    "design", "dtype", "op", "harness", "rows", "MdAPE", "MAPE", "p90", "bias", "peak roofline", "scored",
    "MdAPE", "MAPE", "p90", "calibrated MdAPE", "MAPE", "p90",
)  # fmt: skip
FAR_PCT = 50.0  # rows that miss by more are listed
MOST_LISTED = 40
EIE_TABLE = "eie_table4.csv"


@dataclass(frozen=True)
class Group:
    """Rows of one design, number format, operator and harness."""

    harness: str
    outcomes: tuple[Outcome, ...]

    @property
    def summary(self) -> Summary:
        return ValidationReport(self.outcomes).summaries[0]


def silicon_pages(report: ValidationReport, kind: str) -> tuple[Mapping[str, object], str, str]:
    """Of the designs of a kind: the fields of its page, its table as CSV, and its plot as SVG."""
    designs = _designs(kind)
    mine = [o for o in report.outcomes if o.row.design in designs and o.predicted is not None]
    groups = _groups(mine)
    rows = [_cells(group) for group in groups]
    halves = [half for (design, op, *_), half in report.halves.items() if design in designs and op == "gemm"]
    measured = {o.row.design for o in mine}
    fields = {
        "groups": markdown(HEADINGS, (rounded(cells, 1) for cells in rows)),
        "pooled": _pooled_words(halves),
        "eie": _eie_words(mine),
        "energy": _energy(designs),
        "far": _far(mine),
        "constants": _constants({name: found for name, found in designs.items() if name in measured}),
        "unmeasured": ", ".join(f"`{name}`" for name in designs if name not in measured) or "none",
        "not_run": sum(o.row.design in designs and o.predicted is None for o in report.outcomes),
        "rows": len(mine),
    }
    return fields, csv_text(COLUMNS, rows), scatter(_points(mine))


def overview_words(report: ValidationReport, kind: str) -> str:
    """The errors of all measured operators of a kind, in half a sentence."""
    designs = _designs(kind)
    found = []
    for op, words in (("gemm", "matrix products"), ("conv2d", "convolutions")):
        of_op = [o for o in report.outcomes if o.row.design in designs and o.row.op == op]
        mine = [o for o in of_op if o.predicted is not None]
        if mine:
            errors = errors_of(*_arrays(mine))
            found.append(f"{errors.rows:,} {words}: median error {errors.mdape_pct:.1f} %")
    return "; ".join(found)


def contradicts_itself(row: MeasuredRow) -> bool:
    """Whether a row is one of the mobile GPU's dense ones at batch 64 in Table IV of the EIE paper."""
    found = (row.file, row.design, row.op, row.sizes.get("M"))
    return found == (EIE_TABLE, "tegra_k1", "gemm", 64)


def _designs(kind: str) -> dict[str, Design]:
    """The shipped designs of a kind by name."""
    loaded = {name: load_design(name) for name in names("designs")}
    return {name: found for name, found in loaded.items() if found.device_spec.kind == kind}


def _groups(outcomes: Iterable[Outcome]) -> list[Group]:
    found: dict[tuple[str, str, str, str], list[Outcome]] = {}
    for o in outcomes:
        harness = o.row.cells.get("harness", "")
        found.setdefault((o.row.design, o.row.dtype, o.row.op, harness), []).append(o)
    return [Group(key[3], tuple(part)) for key, part in sorted(found.items())]


def _cells(group: Group) -> Cells:
    summary = group.summary
    return tuple(group.harness if name == "harness" else getattr(summary, name) for name in COLUMNS)


def _points(outcomes: Sequence[Outcome]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for o in sorted(outcomes, key=lambda o: (o.row.design, o.row.dtype)):
        assert o.predicted is not None
        found.setdefault(f"{o.row.design}, {o.row.dtype}", []).append((o.row.measured, o.predicted))
    return found


def _pooled_words(halves: Sequence[Half]) -> str:
    """hwsim beside the calibrated roofline on all scored rows of matrix products."""
    if not halves:
        return "No matrix products were measured."
    pooled = halves[0]
    for half in halves[1:]:
        pooled = pooled.joined(half)
    own, other, draws = pooled.errors, pooled.roofline_errors, bootstrap(pooled)
    return (
        f"All {own.rows:,} scored matrix products together: hwsim MdAPE {own.mdape_pct:.1f} %, MAPE "
        f"{own.mape_pct:.1f} %, p90 {own.p90_pct:.1f} %; calibrated roofline {other.mdape_pct:.1f}, "
        f"{other.mape_pct:.1f} and {other.p90_pct:.1f} %. In a paired bootstrap of 2,000 draws hwsim has the "
        f"smaller MAPE in {draws.mape_share:.1%} of them and the smaller p90 in {draws.p90_share:.1%}."
    )


def _eie_words(outcomes: Sequence[Outcome]) -> str:
    """Table IV of the EIE paper, with the mobile GPU's dense rows at batch 64 apart."""
    rows = [o for o in outcomes if o.row.file == EIE_TABLE]
    apart = [o for o in rows if contradicts_itself(o.row)]
    if not rows:
        return "No row of it is of a shipped design of this kind."
    said = f"Table IV of the EIE paper: {_error_words([o for o in rows if o not in apart])}."
    if apart:
        said += (
            f" The mobile GPU's dense rows at batch 64, which contradict themselves (a layer of 16.8 million "
            f"weights takes longer than one of 37.7 million), apart: {_error_words(apart)}."
        )
    return said


def _error_words(outcomes: Sequence[Outcome]) -> str:
    errors = errors_of(*_arrays(outcomes))
    sizes = f"MdAPE {errors.mdape_pct:.1f} %, MAPE {errors.mape_pct:.1f} %, p90 {errors.p90_pct:.1f} %"
    return f"{errors.rows} rows, {sizes}"


def _arrays(outcomes: Sequence[Outcome]) -> tuple[Float64Array, Float64Array]:
    return (
        np.array([o.predicted for o in outcomes], dtype=np.float64),
        np.array([o.row.measured for o in outcomes], dtype=np.float64),
    )


def _energy(designs: Collection[str]) -> str:
    """The paper's watts times its times, beside hwsim's energy."""
    found = compare_power(designs)
    scored = [c for c in found if not c.contradictory]
    medians = [
        f"`{name}` {median_energy_error_pct(mine):.1f} %"
        for name in dict.fromkeys(c.measured.design for c in scored)
        if (mine := [c for c in scored if c.measured.design == name])
    ]
    cells = [
        (
            c.measured.design, c.measured.layer, "sparse" if c.measured.density < 1 else "dense",
            c.measured.batch,
            f"{c.measured.power_w:.1f}", f"{c.power_w:.1f}", f"{c.power_error_pct:+.0f}",
            f"{c.measured.energy_uj / 1000:,.2f}", f"{c.energy_uj / 1000:,.2f}", f"{c.energy_error_pct:+.0f}",
            "apart" if c.contradictory else "",
        )
        for c in found
    ]  # fmt: skip
    columns = (
        "design", "layer", "matrix", "batch", "W measured", "W", "error %", "mJ measured", "mJ", "error %",
        "",
    )  # fmt: skip
    said = (
        f"Median error of the energy: {', '.join(medians)}; together {median_energy_error_pct(scored):.1f} %."
    )
    return f"{said}\n\n{markdown(columns, cells)}"


def _far(outcomes: Sequence[Outcome]) -> str:
    """Rows that miss by more than half, the farthest first."""
    far = [(abs(o.error_pct), o) for o in outcomes if o.error_pct is not None and abs(o.error_pct) > FAR_PCT]
    far.sort(key=lambda pair: -pair[0])
    cells = [
        (o.row.design, o.row.dtype, o.row.op, _sizes(o), f"{o.row.measured:,.0f}", f"{o.predicted:,.0f}",
         f"{o.error_pct:+.0f}")
        for _, o in far[:MOST_LISTED]
    ]  # fmt: skip
    more = f"\nand {len(far) - MOST_LISTED} more.\n" if len(far) > MOST_LISTED else ""
    columns = ("design", "dtype", "op", "sizes", "measured us", "predicted us", "error %")
    return f"{len(far)} of {len(outcomes):,} rows.\n\n{markdown(columns, cells)}{more}"


def _sizes(outcome: Outcome) -> str:
    return " ".join(f"{name}={size}" for name, size in outcome.row.sizes.items())


def _constants(designs: Mapping[str, Design]) -> str:
    """What stands under `calibration` in each design's file, with what was said of it there."""
    parts = []
    for name, design in designs.items():
        head = f"devices.{design.device_name}.calibration."
        rows = {
            row.path.removeprefix(head): row
            for row in describe(design)
            if row.path.startswith(head) and row.source != "default"
        }
        said = rows.pop("fitted_on", None)
        cells = [(path, row.value, row.source) for path, row in rows.items()]
        table = markdown(("constant", "value", "said of it in the design"), cells)
        parts.append(f"`{name}`: {said.value if said is not None else ''}\n\n{table}")
    return "\n".join(parts)
