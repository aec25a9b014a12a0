"""Bad input through the command line: one clear message on standard error, a status not zero, no traceback,
nothing on standard output, and no result folder."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from hwsim.cli.main import main

ROOT = Path(__file__).parents[2]

DESIGN = """\
name: small
kind: systolic
clock: 500 MHz
array: {rows: 8, cols: 8}
unified_buffer: {size: 1 MiB}
activation_unit: {lanes: 8}
weight_memory: {technology: lpddr4, size: 1 GiB, bandwidth: 12.8 GB/s}
"""
TWO_DEVICES = """\
name: two
default_device: big
devices:
""" + "".join(
    f"  {name}:\n" + "".join(f"    {line}\n" for line in DESIGN.splitlines()[1:])
    for name in ("big", "little")
)
WORKLOAD = """\
name: net
input: {shape: [batch, 16]}
layers:
  - {name: fc1, kind: linear, out_features: 8}
  - {name: fc2, kind: linear, out_features: 4}
"""
SPARSE = """\
name: net
input: {shape: [batch, 16], density: 0.3}
layers:
  - {name: fc1, kind: linear, out_features: 8, weight_density: 0.5, shared_bits: 4}
"""


def onnx_bytes(op_type: str = "Relu") -> bytes:
    """A graph of one operator."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x"], ["y"], name="odd")], "g", value[:1], value[1:]
    )
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def random_bytes(count: int = 2000) -> bytes:
    return random.Random(7).randbytes(count)


