"""The validation report: what hwsim is checked against from the outside, as Markdown and CSV files.

`write_reports` writes the whole folder anew: prose from pages/, numbers from runs. Same code, same bytes: no
date, no host and no measured speed is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from importlib.resources import files
from pathlib import Path

from hwsim.folders import write_text
from hwsim.progress import Progress
from hwsim.result.bands import ENOUGH_ROWS
from hwsim.validate.deep_compression import CONVOLUTIONS_PCT, DeepCompression, compare_deep_compression
from hwsim.validate.eie_paper import EiePaper, compare_eie, error_pct, theoretical_us
from hwsim.validate.error_bands import FEWEST_ROWS, bands_csv, bands_markdown, error_bands
from hwsim.validate.fit_host import HostFit, fit_host
from hwsim.validate.measured import validate
from hwsim.validate.published import Comparison, tpu_v1_published
from hwsim.validate.score import Outcome, Summary, ValidationReport
from hwsim.validate.silicon import overview_words, silicon_pages
from hwsim.validate.tables import Cells, csv_text, markdown, rounded
from hwsim.validate.tpu_paper import MATRIX, WHOLE_FIGURE, TpuPaper, compare_tpu

CYCLES = "scalesim_cycles.csv"
SILICON = ("cpu", "gpu")  # the kinds whose designs have measured operators, a page each

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


def write_reports(
    folder: str | Path, progress: Progress | None = None, *, bands: str | Path | None = None
) -> tuple[Path, ...]:
    """Run every reference set and write its report, and to the file `bands` the error bands that ship with
    hwsim. Returns the files. Raises OutputError."""
    found = validate(progress=progress)
    cycles = ValidationReport(tuple(o for o in found.outcomes if o.row.file == CYCLES))
    paper, fit = compare_tpu(), fit_host()
    eie, deep = compare_eie(), compare_deep_compression()
    texts = {
        "README.md": _page("README.md", table=_overview(found, cycles, paper, fit, eie, deep)),
        "scalesim.md": _page("scalesim.md", **_cycles_fields(cycles)),
        "scalesim.csv": csv_text(ARRAY_COLUMNS, _array_rows(cycles)),
        "summary.csv": csv_text(tuple(entry.name for entry in fields(Summary)), _summary_rows(found)),
        "tpu_v1.md": _page("tpu_v1.md", **_paper_fields(paper)),
        "tpu_v1.csv": csv_text(COMPARISON_COLUMNS, _comparison_rows(paper)),
        "deep_compression.md": _page("deep_compression.md", **_deep_fields(deep)),
        "deep_compression.csv": csv_text(COMPARISON_COLUMNS, _comparison_rows(deep)),
        "eie.md": _page("eie.md", **_eie_fields(eie)),
        "eie.csv": csv_text(COMPARISON_COLUMNS, _comparison_rows(eie)),
        "host_link.md": _page("host_link.md", **_fit_fields(fit)),
    }
    found_bands = error_bands(found, eie)
    texts["error_bands.md"] = _page(
        "error_bands.md", enough=ENOUGH_ROWS, fewest=FEWEST_ROWS, bands=bands_markdown(found_bands)
    )
    for kind in SILICON:
        page, table, plot = silicon_pages(found, kind)
        texts |= {f"{kind}.md": _page(f"{kind}.md", **page), f"{kind}.csv": table, f"{kind}.svg": plot}
    paths = {Path(folder) / name: text for name, text in texts.items()}
    if bands is not None:
        paths[Path(bands)] = bands_csv(found_bands)
    return tuple(write_text(path, text) for path, text in paths.items())


def _page(name: str, **fields: object) -> str:
    """A page of prose with its fields filled in (`str.format`)."""
    prose = (files("hwsim.validate") / "pages" / name).read_text(encoding="utf-8")
    return prose.format(again=AGAIN, **fields)


# -- fields of the pages -------------------------------------------------------------------------------


def _overview(
    measured: ValidationReport,
    cycles: ValidationReport,
    paper: TpuPaper,
    fit: HostFit,
    eie: EiePaper,
    deep: DeepCompression,
) -> str:
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
        (
            "EIE, times of its benchmark layers",
            _eie_time_words(eie),
            "eie",
        ),
        ("EIE, area and power of a PE", _element_words(eie), "eie"),
        (
            "Deep Compression, stored size of convolutions before the Huffman code",
            f"largest gap {deep.largest_gap_pct:+.1f} % ({CONVOLUTIONS_PCT:g} % allowed)",
            "deep_compression",
        ),
    )
    silicon = [
        (f"{kind.upper()}s, measured operators", overview_words(measured, kind), kind) for kind in SILICON
    ]
    cells = [(what, found, f"[{page}.md]({page}.md)") for what, found, page in (*rows, *silicon)]
    return markdown(("checked", "found", "page"), cells)


def _cycles_fields(report: ValidationReport) -> Mapping[str, object]:
    return {
        "exact": report.exact,
        "rows": len(report.outcomes),
        "not_run": report.rows_not_run,
        "summary": markdown(
            SUMMARY_COLUMNS,
            (rounded([getattr(s, name) for name in SUMMARY_COLUMNS]) for s in report.summaries),
        ),
        "arrays": markdown(ARRAY_COLUMNS, map(rounded, _array_rows(report))),
    }


def _paper_fields(paper: TpuPaper) -> Mapping[str, object]:
    published = tpu_v1_published()
    peak = published["chip", "peak"].value
    filled: dict[str, object] = {
        "free": paper.cnn0_without_host,
        "unfitted": paper.cnn0_unfitted,
        "peak": peak,
        "labelled": sum(published["floor plan", name].value for name in WHOLE_FIGURE),
        "modelled": markdown(
            ("block", "%"), [(_words(n), f"{s:.1f}") for n, s in paper.modelled_share.items()]
        ),
    }
    for name in ("MLP0", "CNN0"):
        value = {figure: p.value for (subject, figure), p in published.items() if subject == name}
        filled |= {
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
        filled[field] = _find(paper.counters, "CNN0", figure)
    for section in ("normalised", "counters", "weight_tile", "floor_plan", "power"):
        filled[section] = _comparisons(getattr(paper, section))
    return filled


def _eie_time_words(eie: EiePaper) -> str:
    theoretical, actual = (eie.median_error_pct(f"{which} time") for which in ("theoretical", "actual"))
    return f"median error {theoretical:.1f} % (theoretical) and {actual:.1f} % (actual)"


def _element_words(eie: EiePaper) -> str:
    area, power = (_find(part, "whole", figure) for part, figure in
                   ((eie.element_area, "area"), (eie.element_power, "power")))  # fmt: skip
    return f"{error_pct(area):+.1f} % and {error_pct(power):+.1f} %, fitted constants in the design"


def _eie_fields(eie: EiePaper) -> Mapping[str, object]:
    layers = [
        (name, result.cycles, f"{theoretical_us(result):.1f}", f"{result.latency_s * 1e6:.1f}",
         *(f"{100 * result.cycle_share[part]:.1f}" for part in result.timing.parts))
        for name, result in eie.results.items()
    ]  # fmt: skip
    parts = next(iter(eie.results.values())).timing.parts
    filled: dict[str, object] = {
        "layers": markdown(
            ("layer", "cycles", "theoretical us", "actual us", *(f"{_words(p)} %" for p in parts)), layers
        ),
        "theoretical_pct": eie.median_error_pct("theoretical time"),
        "actual_pct": eie.median_error_pct("actual time"),
    }
    for section in ("theoretical", "actual", "element_area", "element_power", "chips"):
        filled[section] = _comparisons(getattr(eie, section), percent=True)
    return filled


def _deep_fields(deep: DeepCompression) -> Mapping[str, object]:
    padded = [
        (name, f"{100 * deep.padding[name]:.1f}", f"{100 * expected:.1f}")
        for name, expected in deep.expected_padding.items()
        if expected >= 0.005
    ]
    filled: dict[str, object] = {
        "demanded": CONVOLUTIONS_PCT,
        "largest": deep.largest_gap_pct,
        "tails": deep.tail_bits,
        "padding": markdown(("layer", "padding %", "q / (1 - q) %"), padded),
    }
    for section in ("sizes", "coded_sizes", "coded_bits"):
        filled[section] = _comparisons(getattr(deep, section), percent=True)
    return filled


def _fit_fields(fit: HostFit) -> Mapping[str, object]:
    microseconds = {"matrix": fit.matrix_s * 1e6, "other": fit.other_s * 1e6}
    return {"fit": fit, "rate": fit.link_bytes_per_s / 1e9, **microseconds}


# -- tables --------------------------------------------------------------------------------------------


def _summary_rows(report: ValidationReport) -> Iterable[Cells]:
    return (astuple(summary) for summary in report.summaries)


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


def _comparison_rows(paper: TpuPaper | EiePaper | DeepCompression) -> Iterable[Cells]:
    for section, comparisons in paper.sections:
        for c in comparisons:
            p = c.published
            within = "" if c.holds is None else "yes" if c.holds else "no"
            yield (
                section, p.subject, p.figure, p.unit, p.value, c.simulated, c.gap,
                c.allowed, within, p.source, p.confidence, c.remark,
            )  # fmt: skip


def _comparisons(comparisons: Iterable[Comparison], *, percent: bool = False) -> str:
    """A table of comparisons; gaps in their unit, or in percent of the published figure."""
    rows = []
    for c in comparisons:
        p = c.published
        verdict = "" if c.holds is None else f"{'within' if c.holds else 'OUTSIDE'} {c.allowed:,.5g}"
        where = p.table if p.confidence == "confirmed" else f"{p.table}, {p.confidence}"
        places = 3 if percent and p.value < 10 else 1
        gap = f"{error_pct(c):+,.1f} %" if percent else f"{c.gap:+,.1f}"
        numbers = (f"{p.value:,.{places}f}", f"{c.simulated:,.{places}f}", gap)
        rows.append((p.subject, _words(p.figure), p.unit, *numbers, verdict, where, c.remark))
    columns = ("of", "figure", "unit", "published", "simulated", "gap", "demanded", "published in", "remark")
    return markdown(columns, rows)


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
