"""A comparison made by hand, for tests of what is done with comparisons: two networks, one in two forms, on
two designs, neither of which can run everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hwsim.result.comparison import (
    RAN,
    UNSUPPORTED,
    ComparedDesign,
    ComparedWorkload,
    Comparison,
    ComparisonRow,
    Figures,
)

SPARSE = "10 % not zero, csc"
REASON = 'no way to run "softmax", <b>here</b>'


def figures(latency_s: float, energy_j: float, **changes: Any) -> Figures:
    made = Figures(
        dtype="int8", latency_s=latency_s, energy_j=energy_j, area_mm2=20.0, macs=1000, multiplications=1000,
        limit="memory", limit_busy=0.75, numbers_checked=True, verified="all 3 operators bit for bit",
        error="not validated",
    )  # fmt: skip
    return replace(made, **changes)


def sample_comparison(**changes: Any) -> Comparison:
    """Rows: net dense on a, b (cannot run); net sparse on a, b; other on a, b."""
    forms = [("net", "dense", 1), ("net", SPARSE, 4), ("other", "dense", 2)]
    found = {
        ("net", "dense", "a"): figures(2e-3, 8e-3),
        ("net", SPARSE, "a"): figures(4e-3, 16e-3),
        ("net", SPARSE, "b"): figures(1e-3, 1e-3, dtype="int16", area_mm2=5.0, multiplications=100,
                                      numbers_checked=False, verified="not computed", error="-5 to +9 %",
                                      low_s=1e-3 / 1.09, high_s=1e-3 / 0.95),
        ("other", "dense", "b"): figures(1e-6, 3e-9, macs=0, limit="", limit_busy=0.0),
    }  # fmt: skip
    rows = []
    for workload, form, batch in forms:
        for design, kind in (("a", "systolic"), ("b", "eie")):
            got = found.get((workload, form, design))
            outcome, reason = (RAN, "") if got else (UNSUPPORTED, REASON)
            rows.append(ComparisonRow(workload, form, batch, design, kind, outcome, reason, got))
    fields: dict[str, Any] = {
        "rows": tuple(rows),
        "workloads": tuple(
            ComparedWorkload(
                workload, form, batch, 1000, workload == "other", f"{workload}.yaml", "ab" * 32,
                {"batch": batch}, ("from net (yaml)", "prune: a tenth") if form == SPARSE else (),
            )
            for workload, form, batch in forms
        ),
        "designs": (
            ComparedDesign("a", "systolic", "An array.", "a.yaml", "cd" * 32, (),
                           {"busy_power_w": 40.0, "die_area_mm2": 331.0}, ("refresh", "wires")),
            ComparedDesign("b", "eie", "", "b.yaml", "ef" * 32, ("pes=4",), {}, ("refresh",)),
        ),
    }  # fmt: skip
    return Comparison(**(fields | changes))
