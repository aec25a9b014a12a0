"""The operators of a shared network in the order of issue, with a transfer behind whatever another device
reads, and each device's part of it as a network of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hwsim.placement.machine import SharedMachine
from hwsim.placement.place import FIXED, Placed
from hwsim.tensor.tensor import Tensor
from hwsim.workload import Workload
from hwsim.workload.graph import operands
from hwsim.workload.operators import Operator, Transfer


@dataclass(frozen=True, slots=True)
class Issued:
    """One operator of a shared network. A transfer has the device that it comes from as `device` and the one
    that it goes to as `target`, over `link`; all others have neither."""

    operator: Operator
    device: str
    link: str = ""
    target: str = ""

    @property
    def where(self) -> str:
        """What runs it: a device or a link."""
        return self.link or self.device

    def at(self, device: str) -> Operator | None:
        """What it is on one device, None where it is nothing there."""
        if not self.link:
            return self.operator if device == self.device else None
        tensor = self.operator.inputs[0]
        if device == self.device:
            return Operator(self.operator.name, Transfer("send", 0), (tensor,), "")
        if device == self.target:
            return Operator(self.operator.name, Transfer("receive", 0), (), tensor)
        return None


def issue_order(placed: Placed, machine: SharedMachine) -> tuple[Issued, ...]:
    """The network's inputs come from the host's memory and its outputs go there. A result is sent once to
    each device that reads it, as soon as it is made."""
    graph, host = placed.workload, machine.host
    readers: dict[str, dict[str, None]] = {}  # tensor -> devices, in order
    for op in graph.operators:
        for name in operands(op):
            readers.setdefault(name, {})[placed.device_of[op.name]] = None
    for name in graph.outputs:
        readers.setdefault(name, {})[host] = None

    def transfers(name: str) -> Iterator[Issued]:
        source = placed.home[name]
        for target in readers.get(name, {}):
            if target != source:
                link = machine.link_of(source, target)
                size = graph.tensors[name].size_bytes
                operator = Operator(f"{link}:{name}", Transfer("link", size), (name,), "")
                yield Issued(operator, source, link, target)

    issued: list[Issued] = []
    for name in graph.inputs:
        issued.append(Issued(Operator(f"input:{name}", Transfer("in", 0), (), name), host))
        issued += transfers(name)
    for op in graph.operators:
        issued.append(Issued(op, placed.device_of[op.name]))
        issued += transfers(op.output)
    outputs = (Operator(f"output:{name}", Transfer("out", 0), (name,), "") for name in graph.outputs)
    return (*issued, *(Issued(op, host) for op in outputs))


def part_of(graph: Workload, issued: Sequence[Issued], device: str) -> tuple[Workload, tuple[Operator, ...]]:
    """What one device does of a shared network: a network of its own, whose inputs come from other devices or
    from the host's memory, and its order of issue."""
    order = tuple(op for one in issued if (op := one.at(device)) is not None)
    operators = tuple(op for op in order if not isinstance(op.problem, Transfer))
    arriving = tuple(op.output for op in order if isinstance(op.problem, Transfer) and op.output)
    leaving = tuple(op.inputs[0] for op in order if isinstance(op.problem, Transfer) and op.inputs)
    names = [*arriving, *leaving, *(n for op in operators for n in (*operands(op), op.output))]
    tensors = {name: _there(graph, name, arriving=name in arriving) for name in dict.fromkeys(names)}
    part = replace(
        graph,
        operators=operators,
        tensors=tensors,
        inputs=arriving,
        outputs=tuple(dict.fromkeys(leaving)),
        operands_in_memory=False,
    )
    return part, order


def _there(graph: Workload, name: str, *, arriving: bool) -> Tensor:
    tensor = graph.tensors[name]
    return replace(tensor, role="input") if arriving and tensor.role not in FIXED else tensor
