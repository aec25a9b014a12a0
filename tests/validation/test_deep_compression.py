"""Deep Compression beside its paper: convolutions within 5 %, and the rest explained."""

from __future__ import annotations

import pytest

from hwsim.validate.deep_compression import DeepCompression, compare_deep_compression
from hwsim.validate.published import deep_compression_published


@pytest.fixture(scope="module")
def found() -> DeepCompression:
    return compare_deep_compression()


def test_every_convolution_of_the_four_networks_is_within_five_percent(found: DeepCompression) -> None:
    demanded = [c for c in found.sizes if c.allowed is not None]
    assert len(demanded) == 2 + 5 + 13
    for comparison in demanded:
        published = comparison.published
        assert comparison.simulated == pytest.approx(published.value, rel=0.05), published.subject
    assert abs(found.largest_gap_pct) < 5


def test_sizes_before_the_code_follow_from_density_bits_and_codebook(found: DeepCompression) -> None:
    """By the paper's own columns: LeNet-5's conv1 keeps 66 % of 500 weights in 8 + 5 bits, and AlexNet's fc8
    25 % of 4,096,000 in 5 + 4; both count a whole codebook of 32-bit entries."""
    size = {c.published.subject: c.simulated for c in found.sizes}
    assert size["lenet5 conv1"] == pytest.approx(100 * (330 * 13 + 256 * 32) / (500 * 32), abs=0.6)
    padded = 1 + found.padding["alexnet fc8"]
    exact = 100 * (1_024_000 * padded * 9 + 32 * 32) / (4_096_000 * 32)
    assert size["alexnet fc8"] == pytest.approx(exact, abs=0.001)


def test_padding_is_that_of_zeros_spread_evenly(found: DeepCompression) -> None:
    assert found.expected_padding["alexnet fc6"] == pytest.approx(0.91**16 / (1 - 0.91**16))
    for subject in ("alexnet fc6", "alexnet fc7", "lenet5 ip1"):
        assert found.padding[subject] == pytest.approx(found.expected_padding[subject], rel=0.05)
    assert found.padding["alexnet conv3"] < 0.005


def test_bits_of_a_gap_agree_where_padding_is_rare_and_those_of_weights_are_told(
    found: DeepCompression,
) -> None:
    bits = {(c.published.subject, c.published.figure): c for c in found.coded_bits}
    for subject in ("alexnet conv1", "alexnet conv3", "lenet5 conv1", "vgg16 conv1_1", "alexnet fc8"):
        assert bits[subject, "index_bits_pqh"].simulated == pytest.approx(
            bits[subject, "index_bits_pqh"].published.value, rel=0.06
        )
    # Drawn weights are used more evenly than trained ones, which no figure hides.
    assert all(c.allowed is None for c in (*found.coded_sizes, *found.coded_bits))
    conv3 = bits["alexnet conv3", "weight_bits_pqh"]
    assert conv3.simulated == pytest.approx(found.tail_bits["normal"], rel=0.03)
    assert conv3.published.value < found.tail_bits["t"] < conv3.simulated - 1


def test_the_code_never_costs_more_than_it_saves_in_large_layers(found: DeepCompression) -> None:
    before = {c.published.subject: c.simulated for c in found.sizes}
    for comparison in found.coded_sizes:
        assert comparison.simulated < before[comparison.published.subject]


def test_every_published_row_is_used_but_those_left_out(found: DeepCompression) -> None:
    used = {(c.published.subject, c.published.figure) for _, section in found.sections for c in section}
    unused = {subject for subject, figure in set(deep_compression_published()) - used}
    assert unused == {"vgg16 fc6", "vgg16 fc7"}
