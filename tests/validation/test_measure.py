"""Measuring this machine: rows in the format, medians, and refusals. Figures are this machine's own, so only
their shape is looked at."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hwsim.errors import SpecError, UnsupportedError
from hwsim.validate import measure as module
from hwsim.validate.measure import installed_harnesses, measure, problems, time_call
from hwsim.validate.rows import read_rows

SMALL = [
    ("gemm", {"M": 5, "N": 6, "K": 7}),
    ("gemm", {"M": 1, "N": 6, "K": 7}),
    ("conv2d", {"batch": 1, "in_channels": 2, "height": 6, "width": 6, "out_channels": 3, "kernel_h": 3,
                "kernel_w": 3, "stride_h": 1, "stride_w": 1, "pad_h": 1, "pad_w": 1}),
    ("elementwise", {"M": 64}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WARM_UP_S", 0.0)
    monkeypatch.setattr(module, "MEASURE_S", 0.0)
    monkeypatch.setattr(module, "problems", lambda *_, **__: SMALL)


def test_rows_are_in_the_measurement_format(tmp_path: Path) -> None:
    path = tmp_path / "host.csv"
    calls: list[tuple[int, int]] = []
    timings = measure(path, harnesses=["numpy"], progress=lambda done, of: calls.append((done, of)))
    table = read_rows(path)
    # numpy has no convolution; the noise is for people, and read by nothing.
    assert [row.op for row in table.rows] == ["gemm", "gemm", "elementwise"]
    assert table.unused == ("noise_pct",)
    assert [row.measured for row in table.rows] == [pytest.approx(t.median_us, rel=1e-4) for t in timings]
    assert {row.cells["cache_state"] for row in table.rows} == {"hot"}
    assert {row.design for row in table.rows} == {"host"}
    assert calls[0] == (0, 4)
    assert calls[-1] == (4, 4)


def test_every_installed_harness_runs_what_it_has() -> None:
    for harness in installed_harnesses():
        found = [
            op for op, sizes in SMALL if (call := harness.make(op, sizes)) is not None and call() is not None
        ]
        assert "gemm" in found or harness.name.startswith("torch")
        if harness.name == "onnxruntime":
            assert found == [op for op, _ in SMALL]


def test_onnxruntime_computes_the_operator_that_was_asked_for() -> None:
    harness = next((h for h in installed_harnesses() if h.name == "onnxruntime"), None)
    if harness is None:
        pytest.skip("onnxruntime is not installed")
    shapes = []
    for op, sizes in SMALL:
        call = harness.make(op, sizes)
        assert call is not None
        shapes.append(call()[0].shape)  # type: ignore[index]
    assert shapes == [(5, 6), (1, 6), (1, 3, 6, 6), (64,)]


def test_a_median_of_what_the_clock_says() -> None:
    median_us, noise_pct, repeats = time_call(lambda: time.sleep(0.002))
    assert 2000 <= median_us < 40_000
    assert repeats >= 5
    assert noise_pct >= 0


def test_unknown_and_missing_harnesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "host.csv"
    with pytest.raises(SpecError, match="'cupy' is not known; choose of numpy, onnxruntime"):
        measure(path, harnesses=["cupy"])
    monkeypatch.setattr(module, "_optional", lambda _: None)
    with pytest.raises(UnsupportedError, match="torch is not installed here; there are numpy"):
        measure(path, harnesses=["torch"])
    assert not path.exists()


def test_problems_are_those_of_the_seed() -> None:
    assert list(problems(1)) == list(problems(1)) != list(problems(2))
    assert len(list(problems(1, quick=True))) == -(-len(list(problems(1))) // 4)
    for op, sizes in problems(1):
        if op == "gemm":
            assert sizes["M"] * sizes["N"] * sizes["K"] <= module.LARGEST_MACS
