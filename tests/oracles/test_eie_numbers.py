"""What an eie machine computes, against scipy.sparse: whole sums and requantised results, bit for bit, on the
shipped layers of the EIE benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy import sparse

from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.functional.flow import Flow, Product
from hwsim.functional.numbers import Numbers
from hwsim.functional.products import ProductRun
from hwsim.functional.streams import read_flags, run_streams, whole_product
from hwsim.functional.walk import ProgramColumns
from hwsim.pipeline import Prepared, prepare
from hwsim.plan.mapping import StreamMapping
from hwsim.workload import load_workload

LAYERS = ("alex6", "alex7", "alex8", "vgg6", "vgg7", "vgg8", "nt_we", "nt_wd", "nt_lstm")


@dataclass(frozen=True)
class Executed:
    """One layer as the machine held it: stored operands, the sums that left it, and its results."""

    product: Product
    mapping: StreamMapping
    sums: np.ndarray  # (vectors, outputs)
    results: np.ndarray
    written: np.ndarray


@cache
def prepared(layer: str, overrides: tuple[str, ...] = (), batch: int = 1) -> Prepared:
    workload = load_workload(f"eie_{layer}", batch=batch).astype("int16")
    return prepare(workload, make_device(load_design("eie_64pe", overrides).device_spec))


def execute(layer: str, overrides: tuple[str, ...] = (), batch: int = 1) -> Executed:
    """Execute the Program of a layer as `hwsim.functional.verify` does, and keep the whole numbers."""
    workload = load_workload(f"eie_{layer}", batch=batch).astype("int16")
    made = prepared(layer, overrides, batch)
    bits = load_design("eie_64pe", overrides).device_spec.accumulator_bits
    at = next(i for i, op in enumerate(made.schedule.operators) if op.kind == "matmul")
    op, mapping, residency = (
        made.schedule.operators[at],
        made.plans[at].mapping,
        made.schedule.residencies[at],
    )
    assert isinstance(mapping, StreamMapping)
    assert residency is not None
    flow = Flow(workload, made.schedule.operators, Numbers(), {})
    flow.receive(workload.inputs[0])
    p = flow.product(op)
    assert p.drain is not None
    run = ProductRun(op, whole_product(op), p.a, p.b, p.out, p.bias, p.drain, bits)
    flags = read_flags(mapping, ProgramColumns(made.program).columns(at), residency, bits)
    found, sums = run_streams(
        run, mapping, flags, workload.values(op.inputs[1]), workload.tensors[op.output].shape
    )
    return Executed(p, mapping, sums, found.values, found.written)


def check(found: Executed) -> None:
    """Sums and results against sparse integers, and integers of any size."""
    weights = sparse.csr_array(found.product.b.values)
    given = found.product.a.values.astype(np.int64).reshape(found.mapping.vectors, -1)
    wanted = np.stack([weights.astype(np.int64) @ vector for vector in given])
    assert wanted.dtype == np.int64
    assert wanted.any(axis=1).all()
    assert np.array_equal(found.sums, wanted)
    assert (found.written == 1).all()
    drain = found.product.drain
    assert drain is not None
    assert not drain.steps
    (multiplier,), (shift,) = drain.multipliers.tolist(), drain.shifts.tolist()
    results = [requantised(total, multiplier, shift) for total in wanted.reshape(-1).tolist()]
    assert found.results.reshape(-1).tolist() == [min(max(r, drain.low), drain.high) for r in results]


def requantised(total: int, multiplier: int, shift: int) -> int:
    """total * multiplier / 2**shift to the nearest whole number, ties to the even one."""
    whole, rest = divmod(total * multiplier, 2**shift)
    half = 2 ** (shift - 1)
    return whole + (rest > half or (rest == half and whole % 2 == 1))


@pytest.mark.parametrize("layer", LAYERS)
def test_shipped_layers(layer: str) -> None:
    check(execute(layer))


@pytest.mark.parametrize(
    ("overrides", "in_passes", "by_pass", "groups"),
    [
        (("pes=7", "index_bits=2"), False, False, 1),
        (("pes=600",), False, False, 1),  # a row each
        (("activations.registers=4",), False, False, 1),
        (("matrix_sram.size=1 KiB",), True, True, 1),
        (
            ("matrix_sram.size=1 KiB", "activations.sram=64 B"),
            True,
            True,
            1,
        ),  # vectors come in, results leave
        (("pointer_sram.size=34 B",), True, False, 1),  # 16 columns at a time: sums would wait too often
        (("weight_bits=2", "pointer_sram.size=64 KiB"), False, False, 5),
        (("weight_bits=2", "matrix_sram.size=512 B"), True, True, 5),
    ],
)
def test_cut_in_other_ways(overrides: tuple[str, ...], in_passes: bool, by_pass: bool, groups: int) -> None:
    """Three vectors, and machines with other numbers of PEs, hardly any room, or few values a table."""
    found = execute("nt_we", overrides, batch=3)
    parts = found.mapping.parts
    assert (sum(part.opens_pass for part in parts) > 1) is in_passes
    assert (found.mapping.by_pass, 1 + max(part.group for part in parts)) == (by_pass, groups)
    check(found)


def test_a_wrong_sum_is_noticed() -> None:
    """The test of the test."""
    found = execute("nt_we")
    found.sums[0, 17] += 1
    with pytest.raises(AssertionError):
        check(found)
    found.sums[0, 17] -= 1
    found.results.reshape(-1)[17] += 1
    with pytest.raises(AssertionError):
        check(found)
