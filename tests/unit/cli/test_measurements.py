"""`measure` and `calibrate` on the command line, the machine at hand as a design, and bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hwsim.cli.main import main
from hwsim.design import design_text, load, load_design
from hwsim.design.host import HostFacts, LastCache, host_design
from hwsim.errors import SpecError
from hwsim.pipeline import run
from hwsim.validate import measure as measuring
from hwsim.workload import matmul

FACTS = HostFacts(
    "Some CPU", 4, frozenset({"avx2"}), 2 * 10**9, 3 * 10**9, LastCache(8 * 2**20, 4), 2**34, 2 * 10**10, 1e11
)
HEADER = "design,op,dtype,M,N,K,harness,cache_state,metric,value\n"


SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
TRUE = ("calibration.launch_us.numpy=20", "calibration.gemm_share=0.4", "harness=numpy", "cache_state=hot")


@pytest.fixture(autouse=True)
def made_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine at hand that is the same everywhere, and a folder without files of that name."""
    monkeypatch.chdir(tmp_path)
    load._host.cache_clear()
    monkeypatch.setattr(load, "host_design", lambda: host_design(FACTS))
    yield
    load._host.cache_clear()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def rows(*times_us: float) -> str:
    """As many rows of the host, of growing matrix products, in numpy."""
    lines = [
        f"host,gemm,fp32,{size},256,256,numpy,hot,latency_us,{time_us}\n"
        for size, time_us in zip(SIZES, times_us, strict=False)
    ]
    return HEADER + "".join(lines)


def test_host_is_a_design_of_this_machine() -> None:
    design = load_design("host")
    assert design.device_spec.cores.count == 4
    assert design.path == "the machine at hand"
    assert "name: host" in design_text(design)
    found = run(matmul(64, 64, 64), "host", overrides=("harness=numpy",))
    assert found.design == "host"
    assert found.latency_s > 5e-6
    assert "Some CPU" in call("describe", "host").output
    assert "The machine at hand" in call("list", "designs").output


def test_a_file_of_that_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_text(host_design(FACTS).replace("count: 4", "count: 8"))
    assert load_design("host").device_spec.cores.count == 8


def test_calibrate_writes_a_design_that_runs(tmp_path: Path) -> None:
    data = tmp_path / "host.csv"
    data.write_text(rows(*(run(matmul(m, 256, 256), "host", overrides=TRUE).latency_s * 1e6 for m in SIZES)))
    result = call("calibrate", "host", "--data", "host.csv", "-o", "new.yaml", "--folds", "2")
    assert result.exit_code == 0, result.output
    for words in ("calibration.launch_us.numpy", "held out", "No row depends on", "Design in new.yaml"):
        assert words in result.output
    text = (tmp_path / "new.yaml").read_text()
    assert "fitted: host.csv, 8 rows" in text
    fitted = load_design(tmp_path / "new.yaml").device_spec.calibration
    assert fitted.launch_us["numpy"] == pytest.approx(20, rel=0.02)
    assert fitted.gemm_share == pytest.approx(0.4, rel=0.02)
    assert fitted.launch_us["torch"] == 5
    checked = call("validate", "host.csv", "--design", "new.yaml", "--json")
    (found,) = json.loads(checked.stdout)
    assert found["mape_pct"] < 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (rows(20), "1 rows for the 2 constants of host"),
        (rows(20, -3, 4), "host.csv:3:1: value"),
        (rows(20, 0, 4), "host.csv:3:1: value"),
        (HEADER + "host,gemm,fp32,many,8,8,numpy,hot,latency_us,3\n", "host.csv:2:1: M: is 'many'"),
        ("design,op,dtype,M,N,K,metric\nhost,gemm,fp32,8,8,8,latency_us\n", "column is missing: value"),
        (HEADER + "v100,gemm,fp32,8,8,8,numpy,hot,latency_us,3\n", "0 rows for the"),
        ("", "is empty"),
    ],
)
def test_bad_rows_are_named_and_nothing_is_written(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "host.csv").write_text(content)
    result = call("calibrate", "host", "--data", "host.csv", "-o", "new.yaml")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "new.yaml").exists()


def test_unknown_designs_are_named(tmp_path: Path) -> None:
    (tmp_path / "host.csv").write_text(rows(20, 30))
    result = call("calibrate", "hots", "--data", "host.csv", "-o", "new.yaml")
    assert result.exit_code == 2
    assert "there is no design called 'hots'" in result.stderr
    with pytest.raises(SpecError, match="there is no design"):
        load_design("hots")


def test_measure_writes_rows_and_prints_the_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "problems", lambda *_, **__: [("gemm", {"M": 5, "N": 6, "K": 7})])
    monkeypatch.setattr(measuring, "WARM_UP_S", 0.0)
    result = call("measure", "host", "-o", "host.csv", "--harness", "numpy")
    assert result.exit_code == 0, result.output
    assert "largest noise" in result.output
    assert "1 row in host.csv" in result.output
    assert (tmp_path / "host.csv").read_text().splitlines()[1].startswith("host,gemm,fp32,,5,6,7")
    refused = call("measure", "v100", "-o", "other.csv")
    assert refused.exit_code == 2
    assert "only `host`, the machine at hand, can" in refused.stderr
    assert call("measure", "host", "-o", "other.csv", "--harness", "cupy").exit_code == 2
    assert not (tmp_path / "other.csv").exists()
