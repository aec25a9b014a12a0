"""Reads the folder of a comparison back, from its comparison.json alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hwsim.report.fields import CURE, JsonObject, fail, parse_json, read_bytes
from hwsim.result.comparison import (
    ABOUT,
    FORMAT,
    OUTCOMES,
    RAN,
    ComparedDesign,
    ComparedWorkload,
    Comparison,
    ComparisonRow,
    Figures,
)


def read_comparison(folder: Path) -> Comparison:
    """The comparison that a folder holds; what follows from its figures is worked out anew. Raises SpecError,
    naming the place in the file, when it is damaged, or has not one row for each workload and design."""
    path = folder / ABOUT
    top = JsonObject(path, "", parse_json(path, read_bytes(path)))
    if top.members.get("format") != FORMAT:
        fail(path, "format", f"must be {FORMAT!r}: this is no comparison that this hwsim can read; {CURE}")
    found = Comparison(
        rows=tuple(map(_row, top.parts("rows"))),
        workloads=tuple(map(_workload, top.parts("workloads"))),
        designs=tuple(map(_design, top.parts("designs"))),
        lowering=top.texts("lowering") if "lowering" in top.members else (),  # not in earlier folders
        version=top.text("version"),
    )
    pairs = [(w.workload, w.form, w.batch, d.design, d.kind) for w in found.workloads for d in found.designs]
    rows = [(row.workload, row.form, row.batch, row.design, row.kind) for row in found.rows]
    if not pairs or Counter(pairs) != Counter(rows) or len(set(pairs)) < len(pairs):
        fail(path, "rows", f"must have one row for each workload on each design; {CURE}")
    return found


def _row(said: JsonObject) -> ComparisonRow:
    outcome = said.text("outcome")
    if outcome not in OUTCOMES:
        fail(said.path, f"{said.place}.outcome", f"must be one of {', '.join(OUTCOMES)}; {CURE}")
    batch = said.whole("batch")
    if not batch:
        fail(said.path, f"{said.place}.batch", f"must be at least 1; {CURE}")
    return ComparisonRow(
        workload=said.text("workload"),
        form=said.text("form"),
        batch=batch,
        design=said.text("design"),
        kind=said.text("kind"),
        outcome=outcome,
        reason=said.text("reason"),
        figures=_figures(said) if outcome == RAN else None,
    )


def _figures(said: JsonObject) -> Figures:
    return Figures(
        dtype=said.text("dtype"),
        latency_s=said.number("latency_s"),
        energy_j=said.number("energy_j"),
        area_mm2=said.number("area_mm2"),
        macs=said.whole("macs"),
        multiplications=said.whole("multiplications"),
        limit=said.text("limit"),
        limit_busy=said.number("limit_busy"),
        numbers_checked=said.flag("numbers_checked"),
        verified=said.text("verified"),
        error=said.text("error"),
        low_s=said.maybe_number("low_s"),
        high_s=said.maybe_number("high_s"),
    )


def _workload(said: JsonObject) -> ComparedWorkload:
    return ComparedWorkload(
        workload=said.text("workload"),
        form=said.text("form"),
        batch=said.whole("batch"),
        macs=said.whole("macs"),
        synthetic=said.flag("synthetic"),
        source=said.text("source"),
        sha256=said.text("sha256"),
        parameters=said.wholes("parameters"),
        history=said.texts("history"),
    )


def _design(said: JsonObject) -> ComparedDesign:
    return ComparedDesign(
        design=said.text("design"),
        kind=said.text("kind"),
        description=said.text("description"),
        source=said.text("source"),
        sha256=said.text("sha256"),
        overrides=said.texts("overrides"),
        published=said.numbers("published"),
        unmodelled=said.texts("unmodelled"),
    )
