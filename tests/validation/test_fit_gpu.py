"""The fit of a GPU's constants: which rows and constants belong together, and constants that come back from
rows that were made with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.design import load_design
from hwsim.errors import SpecError
from hwsim.pipeline import run
from hwsim.validate.calibrate import constants_of
from hwsim.validate.fit_gpu import MOST_ROWS, fit_gpu, main, parts_of
from hwsim.validate.measured import reference_rows
from hwsim.validate.rows import MeasuredRow, read_rows
from hwsim.workload import matmul, recurrent

HEADER = "design,op,dtype,M,N,K,batch,hidden,timesteps,harness,cache_state,metric,value\n"
TRUE = {
    "calibration.launch_us.deepbench": 6.0,
    "calibration.products.fp32.gemm_share": 0.7,
    "calibration.products.fp32.recurrent_step": 12e-6,
}
HOT = ("cache_state=hot", "harness=deepbench")
PRODUCTS = [(64, 64, 64), (3584, 1024, 256), (512, 7168, 128), (32, 64, 256)]
LAYERS = [(64, 2), (256, 3), (512, 2)]


def own(design: str) -> list[MeasuredRow]:
    return [row for row in reference_rows() if row.design == design]


def test_launches_are_fitted_once_a_harness_and_with_all_formats() -> None:
    parts = list(parts_of(load_design("v100"), own("v100")))
    first = parts[0]
    assert (first.harness, len(first.rows)) == ("deepbench", 184)
    assert {path.removeprefix("calibration.") for path in first.constants} == {
        "launch_us.deepbench",
        *(f"products.{d}.{c}" for d in ("fp32", "fp16") for c in ("gemm_share", "slab_latency")),
    }
    assert [(part.family, {row.dtype for row in part.rows}) for part in parts[1:]] == [
        (family, {dtype}) for family in ("convolutions", "recurrent layers") for dtype in ("fp32", "fp16")
    ]
    every = [path for part in parts for path in part.constants]
    assert len(every) == len(set(every))


def test_a_second_harness_fits_its_launch_alone_and_many_rows_are_thinned() -> None:
    first, second = parts_of(load_design("a100"), own("a100"))
    assert (first.harness, second.harness) == ("kernel_trace", "pytorch_wall")
    assert len(first.rows) == 200 == MOST_ROWS
    assert list(second.constants) == ["calibration.launch_us.pytorch_wall"]


def test_what_was_set_by_hand_stays() -> None:
    design = load_design("titan_x_maxwell")
    fitted = [path for part in parts_of(design, own(design.name)) for path in part.constants]
    left = set(constants_of(design)) - set(fitted)
    assert left == {"calibration.overfetch_beyond", "calibration.launch_us.eie_paper"}


def test_no_more_constants_than_allowed() -> None:
    """Six for the products of a design in a number format, shared ones counted for each, and two for each
    further family of operators."""
    for name in ("p100", "v100", "titan_x_pascal", "titan_x_maxwell", "a100"):
        design = load_design(name)
        spec = design.device_spec.calibration
        by_hand = [spec.overfetch_beyond_bytes, spec.overfetch_of == "all" or None]
        by_hand.append(spec.l2_share if spec.l2_share != 1 else None)
        for part in parts_of(design, own(name)):
            for dtype in {row.dtype for row in part.rows}:
                mine = [path for path in part.constants if f".{dtype}." in path or ".products." not in path]
                allowed = 6 - sum(value is not None for value in by_hand) if part.rows[0].op == "gemm" else 2
                assert len(mine) <= allowed, (name, dtype, part.family)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[MeasuredRow]:
    """Rows that a P100 with other constants takes."""
    true = tuple(f"{path}={value:g}{' s' if 'step' in path else ''}" for path, value in TRUE.items())
    lines = [HEADER]
    for m, n, k in PRODUCTS:
        took = run(matmul(m, n, k).astype("fp32"), "p100", overrides=(*true, *HOT)).latency_s * 1e6
        lines.append(f"p100,gemm,fp32,{m},{n},{k},,,,deepbench,hot,latency_us,{took:.8g}\n")
    for hidden, steps in LAYERS:
        layer = recurrent("lstm", hidden, 8, steps).astype("fp32")
        took = run(layer, "p100", overrides=(*true, *HOT)).latency_s * 1e6
        lines.append(f"p100,lstm,fp32,,,,8,{hidden},{steps},deepbench,hot,latency_us,{took:.8g}\n")
    path = tmp_path_factory.mktemp("rows") / "made.csv"
    path.write_text("".join(lines))
    return list(read_rows(path).rows)


def test_constants_come_back(made: list[MeasuredRow], tmp_path: Path) -> None:
    heard = []
    found = fit_gpu("p100", made, told=heard.append)
    assert [part.part.family for part in heard] == ["matrix products", "recurrent layers"]
    constants = {path: value for part in found.parts for path, value in part.constants.items()}
    for path, value in TRUE.items():
        assert constants[path] == pytest.approx(value, rel=0.05)
    assert all(score.fitted.mape_pct < 1 for part in found.parts for score in part.scores)
    written = tmp_path / "new.yaml"
    written.write_text(found.text())
    text = written.read_text()
    assert text.count("fitted_on") == 1
    assert "# fitted: deepbench gemm, 4 rows" in text
    again = constants_of(load_design(written))
    assert again["calibration.products.fp32.gemm_share"][1] == pytest.approx(0.7, rel=0.05)
    # What no row depends on is as it was.
    before = constants_of(load_design("p100"))
    assert again["calibration.products.fp32.conv_share"] == before["calibration.products.fp32.conv_share"]


def test_designs_without_measurements_and_of_other_kinds_are_refused() -> None:
    with pytest.raises(SpecError, match="no measurement that ships with hwsim is of t4"):
        fit_gpu("t4")
    with pytest.raises(SpecError, match="fit_gpu fits GPUs"):
        fit_gpu("tpu_v1")


def test_the_command_names_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    assert main([]) == main(["t4", str(new), "more"]) == main(["--help"]) == 2
    assert main(["t4", str(new)]) == main(["no_such_design"]) == 1
    assert "its constants come from a relative" in capsys.readouterr().err
    assert not new.exists()
