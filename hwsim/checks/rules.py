"""The honesty rules, each a small function over result, plans and schedule. A broken rule is a CheckError:
a fault of hwsim itself, which must stop a result rather than colour it.

The checks state from first principles what a run must at least do (the problem's own loop bounds, the
tensors' own sizes, the machine's own rates) and so share no formula with the tiling that they judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from hwsim.arrays import BoolArray
from hwsim.checks.attention import needed_bytes, seen_pairs
from hwsim.errors import CheckError
from hwsim.plan import Pipeline, Plan
from hwsim.plan.mapping import GemmMapping, StreamMapping
from hwsim.plan.residency import Contents, Residency, Schedule, WeightStorage
from hwsim.result import Result
from hwsim.tensor.formats import format_bits
from hwsim.tensor.tensor import Tensor, read_values
from hwsim.workload.graph import Workload
from hwsim.workload.operators import (
    Attention,
    Conv2d,
    Matmul,
    Operator,
    OperatorProblem,
    Recurrent,
    Transfer,
)


def check_plans(plan_schedule: Schedule, plans: Sequence[Plan], pipeline: Pipeline) -> None:
    """Raise CheckError naming every rule that the plans of a schedule break, before they are simulated."""
    _refuse(
        "the plans",
        [
            *_work(plan_schedule, plans),
            *_bytes(plan_schedule, plans, pipeline),
            *_slots(plan_schedule, plans, pipeline),
        ],
    )


def check_result(result: Result) -> None:
    """Raise CheckError naming every rule that `result` breaks."""
    broken = [*_bounds(result), *_busy(result), *_stalls(result), *_energy(result)]
    _refuse(f"{result.workload} on {result.design}: the result", broken)


def check_storage(workload: Workload, storage: WeightStorage) -> None:
    """Raise CheckError where a device would leave out weights that are not zero (rule 2)."""
    broken = []
    for name, kept in storage.nonzeros.items():
        tensor = workload.tensors[name]
        if kept < round(tensor.density * tensor.elements):
            broken.append(f"{name}: {kept} weights are stored of {tensor.density:.4%} of {tensor.elements}")
    _refuse("the weights", broken)


def check_transfers(plans: Sequence[Plan], moved: Mapping[int, tuple[str, tuple[str, str], Tensor]]) -> None:
    """Raise CheckError where a transfer between devices moves less than its tensor (rule 2), over the link or
    at an end. `moved` names the link's stage, the devices at its ends, and the tensor, by plan."""
    broken = []
    for index, (stage, ends, tensor) in moved.items():
        plan, needed = plans[index], -(-tensor.elements * format_bits(tensor.dtype) // 8)
        crossed = int(plan.stage_totals[plan.pipeline.stage_index(stage)])
        if crossed != needed:
            broken.append(f"{tensor.name}: {crossed} bytes cross {stage} of {needed}")
        for end in ends:
            charged = [n for (part, _), n in plan.action_totals.items() if part.startswith(f"{end}.")]
            if max(charged, default=0) < needed:
                broken.append(f"{tensor.name}: its {needed} bytes are charged nowhere on {end}")
    _refuse("the transfers", broken)


def _refuse(what: str, broken: Sequence[str]) -> None:
    if broken:
        lines = "\n".join(f"  {line}" for line in broken[:10])
        raise CheckError(
            f"{what} would break hwsim's own rules, so nothing is shown. This is a fault of hwsim, please "
            f"report it:\n{lines}"
        )


def _bounds(result: Result) -> Iterator[str]:
    """Rule 1: no resource works faster than its floor, no operator and no run ends before its floor."""
    timing = result.timing
    short = timing.resource_busy_ps < timing.bound_ps
    for i, r in np.argwhere(short):
        yield (
            f"{timing.names[i]}: {timing.resources[r]} is busy {timing.resource_busy_ps[i, r]} ps, "
            f"below its bound of {timing.bound_ps[i, r]} ps"
        )
    servers = np.array(timing.servers, dtype=np.float64)
    floor = (timing.bound_ps.sum(axis=0) / servers).max(initial=0.0)
    if timing.makespan_ps < floor:
        yield f"the run takes {timing.makespan_ps} ps, below its bound of {floor:.0f} ps"
    first_end = timing.completion_ps < (timing.bound_ps / servers).max(axis=1, initial=0.0)
    for i in np.flatnonzero(first_end):
        yield f"{timing.names[i]} is complete at {timing.completion_ps[i]} ps, before its bound allows"


def _busy(result: Result) -> Iterator[str]:
    """Rule 1: no resource is busy for longer than the run lasts, and the trace agrees with the plans."""
    timing, trace = result.timing, result.trace
    totals = timing.resource_busy_ps.sum(axis=0)
    for name, servers, total in zip(timing.resources, timing.servers, totals.tolist(), strict=True):
        if total > timing.makespan_ps * servers:
            yield f"{name} is busy {total} ps in a run of {timing.makespan_ps} ps"
    if trace.tiles:
        if int(trace.start_ps.min()) < 0:
            yield "a tile starts before time zero"
        last = int(timing.completion_ps.max())
        if last != timing.makespan_ps:
            yield f"the last stage ends at {last} ps and the run at {timing.makespan_ps} ps"


def _stalls(result: Result) -> Iterator[str]:
    """Rule 1: every picosecond of the focus stage is work or a stall with a name."""
    timing = result.timing
    split = int(timing.active_ps.sum() + timing.stalls_ps.sum())
    if split != timing.makespan_ps:
        yield f"work and stalls add up to {split} ps, and the run takes {timing.makespan_ps} ps"
    if (timing.stalls_ps < 0).any():
        yield "a stall is negative"
    if int(timing.elapsed_ps.sum()) != timing.makespan_ps:
        yield f"operators account for {int(timing.elapsed_ps.sum())} of {timing.makespan_ps} ps"


def expected_macs(operator: Operator) -> int:
    """Multiply-accumulates from the loop bounds alone (rule 2), written out and not asked of the problem."""
    p = operator.problem
    if isinstance(p, Conv2d):
        window = ((p.R - 1) * p.dilation[0] + 1, (p.S - 1) * p.dilation[1] + 1)
        high = (p.H + p.pad[0] + p.pad[2] - window[0]) // p.stride[0] + 1
        wide = (p.W + p.pad[1] + p.pad[3] - window[1]) // p.stride[1] + 1
        # An output row more than the floor is a front end's rounding up, and costs what it computes.
        high, wide = max(high, p.P), max(wide, p.Q)
        return p.N * high * wide * p.K * p.R * p.S * p.C // p.groups
    if isinstance(p, Recurrent):
        gates, state = {"lstm": 4, "gru": 3, "rnn": 1}[p.cell], p.P or p.H
        return (p.N * p.T) * (gates * p.H * (state + p.I) + p.P * p.H)
    if isinstance(p, Attention):
        return p.B * p.H * seen_pairs(p) * (p.D + p.V)
    return p.B * p.M * p.N * p.K if isinstance(p, Matmul) else 0


def _work(plan_schedule: Schedule, plans: Sequence[Plan]) -> Iterator[str]:
    """Rule 2: the tiles multiply the whole problem, no more than the zeros that packing adds, no less."""
    for op, residency, plan in zip(plan_schedule.operators, plan_schedule.residencies, plans, strict=True):
        if isinstance(plan.mapping, StreamMapping):
            assert residency is not None
            yield from _sparse_work(op, residency, plan)
            continue
        wanted = expected_macs(op)
        kept = residency.operands[1].nonzeros if residency is not None and wanted else None
        if kept is not None and isinstance(op.problem, Matmul):
            # Each stored weight meets every row of the other operand; those that are zero are skipped.
            wanted = op.problem.B * op.problem.M * kept
        done = sum(count for (_, action), count in plan.action_totals.items() if action.startswith("mac_"))
        if isinstance(plan.mapping, GemmMapping) and plan.mapping.packed > 1:
            if done < wanted:
                yield f"{op.name}: {done} multiplications for {wanted} MACs"
        elif isinstance(op.problem, Attention):
            # Blocks of scores are multiplied whole, whatever the mask leaves out of them.
            p = op.problem
            if not wanted <= done <= p.B * p.H * p.Q * p.S * (p.D + p.V):
                yield f"{op.name}: {done} multiplications for {wanted} MACs"
        elif done != wanted and done not in minimal_multiplications(op):
            yield f"{op.name}: {done} multiplications for {wanted} MACs"


def minimal_multiplications(operator: Operator) -> tuple[int, ...]:
    """Multiplications of Winograd's minimal filtering of a convolution, F(2x2, 3x3) and F(4x4, 3x3): of each
    tile of m x m results, (m + 2)**2 for each pair of channels (Lavin and Gray, CVPR 2016). None for windows
    that it does not serve."""
    p = operator.problem
    if not isinstance(p, Conv2d) or (p.R, p.S, *p.stride, *p.dilation, p.groups) != (3, 3, 1, 1, 1, 1, 1):
        return ()
    return tuple(p.N * -(-p.P // m) * -(-p.Q // m) * (m + 2) ** 2 * p.C * p.K for m in (2, 4))


def _sparse_work(op: Operator, residency: Residency, plan: Plan) -> Iterator[str]:
    """Rule 2 where zeros are skipped: every pair of nonzero numbers is multiplied, padding zeros are counted
    beside them, and each cycle of each processing element has a name."""
    parts = plan.part_totals
    done = sum(count for (_, action), count in plan.action_totals.items() if action.startswith("mac_"))
    first, second = (operand.contents for operand in residency.operands[:2])
    assert first is not None
    assert second is not None
    wanted = nonzero_products(op.problem, bool(dict(op.attributes).get("trans_b", False)), first, second)
    if parts["multiply"] != wanted:
        yield f"{op.name}: {parts['multiply']} multiplications for {wanted} pairs of nonzero numbers"
    if done != wanted + parts["padding"]:
        yield f"{op.name}: {done} multiplications charged for {wanted} and {parts['padding']} of padding"
    if any(cycles < 0 for cycles in parts.values()):
        yield f"{op.name}: a part of the elements' cycles is negative"
    mapping, stages = plan.mapping, plan.pipeline.stage_index
    assert isinstance(mapping, StreamMapping)
    compute = int(plan.stage_totals[stages("compute")])
    if sum(parts.values()) != compute * mapping.pes:
        yield f"{op.name}: cycles of its elements add up to {sum(parts.values())} in {compute} of the array"
    if mapping.by_pass:
        # Between two passes all sums wait outside; none is narrower than the result that it becomes.
        left = sum(part.opens_pass for part in mapping.parts) - 1
        waiting = left * -(-residency.output.elements * format_bits(residency.output.dtype) // 8)
        for stage in ("store", "load"):
            if int(plan.stage_totals[stages(stage)]) < waiting:
                yield f"{op.name}: {stage} moves less than the {waiting} bytes of sums between passes"


@lru_cache(maxsize=128)
def nonzero_products(problem: OperatorProblem, transposed: bool, first: Contents, second: Contents) -> int:
    """Multiplications of two numbers that are both not zero, tap by tap of a window and channel by channel.
    Kept, since the same tensors meet on many machines."""
    assert first.nonzero is not None
    p, active = problem, first.nonzero
    weights = read_values(second.tensor) != 0
    if isinstance(p, Matmul):
        kept = weights.sum(axis=-1 if not transposed else -2, dtype=np.int64).reshape(-1)
        return int(active.reshape(-1, p.K).sum(axis=0, dtype=np.int64) @ kept)
    assert isinstance(p, Conv2d)
    per_group = p.C // p.groups
    total = 0
    for r in range(p.R):
        for s in range(p.S):
            seen = _reached(active, p, r, s).sum(axis=(0, 2, 3), dtype=np.int64)
            kept = weights[:, :, r, s].reshape(p.groups, -1, per_group).sum(axis=1, dtype=np.int64)
            total += int(seen @ kept.reshape(-1))
    return total


def _reached(active: BoolArray, p: Conv2d, r: int, s: int) -> BoolArray:
    """The elements of the feature map that tap (r, s) of all windows reads, padding left out."""
    rows = np.arange(p.P) * p.stride[0] + r * p.dilation[0] - p.pad[0]
    columns = np.arange(p.Q) * p.stride[1] + s * p.dilation[1] - p.pad[1]
    rows, columns = rows[(rows >= 0) & (rows < p.H)], columns[(columns >= 0) & (columns < p.W)]
    return active[:, :, rows][:, :, :, columns]


def _bytes(plan_schedule: Schedule, plans: Sequence[Plan], pipeline: Pipeline) -> Iterator[str]:
    """Rule 2: every operand byte that is not on chip is fetched, and every spilled result byte is written.
    Second operands of products and the constants of fused steps come through a stage of their own, so that
    fetching them often hides nothing."""
    at = {stage.name: index for index, stage in enumerate(pipeline.stages)}
    for op, residency, plan in zip(plan_schedule.operators, plan_schedule.residencies, plans, strict=True):
        arrives = isinstance(op.problem, Transfer) and op.problem.direction in ("in", "receive")
        if isinstance(op.problem, Transfer) and arrives and op.problem.to_memory:
            through = "receive" in at and int(plan.stage_totals[at["store"]]) < op.problem.size_bytes
            if through:
                yield f"{op.name}: less than its {op.problem.size_bytes} bytes are written to the memory"
        if residency is None:
            continue
        weights = sum(o.size_bytes for o in residency.operands[1:] if op.macs and o.place != "chip")
        if isinstance(op.problem, Attention):
            weights = sum(needed_bytes(op.problem, residency)[1:])
        others = compulsory_read_bytes(op, residency) - weights
        for stage, needed in (("weights", weights), ("load", others)):
            fetched = int(plan.stage_totals[at[stage]])
            if fetched < needed:
                yield f"{op.name}: {stage} fetches {fetched} bytes of {needed} that are not on chip"
        written = int(plan.stage_totals[at["store"]])
        if residency.output.place == "memory" and written < residency.output.size_bytes:
            yield f"{op.name}: {written} bytes written of {residency.output.size_bytes}"


def compulsory_read_bytes(operator: Operator, residency: Residency) -> int:
    """Bytes that must come from outside the chip at least once. Feature-map rows and columns that a
    strided window jumps over need not, nor keys that no query sees."""
    total = sum(o.size_bytes for o in residency.operands if o.place != "chip")
    p = operator.problem
    if isinstance(p, Attention):
        return sum(needed_bytes(p, residency))
    if isinstance(p, Conv2d) and residency.operands[0].place != "chip":
        size = residency.operands[0].size_bytes
        total -= size
        for extent, outputs, window, stride, dilation in (
            (p.H, p.P, p.R, p.stride[0], p.dilation[0]),
            (p.W, p.Q, p.S, p.stride[1], p.dilation[1]),
        ):
            span = (window - 1) * dilation + 1
            touched = outputs * span if span < stride else (outputs - 1) * stride + span
            size = size * min(extent, touched) // extent
        total += size
    return total


def _slots(plan_schedule: Schedule, plans: Sequence[Plan], pipeline: Pipeline) -> Iterator[str]:
    """Every slot that an operator takes it gives back, so operators cannot starve one another."""
    for op, plan in zip(plan_schedule.operators, plans, strict=True):
        taken = plan.takes @ plan.tiles_of_kind
        freed = plan.frees @ plan.tiles_of_kind
        for p in np.flatnonzero(taken != freed):
            yield f"{op.name}: takes {taken[p]} slots of {pipeline.pools[p].name} and frees {freed[p]}"


def _energy(result: Result) -> Iterator[str]:
    """Rule 3: energy is counts times table entries; nothing charged is free or negative."""
    usage = result.usage
    if (usage.counts < 0).any() or (usage.energy_pj_per_count < 0).any():
        yield "a count or an energy is negative"
    # A machine that skips zeros may have nothing to multiply: what it skips was checked pair by pair.
    if result.macs and not result.multiplications and "multiply" not in result.timing.parts:
        yield "no multiplication was charged"
