"""Where every tensor lives while a workload runs: on chip, in the device's memory, or with the host.

Tensors keep one place for their whole life. What does not fit on chip lives in memory and is streamed
tile by tile by each operator that touches it ("spilled"); nothing is dropped and nothing is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hwsim.arrays import BoolArray
from hwsim.errors import CapacityError
from hwsim.tensor.formats import accumulator_format, format_bits
from hwsim.tensor.tensor import Tensor
from hwsim.units import format_bytes
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Append, Gather, Operator, Recurrent, Transfer

# Room kept for streaming as soon as one tensor is spilled, as one part in so many of the buffer: a quarter,
# so that tiles can be double-buffered beside the resident tensors, or more where a tile needs it. A rule of
# hwsim, not of any machine.
STREAM_SHARES = (4, 2, 1)


@dataclass(frozen=True, eq=False)
class Contents:
    """What a tensor holds, for devices whose time depends on it: a weight's values are read from `tensor`;
    of an activation `nonzero` (its shape) says which elements are not zero as the machine stores them.
    Two are equal when they are the same object, so that plans can be kept by it."""

    tensor: Tensor
    nonzero: BoolArray | None = None


@dataclass(frozen=True, slots=True)
class WeightStorage:
    """How a device keeps a network's weights: bytes of those it stores in a form of its own, those that stay
    on chip from run to run and are not fetched, and the bytes that this takes of the room for activations.
    `nonzeros` are how many numbers it stores of those whose zeros it leaves out and skips, where it counts on
    their number alone; of those, `structured` have as many in each group of neighbours, which units for such
    weights take as they are. `notes` say what has no room, and what that means."""

    size_bytes: Mapping[str, int] = field(default_factory=dict)
    on_chip: frozenset[str] = frozenset()
    taken_bytes: int = 0
    notes: tuple[str, ...] = ()
    nonzeros: Mapping[str, int] = field(default_factory=dict)
    structured: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Operand:
    """One tensor as an operator meets it. `place` is "weights" (streamed from memory, used in place),
    "chip" or "memory" (spilled). `nonzeros` is how many numbers are stored of weights that a device keeps
    without their zeros; None where all are. `structured` says that those lie in groups of as many each."""

    elements: int
    size_bytes: int
    dtype: str
    place: str
    contents: Contents | None = None
    nonzeros: int | None = None
    structured: bool = False


@dataclass(frozen=True, slots=True)
class Residency:
    """Operands and output of one operator, and the bytes it may use for streaming (None: no limit).
    `scratch_place` is where what it holds only while it runs has room: "chip", or "memory" where the chip has
    none."""

    operands: tuple[Operand, ...]
    output: Operand
    stream_bytes: int | None = None
    scratch_place: str = "chip"


@dataclass(frozen=True, slots=True)
class Edge:
    """Operator `consumer` of a schedule reads what `producer` made, found in `place`, as its `operand`: the
    position among its inputs and then the operands of its fused steps."""

    consumer: int
    producer: int
    place: str
    operand: int


@dataclass(frozen=True)
class Schedule:
    """Operators in issue order, transfers included, each with its residency (None for views)."""

    operators: tuple[Operator, ...]
    residencies: tuple[Residency | None, ...]
    edges: tuple[Edge, ...]
    spilled: tuple[str, ...]
    peak_chip_bytes: int
    memory_bytes: int  # weights, and the most at a time of what is spilled, and without a host link of ends

    @cached_property
    def alike(self) -> tuple[int, ...]:
        """Of each operator, the first that a device plans alike: equal but for the names of its tensors."""
        first: dict[object, int] = {}
        found = []
        for index, (op, residency) in enumerate(zip(self.operators, self.residencies, strict=True)):
            functions = tuple((step.function, step.attributes) for step in op.epilogue)
            found.append(first.setdefault((op.problem, residency, op.attributes, functions), index))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Life:
    tensor: str
    size_bytes: int
    birth: int
    death: int
    uses: int


def schedule(
    workload: Workload,
    chip_bytes: int | None,
    memory_bytes: int | None,
    host_link: bool = True,
    stream_share: int = STREAM_SHARES[0],
    background_share: float = 0.0,
    *,
    storage: WeightStorage = WeightStorage(),
    contents: Mapping[str, Contents] | None = None,
    order: Sequence[Operator] | None = None,
) -> Schedule:
    """Order the operators, decide where tensors live, and put transfers around them.

    `order` is given where transfers come between operators too: operators and transfers as they are issued.

    `chip_bytes` and `memory_bytes` are capacities (None: unlimited); once anything is spilled, one part in
    `stream_share` of the chip's is kept for streaming. `background_share` of the host traffic
    moves while neighbouring batches compute: it takes the link's time but nothing waits for it. Where the
    workload's operands lie in memory, transfers move nothing and streaming may fill the chip. `storage` and
    `contents` say how the device keeps weights, and what tensors hold where that decides its time.
    Raises CapacityError when weights and spilled tensors do not fit the memory.
    """
    root = _roots(workload)
    order = _order(workload, background_share) if order is None else order
    lives = _lives(workload, order, root)
    ends = {root.get(name, name) for name in (*workload.inputs, *workload.outputs)}
    there = ends if workload.operands_in_memory else set()  # in memory before the run and after it
    on_chip = [life for life in lives if life.tensor not in there]
    spilled = _choose_spilled(on_chip, len(order), chip_bytes, stream_share, bool(there))
    away = spilled | there
    places = {life.tensor: "memory" if life.tensor in away else "chip" for life in lives}
    order = [_sized(op, workload, root, places, background_share) for op in order]
    resident = [life for life in lives if life.tensor not in away]
    stream = None
    if chip_bytes is not None and away:
        stream = chip_bytes // stream_share if resident else chip_bytes
    weight_bytes = sum(
        storage.size_bytes.get(t.name, t.size_bytes)
        for t in workload.tensors.values()
        if t.role in ("weight", "constant", "cache") and t.name not in storage.on_chip
    )
    # Without a host link the network's inputs and outputs live in the memory too, and all the time. The room
    # of what is spilled is used again once it is read for the last time.
    staying = there if host_link else ends
    alive = _occupancy([life for life in lives if life.tensor in spilled - staying], len(order))
    in_memory = weight_bytes + sum(life.size_bytes for life in lives if life.tensor in staying)
    in_memory += int(alive.max(initial=0))
    _check_memory(workload, weight_bytes, in_memory, memory_bytes)
    meet = _Meeting(workload, root, places, storage, contents or {})
    occupancy = _occupancy(resident, len(order))
    return Schedule(
        tuple(order),
        tuple(_residency(op, meet, stream) for op in order),
        tuple(_edges(order, root, places)),
        tuple(sorted(spilled)),
        int(occupancy.max(initial=0)),
        in_memory,
    )


def _check_memory(workload: Workload, weight_bytes: int, in_memory: int, memory_bytes: int | None) -> None:
    """Raise CapacityError where weights, caches and what is spilled have no room in the memory."""
    if memory_bytes is not None and in_memory > memory_bytes:
        cached = sum(t.size_bytes for t in workload.tensors.values() if t.role == "cache")
        caches = f", caches {format_bytes(cached)}" if cached else ""
        raise CapacityError(
            f"{workload.name} needs {format_bytes(in_memory)} of device memory (weights "
            f"{format_bytes(weight_bytes - cached)}{caches}), and the device has "
            f"{format_bytes(memory_bytes)}: use a smaller number format, batch or workload, or a design with "
            "more memory"
        )


def _order(workload: Workload, background_share: float) -> list[Operator]:
    """All inputs come before the first operator, and all outputs leave behind the last."""
    order = [Operator(f"input:{name}", Transfer("in", 0), (), name) for name in workload.inputs]
    if background_share > 0:
        order.append(Operator("background", Transfer("background", 0), (), ""))
    order += workload.operators
    order += [Operator(f"output:{name}", Transfer("out", 0), (name,), "") for name in workload.outputs]
    return order


def _roots(workload: Workload) -> dict[str, str]:
    """Tensor -> the tensor whose storage it shares: a view its input's, a grown cache the cache's."""
    root: dict[str, str] = {}
    for op in workload.operators:
        if op.kind in ("view", "append"):
            root[op.output] = root.get(op.inputs[0], op.inputs[0])
    return root


def _lives(workload: Workload, order: Sequence[Operator], root: dict[str, str]) -> list[_Life]:
    birth: dict[str, int] = {}
    death: dict[str, int] = {}
    uses: dict[str, int] = {}
    for index, op in enumerate(order):
        if op.kind == "view":
            continue
        for name in (*op.inputs, *(step.tensor for step in op.epilogue if step.tensor)):
            tensor = root.get(name, name)
            if tensor in birth:
                death[tensor] = index
                uses[tensor] = uses.get(tensor, 0) + 1
        if op.output and op.kind != "append":
            birth[op.output] = death[op.output] = index
    lives = [
        _Life(name, workload.tensors[name].size_bytes, birth[name], death[name], uses.get(name, 0))
        for name in birth
    ]
    for index, op in enumerate(order):
        if isinstance(op.problem, Recurrent):
            size = scratch_bytes(op.problem, workload.tensors[op.output].dtype)
            lives.append(_Life(_scratch(op), size, index, index, uses=op.problem.T))
    return lives


def scratch_bytes(problem: Recurrent, dtype: str) -> int:
    """What a recurrent operator holds during a step beside its operands, for states in `dtype`: the states it
    carries, and the sums of a step as wide as they are added up."""
    bits = problem.sums * format_bits(accumulator_format(dtype)) + problem.states * format_bits(dtype)
    return -(-bits // 8)


def _scratch(op: Operator) -> str:
    return f"state of {op.name}"


def _occupancy(lives: Sequence[_Life], length: int) -> np.ndarray:
    change = np.zeros(length + 1, dtype=np.int64)
    for life in lives:
        change[life.birth] += life.size_bytes
        change[life.death + 1] -= life.size_bytes
    return np.cumsum(change)[:length]


def _choose_spilled(
    lives: Sequence[_Life], length: int, chip_bytes: int | None, stream_share: int, streams: bool
) -> set[str]:
    """Spill, where the buffer overflows, the tensor with the fewest uses for its size, until all fits. Room
    for streaming is kept once anything is spilled, or from the beginning where something `streams`."""
    spilled: set[str] = set()
    if chip_bytes is None:
        return spilled
    if not streams and _occupancy(lives, length).max(initial=0) <= chip_bytes:
        return spilled
    limit = chip_bytes - chip_bytes // stream_share
    resident = list(lives)
    while resident:
        occupancy = _occupancy(resident, length)
        over = np.flatnonzero(occupancy > limit)
        if not over.size:
            break
        at = int(over[0])
        live = [life for life in resident if life.birth <= at <= life.death]
        worst = min(live, key=lambda life: (life.uses, -life.size_bytes, life.tensor))
        spilled.add(worst.tensor)
        resident.remove(worst)
    return spilled


def _sized(
    op: Operator, workload: Workload, root: dict[str, str], places: dict[str, str], background_share: float
) -> Operator:
    """Give a transfer its bytes: the share that this batch waits for, or the background's rest."""
    if not isinstance(op.problem, Transfer):
        return op
    if workload.operands_in_memory:
        return Operator(op.name, Transfer(op.problem.direction, 0, True), op.inputs, op.output)

    def to_memory(name: str) -> bool:
        return places.get(root.get(name, name)) == "memory"

    def hidden(name: str) -> int:
        """What moves behind other batches; a spilled tensor, which goes through the memory, is waited for."""
        return 0 if to_memory(name) else int(workload.tensors[name].size_bytes * background_share)

    if op.problem.direction == "background":
        moved = (sum(hidden(name) for name in names) for names in (workload.inputs, workload.outputs))
        received, sent = moved
        return Operator(op.name, Transfer("background", received, out_bytes=sent), (), "")
    name = op.output or op.inputs[0]
    waited = workload.tensors[name].size_bytes - hidden(name)
    problem = Transfer(op.problem.direction, waited, to_memory(name))
    return Operator(op.name, problem, op.inputs, op.output)


