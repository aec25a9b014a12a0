"""Which workload an operator name of a measurement file stands for. A new operator is one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwsim.errors import Problem, SpecError
from hwsim.validate.rows import MeasuredRow
from hwsim.workload import Workload, conv2d, matmul

Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Constructor:
    """Makes a workload of one operator from sizes: those in `needs` must be given, those in `optional` have
    the default stated."""

    make: Callable[[Sizes], Workload]
    needs: tuple[str, ...]
    optional: Mapping[str, int]


def _gemm(sizes: Sizes) -> Workload:
    """C[M,N] = A[M,K] B[K,N], B held as weights."""
    return matmul(sizes["M"], sizes["N"], sizes["K"], batch=sizes["batch"])


def _conv2d(sizes: Sizes) -> Workload:
    return conv2d(
        sizes["batch"], sizes["in_channels"], sizes["height"], sizes["width"], sizes["out_channels"],
        (sizes["kernel_h"], sizes["kernel_w"]),
        stride=(sizes["stride_h"], sizes["stride_w"]),
        pad=(sizes["pad_h"], sizes["pad_w"]),
    )  # fmt: skip


# None: the name is one that data files use, and hwsim has no such operator.
CONSTRUCTORS: Mapping[str, Constructor | None] = {
    "gemm": Constructor(_gemm, ("M", "N", "K"), {"batch": 1}),
    "conv2d": Constructor(
        _conv2d,
        ("in_channels", "height", "width", "out_channels", "kernel_h", "kernel_w"),
        {"batch": 1, "stride_h": 1, "stride_w": 1, "pad_h": 0, "pad_w": 0},
    ),
    "spmv": None,
    "spmm": None,
    "lstm": None,
    "gru": None,
    "rnn_vanilla": None,
}


def refusal(row: MeasuredRow) -> str:
    """Why no workload stands for the row's operator, or an empty string."""
    if row.op not in CONSTRUCTORS:
        return f"operator {row.op} is not one of {', '.join(CONSTRUCTORS)}"
    if CONSTRUCTORS[row.op] is None:
        return f"operator {row.op} has no constructor yet"
    if row.density < 1:
        return f"operator {row.op} takes no density below 1"
    return ""


def operator_sizes(row: MeasuredRow) -> tuple[tuple[str, int], ...]:
    """The sizes that decide the row's operator, defaults filled in: equal sizes, equal workload. Raises
    SpecError with the row's place where one is missing."""
    constructor = CONSTRUCTORS[row.op]
    assert constructor is not None
    missing = [name for name in constructor.needs if name not in row.sizes]
    if missing:
        raise SpecError(Problem(row.file, row.line, 1, "", f"{row.op} needs {', '.join(missing)}"))
    sizes = {name: row.sizes[name] for name in constructor.needs}
    sizes |= {name: row.sizes.get(name, default) for name, default in constructor.optional.items()}
    return tuple(sizes.items())


def make_workload(op: str, sizes: tuple[tuple[str, int], ...]) -> Workload:
    """The workload of one operator; `run` gives it its number format."""
    constructor = CONSTRUCTORS[op]
    assert constructor is not None
    return constructor.make(dict(sizes))
