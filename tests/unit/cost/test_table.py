"""The shipped tables say where each figure is from, and a faulty table is refused with every fault."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwsim.cost import load_technology, technology_rows
from hwsim.cost.table import ACTIONS, COLUMNS, MAX_BYTES
from hwsim.errors import HwsimError, SpecError, UnsupportedError
from hwsim.library import find, names
from hwsim.plan import Component

HEADER = ",".join(COLUMNS)
GOOD = "multiplier,energy,int8,,,45,0.2,pJ,logic,a paper,confirmed"


@pytest.mark.parametrize("name", names("technology"))
def test_every_figure_of_every_shipped_table_has_a_source(name: str) -> None:
    rows = technology_rows(name)
    assert len(rows) > 50
    for row in rows:
        assert len(row.source) >= 20, row
        assert any(mark.isdigit() for mark in row.source), f"no year or version in the source of {row}"


@pytest.mark.parametrize("name", names("technology"))
def test_recalled_and_assumed_figures_say_so(name: str) -> None:
    for row in technology_rows(name):
        assert (f"[{row.confidence}]" in row.cited) == (row.confidence != "confirmed")


def test_every_kind_of_figure_is_in_the_shipped_table() -> None:
    assert {(row.component, row.action) for row in technology_rows()} == set(ACTIONS)


def test_figures_of_the_other_family_are_marked() -> None:
    """Horowitz prices arithmetic and SRAM accesses; those of CACTI and Aladdin must say they are not his."""
    for row in technology_rows():
        if row.source.startswith("hwcomponents"):
            pytest.fail(f"unmarked: {row}")
        if (row.component, row.action) in {("sram", "area"), ("register", "area"), ("logic", "leakage")}:
            assert row.source.startswith("other family"), row


def test_the_table_is_plain_csv() -> None:
    with find("technology", "horowitz").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    assert tuple(records[0]) == COLUMNS
    assert len(records) == len(technology_rows())


def write(folder: Path, *lines: str) -> str:
    path = folder / "mine.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (GOOD.replace("0.2", "-1"), "line 2: value: '-1' is not a positive number"),
        (GOOD.replace("0.2", "nan"), "'nan' is not a positive number"),
        (GOOD.replace("0.2", "inf"), "'inf' is not a positive number"),
        (GOOD.replace("0.2", ""), "'' is not a positive number"),
        (GOOD.replace("0.2", "0"), "'0' is not a positive number"),
        (GOOD.replace("a paper", " "), "source: must not be empty"),
        (GOOD.replace("pJ", "nJ"), "'nJ' is not the unit of multiplier energy, which is pJ"),
        (GOOD.replace("confirmed", "sure"), "'sure' is not one of confirmed"),
        (GOOD.replace("logic", "linear"), "'linear' is not one of logic"),
        (GOOD.replace("45", ""), "must say which node it holds for"),
        (GOOD.replace("multiplier", "multiplyer"), "did you mean 'multiplier energy'"),
        (GOOD.replace("int8,,", "int8,9" + "9" * 5000 + ","), "is not a positive whole number"),
        (GOOD.replace("int8", ""), "multiplier energy needs it"),
        (GOOD + ",more", "12 cells for 11 columns"),
        ("sram,read,,64,,45,10,pJ,sram,a paper,confirmed", "capacity_bytes: sram read needs it"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_technology(write(tmp_path, line), 45)
    text = str(caught.value)
    assert "mine.csv:2:1" in text
    assert message.removeprefix("line 2: ") in text


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, GOOD.replace("0.2", "x"), "", GOOD.replace("pJ", "J"), GOOD)
    with pytest.raises(SpecError) as caught:
        load_technology(path, 45)
    assert [problem.line for problem in caught.value.problems] == [3, 5, 6]
    assert "says again what line 2 says" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("multiplier,energy,int32,,,28,3.1,pJ,logic,a paper,confirmed", "must hold for one node"),
        ("multiplier,energy,int32,,,45,3.1,pJ,none,a paper,confirmed", "scale alike"),
    ],
)
def test_points_of_one_curve_must_fit_together(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_technology(write(tmp_path, GOOD, line), 45)


def test_sram_energies_are_of_one_width(tmp_path: Path) -> None:
    base = "sram,read,,64,8192,45,10,pJ,sram,a paper,confirmed"
    with pytest.raises(SpecError, match="one width"):
        load_technology(write(tmp_path, base, base.replace("64", "32").replace("8192", "4096")), 45)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"component,action\n",
        bytes(range(256)),
        b"\xff\xfe\x00",
        b'"unclosed',
        b"name: not a csv\n",
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"broken\.csv"):
        load_technology(str(path), 45)


def test_missing_files_folders_and_giants(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot read"):
        load_technology(str(tmp_path / "gone.csv"), 45)
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    with pytest.raises(SpecError, match="cannot read"):
        load_technology(str(folder), 45)
    giant = tmp_path / "giant.csv"
    with giant.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(SpecError, match="too large"):
        load_technology(str(giant), 45)


def test_a_table_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small table prices what it has, at its own node, and refuses the rest by name."""
    write(tmp_path, GOOD, "adder,energy,int32,,,45,0.4,pJ,logic,a paper,confirmed")
    monkeypatch.chdir(tmp_path)
    mine = load_technology("mine", 45)
    array = Component("array", "mac", dtype="int8")
    assert mine.energy_pj(array, "mac_int8").value == pytest.approx(0.6)
    for action, message in (("mac_fp16", "no figure for energy of multiplier fp16"), ("read", "no action")):
        with pytest.raises(UnsupportedError, match=message):
            mine.energy_pj(array, action)
    others = [
        Component("b", "sram", 1, 8192, 64),
        Component("d", "dram", technology="ddr3"),
        Component("r", "register", width_bits=8),
    ]
    for part in others:
        with pytest.raises(UnsupportedError):
            mine.energy_pj(part, "read")
        with pytest.raises(UnsupportedError):
            mine.area_mm2(part)
        with pytest.raises(UnsupportedError):
            mine.leakage_w(part)
    with pytest.raises(UnsupportedError, match="not at 28 nm"):
        load_technology("mine", 28).energy_pj(array, "mac_int8")


