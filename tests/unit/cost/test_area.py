"""Area and leakage in absolute mm2 and W, worked by hand, and against a published layout."""

from __future__ import annotations

import pytest

from hwsim.cost import Technology, area_table, load_technology
from hwsim.errors import UnsupportedError
from hwsim.plan import Component

KIB = 1024


def sram(banks: int, capacity_bytes: int, width_bits: int = 64) -> Component:
    return Component("buffer", "sram", banks, capacity_bytes, width_bits)


@pytest.mark.parametrize(
    ("component", "mm2"),
    [
        (Component("a", "mac", 1000, dtype="int8"), 0.419),  # 282 + 137 um2
        (Component("a", "mac", 1000, dtype="fp16"), 1.640 + 4.184),
        (Component("a", "mac", 1000, dtype="int16"), 0.9928 + 0.137),  # sqrt(282 * 3495) um2
        (Component("v", "vector", 1000, dtype="int8"), 0.419),
        (Component("v", "vector", 1000, dtype="binary"), 0.419),  # a lane is a byte wide
        (Component("a", "mac", 1000, dtype="int4"), 0.0705 + 0.137),
        # fp16's 121 partial products take 1640 um2 and bf16's 64 take 1012.94: 11.0011 each and 308.87.
        (Component("a", "mac", 1000, dtype="fp8_e4m3"), 0.30887 + 16 * 0.0110011 + 4.184),
        (Component("a", "mac", 1000, dtype="fp8_e5m2"), 0.30887 + 9 * 0.0110011 + 4.184),
        (Component("a", "mac", 1000, dtype="ternary"), 2 * 0.137 / 32 + 0.137),
        (Component("a", "mac", 1000, dtype="binary"), 2 * 0.137 / 32 + 0.137 / 64),
        (Component("r", "register", 1000, width_bits=56), 0.48944),  # 8.74 um2 a bit
        (sram(1, 8 * KIB), 0.0262673),
        (sram(3, 8 * KIB), 0.0788019),
        (sram(1, 8 * KIB, 32), 0.0262673),
        (sram(1, 8 * KIB, 256), 0.0307979),
        (sram(1, 32 * KIB, 1024), 4 * 0.0307979),
        (sram(1, 1024 * KIB), 3.26283),
        (Component("d", "dram", 2, technology="ddr3"), 10.4),
        (Component("l", "link", technology="pcie3"), 7.36),
        (Component("c", "control"), 0.171 / 0.250702),  # known at 22 nm
    ],
)
def test_area_at_45_nm(at_45: Technology, component: Component, mm2: float) -> None:
    assert at_45.area_mm2(component).value == pytest.approx(mm2, rel=1e-4)


def test_area_at_28_nm(at_28: Technology) -> None:
    # Between 32 nm (logic 0.456842, SRAM 0.555967) and 22 nm (0.250702, 0.261965) on log-log lines.
    pes = Component("a", "mac", 65536, dtype="int8")
    assert at_28.area_mm2(pes).value == pytest.approx(65536 * 419e-6 * 0.36886, rel=1e-4)
    assert at_28.area_mm2(sram(1, 8 * KIB)).value == pytest.approx(0.0262673 * 0.42519, rel=1e-4)
    dram = Component("d", "dram", 1, technology="ddr3")
    assert at_28.area_mm2(dram).value == pytest.approx(5.2)  # pads do not shrink


def test_leakage(at_45: Technology, at_28: Technology) -> None:
    pes = Component("a", "mac", 1000, dtype="int8")
    assert at_45.leakage_w(pes).value == pytest.approx(0.419 * 8.515760e-6 / 986.3557e-6, rel=1e-4)
    # At 28 nm a PE leaks 0.4945 of that, on 0.36886 of the area.
    assert at_28.leakage_w(pes).value == pytest.approx(0.419 * 0.0086336 * 0.4945, rel=1e-4)
    assert at_45.leakage_w(sram(2, 512 * KIB)).value == pytest.approx(2 * 12.496e-6, rel=1e-4)
    # SRAM between 32 nm (21.2617 uW) and 22 nm (70.5597 uW).
    assert at_28.leakage_w(sram(1, 512 * KIB)).value == pytest.approx(32.61e-6, rel=1e-3)


def test_area_table(at_45: Technology) -> None:
    parts = [Component("array", "mac", 1000, dtype="int8"), sram(1, 8 * KIB)]
    table = area_table(parts, at_45)
    assert table.components == ("array", "buffer")
    assert table.area_mm2 == pytest.approx((0.419, 0.0262673), rel=1e-4)
    assert table.leakage_w[0] > table.leakage_w[1] > 0
    assert "recalled" in table.sources[0]
    assert "other family" in table.sources[1]
    assert area_table(parts, load_technology("horowitz", 45)) is table


@pytest.mark.parametrize("kind", ["dram", "link"])
def test_ideal_parts_have_no_area(at_45: Technology, kind: str) -> None:
    for technology in ("", "none"):
        with pytest.raises(UnsupportedError, match="ideal"):
            at_45.area_mm2(Component("m", kind, technology=technology))
        with pytest.raises(UnsupportedError, match="ideal"):
            at_45.leakage_w(Component("m", kind, technology=technology))


def test_sram_without_size_is_refused(at_45: Technology) -> None:
    for component in (sram(1, 0), sram(1, 8 * KIB, 0)):
        with pytest.raises(UnsupportedError, match="no capacity or no width"):
            at_45.area_mm2(component)
    with pytest.raises(UnsupportedError, match="no capacity or no width"):
        at_45.leakage_w(sram(1, 0))


def test_buffers_of_a_published_layout(at_45: Technology) -> None:
    """EIE (Han et al., ISCA 2016, Table II): in 45 nm its module that holds a 128 KB weight SRAM takes
    469,412 um2, and the one of two 16 KB pointer banks 121,849 um2, each with some logic. CACTI is 8 % and
    18 % smaller."""
    weights = at_45.area_mm2(sram(1, 128 * KIB)).value
    pointers = at_45.area_mm2(sram(2, 16 * KIB)).value
    assert weights == pytest.approx(0.469412, rel=0.15)
    assert pointers == pytest.approx(0.121849, rel=0.25)
