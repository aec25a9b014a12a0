"""Which workload an operator name of a measurement file stands for. A new operator is one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hwsim.errors import Problem, SpecError
from hwsim.validate.rows import MeasuredRow
from hwsim.workload import Workload, conv2d, elementwise, matmul, matvec, recurrent

Sizes = Mapping[str, int]


class Operands(NamedTuple):
    """What a row says of its operands beside their sizes: densities of weights and activations, and how a
    matrix library is handed them, as BLAS says it ("nt": the second one transposed; empty: not said)."""

    density: float = 1.0
    act_density: float = 1.0
    layout: str = ""


@dataclass(frozen=True, slots=True)
class Constructor:
    """Makes a workload of one operator from sizes: those in `needs` must be given, those in `optional` have
    the default stated."""

    make: Callable[[Sizes, Operands], Workload]
    needs: tuple[str, ...]
    optional: Mapping[str, int]
    sparse: bool = False  # whether it takes densities below 1


def _gemm(sizes: Sizes, operands: Operands) -> Workload:
    """C[M,N] = A[M,K] B[K,N], B held as weights."""
    return matmul(sizes["M"], sizes["N"], sizes["K"], batch=sizes["batch"], layout=operands.layout)


def _conv2d(sizes: Sizes, _: Operands) -> Workload:
    return conv2d(
        sizes["batch"], sizes["in_channels"], sizes["height"], sizes["width"], sizes["out_channels"],
        (sizes["kernel_h"], sizes["kernel_w"]),
        stride=(sizes["stride_h"], sizes["stride_w"]),
        pad=(sizes["pad_h"], sizes["pad_w"]),
    )  # fmt: skip


def _spmv(sizes: Sizes, operands: Operands) -> Workload:
    """A sparse M x K matrix times a vector of K elements, both with zeros spread evenly by a seed."""
    return matvec(
        sizes["M"],
        sizes["K"],
        density=operands.density,
        act_density=operands.act_density,
        batch=sizes["batch"],
    )


def _spmm(sizes: Sizes, operands: Operands) -> Workload:
    """C[M,N] = A[M,K] B[K,N] with a sparse A held as weights, and B the N vectors that it multiplies."""
    return matvec(sizes["M"], sizes["K"], density=operands.density, batch=sizes["N"])


def _elementwise(sizes: Sizes, _: Operands) -> Workload:
    """ReLU of M elements."""
    return elementwise(sizes["M"])


def _recurrent(cell: str) -> Constructor:
    """A layer of `hidden` units over `timesteps` steps whose inputs are added to the gates and not
    multiplied, as DeepBench runs cuDNN (skip-input mode)."""

    def make(sizes: Sizes, _: Operands) -> Workload:
        return recurrent(cell, sizes["hidden"], sizes["batch"], sizes["timesteps"])

    return Constructor(make, ("hidden", "timesteps"), {"batch": 1})


CONSTRUCTORS: Mapping[str, Constructor] = {
    "gemm": Constructor(_gemm, ("M", "N", "K"), {"batch": 1}),
    "conv2d": Constructor(
        _conv2d,
        ("in_channels", "height", "width", "out_channels", "kernel_h", "kernel_w"),
        {"batch": 1, "stride_h": 1, "stride_w": 1, "pad_h": 0, "pad_w": 0},
    ),
    "spmv": Constructor(_spmv, ("M", "K"), {"batch": 1}, sparse=True),
    "spmm": Constructor(_spmm, ("M", "N", "K"), {}, sparse=True),
    "elementwise": Constructor(_elementwise, ("M",), {}),
    "lstm": _recurrent("lstm"),
    "gru": _recurrent("gru"),
    "rnn_vanilla": _recurrent("rnn"),
}


def refusal(row: MeasuredRow) -> str:
    """Why no workload stands for the row's operator, or an empty string."""
    if row.op not in CONSTRUCTORS:
        return f"operator {row.op} is not one of {', '.join(CONSTRUCTORS)}"
    if min(row.density, row.act_density) < 1 and not CONSTRUCTORS[row.op].sparse:
        return f"operator {row.op} takes no density below 1"
    return ""


def operator_sizes(row: MeasuredRow) -> tuple[tuple[str, int], ...]:
    """The sizes that decide the row's operator, defaults filled in: equal sizes, equal workload. Raises
    SpecError with the row's place where one is missing."""
    constructor = CONSTRUCTORS[row.op]
    missing = [name for name in constructor.needs if name not in row.sizes]
    if missing:
        raise SpecError(Problem(row.file, row.line, 1, "", f"{row.op} needs {', '.join(missing)}"))
    sizes = {name: row.sizes[name] for name in constructor.needs}
    sizes |= {name: row.sizes.get(name, default) for name, default in constructor.optional.items()}
    return tuple(sizes.items())


def operands_of(row: MeasuredRow) -> Operands:
    """What a row says of its operands beside their sizes."""
    layout = "".join(row.cells.get(name, "").lower() for name in ("trans_a", "trans_b"))
    return Operands(row.density, row.act_density, layout if len(layout) == 2 else "")


def make_workload(op: str, sizes: tuple[tuple[str, int], ...], operands: Operands) -> Workload:
    """The workload of one operator; `run` gives it its number format."""
    return CONSTRUCTORS[op].make(dict(sizes), operands)
