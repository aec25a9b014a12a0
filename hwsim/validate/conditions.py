"""Under which conditions a row was measured, as overrides of the design that it names."""

from __future__ import annotations

from collections.abc import Mapping

from hwsim.design import Design
from hwsim.validate.rows import MeasuredRow

CACHE_STATES = ("cold", "hot")


def row_overrides(row: MeasuredRow, design: Design) -> tuple[str, ...]:
    """A row's own overrides; then the state of the caches and the harness whose launch cost is in the time,
    where the row says them and the design knows them."""
    spec = design.device_spec
    state, harness = row.cells.get("cache_state", ""), row.cells.get("harness", "")
    found = list(row.overrides)
    if state in CACHE_STATES and "cache_state" in spec.declared:
        found.append(f"cache_state={state}")
    launches = getattr(getattr(spec, "calibration", None), "launch_us", None)
    if harness and isinstance(launches, Mapping) and harness in launches:
        found.append(f"harness={harness}")
    return tuple(found)
