"""`compare`: every pair through `run`, failures as rows, and refusals before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hwsim.comparison
from hwsim.comparison import compare, weight_form
from hwsim.design import load_design
from hwsim.errors import CapacityError, CheckError, DeadlockError, SpecError, VerificationError
from hwsim.pipeline import run
from hwsim.workload import load_workload, matmul, matvec
from hwsim.workload.folder import save_workload

SHRUNK = ["array.rows=64", "array.cols=64"]


def test_every_figure_is_that_of_a_run() -> None:
    found = compare(["lenet5", "lenet300"], ["tpu_v1", "gemmini_16"], batch=2)
    assert [(row.workload, row.design) for row in found.rows] == [
        ("lenet5", "tpu_v1"), ("lenet5", "gemmini_16"), ("lenet300", "tpu_v1"), ("lenet300", "gemmini_16"),
    ]  # fmt: skip
    for row in found.rows:
        alone = run(row.workload, row.design, batch=2)
        got = row.figures
        assert got is not None
        assert (got.latency_s, got.energy_j, got.area_mm2) == (
            alone.latency_s,
            alone.energy_j,
            alone.area_mm2,
        )
        assert (got.macs, got.multiplications) == (alone.macs, alone.multiplications)
        assert (got.limit, got.limit_busy) == (alone.limit, alone.busy_share[alone.limit])
        assert row.throughput_per_s == alone.throughput_per_s
        assert row.average_power_w == alone.average_power_w
        assert (row.batch, row.kind, got.dtype) == (2, "systolic", alone.dtype)
        assert (got.numbers_checked, got.verified) == (False, "not computed")


def test_a_pair_that_cannot_run_is_a_row_with_the_reason_and_stops_nothing() -> None:
    layer = matvec(64, 64, density=0.2, act_density=0.5)
    found = compare([load_workload("lenet5"), layer], ["eie_64pe", "tpu_v1"])
    conv, on_array, sparse, dense = found.rows
    assert (conv.outcome, conv.figures) == ("unsupported", None)
    assert conv.reason
    assert "lenet5 on eie_64pe" not in conv.reason
    assert [row.outcome for row in (on_array, sparse, dense)] == ["ran"] * 3
    assert found.speedup(on_array) == 1
    assert found.baselines["lenet5"] is on_array
    assert sparse.executed_share is not None
    assert sparse.executed_share < 0.5
    assert dense.executed_share == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CapacityError("net on m: needs 9 GiB"), "no room"),
        (MemoryError(), "no room"),
        (VerificationError("conv", (0,), 1.0, 2.0, 3, "compute", "wrong"), "wrong numbers"),
        (CheckError("below the bound"), "fault"),
        (DeadlockError("a waits\nfor b"), "fault"),
        (SpecError("cannot"), "refused"),
    ],
)
def test_every_way_to_fail_has_a_word(
    error: Exception, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(workload: Any, design: Any, **_: Any) -> Any:
        if design.name == "tpu_v1":
            raise error
        return run(workload, design)

    monkeypatch.setattr(hwsim.comparison, "run", fail)
    found = compare("lenet300", ["tpu_v1", "gemmini_16"])
    assert [row.outcome for row in found.rows] == [outcome, "ran"]
    assert found.rows[0].reason
    assert "\n" not in found.rows[0].reason
    assert bool(found.faults) == (outcome in ("wrong numbers", "fault"))


def test_an_error_of_another_sort_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(hwsim.comparison, "run", fail)
    with pytest.raises(ZeroDivisionError):
        compare("lenet300", "tpu_v1")


def test_numbers_are_checked_where_they_can_be_and_the_reason_told_where_not() -> None:
    layer = matmul(4, 8, 16)
    on_array, on_cpu = compare(layer, ["tpu_v1", "generic_x86"], verify=None).rows
    assert on_array.figures is not None
    assert on_array.figures.numbers_checked
    assert "bit for bit" in on_array.figures.verified
    assert on_cpu.figures is not None
    if not on_cpu.figures.numbers_checked:
        assert on_cpu.figures.verified.startswith("not computed: ")
        assert "on generic_x86" not in on_cpu.figures.verified


def test_what_runs_leave_out_is_kept_by_design() -> None:
    found = compare("lenet300", ["tpu_v1", "gemmini_16"])
    for design in found.designs:
        result = run("lenet300", design.design)
        assert design.unmodelled == result.provenance.unmodelled
        assert dict(design.published) == dict(result.published)
        assert design.sha256 == result.provenance.design_sha256


def test_designs_of_one_name_are_told_apart_by_what_was_set() -> None:
    found = compare("lenet300", [load_design("tpu_v1"), load_design("tpu_v1", SHRUNK)])
    names = [design.design for design in found.designs]
    assert names == ["tpu_v1 (as in its file)", "tpu_v1 (array.rows=64, array.cols=64)"]
    times = [row.figures.latency_s for row in found.rows if row.figures]
    assert [row.design for row in found.rows] == names
    assert times[0] != times[1]


def test_workloads_of_one_name_are_told_apart_by_form_batch_or_source(tmp_path: Path) -> None:
    plain = load_workload("lenet300")
    saved = save_workload(plain, tmp_path / "kept")
    found = compare([plain, load_workload("lenet300", batch=4), saved], "tpu_v1")
    here, there = plain.source.path, tmp_path / "kept" / "workload.yaml"
    assert [(one.batch, one.form) for one in found.workloads] == [
        (1, f"dense ({here})"), (4, "dense"), (1, f"dense ({there})"),
    ]  # fmt: skip
    assert len({(row.workload, row.form, row.batch) for row in found.rows}) == 3


def test_forms_say_what_compression_left() -> None:
    assert weight_form(load_workload("lenet300")) == "dense"
    assert weight_form(matvec(8, 8, density=0.25)) == "25 % not zero, 15 shared values"
    history = ("from net (yaml)", "low rank: svd", "low rank: svd of fc2", "winograd: 2x2")
    assert weight_form(replace(load_workload("lenet300"), history=history)) == "low rank, winograd"


def test_progress_counts_runs() -> None:
    calls: list[tuple[int, int]] = []
    compare("lenet300", ["tpu_v1", "gemmini_16"], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 2), (1, 2), (2, 2)]


def test_all_that_is_wrong_is_told_at_once_and_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hwsim.comparison, "run", lambda *_, **__: pytest.fail("ran"))
    with pytest.raises(SpecError) as told:
        compare(["lenet5", "nosuch_net"], ["tpu_v1", "nosuch_chip"], dtype="int99")
    message = str(told.value)
    for words in ("nosuch_net", "nosuch_chip", "int99"):
        assert words in message
    assert len(told.value.problems) == 3


@pytest.mark.parametrize(
    ("workloads", "designs", "words"),
    [
        ([], ["tpu_v1"], "at least one workload"),
        (["lenet5"], [], "at least one design"),
        (["lenet5", "lenet5"], ["tpu_v1"], "workload lenet5 is given 2 times"),
        (["lenet5"], ["tpu_v1", "gemmini_16", "tpu_v1"], "design tpu_v1 is given 2 times"),
        ([3], ["tpu_v1"], "not int"),
        (["lenet5"], [3.5], "not as float"),
    ],
)
def test_nothing_to_compare_and_duplicates_are_refused(
    workloads: list[Any], designs: list[Any], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        compare(workloads, designs)


def test_the_public_name_is_the_function() -> None:
    import hwsim as package

    assert package.compare is compare
    assert package.Comparison is type(package.compare("lenet300", "tpu_v1"))
