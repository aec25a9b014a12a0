"""The error bands that validation writes: percentiles by hand, whose rows they are of, what is left out."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from hwsim.result.bands import PAPER, RELATIVES, SILICON
from hwsim.validate import Outcome, ValidationReport
from hwsim.validate.eie_paper import EiePaper
from hwsim.validate.error_bands import DesignBand, bands_csv, bands_markdown, error_bands, spread


@pytest.fixture(scope="module")
def found(reference_report: ValidationReport, eie_paper: EiePaper) -> tuple[DesignBand, ...]:
    return error_bands(reference_report, eie_paper)


def one(found: tuple[DesignBand, ...], design: str, *key: str) -> DesignBand:
    (band,) = (b for b in found if b.design == design and b.key == key)
    return band


def test_percentiles_by_hand() -> None:
    # Nine rows: rank 0.1 x 10 is the first, 0.9 x 10 the ninth.
    nine = spread([[5, -3, 7, 1, -9, 2, 4, 8, 0]], SILICON, "a")
    assert (nine.rows, nine.p10_pct, nine.p90_pct) == (9, -9, pytest.approx(8))
    assert nine.mdape_pct == pytest.approx(4)
    # Nineteen, 1 to 19: the second and the eighteenth.
    many = spread([list(range(1, 20))], SILICON, "a")
    assert (many.p10_pct, many.p90_pct) == (pytest.approx(2), pytest.approx(18))
    # Fewer than nine have no such ranks: the range of all.
    few = spread([[4.0, -2.0, 1.0, 0.0, 3.0]], SILICON, "a")
    assert (few.p10_pct, few.p90_pct) == (-2, 4)


def test_a_further_row_falls_between_them_eight_times_in_ten() -> None:
    draw = np.random.default_rng(7)
    hits = 0
    for _ in range(2000):
        *rows, further = draw.standard_normal(20) ** 3
        band = spread([rows], SILICON, "a")
        hits += band.p10_pct <= further <= band.p90_pct
    assert hits / 2000 == pytest.approx(0.8, abs=0.03)


def test_each_relative_weighs_the_same() -> None:
    # Ten rows around 0 and a thousand around 50: half of the weight each, so both tenths reach both.
    small, large = [float(i) for i in range(-5, 5)], [50.0 + i / 1000 for i in range(1000)]
    pooled = spread([small, large], RELATIVES, "a, b")
    assert pooled.rows == 1010
    assert pooled.p10_pct < 0
    assert pooled.p90_pct > 50


def test_own_rows_make_the_band_and_relatives_stand_in(
    found: tuple[DesignBand, ...], reference_report: ValidationReport
) -> None:
    own = one(found, "v100", "matmul", "fp32")
    errors = sorted(
        o.error_pct
        for o in reference_report.outcomes
        if (o.row.design, o.row.op, o.row.dtype) == ("v100", "gemm", "fp32") and o.error_pct is not None
    )
    assert (own.band.rows, own.band.basis, own.band.measured_on) == (len(errors), SILICON, "v100")
    low, high = (np.percentile(errors, q, method="weibull") for q in (10, 90))  # a second answer
    assert (own.band.p10_pct, own.band.p90_pct) == (pytest.approx(low), pytest.approx(high))
    kin = one(found, "h100", "conv2d", "fp32").band
    assert kin.basis == RELATIVES
    assert "v100" in kin.measured_on
    assert "knl_7250" not in kin.measured_on  # of another kind
    assert one(found, "host", "matmul", "fp32").known_as == "host"


def test_sparse_products_and_recurrent_layers_are_classes_of_their_own(
    found: tuple[DesignBand, ...],
) -> None:
    dense = one(found, "i7_5930k", "matmul", "fp32").band
    sparse = one(found, "i7_5930k", "sparse_matmul", "fp32").band
    assert (dense.rows, sparse.rows) == (10, 10)
    assert sparse.p90_pct < dense.p90_pct
    assert one(found, "titan_x_pascal", "recurrent", "fp32").band.rows == 67  # lstm, gru and rnn_vanilla


def test_no_band_for_formats_that_a_design_does_not_multiply(found: tuple[DesignBand, ...]) -> None:
    assert not [b for b in found if b.design == "generic_x86" and b.key[1] == "fp16"]
    assert {b.key[1] for b in found if b.design == "titan_x_maxwell"} == {"fp32"}


def test_the_paper_of_eie_is_told_from_silicon(found: tuple[DesignBand, ...]) -> None:
    (band,) = (b for b in found if b.design == "eie_64pe")
    assert (band.band.rows, band.band.basis, band.key) == (5, PAPER, ("matmul", "int16"))
    # Its largest gap is VGG-6: (25.2 - 34.4) / 34.4.
    assert band.band.p10_pct == pytest.approx(-26.8, abs=0.1)
    assert not [b for b in found if b.design.startswith(("systolic", "tpu", "gemmini", "eie_256pe"))]


def test_rows_that_bound_nothing_are_left_out(
    reference_report: ValidationReport, eie_paper: EiePaper, found: tuple[DesignBand, ...]
) -> None:
    assert one(found, "tegra_k1", "matmul", "fp32").band.rows == 5  # of ten: batch 64 contradicts itself

    def with_first(**changes: object) -> tuple[DesignBand, ...]:
        """The bands when the first of v100's rows is another."""
        rows = list(reference_report.outcomes)
        at = next(
            i for i, o in enumerate(rows) if (o.row.design, o.row.dtype, o.row.op) == ("v100", "fp32", "gemm")
        )
        rows[at] = Outcome(
            replace(rows[at].row, **changes),
            1e9,
            1.0,
            operator="matmul",  # type: ignore[arg-type]
        )
        return error_bands(ValidationReport(tuple(rows)), eie_paper)

    assert one(with_first(), "v100", "matmul", "fp32").band.rows == 92
    assert one(with_first(overrides=("l2.size=1 MiB",)), "v100", "matmul", "fp32").band.rows == 91
    assert one(with_first(metric="compute_cycles"), "v100", "matmul", "fp32").band.rows == 91


def test_the_table_and_the_page_say_the_same(found: tuple[DesignBand, ...]) -> None:
    rows = list(csv.DictReader(io.StringIO(bands_csv(found))))
    assert len(rows) == len(found) == len(bands_markdown(found).splitlines()) - 2
    assert [r["design"] for r in rows] == sorted(r["design"] for r in rows)
    assert "relatives: " in bands_markdown(found)
    assert len({(b.known_as, b.key) for b in found}) == len(found)  # no design hides another's band