def test_what_is_said_not_to_scale_does_not(tmp_path: Path) -> None:
    lines = (GOOD.replace("logic", "none"), "adder,energy,int32,,,45,0.4,pJ,none,a paper,confirmed")
    array = Component("array", "mac", dtype="int8")
    price = load_technology(write(tmp_path, *lines), 28).energy_pj(array, "mac_int8")
    assert price.value == pytest.approx(0.6)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    adder = "adder,energy,int32,,,45,0.4,pJ,logic,a paper,confirmed"
    array = Component("array", "mac", dtype="int8")
    before = load_technology(write(tmp_path, GOOD, adder), 45)
    after = load_technology(write(tmp_path, GOOD.replace("0.2", "0.7"), adder), 45)
    assert before != after
    assert before.energy_pj(array, "mac_int8").value == pytest.approx(0.6)
    assert after.energy_pj(array, "mac_int8").value == pytest.approx(1.1)


def test_random_bytes_only_raise_errors_of_hwsim(tmp_path: Path) -> None:
    good = find("technology", "horowitz").read_bytes()
    path = tmp_path / "mutant.csv"
    for step in range(150):
        place = step * 7919 % len(good)
        path.write_bytes(good[:place] + bytes([step * 31 % 256]) + good[place + step % 3 :])
        try:
            technology = load_technology(str(path), 28)
            technology.energy_pj(Component("b", "sram", 1, 8192, 64), "read")
        except HwsimError:
            pass


def test_importing_cost_loads_nothing_heavy() -> None:
    script = (
        "import sys, hwsim.cost\n"
        "print(sorted({'numba', 'pandas', 'matplotlib', 'onnx', 'simpy', 'scipy'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"
