"""Loading by name or path: parameters, caching, and what is not a workload."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.workload import load_workload, matmul

LENET = Path(__file__).resolve().parents[3] / "workloads" / "lenet5.yaml"


def test_the_same_content_is_parsed_once() -> None:
    assert load_workload("lenet5") is load_workload("lenet5")
    assert load_workload("lenet5", batch=2) is load_workload("lenet5", batch=2)
    assert load_workload("lenet5", batch=2) is not load_workload("lenet5")
    assert load_workload("resnet50") is load_workload("resnet50")


def test_changed_content_is_parsed_again(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(LENET.read_text())
    before = load_workload(path)
    path.write_text(LENET.read_text().replace("out_channels: 20", "out_channels: 10"))
    assert load_workload(str(path)).macs < before.macs


def test_a_loaded_workload_passes_through() -> None:
    net = load_workload("lenet5", batch=3)
    assert load_workload(net) is net
    assert load_workload(net, batch=3) is net
    with pytest.raises(SpecError, match="loaded already, with batch 3: give batch=4 when loading it"):
        load_workload(net, batch=4)
    with pytest.raises(SpecError, match="seed 0"):
        load_workload(matmul(2, 2, 2), seed=1)


def test_the_batch_changes_every_shape_and_no_weight() -> None:
    one, four = load_workload("lenet5"), load_workload("lenet5", batch=4)
    assert four.macs == 4 * one.macs
    assert four.batch == 4
    for name, tensor in four.tensors.items():
        if tensor.role == "weight":
            assert tensor.shape == one.tensors[name].shape
        else:
            assert tensor.shape == (4, *one.tensors[name].shape[1:])
    assert np.array_equal(one.values("conv1.weight"), four.values("conv1.weight"))


def test_the_seed_changes_every_weight() -> None:
    one, two = load_workload("lenet5"), load_workload("lenet5", seed=5)
    assert two.parameters["seed"] == 5
    assert not np.array_equal(one.values("ip1.weight"), two.values("ip1.weight"))
    assert any("seed 5" in note for note in two.notes)


@pytest.mark.parametrize(("name", "weight"), [("lenet5", "conv2.weight"), ("resnet50", "gpu_0/pred_w_0")])
def test_seeded_weights_are_scaled_by_what_one_output_sums(name: str, weight: str) -> None:
    fan_in = {"lenet5": 20 * 5 * 5, "resnet50": 2048}[name]
    assert float(load_workload(name).values(weight).std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "4"])
def test_a_batch_is_a_positive_whole_number(value: object) -> None:
    with pytest.raises(SpecError, match=r"parameter 'batch' is .*: it must be a whole number of at least 1"):
        load_workload("lenet5", batch=value)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="parameter 'seed' is -1"):
        load_workload("lenet5", seed=-1)


@pytest.mark.parametrize("name", ["lenet5", "resnet50"])
def test_an_unknown_parameter_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(SpecError, match="there is no parameter 'bacth': did you mean 'batch'"):
        load_workload(name, bacth=2)


def test_a_parameter_may_be_called_anything() -> None:
    with pytest.raises(SpecError, match="there is no parameter 'name_or_path'"):
        load_workload("lenet5", name_or_path=1)


def test_what_is_no_workload_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="lenet5"):
        load_workload("lenet6")
    other = tmp_path / "net.txt"
    other.write_text("hello")
    with pytest.raises(SpecError, match=r"none of the files .*: \.yaml, \.yml, \.onnx, \.csv, \.json"):
        load_workload(str(other))
    with pytest.raises(SpecError, match="there is no such file"):
        load_workload(str(tmp_path / "absent.yaml"))
    with pytest.raises(SpecError, match="a name, a path or a Workload, not int"):
        load_workload(3)  # type: ignore[arg-type]


def test_seventy_billion_parameters_load_in_no_memory(tmp_path: Path) -> None:
    """80 blocks of the linear layers of a 70-billion-parameter transformer (width 8192, feed-forward 28672,
    grouped keys and values of 1024)."""
    path = tmp_path / "large.yaml"
    path.write_text(
        """
name: large
parameters: {batch: 1, tokens: 16}
input: {shape: [batch * tokens, 8192]}
layers:
  - kind: repeat
    times: 80
    layers:
      - {name: query, kind: linear, out_features: 8192, bias: false}
      - {name: key, kind: linear, out_features: 1024, bias: false}
      - {name: value, kind: linear, out_features: 8192, bias: false}
      - {name: gate, kind: linear, out_features: 28672, bias: false}
      - {name: up, kind: linear, out_features: 8192, bias: false}
      - {name: down, kind: linear, out_features: 28672, bias: false}
      - {name: out, kind: linear, out_features: 8192, bias: false}
"""
    )
    load_workload("lenet5")  # imports are not what is measured
    tracemalloc.start()
    net = load_workload(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert net.parameter_count > 80e9
    assert peak < 20e6
    assert load_workload(path, tokens=32).macs == 2 * net.macs


def test_importing_workloads_imports_no_front_end() -> None:
    code = (
        "import sys, hwsim.workload\n"
        "heavy = ('onnx', 'pydantic', 'ruamel.yaml', 'numba', 'pandas', 'simpy')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"
