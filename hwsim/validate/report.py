"""The validation report: what hwsim is checked against from the outside, as Markdown and CSV files.

`write_reports` writes the whole folder anew: prose from pages/, numbers from runs. Same code, same bytes: no
date, no host and no measured speed is in it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from hwsim.validate.fit_host import HostFit, fit_host
from hwsim.validate.measured import Progress, validate
from hwsim.validate.published import Comparison, tpu_v1_published
from hwsim.validate.score import Outcome, ValidationReport, write_text
from hwsim.validate.tpu_paper import MATRIX, WHOLE_FIGURE, TpuPaper, compare_tpu

Cells = Sequence[object]

AGAIN = "Written by `make validation`; do not edit."

SUMMARY_COLUMNS = (
    "design", "op", "dtype", "metric", "rows", "mdape_pct", "mape_pct", "p90_pct", "bias_pct",
    "roofline_mdape_pct",
)  # fmt: skip
ARRAY_COLUMNS = ("overrides", "rows", "exact", "largest_error_pct", "roofline_mdape_pct")
COMPARISON_COLUMNS = (
    "section", "subject", "figure", "unit", "published", "simulated", "gap", "allowed", "within", "source",
    "confidence", "remark",
)  # fmt: skip


def write_reports(folder: str | Path, progress: Progress | None = None) -> tuple[Path, ...]:
    """Run every reference set and write its report. Returns the files. Raises OutputError."""
    cycles, paper, fit = validate(progress=progress), compare_tpu(), fit_host()
    texts = {
        "README.md": _page("README.md", table=_overview(cycles, paper, fit)),
        "scalesim.md": _page("scalesim.md", **_cycles_fields(cycles)),
        "scalesim.csv": _csv(ARRAY_COLUMNS, _array_rows(cycles)),
        "summary.csv": _csv(SUMMARY_COLUMNS, _summary_rows(cycles)),
        "tpu_v1.md": _page("tpu_v1.md", **_paper_fields(paper)),
        "tpu_v1.csv": _csv(COMPARISON_COLUMNS, _comparison_rows(paper)),
        "host_link.md": _page("host_link.md", **_fit_fields(fit)),
    }
    return tuple(write_text(Path(folder) / name, text) for name, text in texts.items())


def _page(name: str, **fields: object) -> str:
    """A page of prose with its fields filled in (`str.format`)."""
    prose = (files("hwsim.validate") / "pages" / name).read_text(encoding="utf-8")
    return prose.format(again=AGAIN, **fields)


# -- fields of the pages -------------------------------------------------------------------------------


def _overview(cycles: ValidationReport, paper: TpuPaper, fit: HostFit) -> str:
    worst = max(paper.normalised, key=_distance)
    floor_plan = max(paper.floor_plan, key=_distance)
    tile = paper.weight_tile[0]
    active = _find(paper.counters, "CNN0", "active")
    share = paper.modelled_share
    raw = (
        "shares are brought to the labelled part of the die; of the modelled area, data buffers are "
        f"{share['data_buffers']:.1f} % for 37 and I/O {share['io']:.1f} % for 10"
    )
    rows = (
        ("cycles of SCALE-Sim 3.0.0", f"{cycles.exact:,} of {len(cycles.outcomes):,} rows exact", "scalesim"),
        ("TPU v1, MLP0: active, weight stall, weight shift", f"largest gap {_allowed(worst)}", "tpu_v1"),
        ("TPU v1, arrival of a weight tile", f"{tile.simulated:,.1f} cycles, {_allowed(tile)}", "tpu_v1"),
        ("TPU v1, floor plan", f"largest gap {_allowed(floor_plan)}; {raw}", "tpu_v1"),
        (
            "TPU v1, CNN0: array active, nothing fitted to it",
            f"{active.simulated:.1f} % for {active.published.value:g} %, gap {active.gap:+.1f} points",
            "tpu_v1",
        ),
        (
            "TPU v1, host link, fitted on MLP0 alone",
            f"efficiency {fit.host_efficiency:.3f}, overlap {fit.host_overlap:.3f}",
            "host_link",
        ),
    )
    cells = [(what, found, f"[{page}.md]({page}.md)") for what, found, page in rows]
    return _markdown(("checked", "found", "page"), cells)


def _cycles_fields(report: ValidationReport) -> Mapping[str, object]:
    return {
        "exact": report.exact,
        "rows": len(report.outcomes),
        "not_run": report.rows_not_run,
        "summary": _markdown(SUMMARY_COLUMNS, map(_rounded, _summary_rows(report))),
        "arrays": _markdown(ARRAY_COLUMNS, map(_rounded, _array_rows(report))),
    }


def _paper_fields(paper: TpuPaper) -> Mapping[str, object]:
    published = tpu_v1_published()
    peak = published["chip", "peak"].value
    fields: dict[str, object] = {
        "free": paper.cnn0_without_host,
        "unfitted": paper.cnn0_unfitted,
        "peak": peak,
        "labelled": sum(published["floor plan", name].value for name in WHOLE_FIGURE),
        "modelled": _markdown(
            ("block", "%"), [(_words(n), f"{s:.1f}") for n, s in paper.modelled_share.items()]
        ),
    }
    for name in ("MLP0", "CNN0"):
        value = {figure: p.value for (subject, figure), p in published.items() if subject == name}
        fields |= {
            f"{name.lower()}_cycles": _sum([value[figure] for figure in (*MATRIX, "non_matrix")]),
            f"{name.lower()}_macs": _sum([value["useful_macs"], value["unused_macs"]]),
            f"{name.lower()}_waits": _sum([value["raw"], value["input"]]),
            f"{name.lower()}_active": value["active"],
            f"{name.lower()}_tops": value["useful_macs"] / 100 * peak,
        }
    for field, figure in (
        ("active", "active"), ("non_matrix", "non_matrix"), ("host", "host_share"), ("raw", "raw"),
        ("unused", "unused_macs"),
    ):  # fmt: skip
        fields[field] = _find(paper.counters, "CNN0", figure)
    for section in ("normalised", "counters", "weight_tile", "floor_plan", "power"):
        fields[section] = _comparisons(getattr(paper, section))
    return fields


def _fit_fields(fit: HostFit) -> Mapping[str, object]:
    microseconds = {"matrix": fit.matrix_s * 1e6, "other": fit.other_s * 1e6}
    return {"fit": fit, "rate": fit.link_bytes_per_s / 1e9, **microseconds}


# -- tables --------------------------------------------------------------------------------------------


def _summary_rows(report: ValidationReport) -> Iterable[Cells]:
    return (tuple(getattr(summary, name) for name in SUMMARY_COLUMNS) for summary in report.summaries)


def _array_rows(report: ValidationReport) -> Iterable[Cells]:
    """One row for each array and dataflow: rows, exact ones, the largest error."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in report.outcomes:
        groups.setdefault(outcome.row.overrides, []).append(outcome)
    # By dataflow, then by size: of two numbers the shorter is the smaller.
    for overrides in sorted(groups, key=lambda given: (given[-1:], [(len(word), word) for word in given])):
        part = ValidationReport(tuple(groups[overrides]))
        errors = [abs(o.error_pct) for o in part.outcomes if o.error_pct is not None]
        roofline = part.summaries[0].roofline_mdape_pct if part.summaries else None
        yield " ".join(overrides), len(part.outcomes), part.exact, max(errors, default=None), roofline


