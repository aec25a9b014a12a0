"""Energy in absolute picojoules, worked by hand from the published figures: nothing here is computed by
the code under test."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.cost import Technology, load_technology, price_actions
from hwsim.errors import CheckError, HwsimError, SpecError, UnsupportedError
from hwsim.plan import Component
from hwsim.tensor import FORMATS

KIB = 1024


def pe(dtype: str = "int8") -> Component:
    return Component("array", "mac", 65536, dtype=dtype)


def bank(capacity_bytes: int, width_bits: int = 64) -> Component:
    return Component("buffer", "sram", 1, capacity_bytes, width_bits)


def dram(technology: str) -> Component:
    return Component("memory", "dram", technology=technology)


@pytest.mark.parametrize(
    ("pe_dtype", "action", "pj"),
    [
        ("int8", "mac_int8", 0.2 + 0.1),  # 8-bit multiply, 32-bit add
        ("int32", "mac_int32", 3.1 + 0.1),
        ("fp16", "mac_fp16", 1.1 + 0.9),  # half multiply, single add
        ("fp32", "mac_fp32", 3.7 + 0.9),
        ("bf16", "mac_bf16", 1.1 * 0.21 / 0.34 + 0.9),
        ("int16", "mac_int16", 0.7874 + 0.1),  # 16 x 16 is midway in log between 8 and 32: sqrt(0.2 * 3.1)
        ("int16", "mac_int16xint8", 0.3968 + 0.1),  # and 16 x 8 midway between 8 and 16: sqrt(0.2 * 0.7874)
        ("int16", "mac_int8xint16", 0.3968 + 0.1),
        ("int16", "mac_int8", 0.2 + 0.1),  # a wide PE at narrow work: the rest of its array is still
        ("int8", "mac_int16xint8", 2 * (0.2 + 0.1)),  # two passes of an 8-bit PE
        ("int8", "mac_int16", 4 * (0.2 + 0.1)),  # and four
        ("int8", "mac_uint8", 0.2 + 0.1),
        ("int8", "mac_fp16", 1.1 + 0.9),  # a float unit of its own
        ("int4", "mac_int4", 0.05 + 0.1),  # a quarter of 8 bits
        ("int8", "mac_int4", 0.05 + 0.1),
        ("int8", "mac_int8xint4", 0.1 + 0.1),  # 32 partial products: midway between 16 and 64
        ("int4", "mac_int8xint4", 2 * (0.05 + 0.1)),
        # fp16's 121 partial products cost 1.1 pJ and bf16's 64 cost 0.679412: 0.0073787 each and 0.207173.
        ("fp8_e4m3", "mac_fp8_e4m3", 0.207173 + 16 * 0.0073787 + 0.9),
        ("fp8_e5m2", "mac_fp8_e5m2", 0.207173 + 9 * 0.0073787 + 0.9),
        ("fp16", "mac_fp16xfp8_e4m3", 0.556709 + 0.9),  # 44: at sqrt(44) on the line from 4 to 8 bits
        ("bf16", "mac_bf16xfp8_e5m2", 0.40343 + 0.9),  # 24: at sqrt(24)
        ("fp16", "mac_fp16xint8", 1.1 + 0.9),  # dequantised on the way in
        ("fp16", "mac_fp16xbinary", 1.1 + 0.9),
        # In PEs of integers, narrow integers: 8 x 2 bits are 16 partial products, 8 x 1 are 8.
        ("int8", "mac_int8xternary", 0.05 + 0.1),
        ("int8", "mac_int8xbinary", 0.025 + 0.1),
        ("int4", "mac_int8xternary", 2 * (0.2 * (8 / 64) + 0.1)),
        # In PEs of their own: a gate or two a bit, each a 32nd of a 32-bit addition.
        ("ternary", "mac_int8xternary", 8 * 0.1 / 32 + 0.1),
        ("", "mac_int8xternary", 8 * 0.1 / 32 + 0.1),
        ("", "mac_int8xbinary", 8 * 0.1 / 32 + 0.1),
        ("", "mac_ternaryxint4", 4 * 0.1 / 32 + 0.1),
        ("ternary", "mac_ternary", 2 * 0.1 / 32 + 0.1),
        ("binary", "mac_ternaryxbinary", 2 * 0.1 / 32 + 0.1),
        ("binary", "mac_binary", 0.1 / 32 + 0.1 / 32 + 0.1 / 64),  # gate, full adder, a 64th of a sum
        ("int8", "mac_binary", 0.003125 + 0.1),  # where nothing counts ones, each product is added
        ("binary", "mac_int8", 0.2 + 0.1),
    ],
)
def test_mac_at_45_nm(at_45: Technology, pe_dtype: str, action: str, pj: float) -> None:
    assert at_45.energy_pj(pe(pe_dtype), action).value == pytest.approx(pj, rel=1e-4)


def test_mac_at_28_nm(at_28: Technology) -> None:
    # Stillmaker and Baas' polynomials at 0.8 V: 45 nm 0.69302, 32 nm 0.456936; 22 nm lies 1/6 of the way from
    # 20 nm (0.1532) to 32 nm: 0.203823. Then 28 nm is log-log between 0.65934 and 0.29411: 0.4945.
    assert at_28.energy_pj(pe(), "mac_int8").value == pytest.approx(0.3 * 0.4945, rel=1e-4)
    assert at_28.energy_pj(pe(), "mac_int16").value == pytest.approx(1.2 * 0.4945, rel=1e-4)


@pytest.mark.parametrize("action", ["read", "write"])
@pytest.mark.parametrize(
    ("capacity_kib", "pj_per_byte"),
    [
        (8, 1.25),  # 10 pJ for 8 bytes
        (32, 2.5),
        (1024, 12.5),
        (16, 1.25 * 2**0.5),  # midway in log between 8 and 32 KB
        (2, 0.625),  # below the grid the slope goes on: 4 times less capacity, half the energy
        (32 * 1024, 62.5),  # above it too: 32 times more capacity, 5 times the energy
    ],
)
def test_sram_at_45_nm(at_45: Technology, action: str, capacity_kib: int, pj_per_byte: float) -> None:
    price = at_45.energy_pj(bank(capacity_kib * KIB), action).value
    assert price == pytest.approx(pj_per_byte, rel=1e-9)


def test_sram_says_where_it_is_extrapolated(at_45: Technology) -> None:
    assert "extrapolated" in at_45.energy_pj(bank(2 * KIB), "read").source
    assert "extrapolated" not in at_45.energy_pj(bank(8 * KIB), "read").source


def test_sram_by_width(at_45: Technology) -> None:
    assert at_45.energy_pj(bank(8 * KIB, 32), "read").value == pytest.approx(1.25)  # its share of 64 bits
    assert at_45.energy_pj(bank(8 * KIB, 256), "read").value == pytest.approx(10 * 2.39951 / 32, rel=1e-5)
    assert at_45.energy_pj(bank(8 * KIB, 256), "write").value == pytest.approx(10 * 3.0892 / 32, rel=1e-5)
    halfway = 10 * 2.39951**0.5 / 16
    assert at_45.energy_pj(bank(8 * KIB, 128), "read").value == pytest.approx(halfway, rel=1e-5)
    # 1024 bits from 32 KB are four slices of 256 bits from 8 KB each.
    assert at_45.energy_pj(bank(32 * KIB, 1024), "read").value == pytest.approx(10 * 2.39951 / 32, rel=1e-5)


def test_sram_at_28_nm(at_28: Technology) -> None:
    # The mean ratios of CACTI's rows to 45 nm are 0.521986 at 32 nm and 0.233486 at 22 nm: 0.39187 at 28 nm.
    assert at_28.energy_pj(bank(8 * KIB), "read").value == pytest.approx(1.25 * 0.39187, rel=1e-4)


@pytest.mark.parametrize(
    ("technology", "pj_per_byte"),
    [
        ("ddr3", 162.5),  # 1300 pJ for 8 bytes
        ("ddr4", 162.5),
        ("lpddr2", 160.0),  # 640 pJ for 4 bytes
        ("lpddr4", 64.0),
        ("gddr5", 112.0),
        ("hbm2", 43.75),
    ],
)
@pytest.mark.parametrize("action", ["read", "write"])
def test_dram_does_not_follow_the_node(technology: str, pj_per_byte: float, action: str) -> None:
    for node_nm in (130, 45, 28, 7):
        price = load_technology("horowitz", node_nm).energy_pj(dram(technology), action)
        assert price.value == pytest.approx(pj_per_byte)


def test_link(at_45: Technology, at_28: Technology) -> None:
    link = Component("host_link", "link", technology="pcie3")
    assert at_45.energy_pj(link, "transfer").value == pytest.approx(2 * 1.93 * 8)
    assert at_28.energy_pj(link, "transfer").value == pytest.approx(2 * 1.93 * 8)


@pytest.mark.parametrize("action", ["read", "write"])
def test_register(at_45: Technology, action: str) -> None:
    register = Component("pe_registers", "register", 4, width_bits=56)
    price = at_45.energy_pj(register, action)
    assert price.value == pytest.approx(0.082856, rel=1e-5)  # a byte, whatever the register's width
    assert "other family" in price.source


def test_vector(at_45: Technology) -> None:
    lanes = Component("activation_unit", "vector", 256, dtype="int8")
    assert at_45.energy_pj(lanes, "op").value == pytest.approx(0.3)
    assert at_45.energy_pj(lanes, "op_int8").value == pytest.approx(0.3)
    assert at_45.energy_pj(lanes, "op_fp32").value == pytest.approx(4.6)
    assert at_45.energy_pj(lanes, "op_fp8_e4m3").value == pytest.approx(0.325233 + 0.9, rel=1e-5)
    for narrow in ("op_int4", "op_ternary", "op_binary"):
        assert at_45.energy_pj(lanes, narrow).value == pytest.approx(0.3)  # a lane is a byte wide


@pytest.mark.parametrize("dtype", sorted(set(FORMATS) - {"int32", "uint8"}))
def test_every_format_says_where_its_price_is_from(at_45: Technology, dtype: str) -> None:
    found = at_45.energy_pj(pe(dtype), f"mac_{dtype}")
    assert 0 < found.value < at_45.energy_pj(pe("fp32"), "mac_fp32").value + 1e-9
    assert len(found.source) >= 30
    derived = dtype in ("bf16", "int4", "ternary", "binary") or dtype.startswith("fp8")
    assert ("[derived]" in found.source) == derived


@pytest.mark.parametrize(
    ("component", "action"),
    [
        (pe(), "mac"),
        (pe(), "read"),
        (pe(), "mac_"),
        (pe(), "mac_int7"),
        (pe("fp16"), "mac_int8xfp16"),
        (pe(), "mac_int8xfp16"),
        (pe(), "mac_binaryxfp8_e4m3"),
        (bank(8 * KIB), "erase"),
        (bank(8 * KIB), "wide_read"),
        (bank(0), "read"),
        (bank(8 * KIB, 0), "read"),
        (dram("ddr5"), "read"),
        (dram("none"), "read"),
        (dram(""), "read"),
        (dram("ddr3"), "refresh"),
        (Component("l", "link", technology="pcie9"), "transfer"),
        (Component("l", "link", technology="pcie3"), "read"),
        (Component("r", "register", width_bits=8), "shift"),
        (Component("v", "vector"), "op"),
        (Component("v", "vector", dtype="int8"), "mac_int8"),
        (Component("c", "control"), "issue"),
        (Component("o", "optics"), "read"),
    ],
)
def test_unknown_actions_are_errors(at_45: Technology, component: Component, action: str) -> None:
    with pytest.raises(HwsimError) as caught:
        at_45.energy_pj(component, action)
    assert len(str(caught.value)) > 20


def test_unknown_memory_suggests(at_45: Technology) -> None:
    with pytest.raises(UnsupportedError, match="did you mean 'ddr4'"):
        at_45.energy_pj(dram("ddr-4"), "read")


def test_price_list(at_45: Technology) -> None:
    components = [pe(), bank(8 * KIB), dram("ddr3")]
    keys = [("memory", "read"), ("array", "mac_int8"), ("buffer", "write")]
    prices = price_actions(components, keys, at_45)
    assert prices.keys == tuple(keys)
    np.testing.assert_allclose(prices.pj_per_count, [162.5, 0.3, 1.25])
    assert len(prices.sources) == 3
    assert all(prices.sources)
    with pytest.raises(ValueError, match="read-only"):
        prices.pj_per_count[0] = 0.0
    assert price_actions(components, keys, load_technology("horowitz", 45)) is prices  # by content
    assert price_actions(components, keys, load_technology("horowitz", 28)) is not prices


def test_no_keys_is_an_empty_list(at_45: Technology) -> None:
    assert price_actions([pe()], [], at_45).pj_per_count.shape == (0,)


def test_price_list_refuses_parts_that_are_not_there(at_45: Technology) -> None:
    with pytest.raises(CheckError, match="ghost"):
        price_actions([pe()], [("ghost", "read")], at_45)
    with pytest.raises(CheckError, match="one name"):
        price_actions([pe(), pe()], [("array", "mac_int8")], at_45)


@pytest.mark.parametrize("node_nm", [180, 5, 0, -28, float("nan"), float("inf")])
def test_nodes_beyond_the_table_are_refused(node_nm: float) -> None:
    with pytest.raises(SpecError, match="130 to 7 nm"):
        load_technology("horowitz", node_nm)


def test_unknown_table() -> None:
    with pytest.raises(SpecError, match="horowitz"):
        load_technology("horowits", 45)


def test_provenance_name(at_28: Technology) -> None:
    assert at_28.name.startswith("horowitz at 28 nm (sha256 ")
