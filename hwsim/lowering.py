"""How a machine makes operators of layers: by the choices of `hwsim.compress.lowering`, and where nobody
chose by what it has."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from hwsim.compress.lowering import Chosen, with_choices
from hwsim.devices import Device
from hwsim.placement import Machine, SharedMachine
from hwsim.units import format_bytes
from hwsim.workload import Workload
from hwsim.workload.lowering import fused_traffic_bytes


def lowered(graph: Workload, machine: Machine, chosen: Chosen = ()) -> Workload:
    """`graph` with the choices made, and attention that the machine has no fused form of as plain operators.
    Notes of the workload say what was done. The workload itself where nothing is."""
    device = _first(machine)
    unfused = frozenset(
        op.name
        for op in graph.operators
        if op.kind == "attention" and device.supports(op, [graph.tensors[name].dtype for name in op.inputs])
    )
    return _lowered(graph, chosen, unfused)


@lru_cache(maxsize=128)
def _lowered(graph: Workload, chosen: Chosen, unfused: frozenset[str]) -> Workload:
    """As `lowered`; `unfused` is attention that the machine has no fused form of."""
    made = with_choices(graph, chosen, unfused)
    count, saved = fused_traffic_bytes(made)
    if not count:
        return made
    what = "1 pointwise function is" if count == 1 else f"{count} pointwise functions are"
    note = (
        f"{what} fused behind what makes the operands, which keeps "
        f"{format_bytes(saved)} from being written and read in between"
    )
    return replace(made, notes=(*made.notes, note))


def _first(machine: Machine) -> Device:
    """The device that runs what it can."""
    return machine.devices[machine.default] if isinstance(machine, SharedMachine) else machine
