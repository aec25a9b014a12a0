"""The rows of `hwsim describe` and the JSON Schema for editors."""

from __future__ import annotations

import jsonschema
import pytest

from hwsim.schema import describe, json_schema
from hwsim.schema.wording import format_quantity
from hwsim.units import parse_quantity
from tests.unit.schema.samples import Machine

TEXT = """\
name: m  # who
clock: 700 MHz  # datasheet, page 2
rates: {x: 2, y: 3}  # measured
parts:
  a:
    kind: dram
    ports: 4
board:
  layers:
    - {kind: sram, size: 1 KiB}  # first
"""


def test_value_sentence_and_source_of_each_field(load):
    rows = {row.path: row for row in describe(load(TEXT, "share=0.25"))}
    assert (rows["clock"].value, rows["clock"].source) == ("700 MHz", "datasheet, page 2")
    assert rows["clock"].sentence == "Cycles a second."
    assert (rows["rates.y"].value, rows["rates.y"].source) == ("3", "measured")
    assert (rows["depth"].value, rows["depth"].source) == ("unlimited", "default")
    assert (rows["board.power"].value, rows["board.power"].source) == ("not given", "default")
    assert (rows["board.layers[0].size"].value, rows["board.layers[0].size"].source) == ("1 KiB", "first")
    assert (rows["share"].value, rows["share"].source) == ("0.25", "--set share=0.25")
    assert rows["parts.a.ports"].source == ""
    assert rows["on"].value == "true"
    assert rows["spare"].value == "none"


def test_a_spec_made_in_code_has_only_values():
    rows = {row.path: row for row in describe(Machine(name="m", clock_hz=1500))}
    assert (rows["clock"].value, rows["clock"].source) == ("1.5 kHz", "default")


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (24 * 2**20, "bytes", "24 MiB"),
        (10**9, "bytes", "1 GB"),
        (1000, "bytes", "1 kB"),
        (1, "bytes", "1 B"),
        (34 * 10**9, "bytes_per_s", "34 GB/s"),
        (15_750_000_000, "bytes_per_s", "15.75 GB/s"),
        (7 * 10**8, "hz", "700 MHz"),
        (28, "nm", "28 nm"),
        (0.04, "w", "40 mW"),
        (5e-6, "s", "5 us"),
        (331.5, "mm2", "331.5 mm2"),
    ],
)
def test_quantities_are_written_as_people_do(value, dimension, text):
    assert format_quantity(value, dimension) == text
    assert float(parse_quantity(text, dimension)) == pytest.approx(value, rel=1e-12)


def test_json_schema_takes_what_the_loader_takes(load):
    schema = json_schema(Machine)
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    good = {
        "name": "m", "clock": "700 MHz", "depth": "unlimited", "rates": {"x": 1}, "dims": ["batch", 3],
        "parts": {"a": {"kind": "dram", "size": "unlimited"}, "b": {"kind": "link", "bandwidth": "1e3 GB/s"}},
        "spare": {"kind": "sram"},
    }  # fmt: skip
    judge.validate(good)
    for wrong in (
        {"clock": 700}, {"clock": "700"}, {"clock": "7 GB"}, {"clock": "unlimited"}, {"mode": "x"}, {"z": 1},
        {"depth": 0}, {"depth": None}, {"spare": None}, {"share": 2}, {"parts": {"a": {"kind": "x"}}},
    ):  # fmt: skip
        assert not judge.is_valid({**good, **wrong}), wrong


def test_json_schema_tells_sentences_examples_and_defaults():
    properties = json_schema(Machine)["properties"]
    assert properties["clock"]["description"] == "Cycles a second."
    assert properties["clock"]["examples"] == ["700 MHz"]
    assert properties["depth"]["default"] == "unlimited"
    assert properties["mode"]["enum"] == ["fast", "slow"]
    assert properties["mode"]["default"] == "fast"