def _comparison_rows(paper: TpuPaper) -> Iterable[Cells]:
    for section, comparisons in paper.sections:
        for c in comparisons:
            p = c.published
            within = "" if c.holds is None else "yes" if c.holds else "no"
            yield (
                section, p.subject, p.figure, p.unit, p.value, c.simulated, c.gap,
                c.allowed, within, p.source, p.confidence, c.remark,
            )  # fmt: skip


def _comparisons(comparisons: Iterable[Comparison]) -> str:
    rows = []
    for c in comparisons:
        p = c.published
        verdict = "" if c.holds is None else f"{'within' if c.holds else 'OUTSIDE'} {c.allowed:g}"
        where = p.table if p.confidence == "confirmed" else f"{p.table}, {p.confidence}"
        numbers = (f"{p.value:,.1f}", f"{c.simulated:,.1f}", f"{c.gap:+,.1f}")
        rows.append((p.subject, _words(p.figure), p.unit, *numbers, verdict, where, c.remark))
    columns = ("of", "figure", "unit", "published", "simulated", "gap", "demanded", "published in", "remark")
    return _markdown(columns, rows)


def _find(comparisons: Iterable[Comparison], subject: str, figure: str) -> Comparison:
    return next(c for c in comparisons if (c.published.subject, c.published.figure) == (subject, figure))


def _distance(comparison: Comparison) -> float:
    return abs(comparison.gap)


def _allowed(comparison: Comparison) -> str:
    points = "points" if comparison.published.unit.startswith("%") else comparison.published.unit
    return f"{comparison.gap:+.1f} {points} ({comparison.allowed:g} allowed)"


def _words(figure: str) -> str:
    return figure.replace("_", " ")


def _sum(parts: Sequence[float]) -> str:
    return f"{' + '.join(f'{part:g}' for part in parts)} = {sum(parts):.1f}"


def _rounded(cells: Cells) -> Cells:
    return tuple(f"{cell:.2f}" if isinstance(cell, float) else cell for cell in cells)


def _markdown(columns: Sequence[str], rows: Iterable[Cells]) -> str:
    """A table, each line ended."""
    lines = [
        columns,
        ["---"] * len(columns),
        *(["" if cell is None else cell for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def _csv(columns: Sequence[str], rows: Iterable[Cells]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return stream.getvalue()
