"""The validation report: everything that hwsim is checked against from the outside, as Markdown and CSV files.

`write_reports` writes the whole folder anew. Same code, same bytes: no date, host or measured speed is in it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from hwsim.validate.fit_host import HostFit, describe_fit, fit_host
from hwsim.validate.measured import Progress, validate
from hwsim.validate.published import Comparison, tpu_v1_published
from hwsim.validate.score import Outcome, Summary, ValidationReport, write_text
from hwsim.validate.tpu_paper import MATRIX, TpuPaper, compare_tpu

Cells = Sequence[object]

AGAIN = "Written by `make validation` (`python -m hwsim.validate reports/validation`); do not edit."


def write_reports(folder: str | Path, progress: Progress | None = None) -> tuple[Path, ...]:
    """Run every reference set and write its report. Returns the files. Raises OutputError."""
    cycles, paper, fit = validate(progress=progress), compare_tpu(), fit_host()
    texts = {
        "README.md": _overview(cycles, paper, fit),
        "summary.csv": _csv(SUMMARY_COLUMNS, map(_summary_cells, cycles.summaries)),
        "scalesim.md": _cycles_page(cycles),
        "scalesim.csv": _csv(ARRAY_COLUMNS, _array_rows(cycles)),
        "tpu_v1.md": _paper_page(paper),
        "tpu_v1.csv": _csv(COMPARISON_COLUMNS, _comparison_rows(paper)),
        "host_link.md": _fit_page(fit),
    }
    return tuple(write_text(Path(folder) / name, text) for name, text in texts.items())


# -- pages ---------------------------------------------------------------------------------------------


def _overview(cycles: ValidationReport, paper: TpuPaper, fit: HostFit) -> str:
    worst = max(paper.normalised, key=lambda c: abs(c.gap))
    tile = paper.weight_tile[0]
    floor_plan = max(paper.floor_plan, key=lambda c: abs(c.gap))
    cnn0 = _find(paper.counters, "CNN0", "active")
    rows = [
        (
            "Cycles of SCALE-Sim 3.0.0",
            f"{cycles.exact:,} of {len(cycles.outcomes):,} rows exact",
            "scalesim.md",
        ),
        (
            "TPU v1, MLP0: active, weight stall, weight shift over their sum",
            f"largest gap {worst.gap:+.2f} points ({worst.allowed} allowed)",
            "tpu_v1.md",
        ),
        (
            "TPU v1, a weight tile's arrival",
            f"{tile.simulated:,.1f} cycles ({tile.published.value:,.0f})",
            "tpu_v1.md",
        ),
        (
            "TPU v1, floor plan",
            f"largest gap {floor_plan.gap:+.1f} points ({floor_plan.allowed:.0f} allowed)",
            "tpu_v1.md",
        ),
        (
            "TPU v1, CNN0: array active",
            f"{cnn0.simulated:.1f} % ({cnn0.published.value} published), gap {cnn0.gap:+.1f} points",
            "tpu_v1.md",
        ),
        (
            "TPU v1, host link, fitted on MLP0 alone",
            f"efficiency {fit.host_efficiency:.3f}, overlap {fit.host_overlap:.3f}",
            "host_link.md",
        ),
    ]
    table = _markdown(("checked", "result", "page"), [(a, b, f"[{page}]({page})") for a, b, page in rows])
    return f"# What hwsim is validated against\n\n{AGAIN}\n\n{table}"


def _cycles_page(report: ValidationReport) -> str:
    table = _markdown(SUMMARY_COLUMNS, [_rounded(_summary_cells(s)) for s in report.summaries])
    arrays = _markdown(ARRAY_COLUMNS, map(_rounded, _array_rows(report)))
    reasons = [f"- {count:,} rows not run: {reason}" for reason, count in report.reasons.items()]
    return "\n".join(
        (
            "# Cycles of SCALE-Sim",
            "",
            AGAIN,
            "",
            "Each row is a matrix product on `systolic_plain`, whose memories are unlimited and whose folds do not",
            "overlap. The measured value is the compute cycles that SCALE-Sim 3.0.0 reports, the prediction the",
            "cycles that hwsim's simulated schedule spans. The roofline is useful multiplications at the array's",
            "peak rate: what it misses are fill, drain and partly filled tiles.",
            "",
            f"{report.exact:,} of {len(report.outcomes):,} rows are exact.",
            *reasons,
            "",
            table,
            "By array and dataflow:",
            "",
            arrays,
        )
    )


def _paper_page(paper: TpuPaper) -> str:
    parts = [
        "# TPU v1 and its paper",
        AGAIN,
        "`tpu_mlp0` and `tpu_cnn0` on `tpu_v1`. The paper gives neither application's layer shapes: hwsim's have\n"
        "the published number of layers, weights and batch, so a gap is that of machine and shapes together.\n"
        "Calibration: the host link alone, fitted on MLP0 ([host_link.md](host_link.md)). Gaps are simulated less\n"
        "published, in points where the unit is a percentage.",
        "## MLP0 without the host",
        "Active, weight stall and weight shift cycles over their sum, so that what the host does drops out.",
        _comparisons(paper.normalised),
        "## Cycles by column of Table 3",
        _comparisons(paper.counters),
        _overlaps(),
        _cnn0_gap(paper),
        "## A tile of weights",
        "Arrival from weight memory and shift into the array, in the simulated schedule.",
        _comparisons(paper.weight_tile),
        "## Floor plan",
        _floor_plan_text(paper),
        _comparisons(paper.floor_plan),
        "## Power",
        "hwsim counts the energy of modelled actions and the leakage of modelled parts; the paper measures a\n"
        "powered die. The differences are what hwsim leaves out, and nothing is scaled to hide them.",
        _comparisons(paper.power),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _overlaps() -> str:
    published = tpu_v1_published()

    def value(name: str, figure: str) -> float:
        return published[name, figure].value

    lines = ["Which columns of Table 3 overlap, by the published numbers:", ""]
    for name in ("MLP0", "CNN0"):
        parts = [value(name, figure) for figure in (*MATRIX, "non_matrix")]
        useful, unused = value(name, "useful_macs"), value(name, "unused_macs")
        waits = value(name, "raw"), value(name, "input")
        lines.append(
            f"- {name}: active, weight stall, weight shift and non-matrix split all cycles "
            f"({_sum(parts)}). Useful and unused MACs split the active ones ({_sum((useful, unused))}; active is "
            f"{value(name, 'active')}, so they are rounded). RAW and input stalls ({_sum(waits)}) come on top of "
            f"100 %, so they lie inside the other columns and do not add."
        )
    lines += [
        "",
        "In hwsim every cycle has one cause: RAW and input stalls are parts of non-matrix, and the rest of",
        "non-matrix is the wait for the last results to leave.",
    ]
    return "\n".join(lines)


def _cnn0_gap(paper: TpuPaper) -> str:
    active, non_matrix = _find(paper.counters, "CNN0", "active"), _find(paper.counters, "CNN0", "non_matrix")
    host, unused = _find(paper.counters, "CNN0", "host_share"), _find(paper.counters, "CNN0", "unused_macs")
    return "\n".join(
        (
            "The gaps of CNN0 by name:",
            "",
            f"- without the host (`--set host_link.bandwidth=unlimited`) the array is active "
            f"{paper.without_host['active']:.1f} % of the cycles, where the paper has {active.published.value} %. "
            f"What keeps it from 100 % is the wait for the last tile of a layer ({paper.without_host['raw']:.1f} %).",
            f"- with the host link as fitted on MLP0 it is {active.simulated:.1f} %: {active.gap:+.1f} points. The "
            f"whole gap is non-matrix time ({non_matrix.gap:+.1f} points), waiting for inputs to come and results "
            f"to leave.",
            f"- the link is busy {host.simulated:.1f} % here and {host.published.value:.0f} % in Table 5, while "
            f"non-matrix is more here than there: CNN0's traffic hides better behind other batches than MLP0's. "
            f"One overlap constant cannot say both, and none is fitted to CNN0.",
            f"- {unused.simulated:.1f} points of the peak are unused MACs here and none in the paper: 236 channels "
            f"leave 20 columns of 256 idle, and 2,124 rows of weights fill 8.3 tiles. The widths are hwsim's "
            f"assumption; the real ones fit the array.",
        )
    )


def _floor_plan_text(paper: TpuPaper) -> str:
    modelled = ", ".join(f"{name} {share:.1f}" for name, share in paper.modelled_share.items())
    return (
        "Fig. 2 labels 79 % of the die; hwsim models what is labelled. Its shares of the modelled area (in %:\n"
        f"{modelled}) are therefore times 0.79. unified_buffer is part of data_buffers, and matrix_unit of compute."
    )


def _fit_page(fit: HostFit) -> str:
    return "\n".join(
        (
            "# The host link of tpu_v1",
            "",
            AGAIN,
            "",
            "Two constants in the `calibration` of `designs/tpu_v1.yaml`, from two published figures of MLP0 alone;",
            "every other application is scored with them. With b the share of the TPU's time that its host link is",
            "busy (Table 5) and n the non-matrix share of the cycles (Table 3):",
            "",
            "    T = T_matrix / (1 - n)",
            "    efficiency = bytes / (rate b T)",
            "    overlap = 1 - (n T - T_other) / (b T)",
            "",
            "T_matrix is the simulated time that the array is active, waits for weights or shifts them in; T_other",
            "is what the simulation spends on neither that nor the host. Neither depends on the constants.",
            "",
            describe_fit(fit),
            "",
            "The bytes are those of 2,000 inputs and 2,000 results of a byte for each of 200 inferences. The layer",
            "widths are hwsim's assumption, so `efficiency` takes in its error.",
            "",
        )
    )


# -- tables --------------------------------------------------------------------------------------------

SUMMARY_COLUMNS = (
    "design", "op", "dtype", "metric", "rows", "mdape_pct", "mape_pct", "p90_pct", "bias_pct",
    "roofline_mdape_pct",
)  # fmt: skip
ARRAY_COLUMNS = ("overrides", "rows", "exact", "largest_error_pct", "roofline_mdape_pct")
COMPARISON_COLUMNS = (
    "section", "subject", "figure", "unit", "published", "simulated", "gap", "allowed", "within", "source",
    "confidence", "remark",
)  # fmt: skip


def _summary_cells(summary: Summary) -> Cells:
    return tuple(getattr(summary, name) for name in SUMMARY_COLUMNS)


def _array_rows(report: ValidationReport) -> Iterable[Cells]:
    """One row for each array and dataflow, sorted: rows, exact ones, the largest error."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in report.outcomes:
        groups.setdefault(outcome.row.overrides, []).append(outcome)
    for overrides in sorted(groups, key=lambda given: (given[-1], [len(word) for word in given], given)):
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
                section, p.subject, p.figure, p.unit, f"{p.value:.10g}", f"{c.simulated:.6g}", f"{c.gap:.6g}",
                c.allowed, within, p.source, p.confidence, c.remark,
            )  # fmt: skip


