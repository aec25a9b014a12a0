"""A point of a sweep run again by `hwsim.run`, and compared to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwsim.errors import CheckError
from hwsim.explore.axes import NO_RECIPE
from hwsim.explore.evaluate import run_arguments
from hwsim.explore.recipes import compressed
from hwsim.explore.space import Space
from hwsim.pipeline import run
from hwsim.workload import load_with

COMPARED = ("latency_s", "energy_j", "area_mm2", "average_power_w", "throughput_per_s", "utilization")


def check_point(space: Space, texts: Mapping[str, str], metrics: Mapping[str, float], limit: str) -> None:
    """Raises CheckError where `hwsim.run` of the point that sets `texts` finds other figures than `metrics`,
    or another limit."""
    arguments: dict[str, Any] = run_arguments(space, texts)
    if (recipe := texts.get("recipe", NO_RECIPE)) != NO_RECIPE:
        known = {"workload", "design", "dtype", "weight_dtype", "overrides"}
        parameters = {name: arguments.pop(name) for name in [*arguments] if name not in known}
        graph = load_with(arguments["workload"], parameters)
        arguments["workload"] = compressed(graph, recipe, space.seed)
    result = run(**arguments)
    pairs = [(name, metrics[name], getattr(result, name)) for name in COMPARED]
    for name, swept, alone in [*pairs, ("limit", limit, result.limit)]:
        if swept != alone:
            point = ", ".join(f"{axis}={text}" for axis, text in texts.items()) or "the only one"
            raise CheckError(
                f"space {space.name}, point {point}: the sweep has {name} {swept!r}, and a run of its own "
                f"{alone!r}; this is a fault of hwsim"
            )
