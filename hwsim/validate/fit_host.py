"""The two calibration constants of tpu_v1, from two published figures of MLP0 and nothing else.

host_efficiency is the share e of the PCIe rate that the host really moves, host_overlap the share o of the
host traffic that hides behind neighbouring batches. pages/host_link.md has the derivation. Run it as
`python -m hwsim.validate.fit_host`; the constants go into designs/tpu_v1.yaml by hand, and a test compares.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hwsim.design import load_design
from hwsim.design.kinds.systolic import SystolicSpec
from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.validate.published import tpu_v1_published
from hwsim.validate.tpu_paper import APPLICATIONS, DESIGN, MATRIX, cycle_shares

DIGITS = 3  # of a constant: the published figures have two to three


@dataclass(frozen=True, slots=True)
class HostFit:
    """The constants, what went into them, and what a run with them gives. Shares are of one."""

    host_efficiency: float
    host_overlap: float
    link_bytes: int
    link_bytes_per_s: float
    matrix_s: float
    other_s: float
    host_share: float
    non_matrix: float
    found_host_share: float
    found_non_matrix: float


def fit_host() -> HostFit:
    """Solve two equations for two constants, and run MLP0 with them."""
    published = tpu_v1_published()
    host_share = published["MLP0", "host_share"].value / 100
    non_matrix = published["MLP0", "non_matrix"].value / 100
    plain = _run(1.0, 0.0)
    matrix_s = sum(plain.stalls[name] for name in MATRIX) * plain.latency_s
    link_bytes = plain.usage.total("host_link", "transfer")
    rate = _link_bytes_per_s()
    # At e = 1 and o = 0 every byte is waited for at the full rate.
    other_s = plain.latency_s - matrix_s - link_bytes / rate
    total_s = matrix_s / (1 - non_matrix)
    host_s = host_share * total_s
    efficiency = round(link_bytes / (rate * host_s), DIGITS)
    overlap = round(1 - (non_matrix * total_s - other_s) / host_s, DIGITS)
    found = cycle_shares(_run(efficiency, overlap))
    return HostFit(
        efficiency, overlap, link_bytes, rate, matrix_s, other_s, host_share, non_matrix,
        found["host_share"] / 100, found["non_matrix"] / 100,
    )  # fmt: skip


def _run(efficiency: float, overlap: float) -> Result:
    constants = (f"calibration.host_efficiency={efficiency}", f"calibration.host_overlap={overlap}")
    return run(APPLICATIONS["MLP0"], DESIGN, overrides=constants)


def _link_bytes_per_s() -> float:
    spec = load_design(DESIGN).device_spec
    assert isinstance(spec, SystolicSpec)
    link = spec.host_link
    assert link is not None
    assert link.bandwidth_bytes_per_s is not None
    return float(link.bandwidth_bytes_per_s)


if __name__ == "__main__":
    fit = fit_host()
    sys.stdout.write(f"host_efficiency: {fit.host_efficiency:.3f}\nhost_overlap: {fit.host_overlap:.3f}\n")
