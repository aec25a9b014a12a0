"""Factorisations: exact at full rank, the best at any other, and found again where they were put in."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.arrays import Float64Array
from hwsim.compress import factors


def drawn(*shape: int) -> Float64Array:
    return np.random.default_rng(3).standard_normal(shape)


def error(found: Float64Array, wanted: Float64Array) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("shape", [(9, 20), (20, 9), (7, 7)])
@pytest.mark.parametrize("rank", [1, 4, 7])
def test_a_matrix_loses_what_its_smaller_singular_values_hold_and_no_more(
    shape: tuple[int, int], rank: int
) -> None:
    matrix = drawn(*shape)
    left, right = factors.factor_matrix(matrix, rank)
    assert (left.shape, right.shape) == ((shape[0], rank), (rank, shape[1]))
    lost = np.linalg.svd(matrix, compute_uv=False)[rank:]
    assert np.linalg.norm(left @ right - matrix) == pytest.approx(np.linalg.norm(lost), abs=1e-12)
    # Both factors carry the singular values in equal parts.
    np.testing.assert_allclose(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=1))


def test_a_matrix_of_zeros_has_factors_of_zeros() -> None:
    left, right = factors.factor_matrix(np.zeros((3, 5)), 2)
    assert not (left @ right).any()


def test_the_spectrum_is_that_of_the_singular_values() -> None:
    for shape in ((4, 30), (30, 4)):
        matrix = drawn(*shape)
        np.testing.assert_allclose(
            factors.spectrum(matrix), np.linalg.svd(matrix, compute_uv=False) ** 2, rtol=1e-10
        )


def test_ranks_keep_the_energy_of_all_groups_together() -> None:
    # 16 + 9, 4 + 1: shares 25 of 30 at rank 1 ... of one spectrum 20, 10 of 30.
    assert factors.kept_rank([np.array([16.0, 9.0]), np.array([4.0, 1.0])], 20 / 30) == 1
    assert factors.kept_rank([np.array([16.0, 9.0]), np.array([4.0, 1.0])], 0.67) == 2
    assert factors.kept_rank([np.array([4.0, 0.0, 0.0])], 1.0) == 1
    assert factors.kept_rank([np.zeros(3)], 0.5) == 1


def test_separable_filters_are_the_best_of_their_rank() -> None:
    weight = drawn(5, 4, 3, 2)
    vertical, horizontal = factors.separate(weight, 6)
    assert (vertical.shape, horizontal.shape) == ((6, 4, 3, 1), (5, 6, 1, 2))
    rebuilt = np.einsum("kms,mcr->kcrs", horizontal[:, :, 0], vertical[..., 0])
    lost = np.linalg.svd(weight.transpose(1, 2, 0, 3).reshape(12, 10), compute_uv=False)[6:]
    assert np.linalg.norm(rebuilt - weight) == pytest.approx(np.linalg.norm(lost))


def tucker(parts: tuple[Float64Array, ...]) -> Float64Array:
    before, core, after = parts
    return np.einsum("ko,oirs,ic->kcrs", after[:, :, 0, 0], core, before[:, :, 0, 0])


def test_tucker_finds_a_core_again_and_is_exact_at_full_rank() -> None:
    core = np.einsum("ko,oirs,ic->kcrs", drawn(12, 3), drawn(3, 4, 3, 3), drawn(4, 10))
    parts = factors.factor_tucker(core, 4, 3)
    assert [part.shape for part in parts] == [(4, 10, 1, 1), (3, 4, 3, 3), (12, 3, 1, 1)]
    assert error(tucker(parts), core) < 1e-12
    weight = drawn(12, 10, 3, 3)
    assert error(tucker(factors.factor_tucker(weight, 10, 12)), weight) < 1e-12


def test_alternating_steps_are_no_worse_than_the_higher_order_svd() -> None:
    weight = drawn(12, 10, 3, 3)
    found = error(tucker(factors.factor_tucker(weight, 3, 4)), weight)
    bases = [
        np.linalg.svd(unfolded)[0][:, :rank]
        for unfolded, rank in (
            (weight.transpose(1, 0, 2, 3).reshape(10, -1), 3), (weight.reshape(12, -1), 4),
        )
    ]  # fmt: skip
    projected = np.einsum("kcrs,ci,di,ko,lo->ldrs", weight, bases[0], bases[0], bases[1], bases[1])
    assert found < error(projected, weight)


def test_factors_of_tucker_are_of_one_size() -> None:
    parts = factors.factor_tucker(1e-3 * drawn(40, 30, 3, 3), 6, 5)
    sizes = [float(np.sqrt(np.mean(part**2))) for part in parts]
    assert max(sizes) / min(sizes) < 1.01


def cp(parts: tuple[Float64Array, ...]) -> Float64Array:
    before, high, wide, after = parts
    return np.einsum(
        "kf,fr,fs,fc->kcrs", after[:, :, 0, 0], high[:, 0, :, 0], wide[:, 0, 0, :], before[:, :, 0, 0]
    )


def test_cp_finds_terms_again() -> None:
    terms = np.split(drawn(20 + 16 + 3 + 3, 4), (20, 36, 39))
    weight = np.einsum("kf,cf,rf,sf->kcrs", *terms)
    parts = factors.factor_cp(weight, 4, (0,))
    assert [part.shape for part in parts] == [(4, 16, 1, 1), (4, 1, 3, 1), (4, 1, 1, 3), (20, 4, 1, 1)]
    assert error(cp(parts), weight) < 1e-6


def test_cp_takes_what_is_left_down_with_the_rank_and_is_exact_at_its_limit() -> None:
    weight = drawn(6, 5, 3, 2)
    errors = [error(cp(factors.factor_cp(weight, rank, (0,))), weight) for rank in (1, 4, 12, 30)]
    assert errors == sorted(errors, reverse=True)
    assert factors.cp_limit(weight.shape) == 30
    assert errors[-1] < 1e-14


def test_cp_is_the_same_for_a_seed_and_another_for_another() -> None:
    weight = drawn(6, 5, 3, 3)
    first, again, other = (factors.factor_cp(weight, 3, (seed,)) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
