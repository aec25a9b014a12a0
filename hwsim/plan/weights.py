"""What a run does with each weight of a network: how large it is where the machine keeps it, how much of it
moves, and how many multiplications it enters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.plan.program import Plan
from hwsim.plan.residency import Operand, Schedule
from hwsim.tensor.tensor import Tensor
from hwsim.workload.graph import Workload, multiplied
from hwsim.workload.operators import Operator


@dataclass(slots=True)
class KeptWeight:
    """One weight tensor, whichever operators share it. `operator` is the first of them. `moved_bytes` are all
    bytes that come through the stage of second operands, constants of fused steps included; `macs` are those
    of the operators' own problems, zeros included, and `multiplications` what the machine carries out for
    them."""

    operator: Operator
    tensor: Tensor
    held_bytes: int
    on_chip: bool
    uses: int = 0
    moved_bytes: int = 0
    macs: int = 0
    multiplications: int = 0


def kept_weights(workload: Workload, order: Schedule, plans: Sequence[Plan]) -> tuple[KeptWeight, ...]:
    """Every tensor of weights that operators multiply with, once, in the order of issue. What an operator
    with several of them moves and multiplies is divided among them by size."""
    found: dict[str, KeptWeight] = {}
    for op, residency, plan in zip(order.operators, order.residencies, plans, strict=True):
        names = multiplied(op)
        tensors = [workload.tensors[name] for name in names]
        places = [i for i, t in enumerate(tensors) if t.role in ("weight", "constant")]
        if residency is None or not places:
            continue
        operands = residency.operands
        sizes = [tensors[i].elements for i in places]
        for i, moved, macs, done in zip(
            places,
            _divided(_moved_bytes(plan, operands, places), [_outside(operands[i]) for i in places]),
            _divided(op.problem.macs, sizes),
            _divided(_multiplications(plan), sizes),
            strict=True,
        ):
            operand = operands[i]
            kept = found.setdefault(
                names[i], KeptWeight(op, tensors[i], operand.size_bytes, operand.place == "chip")
            )
            kept.uses += 1
            kept.moved_bytes += moved
            kept.macs += macs
            kept.multiplications += done
    return tuple(found.values())


def weight_columns(rows: Sequence[KeptWeight]) -> dict[str, Any]:
    """The rows as columns, by the names that a result's table of weights has for them."""
    tensors = [row.tensor for row in rows]
    return {
        "operators": tuple(row.operator.name for row in rows),
        "layers": tuple(row.operator.layer for row in rows),
        "tensors": tuple(t.name for t in tensors),
        "dtypes": tuple(t.dtype for t in tensors),
        "codecs": tuple(t.codec for t in tensors),
        "uses": _whole(row.uses for row in rows),
        "weights": _whole(t.elements for t in tensors),
        "density": np.array([t.density for t in tensors], dtype=np.float64),
        "codebook": _whole(len(t.codebook) for t in tensors),
        "quantised": np.array([t.quantisation is not None for t in tensors], dtype=np.bool_),
        "stored_bits": _whole(t.stored_bits for t in tensors),
        "dense_bits": _whole(t.size_bits for t in tensors),
        "held_bytes": _whole(row.held_bytes for row in rows),
        "on_chip": np.array([row.on_chip for row in rows], dtype=np.bool_),
        "moved_bytes": _whole(row.moved_bytes for row in rows),
        "macs": _whole(row.macs for row in rows),
        "multiplications": _whole(row.multiplications for row in rows),
    }


def _whole(numbers: Iterable[int]) -> Int64Array:
    return np.array(list(numbers), dtype=np.int64)


def _moved_bytes(plan: Plan, operands: Sequence[Operand], places: Sequence[int]) -> int:
    """A first operand comes through the stage of activations, all others through that of weights."""
    if all(operands[i].place == "chip" for i in places):
        return 0
    stage = "load" if 0 in places else "weights"
    return int(plan.stage_totals[plan.pipeline.stage_index(stage)])


def _outside(operand: Operand) -> int:
    return 0 if operand.place == "chip" else operand.size_bytes


def _multiplications(plan: Plan) -> int:
    return sum(count for (_, action), count in plan.action_totals.items() if action.startswith("mac_"))


def _divided(total: int, sizes: Sequence[int]) -> list[int]:
    """`total` in whole parts in proportion to `sizes`; all parts together are the total."""
    whole, before, parts = sum(sizes), 0, []
    for size in sizes:
        share = total * (before + size) // whole - total * before // whole if whole else 0
        parts.append(share)
        before += size
    return parts
