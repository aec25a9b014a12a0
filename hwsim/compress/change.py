"""How far a compressed network's output lies from the original's, on the input that its seed draws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.errors import SpecError
from hwsim.functional import activations, execute
from hwsim.workload.graph import Workload

MOST_MACS = 4 * 10**9  # a few seconds of float64 on two cores
MOST_PARAMETERS = 10**8  # in float64, layer by layer, beside all of them as they are

Outputs = Mapping[str, Float64Array]


def too_large(workload: Workload, runs: int) -> str:
    """Why a network is not run so many times for a table, or nothing."""
    if workload.macs * runs > MOST_MACS:
        return (
            f"{workload.name} has {workload.macs:,} MACs, to be run in float64 "
            f"{'once' if runs == 1 else f'{runs:,} times'}: hwsim spends up to {MOST_MACS:,} on that"
        )
    if workload.parameter_count > MOST_PARAMETERS:
        return (
            f"{workload.name} has {workload.parameter_count:,} parameters: hwsim runs networks of up to "
            f"{MOST_PARAMETERS:,} in float64"
        )
    return ""


def check_small(workload: Workload, runs: int, what: str) -> None:
    """Raise SpecError where so many runs would take long."""
    if reason := too_large(workload, runs):
        raise SpecError(f"{what}: {reason}")


def float_outputs(workload: Workload) -> dict[str, Float64Array]:
    """The network's outputs in float64, whatever formats it states."""
    found = activations(workload, {})
    return {name: found[name] for name in workload.outputs}


def outputs_after(before: Workload, after: Workload) -> dict[str, Float64Array]:
    """The outputs of a compressed network: in float64, or in its own formats where compression chose them."""
    if _formats(after) != _formats(before):
        return execute(after, {})
    return float_outputs(after)


def relative_change(base: Outputs, now: Outputs) -> float:
    """Root mean square of the difference over that of `base`, all outputs together."""
    apart = sum(float(np.square(now[name].reshape(-1) - base[name].reshape(-1)).sum()) for name in base)
    size = sum(float(np.square(values).sum()) for values in base.values())
    if not size:
        return 0.0 if not apart else float("inf")
    return float(np.sqrt(apart / size))


def _formats(workload: Workload) -> dict[str, object]:
    """What each tensor's numbers lie on; those that only one of two networks has are fp32 in the other."""
    return {
        name: (tensor.dtype, tensor.quantisation)
        for name, tensor in workload.tensors.items()
        if tensor.dtype != "fp32" or tensor.quantisation is not None
    }
