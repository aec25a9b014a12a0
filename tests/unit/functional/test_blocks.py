"""Whole blocks of transformers, put together by the builder: their numbers on an array, GPUs and CPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.pipeline import verify
from hwsim.workload import Workload
from tests.sequences import decoder
from tests.transformer_block import encoder

FORMATS = Path(__file__).parents[2] / "formats.yaml"
ARRAY = ("array.rows=32", "array.cols=32", "accumulators.rows=256")
LEAST_SQNR_DB = {"int8": 15, "int16": 50, "bf16": 30, "fp16": 45, "fp32": 100}


def block(name: str) -> Workload:
    match name:
        case "encoder":
            return encoder()
        case "prefill":
            return decoder(queries=9)
        case _:
            return decoder(batch=2, past=37)


@pytest.mark.parametrize("name", ["encoder", "prefill", "decode"])
@pytest.mark.parametrize(
    ("design", "dtype"),
    [
        *((FORMATS, dtype) for dtype in LEAST_SQNR_DB),
        ("v100", "fp32"), ("v100", "fp16"), ("a100", "bf16"), ("a100", "int8"), ("t4", "int8"),
        ("xeon_e5_2699v3", "fp32"), ("xeon_e5_2699v3", "int8"), ("knl_7250", "fp32"),
    ],
)  # fmt: skip
def test_a_block_verifies(design: str | Path, dtype: str, name: str) -> None:
    overrides = ARRAY if isinstance(design, Path) else ()
    found = verify(block(name).astype(dtype), design, overrides=overrides)
    assert not found.unexecuted
    assert float(found.used.max(initial=0.0)) <= 1
    # An output that is all noise would satisfy the bounds of its operators too.
    assert min(found.output_sqnr_db.values()) > LEAST_SQNR_DB[dtype]
