"""Sensitivity: how much a network's output changes when one layer alone is pruned, and densities chosen by
it. After Han et al., NIPS 2015, figure 6, with the change of the output in place of accuracy, which needs
data and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.compress.change import check_small, float_outputs, outputs_after, relative_change
from hwsim.compress.layers import Patterns, derived, select
from hwsim.compress.prune import prune
from hwsim.errors import SpecError
from hwsim.workload.graph import Workload

DENSITIES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """`changes` of the network's output, relative, with one layer alone pruned to each of `densities`."""

    layer: str
    densities: tuple[float, ...]
    changes: tuple[float, ...]

    def density_for(self, change: float) -> float:
        """The least density from which on no higher one changes the output more than `change`; 1 if none."""
        found = 1.0
        for density, measured in sorted(zip(self.densities, self.changes, strict=True), reverse=True):
            if measured > change:
                break
            found = density
        return found


def measure_sensitivity(
    workload: Workload, densities: Sequence[float] = DENSITIES, *, layers: Patterns = None
) -> tuple[Sensitivity, ...]:
    """Prune each layer alone to each density and run the network in float64 on the input that its seed draws.
    Raises SpecError for a network too large for so many runs, and as `prune`."""
    refs = select(workload, layers)
    check_small(workload, len(refs) * len(densities), "measuring sensitivity")
    base = float_outputs(workload)
    found = []
    for ref in refs:
        alone = (prune(workload, density, layers=ref.operator) for density in densities)
        changes = tuple(relative_change(base, outputs_after(workload, pruned)) for pruned in alone)
        found.append(Sensitivity(ref.operator, tuple(densities), changes))
    return tuple(found)


def prune_by_sensitivity(workload: Workload, change: float, *, layers: Patterns = None) -> Workload:
    """Prune each layer to the least density of DENSITIES at which pruning it alone changes the network's
    output by at most `change` (relative, root mean square). Together the layers change it more. Raises
    SpecError for a change that is not above 0, and as `measure_sensitivity`."""
    if not change > 0:
        raise SpecError(f"change is {change}: it must be above 0")
    measured = measure_sensitivity(workload, layers=layers)
    chosen = {row.layer: row.density_for(change) for row in measured}
    pruned = prune(workload, densities=chosen)
    step = f"{pruned.history[-1]}, so that each alone changes the output by at most {change:g}"
    return derived(workload, step, tensors=dict(pruned.tensors))
