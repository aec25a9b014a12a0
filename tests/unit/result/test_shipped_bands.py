"""Which of the shipped error bands a run has: by design, number format and class, never by name alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.design import load_design
from hwsim.design.timing import known_as, timing_key
from hwsim.library import find
from hwsim.pipeline import run
from hwsim.result import shipped_bands
from hwsim.result.bands import ALTERED, BASES, RELATIVES, UNMEASURED
from hwsim.result.shipped_bands import COLUMNS, error_bands, error_table, read_bands
from hwsim.workload import conv2d, matmul, matvec, recurrent

PRODUCT = (("matmul", "fp32"),)


@pytest.fixture
def bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of bands of v100 and of the machine at hand alone."""
    head = ",".join(COLUMNS)
    key = timing_key(load_design("v100").device_spec)
    of_v100 = f"v100,{key},fp32,matmul,92,4,-9,12,silicon,v100"
    text = f"{head}\n{of_v100}\nhost,host,fp32,matmul,50,5,-8,20,relatives,a\n"
    monkeypatch.setattr(shipped_bands, "error_bands", lambda: read_bands(text))


def test_a_band_is_found_by_class_and_format(bands: None) -> None:
    found = error_table(load_design("v100"), (("matmul", "fp32"), ("matmul", "fp16"), ("conv2d", "fp32")))
    assert [None if b is None else (b.rows, b.p10_pct, b.p90_pct) for b in found.bands] == [
        (92, -9, 12), None, None,
    ]  # fmt: skip
    assert found.reason == ""


@pytest.mark.parametrize(
    "overrides",
    [(), ("cache_state=hot",), ("harness=deepbench",), ("memory.channels=3",), ("technology.node=28 nm",),
     ("published.tdp=1 W",), ("dtype=fp32",)],
)  # fmt: skip
def test_what_changes_no_time_leaves_the_band(bands: None, overrides: tuple[str, ...]) -> None:
    assert error_table(load_design("v100", overrides), PRODUCT).bands[0] is not None


@pytest.mark.parametrize(
    "override", ["l2.size=1 MiB", "clock.boost=1400 MHz", "calibration.l2_share=0.5", "power.limit=200 W"]
)
def test_an_altered_design_is_not_the_one_that_was_measured(bands: None, override: str) -> None:
    found = error_table(load_design("v100", (override,)), PRODUCT)
    assert (found.bands, found.reason) == ((None,), ALTERED)


def test_a_file_of_the_same_name_or_content(bands: None, tmp_path: Path) -> None:
    text = find("designs", "v100").read_text()
    same, other, stranger = (tmp_path / name for name in ("copy.yaml", "v100.yaml", "mine.yaml"))
    same.write_text(text.replace("name: v100", "name: copy"))
    other.write_text(text.replace("count: 80", "count: 81"))
    stranger.write_text(text.replace("count: 80", "count: 81").replace("name: v100", "name: mine"))
    assert error_table(load_design(same), PRODUCT).bands[0] is not None
    assert error_table(load_design(other), PRODUCT).reason == ALTERED
    assert error_table(load_design(stranger), PRODUCT).reason == UNMEASURED
    assert error_table(load_design("tpu_v1", ("array.rows=2",)), PRODUCT).reason == UNMEASURED


def test_a_design_changed_in_code_is_read_like_any_other(bands: None) -> None:
    design = load_design("v100")
    (name,) = design.devices
    memory = design.device_spec.memory.model_copy(update={"channels": 3})  # type: ignore[union-attr]
    spec = design.device_spec.model_copy(update={"memory": memory})
    same = design.model_copy(update={"devices": {name: spec}})  # a plain dict: not hashable
    assert error_table(same, PRODUCT).bands[0] is not None


def test_the_machine_at_hand_is_known_whatever_it_is(bands: None) -> None:
    assert known_as(load_design("host")) == "host"
    assert error_table(load_design("host"), PRODUCT).bands[0] is not None
    assert error_table(load_design("host", ("cores.count=3",)), PRODUCT).reason == ALTERED
    assert known_as(load_design("v100")) != "host"


def test_runs_carry_the_classes_of_their_operators() -> None:
    def classes(workload: object, design: str = "v100", **formats: str) -> set[tuple[str, str]]:
        errors = run(workload, design, **formats).errors  # type: ignore[arg-type]
        return {key for key in errors.classes if key[0] != "transfer"}

    assert classes(matmul(8, 8, 8), dtype="fp16") == {("matmul", "fp16")}
    assert classes(conv2d(1, 4, 8, 8, 4, 3), dtype="fp32") == {("conv2d", "fp32")}
    assert classes(recurrent("gru", 8, 2, 3), dtype="fp32") == {("recurrent", "fp32")}
    # Stored sparse below a density of a half, as the device says.
    assert classes(matvec(64, 64, density=0.1), dtype="fp32") == {("sparse_matmul", "fp32")}
    assert classes(matvec(64, 64, density=0.8), dtype="fp32") == {("matmul", "fp32")}
    assert classes(matmul(8, 8, 8), "tpu_v1", dtype="int16", weight_dtype="int8") == {
        ("matmul", "int16xint8")
    }


def test_the_shipped_table_is_sound() -> None:
    found = error_bands()
    assert {"v100", "h100", "host", "eie_64pe"} <= found.designs
    assert not {name for name in found.designs if name.startswith(("tpu", "systolic", "gemmini"))}
    for of_design in found.by_design.values():
        for band in of_design.values():
            assert -100 < band.p10_pct <= band.p90_pct
            assert band.rows >= 5
            assert band.mdape_pct >= 0
            assert band.basis in BASES
            assert band.measured_on


def test_shipped_designs_without_measurements_have_bands_of_their_relatives() -> None:
    for name in ("h100", "t4", "gtx_1080ti", "generic_x86"):
        found = error_table(load_design(name), PRODUCT).bands[0]
        assert found is not None
        assert found.basis == RELATIVES
        assert name not in found.measured_on.split(", ")


def test_no_table_is_no_bands() -> None:
    assert read_bands("").by_design == {}
