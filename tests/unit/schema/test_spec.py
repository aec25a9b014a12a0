"""What a spec takes from files and code, and how each fault is told."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from hwsim.errors import SpecError
from hwsim.schema import Spec, field, load_yaml, override_spec, quantity
from tests.processes import printed
from tests.unit.schema.samples import Board, Machine, Memory

ROOT = Path(__file__).resolve().parents[3]
GOOD = "name: m\nclock: 700 MHz\n"


def test_a_small_file_gets_its_defaults(load):
    machine = load(GOOD)
    assert machine == Machine(name="m", clock_hz=700_000_000)
    assert machine.depth is None
    assert machine.board.power_w is None
    assert machine.rates == {"x": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 Hz", 1),
        ("1e3 MHz", 10**9),
        ("0.1 kHz", 100),
        ("1_000 Hz", 1000),
        ("'700MHz'", 7 * 10**8),
        ("1.000000001 GHz", 1_000_000_001),
        ("10 GHz", 10**10),
    ],
)
def test_quantities_are_exact_integers(load, text, value):
    clock = load(f"name: m\nclock: {text}\n").clock_hz
    assert clock == value
    assert type(clock) is int


def test_words_lists_mappings_and_sections(load):
    machine = load(
        GOOD + "depth: unlimited\ndims: [batch, 3]\nrates: {x: 2, y: 3}\n"
        "parts: {a: {kind: sram, size: unlimited}, b: {kind: link, bandwidth: 1 GB/s}}\n"
        "board: {power: 1 mW, layers: [{kind: dram}]}\nspare: {kind: dram, size: 1 KiB}\n"
    )
    assert machine.dims == ("batch", 3)
    assert machine.parts["a"].size_bytes is None
    assert machine.parts["b"].bandwidth_bytes_per_s == 10**9
    assert machine.board == Board(power_w=0.001, layers=(Memory(kind="dram"),))
    assert machine.spare.size_bytes == 1024


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("clock: 700", "m.yaml:2:8: clock: 700 has no unit; write for example '700 MHz'"),
        ("clock: '700'", "'700' has no unit"),
        ("clock: 1e3", "has no unit"),
        ("clock: 34 GB", "'GB' is a unit of size, not of frequency"),
        ("clock: 7 mhz", "'mhz' is not a unit hwsim knows"),
        ("clock: fast", "cannot read 'fast' as a quantity"),
        ("clock: unlimited", "cannot read 'unlimited'"),
        ("clock: 0 Hz", "must be above zero, not '0 Hz'"),
        ("clock: -1 MHz", "must be above zero"),
        ("clock: nan Hz", "cannot read"),
        ("clock: .nan", "has no unit"),
        ("clock: inf Hz", "cannot read"),
        ("clock: 0.5 Hz", "not a whole number of hertz"),
        ("clock: 11 GHz", "must be at most 10 GHz"),
        ("clock: 1e999999999 Hz", "cannot read"),
        ("clock: 1e-999999999 Hz", "cannot read"),
        ("clock: " + "9" * 5000 + " Hz", "too long for a quantity"),
        ("clock: true", "must be a quantity, not true"),
        ("clock:", "has no value; give one or leave the line out"),
        ("clock: [1 Hz]", "must be a quantity, not a list"),
        ("clock: {a: 1}", "must be a quantity, not a section"),
    ],
)
def test_wrong_quantities(problems, line, told):
    found = problems(f"name: m\n{line}\n")
    assert len(found) == 1
    assert told in found[0]
    assert found[0].startswith("m.yaml:2:")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("name: 12", "m.yaml:3:7: name: must be text, not 12; put it in quotes"),
        ("on: 'true'", "on: must be true or false, not 'true'"),
        ("on: 1", "on: must be true or false, not 1"),
        ("on: yes", "on: must be true or false, not 'yes'"),
        ("share: '0.5'", "share: must be a number, not '0.5'; take the quotes away"),
        ("share: true", "share: must be a number, not true"),
        ("share: .nan", "share: must be a finite number"),
        ("share: .inf", "share: must be"),
        ("share: 0", "share: must be above 0, not 0"),
        ("share: 1.5", "share: must be at most 1, not 1.5"),
        ("depth: 1e1", "depth: must be a whole number, not 10.0; write 10"),
        ("depth: '3'", "depth: must be a whole number, not '3'; take the quotes away"),
        ("depth: true", "depth: must be a whole number, not true"),
        ("depth: 0", "depth: must be at least 1, not 0"),
        ("depth: 100", "depth: must be at most 99, not 100"),
        ("depth:", "write `unlimited` if nothing limits it"),
        ("mode: fats", "mode: 'fats' is not known here; did you mean 'fast'? (fast, slow)"),
        ("mode: 3", "mode: must be one of fast, slow, not 3"),
        ("dims: 3", "dims: must be a list, not 3"),
        ("dims: [1.5]", "dims[0]: must be a whole number, not 1.5; or it must be text"),
        ("rates: [1]", "rates: must be a section of `key: value` lines, not a list"),
        ("rates: {x: true}", "rates.x: must be a whole number, not true"),
        ("rates: {x: 13}", "rates.x: must not be 13"),
        ("board: 3", "board: must be a section"),
        ("board: {power: 3}", "board.power: 3 has no unit; write for example '40 W'"),
        ("board: {layers: [{kind: dram, prots: 1}]}", "board.layers[0].prots: is not a field here; did you"),
        ("spare: {kind: dram, ports: 65}", "spare.ports: must be at most 64, not 65 (no part has more)"),
        ("spare: {ports: 1}", "m.yaml:3:1: spare.kind: is missing; write for example `kind: dram`"),
        ("parts: {a: {}}", "m.yaml:3:12: parts.a: has no `kind`"),
        ("parts: {a: {kind: drum}}", "m.yaml:3:19: parts.a.kind: 'drum' is not known here; did"),
        ("parts: {a: {kind: 3}}", "parts.a"),
        ("parts: {a: 3}", "parts.a: must be a section"),
        ("parts: {a: {kind: link}}", "parts.a.bandwidth: is missing; write for example `bandwidth: 34 GB/s`"),
        ("clok: 1", "m.yaml:3:1: clok: is not a field here; did you mean 'clock'?"),
        ("clock_hz: 1 Hz", "clock_hz: is not a field here; its unit belongs to the value: `clock: ...`"),
        ("spare: {kind: dram, size_bytes: 1 KiB}", "size_bytes: is not a field here; its unit belongs to"),
        ("zzz: 1", "zzz: is not a field here; known: name, clock"),
    ],
)  # fmt: skip
def test_wrong_values(problems, line, told):
    text = GOOD if not line.startswith("name") else "clock: 700 MHz\n\n"
    found = problems(f"{text}{line}\n")
    assert len(found) == 1
    assert told in found[0]


def test_all_problems_come_at_once_in_the_order_of_the_file(problems):
    found = problems(
        "clock: 0 Hz\nmode: sloow\nmode: fast\nspare: {kind: dram, ports: 0}\nzzz: 1\n", "on=maybe"
    )
    places = [line.split(": ")[0] for line in found]
    in_file = ["1:1", "1:8", "2:7", "3:1", "4:28", "5:1"]
    assert places == [*(f"m.yaml:{place}" for place in in_file), "--set on=maybe"]
    assert any("name: is missing" in line for line in found)


def test_faults_between_fields(problems):
    assert problems("name: m\nclock: 2 GHz\nmode: slow\n") == [
        "m.yaml:3:7: mode: a clock above 1 GHz is not slow"
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"- 1\n", "holds no `key: value` lines"),
        (b"just text", "holds no `key: value` lines"),
        (b"\x00\x01\x02", "binary"),
        (b"\xff\xfe\xfa", "is not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n", "is not UTF-8 text"),
        (b"name: \x07", "not valid YAML"),
        (b"# x\n" * 2**19 + b"x", "at most 2 MiB"),
    ],
)
def test_files_that_are_no_yaml_mappings(tmp_path, content, told):
    path = tmp_path / "m.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load_yaml(path, Machine)
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert len(caught.value.problems) == 1


def test_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_yaml(path, Machine).name == "m"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("absent.yaml", "there is no such file"),
        (".", "is a folder"),
        ("/dev/zero", "not a regular file"),
        ("a\0b", "cannot be read"),
    ],
)
def test_what_is_no_file(tmp_path, monkeypatch, path, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=told):
        load_yaml(path, Machine)


def test_specs_are_values(load):
    first, second = load(GOOD), load(GOOD + "on: true\n")
    assert first == second
    assert hash(first) == hash(second)
    assert first.content_hash == second.content_hash
    assert first != load(GOOD + "rates: {x: 2}\n")
    assert first.content_hash != load(GOOD + "share: 0.25\n").content_hash
    with pytest.raises(ValidationError):
        first.name = "other"
    for machine in (first, load(GOOD + "rates: {x: 2}\n")):
        with pytest.raises(TypeError):
            machine.rates["x"] = 3
        assert isinstance(hash(machine), int)
    assert pickle.loads(pickle.dumps(first)) == first


def test_content_hash_is_the_same_in_every_process():
    code = (
        "from tests.unit.schema.samples import Machine;"
        "print(Machine(name='m', clock_hz=5, rates={'b': 1, 'a': 2}).content_hash)"
    )
    assert printed(code, hash_seed=1) == printed(code, hash_seed=2)


def test_code_gives_numbers_in_base_units_and_is_checked():
    assert Machine(name="m", clock_hz="1 kHz").clock_hz == 1000
    for wrong in (0, -1, 0.5, True, float("nan"), None):
        with pytest.raises(ValidationError):
            Machine(name="m", clock_hz=wrong)


def test_a_spec_made_in_code_takes_overrides():
    made = Machine(name="m", clock_hz=999_999_937, spare=Memory(kind="dram", size_bytes=10**17 + 1))
    changed = override_spec(made, ["share=0.25"])
    assert changed.share == 0.25
    assert changed.clock_hz == made.clock_hz
    assert changed.spare == made.spare
    assert changed.origin.overrides == (("share", "0.25"),)
    twice = override_spec(changed, {"spare.ports": 2})
    assert twice.origin.overrides == (("share", "0.25"), ("spare.ports", "2"))


def test_declarations_are_demanded():
    with pytest.raises(TypeError, match="needs a declaration"):
        type("Bare", (Spec,), {"__annotations__": {"a": int}, "__module__": __name__})
    with pytest.raises(TypeError, match="quantity"):
        type("Unit", (Spec,), {"__annotations__": {"a_hz": int}, "a_hz": field("A."), "__module__": __name__})
    with pytest.raises(TypeError, match="quantity"):
        type("Plain", (Spec,), {"__annotations__": {"a": int}, "a": quantity("A."), "__module__": __name__})
