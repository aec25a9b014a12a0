"""What `run` decides by: whether the numbers of a workload can be checked within seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim import pipeline

START = "name: net\nparameters: {batch: 1}\n"
GIGABYTES = f"{START}input: {{shape: [batch, 4, 2147483648, 1]}}\nlayers:\n- {{kind: global_average_pool}}\n"
MANY = (
    f"{START}input: {{shape: [batch, 8]}}\nlayers:\n"
    "- {kind: repeat, times: 6000, layers: [{kind: relu}]}\n"
)


@pytest.mark.parametrize("text", [GIGABYTES, MANY], ids=["a vast input", "many small operators"])
def test_a_run_that_may_choose_leaves_out_a_long_check(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 GiB of inputs drawn for the sake of four results, and thousands of operators of eight results."""
    monkeypatch.setattr(pipeline, "VERIFIES_WITHIN_S", 0.5)
    path = tmp_path / "w.yaml"
    path.write_text(text)
    assert pipeline.run(path, "systolic_plain", verify=None).verified is None