@dataclass(frozen=True, slots=True)
class _Meeting:
    """All that decides how an operator meets a tensor."""

    workload: Workload
    root: dict[str, str]
    places: dict[str, str]
    storage: WeightStorage
    contents: Mapping[str, Contents]

    def __call__(self, name: str) -> Operand:
        tensor = self.workload.tensors[name]
        elsewhere = "chip" if name in self.storage.on_chip else "weights"
        place = self.places.get(self.root.get(name, name), elsewhere)
        size = self.storage.size_bytes.get(name, tensor.size_bytes)
        kept = self.storage.nonzeros.get(name)
        structured = name in self.storage.structured
        return Operand(tensor.elements, size, tensor.dtype, place, self.contents.get(name), kept, structured)


def _residency(op: Operator, meet: _Meeting, stream: int | None) -> Residency | None:
    if op.kind in ("view", "transfer"):
        return None
    operands = tuple(meet(name) for name in (*op.inputs, *(s.tensor for s in op.epilogue if s.tensor)))
    output = meet(op.output)
    if isinstance(op.problem, Append):  # the rest of the cache stays where it is
        new = operands[1]
        operands, output = (new,), replace(new, place="memory", contents=None)
    elif isinstance(op.problem, Gather):
        operands = (_looked_up(operands[0], op.problem), *operands[1:])
    streams = any(o.place == "memory" for o in (*operands, output))
    return Residency(operands, output, stream if streams else None, meet.places.get(_scratch(op), "chip"))


def _looked_up(table: Operand, problem: Gather) -> Operand:
    """The rows of a table that a lookup reads; no more than there are."""
    rows = min(problem.rows, problem.table_rows)
    size_bytes = -(-table.size_bytes * rows // problem.table_rows)
    return replace(table, elements=rows * problem.width, size_bytes=size_bytes)


def _edges(order: Sequence[Operator], root: dict[str, str], places: dict[str, str]) -> list[Edge]:
    made_by: dict[str, int] = {}
    edges = []
    for index, op in enumerate(order):
        if op.kind == "view":
            continue
        names = (*op.inputs, *(step.tensor for step in op.epilogue if step.tensor))
        for operand, name in enumerate(names):
            tensor = root.get(name, name)
            if tensor in made_by:
                edges.append(Edge(index, made_by[tensor], places.get(tensor, "memory"), operand))
        if op.output:  # what a cache holds from then on is found under the cache's name
            made_by[root[op.output] if op.kind == "append" else op.output] = index
    return edges
