"""The accuracies of reports/digits.csv, counted again from the shipped weights: `make digits` writes them."""

from __future__ import annotations

import pytest

from studies.digits.measure import REPORTS, Row, measure, page, read_rows
from studies.digits.variants import NETWORKS, VARIANTS, variants_of

ROWS = {(row.network, row.key): row for row in read_rows()}
# What must not lose more than a point, which is a hundredth of the images.
WITHIN_A_POINT = {
    "int8", "int8_tensor", "int8_asymmetric", "int8_percentile", "int8_entropy", "int8_stochastic",
    "prune_10x", "prune_table", "share_8", "share_4", "deep",
}  # fmt: skip


def test_every_method_has_its_row() -> None:
    assert list(ROWS) == [(network, variant.key) for network in NETWORKS for variant in variants_of(network)]
    assert len({variant.key for variant in VARIANTS}) == len(VARIANTS)


@pytest.mark.parametrize(("network", "key"), ROWS)
def test_answers_are_counted_again(network: str, key: str) -> None:
    """Exactly where products are whole numbers; elsewhere another order of sums may move one image."""
    variant = next(variant for variant in VARIANTS if variant.key == key)
    wanted, found = ROWS[network, key], measure(network, variant)
    assert (found.images, found.exact) == (wanted.images, wanted.exact) == (597, found.exact)
    assert abs(found.before - wanted.before) <= 1
    assert abs(found.after - wanted.after) <= (0 if wanted.exact else 1)
    assert (found.retrained is None) == (wanted.retrained is None)
    if found.retrained is not None and wanted.retrained is not None:
        assert abs(found.retrained - wanted.retrained) <= (0 if wanted.exact else 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_what_must_not_lose_more_than_a_point(network: str) -> None:
    for key in WITHIN_A_POINT:
        row = ROWS[network, key]
        best = row.after if row.retrained is None else row.retrained
        assert row.before - best <= row.images / 100, key


def test_the_page_says_what_the_table_says() -> None:
    assert (REPORTS / "digits.md").read_text(encoding="utf-8") == page(list(ROWS.values()))


def test_a_page_by_hand() -> None:
    rows = [Row(network, "fp16", 200, 190, 180, None, False) for network in NETWORKS]
    rows.append(Row(NETWORKS[1], "share_4", 200, 190, 189, 191, False))
    text = page(rows)
    assert "gets 190 of 200 right: 95.0 %." in text
    assert "| fp16 | 90.0 | -5.0 | - | - |" in text
    assert "| shared, 4 bits | 94.5 | -0.5 | 95.5 | +0.5 |" in text