def write(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def with_design(text: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["run", "lenet5", "--design", write(folder, "d.yaml", text)]


def with_workload(text: str | bytes, name: str = "w.yaml") -> Callable[[Path], list[str]]:
    return lambda folder: ["run", write(folder, name, text), "--design", write(folder, "d.yaml", DESIGN)]


def with_options(*options: str, design: str = DESIGN) -> Callable[[Path], list[str]]:
    return lambda folder: ["run", "lenet5", "--design", write(folder, "d.yaml", design), *options]


def changed(old: str, new: str, text: str = DESIGN) -> str:
    assert old in text
    return text.replace(old, new)


EIE = ["run", "eie_nt_we", "--design", "eie_64pe"]


def with_sparse(old: str, new: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["run", write(folder, "w.yaml", changed(old, new, SPARSE)), "--design", "eie_64pe"]


CLOCK = "clock: 500 MHz"
BANDWIDTH = "bandwidth: 12.8 GB/s"
CYCLE = changed("kind: linear, out_features: 8", "kind: linear, out_features: 8, inputs: [fc2]", WORKLOAD)
NO_FIT = changed("fc2, kind: linear, out_features: 4", "fc2, kind: add, inputs: [fc1, input]", WORKLOAD)

# What is given -> words that the message must hold: the place, and what to do.
CASES: dict[str, tuple[Callable[[Path], list[str]], tuple[str, ...]]] = {
    "missing design file": (
        lambda _: ["run", "lenet5", "--design", "nowhere/d.yaml"],
        ("d.yaml", "no such file"),
    ),
    "missing workload file": (
        lambda _: ["run", "no.onnx", "--design", "tpu_v1"],
        ("no.onnx", "no such file"),
    ),
    "unknown name": (
        lambda _: ["run", "resnet5", "--design", "tpu_v1"],
        ("resnet5", "did you mean", "resnet50"),
    ),
    "a folder": (lambda folder: ["run", f"{folder}/", "--design", "tpu_v1"], (".yaml", ".onnx")),
    "not YAML": (with_design("kind: [systolic\nclock: {"), ("d.yaml:",)),
    "binary": (with_design("\0\1\2"), ("d.yaml", "binary")),
    "empty": (with_design(""), ("d.yaml",)),
    "duplicate key": (with_design(DESIGN + "clock: 1 GHz\n"), ("d.yaml:8:1", "clock", "3")),
    "misspelt key": (
        with_design(changed("clock", "clokc")),
        ("d.yaml:3:1", "clokc", "did you mean 'clock'?"),
    ),
    "negative quantity": (
        with_design(changed(CLOCK, "clock: -500 MHz")),
        ("d.yaml:3:8", "clock", "above zero"),
    ),
    "zero quantity": (with_design(changed(CLOCK, "clock: 0 MHz")), ("d.yaml:3:8", "clock", "above zero")),
    "NaN quantity": (with_design(changed(CLOCK, "clock: .nan")), ("d.yaml:3:8", "clock", "700 MHz")),
    "NaN with a unit": (with_design(changed(CLOCK, "clock: nan MHz")), ("d.yaml:3:8", "clock", "700 MHz")),
    "negative count": (
        with_design(changed("rows: 8", "rows: -8")),
        ("d.yaml:4:", "array.rows", "at least 1"),
    ),
    "wrong unit": (
        with_design(changed(BANDWIDTH, "bandwidth: 34 GB")),
        ("weight_memory.bandwidth", "34 GB/s"),
    ),
    "no unit": (with_design(changed(CLOCK, "clock: 500")), ("clock", "no unit", "700 MHz")),
    "unknown dtype": (with_options("--dtype", "int9"), ("int9", "int8")),
    "unknown weight dtype": (with_options("--weight-dtype", "fp7"), ("fp7",)),
    "unknown dtype in the file": (with_design(DESIGN + "dtype: int9\n"), ("d.yaml:8:", "dtype", "int8")),
    "format the device lacks": (with_options("--dtype", "fp32"), ("fp32",)),
    "operator without kind": (
        with_workload(changed("kind: linear, out_features: 4", "out_features: 4", WORKLOAD)),
        ("w.yaml:5:", "layers[1]", "kind"),
    ),
    "unknown kind": (with_workload(changed("kind: linear", "kind: lineer", WORKLOAD)), ("lineer", "linear")),
    "shape that does not fit": (with_workload(NO_FIT), ("w.yaml:5:", "fc2", "8", "16")),
    "cycle": (with_workload(CYCLE), ("w.yaml:", "fc1", "fc2", "cycle")),
    "truncated ONNX": (with_workload(onnx_bytes()[:40], "w.onnx"), ("w.onnx", "not a valid ONNX")),
    "random ONNX": (with_workload(random_bytes(), "w.onnx"), ("w.onnx", "not a valid ONNX")),
    "empty ONNX": (with_workload(b"", "w.onnx"), ("w.onnx",)),
    "ONNX with an unknown operator": (
        with_workload(onnx_bytes("Frobnicate"), "w.onnx"),
        ("Frobnicate", "odd", "1"),
    ),
    "design too large": (
        with_design(changed("rows: 8, cols: 8", "rows: 1000000, cols: 1000000")),
        ("array.rows",),
    ),
    "too large as a whole": (
        with_design(changed("rows: 8, cols: 8", "rows: 65536, cols: 65536")),
        ("array",),
    ),
    "topology with wrong columns": (
        with_workload("Layer,M,N,Q,\na,1,2,3,\n", "w.csv"),
        ("w.csv:1:1", "Q", "not a column", "K"),
    ),
    "topology with a bad cell": (
        with_workload("Layer,M,N,K,\na,1,2,3,\nb,1,2,three,\n", "w.csv"),
        ("w.csv:3:1", "K", "three", "whole number"),
    ),
    "a table of other things": (
        with_workload("date,price\n1,2\n", "w.csv"),
        ("w.csv:1:1", "SCALE-Sim topology", "matrix products"),
    ),
    "matrix products that are no JSON": (with_workload("{M: 1}", "w.json"), ("w.json:1:2", "not JSON")),
    "matrix products without a size": (with_workload('[{"M": 1, "N": 2}]', "w.json"), ("[0]", "lacks K")),
    "batch of 0": (with_options("--batch", "0"), ("batch", "0")),
    "negative batch": (with_options("--batch", "-3"), ("batch", "-3")),
    "absurd batch": (with_options("--batch", "9" * 30), ("batch",)),
    "parameter that is not": (with_options("--param", "frames=3"), ("frames",)),
    "parameter without value": (with_options("--param", "batch"), ("--param batch", "name=value")),
    "parameter given twice": (with_options("--batch", "2", "--param", "batch=3"), ("twice",)),
    "parameter of another thing": (with_options("--param", "dtype=3"), ("dtype",)),
    "output folder in a file": (
        lambda folder: [*with_options("--out", write(folder, "file", "mine"))(folder)],
        ("cannot write", "in the way"),
    ),
    "output folder below a file": (
        lambda folder: [*with_options("--out", write(folder, "file", "mine") + "/out")(folder)],
        ("cannot write", "not a folder"),
    ),
    "output folder that holds other things": (
        lambda folder: [*with_options("--out", str(folder))(folder)],
        ("cannot write", "d.yaml", "--out"),
    ),
    "output folder where none can be": (with_options("--out", "/proc/out"), ("cannot write", "/proc")),
    "--set of no such path": (
        with_options("--set", "array.rowz=4"),
        ("array.rowz", "did you mean", "array.rows"),
    ),
    "--set without value": (with_options("--set", "array.rows"), ("--set", "array.rows", "=")),
    "--set of a bad value": (
        with_options("--set", "array.rows=many"),
        ("--set array.rows=many", "whole number"),
    ),
    "--set that is ambiguous": (
        with_options("--set", "array.rows=4", design=TWO_DEVICES),
        ("array.rows", "devices.big.array.rows", "devices.little.array.rows"),
    ),
    "unknown timing": (with_options("--timing", "slow"), ("slow", "events", "fast")),
    "weight density of 0": (
        with_sparse("weight_density: 0.5", "weight_density: 0"),
        ("w.yaml:4:", "above 0"),
    ),
    "weight density above 1": (
        with_sparse("weight_density: 0.5", "weight_density: 1.5"),
        ("w.yaml:4:", "layers[0].weight_density", "at most 1"),
    ),
    "weight density that is no number": (
        with_sparse("weight_density: 0.5", "weight_density: .nan"),
        ("layers[0].weight_density", "finite"),
    ),
    "input density of 0": (
        with_sparse("density: 0.3}", "density: 0}"),
        ("w.yaml:2:", "input.density", "above 0"),
    ),
    "input density above 1": (with_sparse("density: 0.3}", "density: 30}"), ("input.density", "at most 1")),
    "no bits for shared weights": (
        with_sparse("shared_bits: 4", "shared_bits: 0"),
        ("shared_bits", "at least 1"),
    ),
    "bits beyond shared weights": (
        with_sparse("shared_bits: 4", "shared_bits: 9"),
        ("shared_bits", "at most 8"),
    ),
    "weights that are not shared": (
        lambda _: ["run", "lenet300", "--design", "eie_64pe"],
        ("fc1", "more than 480 different values", "hwsim compress"),
    ),
    "format of another machine": (
        lambda _: [*EIE, "--dtype", "int8"],
        ("nt_we", "int16", "leave --dtype out"),
    ),
    "queue that is too short": (
        lambda _: [*EIE, "--set", "fifo_depth=1"],
        ("--set fifo_depth=1", "at least 2"),
    ),
    "column without room": (
        lambda _: [*EIE, "--set", "pes=2", "--set", "matrix_sram.size=8 B"],
        ("nt_we", "a column of", "larger matrix_sram or more pes"),
    ),
    "sums without room": (lambda _: [*EIE, "--set", "pes=1"], ("nt_we", "600 sums", "hold 576", "more pes")),
    "validation file that is missing": (lambda _: ["validate", "no.csv"], ("no.csv",)),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_clear_message(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = CASES[case]
    here = tmp_path / "work"
    files = tmp_path / "files"
    here.mkdir()
    files.mkdir()
    monkeypatch.chdir(here)
    arguments = make(files)
    kept = {path.name: path.read_bytes() for path in files.iterdir()}
    result = CliRunner().invoke(main, [*arguments, *(["--json", "-q"] if arguments[0] == "run" else [])])
    assert result.exit_code == 2 or (result.exit_code == 1 and "cannot write" in result.stderr), result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("hwsim: error: ")
    assert result.stderr.count("hwsim: error:") == 1
    assert len(result.stderr) < 1500
    for word in ("Traceback", "fault of hwsim", "pydantic", "ruamel", 'File "'):
        assert word not in result.stderr
    for word in words:
        assert word in result.stderr
    assert not list(here.iterdir())
    assert {path.name: path.read_bytes() for path in files.iterdir()} == kept


def test_several_faults_of_a_file_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = changed(CLOCK, "clock: 0 Hz", changed("lanes: 8", "lanes: x", changed("rows: 8", "rowz: 8")))
    result = CliRunner().invoke(main, with_design(text)(tmp_path))
    for word in ("clock", "lanes", "rowz"):
        assert word in result.stderr
    assert len(result.stderr.strip().splitlines()) >= 3


@pytest.mark.parametrize("case", ["misspelt key", "random ONNX", "output folder below a file"])
def test_the_real_command_does_the_same(case: str, tmp_path: Path) -> None:
    make, words = CASES[case]
    process = subprocess.run(
        [sys.executable, "-c", "from hwsim.cli.main import main; main()", *make(tmp_path), "-q"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert process.returncode in (1, 2)
    assert process.stdout == ""
    assert process.stderr.startswith("hwsim: error: ")
    for word in words:
        assert word in process.stderr
