"""Classes of operators: kinds of work that are measured, and err, alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hwsim.workload.graph import Workload, multiplied
from hwsim.workload.operators import Operator

SPARSE = "sparse_"  # before the kind of an operator whose weights are kept without their zeros
STREAMED = "streamed_"  # the same where weights come from outside on a machine that is made to hold them

OperatorClass = tuple[str, str]  # kind, with SPARSE before it or without; number formats as in a result


def operator_classes(
    workload: Workload,
    operators: Sequence[Operator],
    nonzeros: Mapping[str, int],
    streamed: Collection[str] = (),
) -> tuple[OperatorClass, ...]:
    """The class of each operator. `nonzeros` names the weights that the device keeps without their zeros
    (see `WeightStorage`), `streamed` those that it is made to hold and has no room for."""
    return tuple(
        (
            _kind(op, nonzeros, streamed),
            _formats([workload.tensors[n].dtype for n in multiplied(op) or op.inputs[:1]]),
        )
        for op in operators
    )


def _kind(op: Operator, nonzeros: Mapping[str, int], streamed: Collection[str]) -> str:
    if any(name in streamed for name in multiplied(op)):
        return f"{STREAMED}{op.kind}"
    return f"{SPARSE}{op.kind}" if any(name in nonzeros for name in multiplied(op)) else op.kind


def _formats(formats: Sequence[str]) -> str:
    """'int8', or 'fp16xint8' where operands differ."""
    return "x".join(dict.fromkeys(formats))
