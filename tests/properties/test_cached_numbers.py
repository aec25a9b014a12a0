"""Products of any size on machines with caches: their numbers are right, and no tile can be missing."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwsim.errors import CapacityError, VerificationError
from hwsim.workload import Workload
from tests.cached_products import check, convolution, plan_of, prepared, product, tile_again, without_tile

MACHINES = {
    "generic_x86": ("fp32",), "xeon_e5_2699v3": ("fp32",), "v100": ("fp32", "fp16"), "t4": ("fp32", "int8"),
    "h100": ("fp32", "bf16"), "p100": ("fp32",), "a100": ("fp16", "int8"),
}  # fmt: skip


@st.composite
def machines(draw: st.DrawFn) -> tuple[str, str]:
    design = draw(st.sampled_from(sorted(MACHINES)))
    return design, draw(st.sampled_from(MACHINES[design]))


@st.composite
def products(draw: st.DrawFn, dtype: str) -> Workload:
    m, n, k = (draw(st.sampled_from((1, 2, 3, 5, 17, 64, 130, 300))) for _ in range(3))
    k *= draw(st.sampled_from((1, 1, 16)))
    batch = draw(st.sampled_from((1, 1, 3, 40)))
    density = draw(st.sampled_from((1.0, 0.3, 0.02))) if batch == 1 else 1.0
    return product(m, n, k, batch=batch, dtype=dtype, transposed=draw(st.booleans()), density=density)


@st.composite
def convolutions(draw: st.DrawFn, dtype: str) -> Workload:
    groups = draw(st.sampled_from((1, 1, 2, 12)))
    c, k = (groups * draw(st.sampled_from((1, 2, 3, 17))) for _ in range(2))
    window, dilation = draw(st.sampled_from(((1, 1), (3, 1), (3, 1), (3, 2), (5, 1))))
    span = (window - 1) * dilation + 1
    h, w = (span + draw(st.integers(0, 14)) for _ in range(2))
    return convolution(
        draw(st.integers(1, 3)), c, h, w, k, window, stride=draw(st.sampled_from((1, 1, 2))),
        pad=draw(st.integers(0, 1)), dilation=dilation, groups=groups, dtype=dtype,
    )  # fmt: skip


@settings(max_examples=30)
@given(st.data())
def test_numbers_are_right_and_every_tile_counts(data: st.DataObject) -> None:
    design, dtype = data.draw(machines())
    workload = data.draw(products(dtype) if data.draw(st.booleans()) else convolutions(dtype))
    try:
        right = prepared(workload, design)
    except CapacityError:
        assume(False)
    plan = plan_of(right)
    assert plan.mapping is not None
    assert plan.mapping.tiles == plan.tiles
    found = check(workload, right)
    assert not found.unexecuted
    if dtype == "int8":
        assert found.bit_exact
    tile = data.draw(st.integers(0, plan.tiles - 1))
    for change in (without_tile(tile), tile_again(tile)):
        with pytest.raises(VerificationError):
            check(workload, right, change)
