"""What prices must do whatever the figures are: rise with capacity, fall with the node, and stay near the
independent figures that other papers give."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.cost import Technology, load_technology, technology_rows
from hwsim.plan import Component

NODES = (130, 90, 65, 45, 40, 32, 28, 22, 16, 14, 12, 10, 7)
CAPACITIES = st.integers(min_value=64, max_value=2**28)
WIDTHS = st.sampled_from([8, 32, 64, 100, 128, 256, 1024, 2048])


def sram(capacity_bytes: int, width_bits: int = 64) -> Component:
    return Component("buffer", "sram", 1, capacity_bytes, width_bits)


PRICED = [
    (Component("array", "mac", dtype="int8"), "mac_int8"),
    (Component("array", "mac", dtype="fp32"), "mac_fp32"),
    (Component("registers", "register", width_bits=32), "write"),
    (Component("lanes", "vector", dtype="int8"), "op"),
    (sram(8192), "read"),
    (sram(2**20, 256), "write"),
]


@pytest.fixture(scope="module")
def at_28() -> Technology:
    return load_technology("horowitz", 28)


@settings(deadline=None)
@given(small=CAPACITIES, large=CAPACITIES, width=WIDTHS, action=st.sampled_from(["read", "write"]))
def test_sram_rises_with_capacity(small: int, large: int, width: int, action: str) -> None:
    technology = load_technology("horowitz", 28)
    small, large = sorted((small, large))
    a, b = sram(small, width), sram(large, width)
    assert technology.energy_pj(a, action).value <= technology.energy_pj(b, action).value * (1 + 1e-12)
    assert technology.area_mm2(a).value <= technology.area_mm2(b).value * (1 + 1e-12)
    assert technology.leakage_w(a).value <= technology.leakage_w(b).value * (1 + 1e-12)


@settings(deadline=None)
@given(capacity=CAPACITIES, width=WIDTHS, action=st.sampled_from(["read", "write"]))
def test_a_wider_access_costs_more_but_no_more_a_byte(capacity: int, width: int, action: str) -> None:
    technology = load_technology("horowitz", 45)
    one = technology.energy_pj(sram(capacity, width), action).value
    two = technology.energy_pj(sram(capacity, 2 * width), action).value
    assert two <= one * (1 + 1e-12)
    assert 2 * two >= one * (1 - 1e-12)


@settings(deadline=None)
@given(node=st.floats(min_value=7, max_value=130), smaller=st.floats(min_value=7, max_value=130))
def test_energy_and_area_fall_with_the_node(node: float, smaller: float) -> None:
    smaller, node = sorted((smaller, node))
    old, new = load_technology("horowitz", node), load_technology("horowitz", smaller)
    for component, action in PRICED:
        assert new.energy_pj(component, action).value <= old.energy_pj(component, action).value * (1 + 1e-12)
        assert new.area_mm2(component).value <= old.area_mm2(component).value * (1 + 1e-12)


@pytest.mark.parametrize(("node", "smaller"), list(itertools.pairwise(NODES)))
def test_each_named_node_is_strictly_cheaper_than_the_one_before(node: int, smaller: int) -> None:
    old, new = load_technology("horowitz", node), load_technology("horowitz", smaller)
    for component, action in PRICED:
        assert new.energy_pj(component, action).value < old.energy_pj(component, action).value
        assert new.area_mm2(component).value < old.area_mm2(component).value
        assert new.leakage_w(component).value > 0


def test_the_grid_is_met_exactly() -> None:
    at_45 = load_technology("horowitz", 45)
    for row in technology_rows():
        if (row.component, row.action) in (("sram", "read"), ("sram", "write")):
            part = sram(row.capacity_bytes, row.width_bits)
            assert at_45.energy_pj(part, row.action).value * row.width_bits / 8 == pytest.approx(
                row.value, rel=1e-12
            )
        if (row.component, row.action) == ("sram", "area"):
            part = sram(row.capacity_bytes, row.width_bits)
            assert at_45.area_mm2(part).value * 1e6 == pytest.approx(row.value, rel=1e-12)


@settings(deadline=None)
@given(factor=st.integers(min_value=1, max_value=10**6))
def test_area_and_leakage_are_in_proportion_to_instances(factor: int) -> None:
    technology = load_technology("horowitz", 28)
    for kind in ("mac", "register", "sram", "vector"):
        one = Component("part", kind, 1, 8192, 64, "int8")
        many = Component("part", kind, factor, 8192, 64, "int8")
        assert technology.area_mm2(many).value == pytest.approx(factor * technology.area_mm2(one).value)
        assert technology.leakage_w(many).value == pytest.approx(factor * technology.leakage_w(one).value)


def test_against_ten_lessons_at_7_nm() -> None:
    """Jouppi et al., ISCA 2021, Table 2 give 7 nm figures of their own. The table's scaling of the 45 nm ones
    lies 3.5 to 5.0 times below them for arithmetic and 1.06 to 5.7 times for SRAM: the sources disagree, and
    the 7 nm rows say so. A change that widens the gap must be seen."""
    at_7 = load_technology("horowitz", 7)
    lessons = {"int8": 0.07 + 0.03, "int32": 1.48 + 0.03, "fp16": 0.34 + 0.38, "fp32": 1.31 + 0.38}
    for dtype, pj in lessons.items():
        ours = at_7.energy_pj(Component("array", "mac", dtype=dtype), f"mac_{dtype}").value
        assert 3.5 < pj / ours < 5.1, dtype
    for capacity, pj in ((8192, 7.5), (32768, 8.5), (2**20, 14.0)):
        ours = at_7.energy_pj(sram(capacity), "read").value * 8
        assert 1.0 < pj / ours < 5.8


def test_against_the_28_nm_projection_of_eie() -> None:
    """Han et al., ISCA 2016, Table V project 256 PEs at 28 nm from 64 at 45 nm: 63.8 mm2 from 40.8, that is
    0.391 a PE, which is mostly SRAM; 2.36 W at 1.2 GHz from 0.59 W at 0.8 GHz is 0.667 an operation."""
    old, new = load_technology("horowitz", 45), load_technology("horowitz", 28)
    part = sram(131072)
    assert new.area_mm2(part).value / old.area_mm2(part).value == pytest.approx(0.391, rel=0.15)
    pe = Component("array", "mac", dtype="int8")
    ratio = new.energy_pj(pe, "mac_int8").value / old.energy_pj(pe, "mac_int8").value
    assert ratio == pytest.approx(0.667, rel=0.35)  # ours is 0.49


def test_a_transfer_costs_far_more_than_the_work_it_feeds(at_28: Technology) -> None:
    """The order that every paper since Horowitz argues from: DRAM, then SRAM, then arithmetic."""
    mac = at_28.energy_pj(Component("array", "mac", dtype="int8"), "mac_int8").value
    buffer = at_28.energy_pj(sram(32768), "read").value
    memory = at_28.energy_pj(Component("memory", "dram", technology="ddr3"), "read").value
    assert 100 * buffer < memory
    assert 2 * mac < buffer
