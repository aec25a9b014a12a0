"""`list`, `describe`, `schema` and `validate`: what they show, from shipped files and from people's own."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from hwsim.cli.list import about
from hwsim.cli.main import main
from hwsim.cli.output import shortened
from hwsim.explore.outcome import METRICS
from hwsim.library import find, names
from hwsim.schema.tree import read_tree

MEASURED = """\
design,op,dtype,M,N,K,overrides,metric,value
systolic_plain,gemm,int8,64,48,32,array.rows=16 array.cols=16,compute_cycles,1300
systolic_plain,gemm,int8,64,48,32,array.rows=16 array.cols=16,compute_cycles,1000
systolic_plain,attention,int8,64,48,32,,latency_us,5
no_such_design,gemm,int8,64,48,32,,latency_us,5
"""


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_list_names_everything_shipped_with_a_sentence() -> None:
    text = shown("list")
    for shelf in ("workloads", "designs"):
        for name in names(shelf):
            row = next(line for line in text.splitlines() if line.split()[:1] == [name])
            assert len(row.split()) > 3
    assert "tpu_v1" not in shown("list", "workloads")
    assert "lenet5" not in shown("list", "designs")


def test_list_tells_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    good = tmp_path / "w.yaml"
    good.write_text("name: w\ndescription: >-\n  two\n  lines\nlayers:\n  - {kind: [broken\n")
    assert about(good) == {"name": "w", "description": "two lines"}


def test_describe_a_design_shows_each_field_with_value_unit_sentence_and_source() -> None:
    text = shown("describe", "tpu_v1")
    clock = next(line for line in text.splitlines() if line.split()[:1] == ["clock"])
    assert "700 MHz" in clock
    for words in ("devices.systolic.array", "weight_memory", "34 GB/s", "8 GiB", "Table 2", "default"):
        assert words in text


def test_describe_shows_what_is_set() -> None:
    text = shown("describe", "tpu_v1", "--set", "array.rows=64")
    row = next(line for line in text.splitlines() if line.split()[:2] == ["rows", "64"])
    assert row
    assert "--set array.rows=64" in text


def test_describe_a_workload_shows_layers_shapes_macs_parameters_and_source() -> None:
    text = shown("describe", "lenet5", "--batch", "3")
    for words in (
        "workloads/lenet5.yaml",
        "Caffe",
        "batch=3",
        "431,080",
        f"{3 * 2_293_000:,}",
        "3x20x24x24",
        "conv2d 5x5",
    ):
        assert words in text


def test_describe_reads_onnx_and_paths(tmp_path: Path) -> None:
    assert "4,089,184,256" in shown("describe", "resnet50")
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ninput: {shape: [batch, 4]}\nlayers:\n  - {kind: linear, out_features: 2}\n")
    assert "mine: workload" in shown("describe", str(path))


def test_describe_technology_prints_every_table_with_sources() -> None:
    text = shown("describe", "technology")
    for words in ("horowitz: technology table", "0.2 pJ", "Horowitz ISSCC 2014", "[confirmed]"):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["describe", "tpu"], "did you mean tpu_v1"),
        (["describe", "x\x1b[2J"], "called 'x\\x1b[2J'"),
        (["describe", "tpu_v1", "--batch", "2"], "for workloads"),
        (["describe", "lenet5", "--set", "rows=1"], "for designs"),
        (["describe", "technology", "--set", "rows=1"], "no options"),
        (["describe", "nowhere/x.yaml"], "no such file"),
        (["describe", "eie_fifo"], "eie_fifo is a space: hwsim sweep eie_fifo --out STORE"),
    ],
)
def test_describe_refuses_with_one_message(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("hwsim: error: ")
    assert words in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("kind", ["design", "workload", "recipe", "space"])
def test_schema_is_a_json_schema(kind: str) -> None:
    schema = json.loads(shown("schema", kind))
    jsonschema.Draft202012Validator.check_schema(schema)


SPACE = {"name": "few", "workloads": ["lenet5"], "designs": ["tpu_v1"]}


@pytest.mark.parametrize("name", names("spaces"))
def test_schema_takes_every_space_that_ships(name: str) -> None:
    written = read_tree(find("spaces", name).read_text("utf-8"), name)[0].plain()
    jsonschema.validate(json.loads(json.dumps(written)), json.loads(shown("schema", "space")))


@pytest.mark.parametrize(
    "axis",
    [
        [64, 128],
        ["8 MiB"],
        {"values": [4, 8], "when": "array.dataflow == ws"},
        {"low": "2 MiB", "high": "8 MiB", "factor": 2},
        {"low": 1, "high": 9, "count": 3, "scale": "log"},
    ],
)
def test_schema_takes_each_form_of_an_axis(axis: object) -> None:
    jsonschema.validate({**SPACE, "axes": {"array.rows": axis}}, json.loads(shown("schema", "space")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"objectives": ["latency"]},
        {"objectives": ["latency_s", "latency_s"]},
        {"workloads": []},
        {"name": "two words"},
        {"method": {"kind": "annealing"}},
        {"method": {"kind": "random"}},
        {"axes": {"array.rows": {"low": 8, "high": 16}}},
        {"axes": {"array.rows": {"values": [8], "low": 8, "high": 16, "step": 8}}},
        {"axis": {}},
    ],
)
def test_schema_refuses_what_a_space_does_not_take(wrong: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**SPACE, **wrong}, json.loads(shown("schema", "space")))


def test_schema_of_a_space_tells_every_metric_and_what_holds_by_default() -> None:
    said = json.loads(shown("schema", "space"))["properties"]["objectives"]
    assert all(f"{metric.name}: {metric.sentence}" in said["description"] for metric in METRICS.values())
    assert said["default"] == ["latency_s", "energy_j", "area_mm2"]


def test_names_are_cut_in_the_middle() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("gpu_0/res2_0_branch2a", 12) == "gpu..ranch2a"
    assert len(shortened("x" * 99, 12)) == 12


def test_validate_prints_errors_by_group_and_counts_what_did_not_run(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(MEASURED)
    text = shown("validate", str(tmp_path / "m.csv"), "--out", str(tmp_path / "rows.csv"))
    for words in (
        "systolic_plain",
        "gemm, int8, compute_cycles",
        "MdAPE",
        "roofline",
        "2 rows run",
        "2 rows not run",
    ):
        assert words in text
    assert "attention" in text
    assert "no_such_design" in text
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 5


def test_validate_json_is_an_array_and_the_rest_goes_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(MEASURED)
    result = CliRunner().invoke(main, ["validate", str(tmp_path / "m.csv"), "--json"])
    assert result.exit_code == 0
    (found,) = json.loads(result.stdout)
    errors = {"mdape_pct", "mape_pct", "p90_pct", "bias_pct", "roofline_mdape_pct"}
    kinds = ("mdape_pct", "mape_pct", "p90_pct")
    beside = {f"{of}_{error}" for of in ("half", "calibrated") for error in kinds}
    assert set(found) == {"design", "op", "dtype", "metric", "rows", "half_rows"} | errors | beside
    assert found["rows"] == 2
    assert "2 rows not run" in result.stderr
    assert "attention" in result.stderr


def test_validate_fails_when_no_row_could_run(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("\n".join([MEASURED.splitlines()[0], MEASURED.splitlines()[3]]) + "\n")
    result = CliRunner().invoke(main, ["validate", str(tmp_path / "m.csv"), "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (2, [])
    assert "1 row not run" in result.stderr
    assert result.stderr.endswith(
        "hwsim: error: none of the rows could run, so there is nothing to compare\n"
    )


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("m,n,k", "m.csv:1:1: k: is not a column; did you mean K (case matters)?\n"),
        ("M,N,K,OVERRIDES", "OVERRIDES: is not a column; did you mean overrides (case matters)?\n"),
        ("M,N,KK", "m.csv:2:1: gemm needs K\n"),
    ],
)
def test_validate_knows_columns_by_their_case_and_says_so(tmp_path: Path, header: str, told: str) -> None:
    cells = ",".join(["64", "48", "32", "array.rows=8"][: header.count(",") + 1])
    row = f"systolic_plain,gemm,int8,{cells},compute_cycles,1300\n"
    (tmp_path / "m.csv").write_text(f"design,op,dtype,{header},metric,value\n{row}")
    result = CliRunner().invoke(main, ["validate", str(tmp_path / "m.csv")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(told)
