"""What the specs of several kinds say: number formats, kinds of memory, and what fitted constants rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from hwsim.schema import field

NumberFormat = Literal[
    "fp32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "int32", "int16", "int8", "int4", "ternary", "binary"
]
FORMATS: tuple[str, ...] = get_args(NumberFormat)

Dram = Literal["ddr3", "ddr4", "lpddr2", "lpddr4", "gddr5", "hbm2"]

_MAX_LAUNCH_US = 1_000_000  # a second


def fitted_on() -> Any:
    """The field of that name."""
    return field(
        "The data that the constants were fitted on.", default="nothing: not fitted", descriptive=True
    )


def check_launches(launch_us: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """What is wrong with launch costs by harness, in microseconds: pairs of place and fault."""
    for name, cost_us in launch_us.items():
        if not 0 <= cost_us <= _MAX_LAUNCH_US:
            yield f"launch_us.{name}", f"must be from 0 to {_MAX_LAUNCH_US:,}, not {cost_us:g}"
