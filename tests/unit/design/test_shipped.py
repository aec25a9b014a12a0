"""Every shipped design loads, gives a source for each number, and holds the figures that it names."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from hwsim.design import design_schema, load_design
from hwsim.library import find, names
from hwsim.schema import Spec, describe
from hwsim.schema.tree import read_tree

SHIPPED = names("designs")


def leaves(spec):
    """Paths of all fields, found from the values alone."""
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if isinstance(value, Spec):
            yield from (f"{name}.{path}" for path in leaves(value))
        elif isinstance(value, dict) and value:
            for key, entry in value.items():
                if isinstance(entry, Spec):
                    yield from (f"{name}.{key}.{path}" for path in leaves(entry))
                else:
                    yield f"{name}.{key}"
        else:
            yield name


@pytest.mark.parametrize("name", SHIPPED)
def test_describe_covers_every_field(name):
    design = load_design(name)
    rows = describe(design)
    unit = re.compile(r"_(bytes_per_s|bytes|hz|mm2|nm|w|s)$")
    assert {row.path for row in rows} == {unit.sub("", path) for path in leaves(design)}
    assert all(row.sentence.endswith((".", "B")) and row.value for row in rows)


@pytest.mark.parametrize("name", SHIPPED)
def test_each_number_has_its_source(name):
    for line in find("designs", name).read_text().splitlines():
        value, _, source = line.partition("#")
        if re.match(r"\s*[\w/]+:\s*(\d|unlimited\b)", value):
            assert len(source.strip()) > 3, line
    for row in describe(load_design(name)):
        if re.match(r"\d|unlimited", row.value):
            assert row.source, row


@pytest.mark.parametrize("name", SHIPPED)
def test_the_schema_for_editors_takes_it(name):
    path = find("designs", name)
    tree, _ = read_tree(path.read_text(), str(path))
    judge = jsonschema.Draft202012Validator(design_schema())
    plain = json.loads(json.dumps(tree.plain()))  # lists, as an editor has them
    judge.validate(plain)
    assert not judge.is_valid({**plain, "clock": 700})
    assert not judge.is_valid({**plain, "clok": "1 GHz"})
    needed = next(key for key in ("devices", "clock", "cores") if key in plain)
    assert not judge.is_valid({key: value for key, value in plain.items() if key != needed})


def test_the_schema_takes_the_full_form():
    schema = design_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    path = find("designs", "tpu_v1")
    device = read_tree(path.read_text(), str(path))[0].plain()
    about = {key: device.pop(key) for key in ("name", "description", "source", "technology")}
    judge = jsonschema.Draft202012Validator(schema)
    judge.validate({**about, "devices": {"tpu": device, "other": device}, "default_device": "tpu"})
    assert not judge.is_valid({**about, "devices": {"tpu": {**device, "kind": "gpu"}}})


def test_tpu_v1_is_as_published():
    """Jouppi et al., ISCA 2017: the figures of section 2 and table 2, worked out again from each other."""
    spec = load_design("tpu_v1").device_spec
    assert spec.array.rows * spec.array.cols == 65_536
    assert round(2 * 65_536 * spec.clock_hz / 1e12) == 92  # peak, in tera-operations a second
    assert spec.accumulators.rows * spec.array.cols * spec.accumulators.width_bits // 8 == 4 * 2**20
    assert spec.unified_buffer.size_bytes == 24 * 2**20
    assert spec.weight_memory.size_bytes == 8 * 2**30
    weight_tile = spec.array.rows * spec.array.cols
    assert -(-weight_tile * spec.clock_hz // spec.weight_memory.bandwidth_bytes_per_s) in (1349, 1350)
    assert (spec.array.shift_in_cycles or spec.array.rows) == 256
    assert spec.array.cycles_per_row == {"int8": 1, "int16xint8": 2, "int8xint16": 2, "int16": 4}
    assert spec.host_link.bandwidth_bytes_per_s == pytest.approx(16 * 8e9 * 128 / 130 / 8, rel=3e-4)
    published = load_design("tpu_v1").published
    assert (published["idle_power_w"], published["busy_power_w"], published["tdp_w"]) == (28, 40, 75)
    assert published["floor_plan.data_buffers"] == 37
    assert "die_area_mm2" not in published  # not given, and not to be guessed


def test_systolic_plain_limits_nothing():
    design = load_design("systolic_plain")
    spec = design.device_spec
    assert spec.weight_fifo.depth_tiles is spec.accumulators.rows is spec.unified_buffer.size_bytes is None
    assert spec.weight_memory.bandwidth_bytes_per_s is spec.weight_memory.size_bytes is spec.host_link is None
    assert (spec.array.fold_overlap, spec.array.double_buffer, spec.array.drain) == (False, False, "hidden")
    changed = load_design("systolic_plain", ["array.rows=128", "array.cols=64", "dataflow=is"]).device_spec
    assert (changed.array.rows, changed.array.cols, changed.dataflow) == (128, 64, "is")


def test_gemmini_16_adds_up():
    spec = load_design("gemmini_16").device_spec
    assert spec.accumulators.rows * spec.array.cols * 4 == 64 * 2**10
    assert spec.unified_buffer.size_bytes == 4 * spec.unified_buffer.bank_bytes == 256 * 2**10


def test_systolic_starved_is_starved():
    spec = load_design("systolic_starved").device_spec
    arrival = spec.array.rows * spec.array.cols / spec.weight_memory.bandwidth_bytes_per_s
    assert arrival > 20 * spec.array.rows / spec.clock_hz  # a weight tile takes far longer than its shift-in
