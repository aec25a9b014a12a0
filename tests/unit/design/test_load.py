"""Designs: short and full form, several devices, overrides, and what each fault says."""

from __future__ import annotations

import pytest

from hwsim.design import Design, load_design
from hwsim.design.kinds.shared import FORMATS
from hwsim.design.kinds.systolic import MAX_PES, SystolicSpec
from hwsim.errors import HwsimError, SpecError
from hwsim.schema import file_keys
from hwsim.tensor.formats import FORMATS as KNOWN_FORMATS

SMALL = """\
kind: systolic
clock: 1 GHz
array: {rows: 8, cols: 4}
activation_unit: {lanes: 4}
weight_memory: {technology: ddr3, bandwidth: 1 GB/s}
"""
TWO = """\
name: pair
default_device: big
devices:
  big:
    kind: systolic
    clock: 1 GHz
    array: {rows: 64, cols: 64}
    activation_unit: {lanes: 64}
    weight_memory: {technology: ddr3, bandwidth: 30 GB/s}
    host_link: {bandwidth: 8 GB/s}
  little:
    kind: systolic
    clock: 500 MHz
    array: {rows: 8, cols: 8, dataflow: os}
    activation_unit: {lanes: 8}
    weight_memory: {technology: lpddr2, bandwidth: 2 GB/s}
"""


@pytest.fixture
def write(tmp_path):
    def put(text, name="d.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return put


@pytest.fixture
def problems(write, tmp_path):
    def read(text, overrides=()):
        with pytest.raises(SpecError) as caught:
            load_design(write(text), overrides)
        return [str(p).replace(f"{tmp_path}/", "") for p in caught.value.problems]

    return read


def test_a_small_file_has_all_defaults(write):
    design = load_design(write(SMALL, "mine.yaml"))
    spec = design.device_spec
    assert (design.name, design.device_name) == ("mine", "systolic")
    assert (design.technology.table, design.technology.node_nm) == ("horowitz", 45)
    assert (spec.clock_hz, spec.dtype, spec.dataflow, spec.array.drain) == (10**9, "int8", "ws", "hidden")
    assert (spec.array.fold_overlap, spec.array.double_buffer, spec.array.group_packing) == (
        True,
        True,
        False,
    )
    assert (spec.array.shift_in_cycles, spec.array.drain_cycles, spec.array.cycles_per_row) == (
        None,
        None,
        {"int8": 1},
    )
    assert (spec.weight_fifo.depth_tiles, spec.accumulators.rows, spec.unified_buffer.size_bytes) == (
        None,
    ) * 3
    assert (spec.accumulators.banks, spec.accumulators.width_bits) == (2, 32)
    assert (spec.host_link, spec.published, spec.calibration) == (None, None, None)
    assert design.published == {}
    assert design.overrides == ()


def test_both_forms_mean_the_same(write):
    indented = "".join(f"    {line}\n" for line in SMALL.splitlines())
    full = load_design(write(f"name: x\ndevices:\n  systolic:\n{indented}", "full.yaml"))
    assert full == load_design(write(f"name: x\n{SMALL}", "short.yaml"))


def test_names_of_design_and_device_never_collide():
    assert not set(file_keys(Design)) & set(file_keys(SystolicSpec))


def test_formats_are_those_of_tensors():
    assert set(FORMATS) == set(KNOWN_FORMATS) - {"uint8"}


def test_several_devices(write):
    design = load_design(write(TWO))
    assert design.device_spec.array.rows == 64
    assert load_design(write(TWO), ["default_device=little"]).device_spec.dataflow == "os"


@pytest.mark.parametrize(
    ("override", "reached"),
    [
        ("devices.little.array.rows=16", lambda d: d.devices["little"].array.rows == 16),
        ("little.array.rows=16", lambda d: d.devices["little"].array.rows == 16),
        ("host_link.bandwidth=1 GB/s", lambda d: d.devices["big"].host_link.bandwidth_bytes_per_s == 10**9),
        ("technology.node=28 nm", lambda d: d.technology.node_nm == 28),
        ("node=28 nm", lambda d: d.technology.node_nm == 28),
    ],
)
def test_overrides_of_several_devices(write, override, reached):
    design = load_design(write(TWO), [override])
    assert reached(design)
    assert design.devices["big"].array.rows == 64


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("array.rows=16", "could mean devices.big.array.rows, devices.little.array.rows; write one in full"),
        ("dataflow=os", "could mean devices.big.array.dataflow, devices.little.array.dataflow"),
        ("devices.huge.array.rows=16", "did you mean devices.big.array.rows"),
        (
            "devices.big.array=16",
            "devices.big.array is a section; set one of its fields: devices.big.array.rows",
        ),
        ("array.rosw=16", "no field has this path; did you mean devices.big.array.rows"),
    ],
)
def test_wrong_overrides_of_several_devices(problems, override, told):
    found = problems(TWO, [override])
    assert len(found) == 1
    assert found[0].startswith(f"--set {override}: ")
    assert told in found[0]


