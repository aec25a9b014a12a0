"""`--set path=value`: which field a path means, and how wrong ones are told."""

from __future__ import annotations

import pytest

GOOD = (
    "name: m\nclock: 700 MHz\nparts: {a: {kind: dram}, b: {kind: sram}, c: {kind: link, bandwidth: 1 B/s}}\n"
)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("clock=1 kHz", ("clock_hz",), 1000),
        (" clock = 1 kHz ", ("clock_hz",), 1000),
        ("depth=unlimited", ("depth",), None),
        ("depth=0x10", ("depth",), 16),
        ("mode=slow", ("mode",), "slow"),
        ("name='12'", ("name",), "12"),
        ("on=false", ("on",), False),
        ("parts.a.ports=3", ("parts", "a", "ports"), 3),
        ("a.ports=3", ("parts", "a", "ports"), 3),
        ("bandwidth=2 B/s", ("parts", "c", "bandwidth_bytes_per_s"), 2),
        ("power=2 W", ("board", "power_w"), 2.0),
        ("rates.x=4", ("rates", "x"), 4),
        ("rates.new=4", ("rates", "new"), 4),
    ],
)
def test_what_a_path_means(load, override, path, value):
    found = load(GOOD, override)
    for step in path:
        found = found[step] if isinstance(found, dict) else getattr(found, step)
    assert found == value
    assert type(found) is type(value)


def test_an_absent_section_is_made(load):
    assert load(GOOD, "spare.kind=dram", "spare.ports=7").spare.ports == 7


def test_items_of_lists_by_position(load):
    text = GOOD + "board: {layers: [{kind: dram}, {kind: sram}]}\n"
    for path in ("board.layers[1].ports", "board.layers.1.ports", "layers[1].ports"):
        assert load(text, f"{path}=5").board.layers[1].ports == 5


def test_what_is_there_goes_before_what_could_be_added(load):
    text = "name: m\nclock: 1 Hz\nparts: {a: {kind: dram}}\n"
    machine = load(text, "ports=3")
    assert machine.parts["a"].ports == 3
    assert machine.spare is None


def test_the_field_nearest_to_the_root_is_meant(load):
    machine = load(GOOD + "spare: {kind: dram}\n", "ports=3")
    assert machine.spare.ports == 3
    assert machine.parts["a"].ports == 1


def test_the_last_of_equal_paths_wins_and_is_recorded(load):
    machine = load(GOOD, "a.ports=3", "parts.a.ports=4")
    assert machine.parts["a"].ports == 4
    assert machine.origin.overrides == (("parts.a.ports", "4"),)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("ports=3", "--set ports=3: could mean parts.a.ports, parts.b.ports; write one in full"),
        ("clok=1 Hz", "--set clok=1 Hz: no field has this path; did you mean clock?"),
        ("parts.a.prots=1", "did you mean parts.a.ports"),
        ("x.y.z=1", "no field has this path; known: name, clock"),
        ("parts.z.ports=1", "no field has this path"),
        ("board=1", "board is a section; set one of its fields: board.power"),
        ("rates=1", "rates is a section; set one of its keys"),
        ("clock=3", "--set clock=3: clock: 3 has no unit; write for example '700 MHz'"),
        ("clock=", "--set clock=: clock: has no value; write path=value"),
        ("clock", "--set clock: write path=value, such as array.rows=128"),
        ("=3", "write path=value"),
        ("mode={a: 1}", "only single values can be set"),
        ("mode=[fast]", "only single values can be set"),
        ("mode=a: b: c", "not valid YAML"),
        ("mode=!!str fast", "tag"),
        ("mode=fats", "--set mode=fats: mode: 'fats' is not known here; did you mean 'fast'?"),
        ("spare.ports=3", "--set spare.ports=3: spare.kind: is missing"),
        ("rates.x=y", "--set rates.x=y: rates.x: must be a whole number, not 'y'"),
    ],
)
def test_wrong_overrides(problems, override, told):
    found = problems(GOOD, override)
    assert len(found) == 1
    assert told in found[0]


def test_every_wrong_override_is_told(problems):
    assert len(problems(GOOD, "clok=1", "share=2", "nothing", "ports=1")) == 4
