"""A network of every kind of sequence layer, from its file through planning, time and numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.pipeline import run, verify
from hwsim.workload import load_workload
from hwsim.workload.lowering import plain_attention

SEQUENCES = Path(__file__).resolve().parents[1] / "sequences.yaml"


def test_an_array_computes_it_bit_for_bit() -> None:
    """int8 on a systolic array, attention being products and a softmax there: 19 experts of which few run."""
    net = plain_attention(load_workload(SEQUENCES))
    found = verify(net, "systolic_32")
    assert len(found.sqnr_db) >= len([op for op in net.operators if op.kind != "view"])


@pytest.mark.parametrize("design", ["v100", "xeon_e5_2699v3"])
def test_machines_with_fused_attention_take_it_as_it_is(design: str) -> None:
    result = run(SEQUENCES, design)
    assert result.latency_s > 0
    assert "attention" in set(result.timing.kinds)
