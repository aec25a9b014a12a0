"""Rows of op spmv: what they stand for, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.errors import SpecError
from hwsim.pipeline import run
from hwsim.validate import validate
from hwsim.workload import matvec

ROW = {
    "design": "eie_64pe", "op": "spmv", "dtype": "int16", "metric": "compute_cycles", "value": "100",
    "batch": "", "M": "60", "K": "90", "density": "0.2", "act_density": "0.5", "overrides": "",
}  # fmt: skip


def table(folder: Path, *rows: dict[str, str], without: tuple[str, ...] = ()) -> Path:
    names = [name for name in ROW if name not in without]
    lines = [names, *([(ROW | row)[name] for name in names] for row in rows)]
    path = folder / "rows.csv"
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    return path


def predicted(path: Path) -> list[float | None]:
    return [outcome.predicted for outcome in validate(path).outcomes]


def test_a_row_is_a_matrix_times_vectors(tmp_path: Path) -> None:
    """M outputs, K inputs, and cycles as a run of the same product has them."""
    found = predicted(table(tmp_path, {}, {"batch": "3", "overrides": "pes=8 fifo_depth=3"}))
    alone = run(matvec(60, 90, density=0.2, act_density=0.5), "eie_64pe")
    three = run(
        matvec(60, 90, density=0.2, act_density=0.5, batch=3), "eie_64pe", overrides=("pes=8", "fifo_depth=3")
    )
    assert found == [alone.cycles, three.cycles]


def test_densities_left_out_are_dense(tmp_path: Path) -> None:
    dense = run(matvec(60, 90), "eie_64pe").cycles
    assert predicted(table(tmp_path, {"density": "", "act_density": ""})) == [dense]
    assert predicted(table(tmp_path, {}, without=("density", "act_density"))) == [dense]
    assert predicted(table(tmp_path, {"act_density": "1.0"}, without=("density",))) == [dense]


def test_weights_that_come_in_are_no_compute_cycles(tmp_path: Path) -> None:
    """A one-time cost, as the EIE paper counts: the array works as if all had room, but for a register file
    that is filled anew for each pass."""
    held, comes = predicted(table(tmp_path, {}, {"overrides": "pointer_sram.size=100 B"}))
    assert held is not None
    assert comes is not None
    assert held <= comes < 1.3 * held
    latency = run(
        matvec(60, 90, density=0.2, act_density=0.5), "eie_64pe", overrides=("pointer_sram.size=100 B",)
    )
    assert latency.cycles > 2 * comes


BAD = {
    "no outputs": ({"M": ""}, "rows.csv:2:1: spmv needs M"),
    "no inputs": ({"K": ""}, "rows.csv:2:1: spmv needs K"),
    "no sizes": ({"M": "", "K": ""}, "rows.csv:2:1: spmv needs M, K"),
    "zero outputs": ({"M": "0"}, "rows.csv:2:1: M: is '0': it must be a number above 0"),
    "half an output": ({"M": "1.5"}, "rows.csv:2:1: M: is '1.5': it must be a whole number"),
    "density of 0": ({"density": "0"}, "rows.csv:2:1: density: is '0': it must be a number above 0"),
    "density above 1": ({"density": "1.01"}, "rows.csv:2:1: density: is 1.01: it must be at most 1"),
    "density in percent": ({"density": "9 %"}, "rows.csv:2:1: density: is '9 %'"),
    "negative density": ({"act_density": "-0.3"}, "rows.csv:2:1: act_density: is '-0.3'"),
    "density that is no number": ({"act_density": "nan"}, "rows.csv:2:1: act_density: is 'nan'"),
    "infinite density": ({"act_density": "inf"}, "rows.csv:2:1: act_density: is 'inf'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_told_with_their_place(case: str, tmp_path: Path) -> None:
    changes, words = BAD[case]
    with pytest.raises(SpecError) as told:
        validate(table(tmp_path, changes))
    assert words in str(told.value)
    assert len(told.value.problems) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dtype": "int8"}, "the PEs multiply int16, not int8"),
        ({"op": "gemm"}, "operator gemm takes no density below 1"),
        ({"overrides": "pes=0"}, "pes: must be at least 1, not 0"),
        ({"overrides": "pes=1 matrix_sram.size=8 B"}, "a column of"),
    ],
)
def test_rows_that_cannot_run_say_why(changes: dict[str, str], reason: str, tmp_path: Path) -> None:
    """The other rows run."""
    report = validate(table(tmp_path, changes, {}))
    (said,) = report.reasons
    assert reason in said
    assert [outcome.predicted is None for outcome in report.outcomes] == [True, False]