@pytest.mark.parametrize(
    ("override", "reached"),
    [
        ("array.rows=16", lambda s: s.array.rows == 16),
        ("devices.systolic.array.rows=16", lambda s: s.array.rows == 16),
        ("dataflow=os", lambda s: s.dataflow == "os"),
        ("depth_tiles=3", lambda s: s.weight_fifo.depth_tiles == 3),
        ("depth_tiles=unlimited", lambda s: s.weight_fifo.depth_tiles is None),
        ("array.cycles_per_row.int4=2", lambda s: s.array.cycles_per_row == {"int8": 1, "int4": 2}),
        ("weight_memory.bandwidth=unlimited", lambda s: s.weight_memory.bandwidth_bytes_per_s is None),
        ("host_link.bandwidth=1 GB/s", lambda s: s.host_link.bandwidth_bytes_per_s == 10**9),
        ("bandwidth=2 GB/s", lambda s: s.weight_memory.bandwidth_bytes_per_s == 2 * 10**9),
        ("fold_overlap=false", lambda s: s.array.fold_overlap is False),
    ],
)
def test_overrides_of_one_device(write, override, reached):
    assert reached(load_design(write(SMALL), [override]).device_spec)
    path, _, value = override.partition("=")
    assert reached(load_design(write(SMALL), {path: value}).device_spec)
    assert reached(load_design(load_design(write(SMALL)), [override]).device_spec)


def test_values_of_a_sweep_need_not_be_text(write):
    spec = load_design(write(SMALL), {"array.rows": 16, "fold_overlap": False}).device_spec
    assert (spec.array.rows, spec.array.fold_overlap) == (16, False)


def test_rows_alone_is_ambiguous(problems):
    assert (
        "could mean devices.systolic.array.rows, devices.systolic.accumulators.rows"
        in problems(SMALL, ["rows=3"])[0]
    )


def test_overrides_are_recorded_in_full_and_add_up(write):
    design = load_design(write(SMALL), ["array.rows=16", "dataflow=os"])
    again = load_design(design, ["dataflow=is"])
    assert again.overrides == ("devices.systolic.array.rows=16", "devices.systolic.array.dataflow=is")
    assert (again.path, again.sha256) == (design.path, design.sha256)
    assert load_design(design) is design


def test_equal_content_is_loaded_once_and_new_content_anew(write):
    first = load_design(write(SMALL))
    assert load_design(write(SMALL)) is first
    assert load_design(write(SMALL.replace("1 GHz", "2 GHz"))).device_spec.clock_hz == 2 * 10**9
    assert load_design(write(SMALL), ["array.rows=9"]).device_spec.array.rows == 9


