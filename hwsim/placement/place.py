"""Who runs each operator of a network that several devices share, and in which number format.

A placement by kind comes first. Else the default device runs what it can, and the host the rest. Each device
computes in its own format unless one was chosen for the network; where a device reads what was made in
another format, the host converts it, in an operator of its own that takes its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from hwsim.devices import Device
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.placement.machine import SharedMachine
from hwsim.plan.residency import Contents
from hwsim.preparation import refuse
from hwsim.tensor.tensor import Tensor
from hwsim.workload import Workload
from hwsim.workload.graph import WEIGHTED, operands
from hwsim.workload.operators import Move, Operator

PLACED = "placed there by the design"
FIXED = ("weight", "constant", "cache")  # what a device has in its memory before the run


@dataclass(frozen=True, eq=False)
class Placed:
    """A network with the conversions that sharing it takes, and the device of each operator, by name. `home`
    is where each tensor is made, or is before the run; fixed ones are where they are read. `notes` say who
    runs what, and why; `weights` are those that were looked into for that."""

    workload: Workload
    device_of: Mapping[str, str]
    home: Mapping[str, str]
    notes: tuple[str, ...]
    weights: Mapping[str, Contents]


@lru_cache(maxsize=64)
def place(graph: Workload, machine: SharedMachine) -> Placed:
    """Place every operator. Raises UnsupportedError, all reasons together, for operators that neither the
    default device nor the host can run, or that the device of their placement cannot."""
    formats = {name: _in_format(graph, dtype) for name, dtype in machine.formats.items()}
    weights: dict[str, Contents] = {}
    device_of, reasons = _choose(graph, machine, formats, weights)
    home = _homes(graph, machine, device_of)
    if len(set(machine.formats.values())) > 1 and not graph.formats_chosen:
        graph, device_of, home = _converted(graph, machine, formats, device_of, home)
    else:
        graph = formats[machine.default]
    return Placed(
        graph,
        MappingProxyType(device_of),
        MappingProxyType(home),
        tuple(_notes(machine, reasons)),
        MappingProxyType(weights),
    )


def _in_format(graph: Workload, dtype: str) -> Workload:
    """The network as one device alone would run it."""
    return graph if graph.formats_chosen else graph.astype(dtype)


# -- devices -------------------------------------------------------------------------------------------


def _choose(
    graph: Workload, machine: SharedMachine, formats: Mapping[str, Workload], weights: dict[str, Contents]
) -> tuple[dict[str, str], dict[tuple[str, str], list[str]]]:
    """The device of each operator, and operators by (device, why it is not the default one)."""
    chosen: dict[str, str] = {}
    maker: dict[str, str] = {}
    why: dict[tuple[str, str], list[str]] = {}
    refused: dict[str, list[str]] = {}
    for op in graph.operators:
        if op.kind == "view":  # costs nothing, so it stays where its elements are
            device = maker.get(op.inputs[0], machine.host)
        else:
            device, reason, refusal = _choose_one(op, machine, formats, weights)
            if refusal:
                refused.setdefault(refusal, []).append(op.name)
            elif reason:
                why.setdefault((device, reason), []).append(op.name)
        chosen[op.name] = maker[op.output] = device
    refuse(graph, refused)
    return chosen, why


def _choose_one(
    op: Operator, machine: SharedMachine, formats: Mapping[str, Workload], weights: dict[str, Contents]
) -> tuple[str, str, str]:
    """Device, why it is not the default one, and why none can run the operator."""

    def refusal(name: str) -> str:
        device, graph = machine.devices[name], formats[name]
        reason = device.supports(op, [graph.tensors[operand].dtype for operand in op.inputs])
        if not reason and device.reads_contents and op.kind in WEIGHTED:
            return _unreadable(op, graph, device, weights)
        return reason

    placed = machine.placement.get(op.kind)
    if placed is not None:
        reason = refusal(placed)
        return placed, PLACED if placed != machine.default else "", f"{placed}: {reason}" if reason else ""
    own = refusal(machine.default)
    if not own:
        return machine.default, "", ""
    other = refusal(machine.host)
    both = f"{machine.default}: {own}; {machine.host}: {other}" if other else ""
    return machine.host, f"{machine.default} cannot: {own}", both


def _unreadable(op: Operator, graph: Workload, device: Device, weights: dict[str, Contents]) -> str:
    """Why a device that reads weights cannot keep those of a product, or an empty string."""
    names = dict.fromkeys((*operands(op), op.output))
    tensors = {name: graph.tensors[name] for name in names}
    contents: dict[str, Contents] = {}
    for name in op.inputs:
        tensor = tensors[name]
        if tensor.role in FIXED:
            contents[name] = weights.setdefault(name, Contents(tensor))
        else:
            tensors[name] = replace(tensor, role="input")
            contents[name] = Contents(tensor, np.broadcast_to(np.True_, tensor.shape))
    inputs = tuple(name for name in names if tensors[name].role == "input") or (op.inputs[0],)
    alone = replace(graph, operators=(op,), tensors=tensors, inputs=inputs, outputs=(op.output,))
    try:
        device.weight_storage(alone, contents)
    except (UnsupportedError, CapacityError) as error:
        return str(error).removeprefix(f"operator {op.name}").removeprefix(":").strip()
    return ""


def _homes(graph: Workload, machine: SharedMachine, device_of: Mapping[str, str]) -> dict[str, str]:
    home = dict.fromkeys(graph.inputs, machine.host)
    home.update((op.output, device_of[op.name]) for op in graph.operators)
    for op in graph.operators:
        if op.kind == "append":
            readers = {device_of[r.name] for r in graph.operators if op.output in operands(r)}
            if readers - {home[op.output]}:
                raise UnsupportedError(
                    f"operator {op.name}: {op.inputs[0]} grows on {home[op.output]} and is read on "
                    f"{', '.join(sorted(readers))}: place append and its readers on one device"
                )
    return home


def _notes(machine: SharedMachine, why: Mapping[tuple[str, str], list[str]]) -> list[str]:
    found = []
    for (device, reason), names in why.items():
        some = f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
        found.append(f"{device} runs {some}: {reason}")
    return found or [f"{machine.default} runs every operator"]


# -- number formats ------------------------------------------------------------------------------------


def _converted(
    graph: Workload,
    machine: SharedMachine,
    formats: Mapping[str, Workload],
    device_of: Mapping[str, str],
    home: Mapping[str, str],
) -> tuple[Workload, dict[str, str], dict[str, str]]:
    """The network with each tensor in the format of the device that makes it, and conversions where another
    reads it in its own; with the devices and homes of those too."""
    tensors = _own_tensors(graph, formats, device_of)
    devices, homes = dict(device_of), dict(home)
    behind: dict[str, list[Operator]] = {}  # conversions by the tensor that they convert
    operators: list[Operator] = []
    for op in graph.operators:
        device = device_of[op.name]
        renamed: dict[str, str] = {}
        for name in operands(op):
            given, wanted = tensors[name], formats[device].tensors[name]
            if op.kind == "view" or given.role in FIXED or given.dtype == wanted.dtype:
                continue
            new = renamed[name] = f"{name}:{wanted.dtype}"
            if new not in tensors:
                tensors[new] = replace(wanted, name=new, role="activation")
                convert = Operator(new, Move("convert", wanted.elements), (name,), new, op.layer)
                behind.setdefault(name, []).append(convert)
                devices[new] = homes[new] = machine.host if device == machine.host else home[name]
        operators.append(_renamed(op, renamed) if renamed else op)
    order = [convert for name in graph.inputs for convert in behind.get(name, ())]
    for op in operators:
        order += [op, *behind.get(op.output, ())]
    shared = replace(graph, operators=tuple(order), tensors=tensors, formats_chosen=True)
    return shared, devices, homes


def _own_tensors(
    graph: Workload, formats: Mapping[str, Workload], device_of: Mapping[str, str]
) -> dict[str, Tensor]:
    """Each tensor in the format of the device that makes it or has it; inputs in that of their first reader,
    views as what they view."""
    found: dict[str, Tensor] = {}
    reader: dict[str, str] = {}
    for op in graph.operators:
        device = device_of[op.name]
        for name in operands(op):
            tensor = formats[device].tensors[name]
            if tensor.role not in FIXED:
                continue
            known = found.setdefault(name, tensor)
            if known.dtype != tensor.dtype:
                raise UnsupportedError(
                    f"{name} is read by {reader[name]} in {known.dtype} and by {op.name} in {tensor.dtype}: "
                    "place both on one device, or choose one format with --dtype"
                )
            reader.setdefault(name, op.name)
        found[op.output] = formats[device].tensors[op.output]
    for name in graph.inputs:
        device = _first_reader(graph, name, device_of)
        found[name] = formats[device].tensors[name] if device else graph.tensors[name]
    for op in graph.operators:
        if op.kind == "view":
            found[op.output] = replace(found[op.output], dtype=found[op.inputs[0]].dtype)
    return {**graph.tensors, **found}


def _first_reader(graph: Workload, name: str, device_of: Mapping[str, str]) -> str:
    """The device of the first operator that reads a tensor or a view of it; empty where none does."""
    seen = {name}
    for op in graph.operators:
        if seen.intersection(operands(op)):
            if op.kind != "view":
                return device_of[op.name]
            seen.add(op.output)
    return ""


def _renamed(op: Operator, names: Mapping[str, str]) -> Operator:
    steps = tuple(replace(step, tensor=names.get(step.tensor, step.tensor)) for step in op.epilogue)
    return replace(op, inputs=tuple(names.get(name, name) for name in op.inputs), epilogue=steps)