def _comparisons(comparisons: Iterable[Comparison]) -> str:
    rows = []
    for c in comparisons:
        verdict = "" if c.holds is None else f"{'within' if c.holds else 'OUTSIDE'} {c.allowed:g}"
        p = c.published
        where = p.table if p.confidence == "confirmed" else f"{p.table}, {p.confidence}"
        rows.append(
            (p.subject, p.figure.replace("_", " "), p.unit, f"{p.value:,.1f}", f"{c.simulated:,.1f}",
             f"{c.gap:+,.1f}", verdict, where, c.remark)
        )  # fmt: skip
    columns = ("of", "figure", "unit", "published", "simulated", "gap", "demanded", "published in", "remark")
    return _markdown(columns, rows)


def _find(comparisons: Iterable[Comparison], subject: str, figure: str) -> Comparison:
    return next(c for c in comparisons if (c.published.subject, c.published.figure) == (subject, figure))


def _sum(parts: Sequence[float]) -> str:
    return f"{' + '.join(f'{part:g}' for part in parts)} = {sum(parts):.1f}"


def _rounded(cells: Cells) -> Cells:
    return tuple(f"{cell:.2f}" if isinstance(cell, float) else cell for cell in cells)


def _markdown(columns: Sequence[str], rows: Iterable[Cells]) -> str:
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
    writer.writerows(rows)
    return stream.getvalue()