def test_a_design_made_in_code():
    spec = load_design("tpu_v1").device_spec
    made = Design(name="own", devices={"tpu": spec})
    assert load_design(made) is made
    assert (made.path, made.device_spec) == ("", spec)
    assert len(made.sha256) == 64
    assert load_design(made, ["array.rows=128"]).device_spec.array.rows == 128


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("clock: 1 GHz", "clock: 1 GHz\nclock: 2 GHz", "d.yaml:3:1: clock: the key is written twice"),
        ("clock: 1 GHz", "clok: 1 GHz", "d.yaml:2:1: clok: is not a field here; did you mean 'clock'?"),
        ("clock: 1 GHz", "", "d.yaml:1:1: clock: is missing; write for example `clock: 700 MHz`"),
        ("clock: 1 GHz", "clock: -1 GHz", "d.yaml:2:8: clock: must be above zero"),
        ("clock: 1 GHz", "clock: 0 Hz", "d.yaml:2:8: clock: must be above zero"),
        ("clock: 1 GHz", "clock: .nan", "d.yaml:2:8: clock: "),
        ("clock: 1 GHz", "clock: nan GHz", "d.yaml:2:8: clock: "),
        ("bandwidth: 1 GB/s", "bandwidth: 34 GB", "'GB' is a unit of size, not of bandwidth"),
        ("bandwidth: 1 GB/s", "bandwidth: 34", "34 has no unit; write for example '34 GB/s' or `unlimited`"),
        ("bandwidth: 1 GB/s", "bandwidth: fast", "cannot read 'fast'"),
        ("ddr3", "ddr33", "weight_memory.technology: 'ddr33' is not known here; did you mean 'ddr3'"),
        ("kind: systolic", "kind: sistolic", "d.yaml:1:7: kind: 'sistolic' is not known here; did you"),
        ("kind: systolic", "", "has no `kind`"),
        ("kind: systolic", "kind: systolic\nnmae: x", "nmae: is not a field here; did you mean 'name'?"),
        ("kind: systolic", "kind: systolic\ndtype: int9", "dtype: 'int9' is not known here; did you mean"),
        ("kind: systolic", "kind: systolic\ndtype: fp16", "dtype: the array has no rate for fp16"),
        ("rows: 8", "rows: 8, dataflow: sw", "array.dataflow: 'sw' is not known here; known: ws, os, is"),
        ("rows: 8", "rows: 0", "array.rows: must be at least 1, not 0"),
        ("rows: 8", "rows: 1000000", "array.rows: must be at most 65536, not 1000000 (a larger"),
        ("rows: 8, cols: 4", "rows: 8192, cols: 4096", "array.rows: 8,192 x 4,096 processing elements are"),
        ("rows: 8", "rows: 8, cycles_per_row: {int8: 1, int9: 2}", "cycles_per_row.int9: is not a number"),
        ("rows: 8", "rows: 8, cycles_per_row: {int8: 1, int8xint8: 2}", "int8xint8: names one format twice"),
        ("rows: 8", "rows: 8, cycles_per_row: {int8: 0}", "array.cycles_per_row.int8: must be at least 1"),
        ("rows: 8", "rows: 8, cycles_per_row: {}", "cycles_per_row: names no number format"),
        ("lanes: 4", "lanes: 1e3", "activation_unit.lanes: must be a whole number, not 1000.0; write 1000"),
        ("lanes: 4", "lanes: '4'", "take the quotes away"),
        ("lanes: 4}", "lanes: 4}\naccumulators: {rows: 1}", "rows: 1 rows cannot be split into 2 banks"),
        ("lanes: 4}", "lanes: 4}\naccumulators: {width_bits: 12}", "must be whole bytes"),
        ("lanes: 4}", "lanes: 4}\ncalibration: {}", "calibration: fits the host link, but the device"),
        ("lanes: 4}", "lanes: 4}\ntechnology: {node: 28}", "technology.node: 28 has no unit"),
        ("lanes: 4}", "lanes: 4}\ndefault_device: gpu", "'gpu' is none of the devices (systolic)"),
        ("lanes: 4}", "lanes: 4}\ncalibration: {host_efficiency: 0}", "efficiency: must be above 0, not 0"),
        ("lanes: 4}", "lanes: 4}\ncalibration: {host_overlap: 1}", "host_overlap: must be below 1, not 1"),
    ],
)  # fmt: skip
def test_bad_files(problems, old, new, told):
    assert old in SMALL
    found = problems(SMALL.replace(old, new))
    assert len(found) == 1
    assert told in found[0]


def test_a_trillion_elements_are_refused(problems):
    found = problems(SMALL.replace("rows: 8, cols: 4", "rows: 1000000, cols: 1000000"))
    assert [line.split(": ")[1] for line in found] == ["array.rows", "array.cols"]
    assert all("too large to simulate" in line for line in found)


def test_the_largest_array_is_taken(write):
    side = int(MAX_PES**0.5)
    text = SMALL.replace("rows: 8, cols: 4", f"rows: {side}, cols: {side}")
    assert load_design(write(text)).device_spec.array.rows == side


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: x\ndevices: {}\n", "devices: names no device"),
        (
            TWO.replace("default_device: big\n", ""),
            "default_device: is missing: it says which of big, little",
        ),
        (
            TWO.replace("default_device: big", "default_device: bg"),
            "default_device: 'bg' is none of the devices",
        ),
        (TWO.replace("  little:", "  li.ttle:"), "a device's name must be letters"),
        (TWO + "clock: 1 GHz\n", "clock: is not a field here"),
        ("devices: 3\n", "devices: must be a section"),
        ("devices: {a: 3}\n", "devices.a: must be a section"),
        ("name: x\n", "has no `kind`"),
    ],
)
def test_bad_designs(problems, text, told):
    found = problems(text)
    assert len(found) == 1
    assert told in found[0]


@pytest.mark.parametrize("wrong", [None, 3, b"tpu_v1", ["tpu_v1"]])
def test_what_is_no_design(wrong):
    with pytest.raises(SpecError, match="a design is given by name"):
        load_design(wrong)


def test_unknown_names_are_one_clear_error():
    with pytest.raises(HwsimError, match="did you mean tpu_v1"):
        load_design("tpu_v9")


def test_a_copy_changed_in_code_keeps_the_change_and_no_longer_names_its_file() -> None:
    design = load_design("tpu_v1")
    faster = design.device_spec.model_copy(update={"clock_hz": 123_000_000})
    changed = design.model_copy(update={"devices": {"systolic": faster}})
    assert (changed.path, changed.sha256) == ("", changed.content_hash)
    found = load_design(changed, ("array.rows=8",))
    assert (found.device_spec.clock_hz, found.device_spec.array.rows, found.path) == (123_000_000, 8, "")
