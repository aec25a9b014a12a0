"""The two calibration constants of tpu_v1, from two published figures of MLP0 and nothing else.

host_efficiency is the share e of the PCIe rate that the host really moves, host_overlap the share o of the host
traffic that hides behind neighbouring batches. With b the share of the TPU's time that the host link is busy
(Table 5: 21 %) and n the non-matrix share (Table 3: 17.5 %) of MLP0:

    T = T_matrix / (1 - n)              the array's active, weight-stall and weight-shift time is T_matrix
    H = b T = bytes / (rate e)          the link is busy for H, so e = bytes / (rate b T)
    n T = (1 - o) H + T_other           exposed host time and the other stalls make up the non-matrix time

T_matrix and T_other (RAW waits of one layer for another, and waits of the host for the last results) come from
one run: neither depends on e or o, which `fit_host` checks by running again with the constants it found. The
bytes are those of hwsim's tpu_mlp0 (2,000 bytes in and out for each input, assumed: the paper gives no layer
widths), so e also takes in the error of that assumption. Run as `python -m hwsim.validate.fit_host`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction

from hwsim.design import load_design
from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.validate.published import tpu_v1_published
from hwsim.validate.tpu_paper import APPLICATIONS, DESIGN, MATRIX, cycle_shares

DIGITS = 3  # of a constant: the published figures have two to three


@dataclass(frozen=True, slots=True)
class HostFit:
    """The constants, what went into them, and what a run with them gives. Times in s, shares of one."""

    host_efficiency: float
    host_overlap: float
    link_bytes: int
    link_bytes_per_s: float
    matrix_s: float
    other_s: float
    wanted_host_share: float
    wanted_non_matrix: float
    found_host_share: float
    found_non_matrix: float


def fit_host() -> HostFit:
    """Solve the two equations and run MLP0 with the rounded constants."""
    published = tpu_v1_published()
    busy = published["MLP0", "host_share"].value / 100
    non_matrix = published["MLP0", "non_matrix"].value / 100
    plain = _run(1.0, 0.0)
    stalls_s = {name: share * plain.latency_s for name, share in plain.stalls.items()}
    matrix_s = sum(stalls_s[name] for name in MATRIX)
    link_bytes = plain.usage.total("host_link", "transfer")
    rate = _link_rate()
    exposed_s = link_bytes / rate  # all of it, since nothing overlaps in this run
    other_s = plain.latency_s - matrix_s - exposed_s
    total_s = matrix_s / (1 - non_matrix)
    host_s = busy * total_s
    efficiency = round(link_bytes / (rate * host_s), DIGITS)
    overlap = round(1 - (non_matrix * total_s - other_s) / host_s, DIGITS)
    fitted = cycle_shares(_run(efficiency, overlap))
    return HostFit(
        efficiency, overlap, link_bytes, rate, matrix_s, other_s, busy, non_matrix,
        fitted["host_share"] / 100, fitted["non_matrix"] / 100,
    )  # fmt: skip


def _run(efficiency: float, overlap: float) -> Result:
    constants = (f"calibration.host_efficiency={efficiency}", f"calibration.host_overlap={overlap}")
    return run(APPLICATIONS["MLP0"], DESIGN, overrides=constants)


def _link_rate() -> float:
    link = load_design(DESIGN).device_spec.host_link
    assert link is not None
    rate = link.bandwidth_bytes_per_s
    assert rate is not None
    return float(Fraction(rate))


def describe_fit(fit: HostFit) -> str:
    """The fit in a few lines of Markdown."""
    return "\n".join(
        (
            f"- traffic of a batch: {fit.link_bytes:,} bytes over {fit.link_bytes_per_s / 1e9:.2f} GB/s",
            f"- T_matrix = {fit.matrix_s * 1e6:.2f} us, T_other = {fit.other_s * 1e6:.2f} us (simulated)",
            f"- b = {fit.wanted_host_share:.1%}, n = {fit.wanted_non_matrix:.1%} (published)",
            f"- **host_efficiency = {fit.host_efficiency:.3f}**, **host_overlap = {fit.host_overlap:.3f}**",
            f"- a run with them: host link busy {fit.found_host_share:.2%}, non-matrix {fit.found_non_matrix:.2%}",
        )
    )


if __name__ == "__main__":
    sys.stdout.write(f"{describe_fit(fit_host())}\n")
