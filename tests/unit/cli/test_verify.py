"""`hwsim verify`, and what `hwsim run` does about numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import hwsim.pipeline as pipeline
from hwsim.cli.main import main
from hwsim.errors import UnsupportedError


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_the_table_names_each_layer_and_the_verdict() -> None:
    found = call("verify", "lenet5", "--design", "tpu_v1")
    assert found.exit_code == 0, found.stderr
    for word in ("conv1", "softmax1", "exact", "SQNR", "Verified: all 7 operators bit for bit"):
        assert word in found.stdout


def test_json_is_one_object() -> None:
    found = call("verify", "lenet5", "-d", "tpu_v1", "--batch", "2", "--seed", "3", "--json")
    said = json.loads(found.stdout)
    assert (said["verified"], said["bit_exact"], said["seed"], said["dtype"]) == (True, True, 3, "int8")
    assert [row["operator"] for row in said["operators"]][:2] == ["conv1", "pool1"]
    assert said["operators"][0]["results"] == 2 * 20 * 24 * 24


def test_fixed_point_from_the_command_line() -> None:
    found = call("verify", "lenet300", "-d", "tpu_v1", "--fixed-point", "q7.8", "--rounding", "truncate")
    assert found.exit_code == 0, found.stderr
    assert "fixed point q7.8, saturating, rounding truncate" in " ".join(found.stdout.split())


def test_wrong_numbers_are_a_failure_that_says_where() -> None:
    found = call("verify", "lenet5", "-d", "tpu_v1", "--set", "accumulators.width_bits=16")
    assert found.exit_code == 1
    assert "operator conv2" in found.stderr
    assert "stage compute" in found.stderr
    assert not found.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rounding", "truncate"), "add --fixed-point"),
        (("--fixed-point", "q9"), "such as q7.8"),
        (("--fixed-point", "q7.8", "--dtype", "int8"), "choose --dtype int16"),
        (("--param", "rounding=1"), "no such parameter"),
        (("--dtype", "fp32"), "multiplies int8"),
    ],
)
def test_bad_options_are_refused(words: tuple[str, ...], message: str) -> None:
    found = call("verify", "lenet5", "-d", "tpu_v1", *words)
    assert found.exit_code == 2
    assert message in found.stderr


def test_a_run_verifies_what_takes_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    found = call("run", "lenet5", "-d", "tpu_v1", "--out", str(folder))
    assert "Verified" in found.stdout
    with (folder / "verification.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["exact"] for row in rows] == ["true"] * 7
    said = json.loads((folder / "result.json").read_text())
    assert said["summary"]["verified"] is True
    assert not any("arithmetic" in part for part in said["provenance"]["unmodelled"])
    monkeypatch.setattr(pipeline, "VERIFIES_WITHIN_S", 0.0)
    found = call("run", "lenet5", "-d", "tpu_v1", "--out", str(folder))
    assert "--verify computes and checks them" in " ".join(found.stdout.split())
    assert not (folder / "verification.csv").exists()
    said = json.loads((folder / "result.json").read_text())
    assert said["summary"]["verified"] is None
    assert any("arithmetic" in part for part in said["provenance"]["unmodelled"])
    assert "Verified" in call("run", "lenet5", "-d", "tpu_v1", "--verify", "--out", str(folder)).stdout


def test_a_run_that_must_not_verify_does_not(tmp_path: Path) -> None:
    found = call("run", "lenet5", "-d", "tpu_v1", "--no-verify", "--out", str(tmp_path / "out"))
    assert "Not verified" in found.stdout


def test_the_library_verifies_only_when_asked() -> None:
    assert pipeline.run("lenet5", "tpu_v1").verified is None
    found = pipeline.run("lenet5", "tpu_v1", verify=True)
    assert found.verified is True
    assert found.verification is not None
    assert found.verification.bit_exact
    assert pipeline.run("lenet5", "tpu_v1", verify=None).verified is True


def test_a_run_that_may_choose_says_why_it_could_not_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnsupportedError("no arithmetic for this")

    monkeypatch.setattr(pipeline, "verify_program", refuse)
    found = pipeline.run("lenet5", "tpu_v1", verify=None)
    assert found.verified is None
    assert "no arithmetic for this" in found.provenance.notes[-1]
    with pytest.raises(UnsupportedError, match="lenet5 on tpu_v1: no arithmetic for this"):
        pipeline.run("lenet5", "tpu_v1", verify=True)
