"""Factorisations of weights, in numpy: SVD, Tucker-2, CP, and spatial separation. No networks here.

A weight is [outputs, inputs, height, width] of one group of channels (a linear layer's is 1 x 1). Factors are
in float64, each in the shape of the layer that it becomes, and scaled alike, so that none needs more bits
than the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hwsim.arrays import Float64Array

SWEEPS_TUCKER = 20
SWEEPS_CP = 200
TOLERANCE = 1e-4  # a sweep that takes less off the error that is left ends the iteration
ROUNDING = 1e-14  # of the squared size of a weight: what is left of it when the fit is exact


def kept_rank(spectra: Sequence[Float64Array], energy: float) -> int:
    """The least rank whose largest squared singular values make up `energy` of their sum, over the spectra of
    all groups together; 1 at least. `spectra` hold squared singular values, in falling order."""
    total = np.sum(spectra, axis=0)
    reached = np.cumsum(total)
    # A share of 1 must not ask for singular values that are rounding alone.
    enough = reached >= energy * reached[-1] * (1 - 1e-14)
    return int(np.argmax(enough)) + 1


def spectrum(matrix: Float64Array) -> Float64Array:
    """Squared singular values of a matrix, in falling order: the eigenvalues of its smaller Gram matrix,
    since a decomposition of the matrix itself would take minutes for the largest layers."""
    values = np.linalg.eigvalsh(_smaller_gram(matrix))[::-1]
    found: Float64Array = np.maximum(values, 0.0)
    return found


def factor_matrix(matrix: Float64Array, rank: int) -> tuple[Float64Array, Float64Array]:
    """(left, right) of [rows, rank] and [rank, columns]: the nearest product of that rank in the Frobenius
    norm (Eckart & Young, Psychometrika 1936), which is the projection onto the leading singular vectors."""
    if matrix.shape[0] > matrix.shape[1]:
        right, left = factor_matrix(matrix.T, rank)
        return left.T, right.T
    basis = leading(matrix, rank)
    rest = basis.T @ matrix
    root = np.sqrt(np.linalg.norm(rest, axis=1))
    return basis * root, np.divide(rest, root[:, None], out=np.zeros_like(rest), where=root[:, None] > 0)


def leading(matrix: Float64Array, rank: int) -> Float64Array:
    """[rows, rank]: an orthonormal basis of the leading left singular vectors of a wide matrix."""
    _, vectors = np.linalg.eigh(matrix @ matrix.T)
    return np.ascontiguousarray(vectors[:, ::-1][:, :rank])


def _smaller_gram(matrix: Float64Array) -> Float64Array:
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    found: Float64Array = wide @ wide.T
    return found


# -- spatial separation ------------------------------------------------------------------------------------


def unfold_space(weight: Float64Array) -> Float64Array:
    """[inputs height, outputs width]: rows are what a column filter sees, columns what a row filter makes."""
    outputs, inputs, height, width = weight.shape
    return weight.transpose(1, 2, 0, 3).reshape(inputs * height, outputs * width)


def separate(weight: Float64Array, rank: int) -> tuple[Float64Array, Float64Array]:
    """Vertical [rank, inputs, height, 1] and horizontal [outputs, rank, 1, width] filters: scheme 2 of
    Jaderberg et al., "Speeding up convolutional neural networks with low rank expansions", BMVC 2014. Their
    product is the unfolded weight, so the best of that rank is exact: its truncated SVD."""
    outputs, inputs, height, width = weight.shape
    left, right = factor_matrix(unfold_space(weight), rank)
    vertical = left.T.reshape(rank, inputs, height, 1)
    horizontal = right.reshape(rank, outputs, 1, width).transpose(1, 0, 2, 3)
    return vertical, horizontal


# -- Tucker-2 ----------------------------------------------------------------------------------------------


def channel_spectra(weight: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Squared singular values of the unfoldings along inputs, and along outputs."""
    return spectrum(_along_inputs(weight)), spectrum(_along_outputs(weight))


def factor_tucker(
    weight: Float64Array, rank_in: int, rank_out: int
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Filters [rank_in, inputs, 1, 1], core [rank_out, rank_in, height, width] and [outputs, rank_out, 1, 1]
    of a Tucker-2 decomposition (Kim et al., "Compression of deep convolutional neural networks for fast and
    low power mobile applications", ICLR 2016, eq. 3), by the higher-order SVD and then alternating steps (De
    Lathauwer, De Moor & Vandewalle, SIAM J. Matrix Anal. Appl. 2000, both)."""
    _, _, height, width = weight.shape
    basis_in = leading(_along_inputs(weight), rank_in)
    size, before = float(np.sum(weight**2)), math.inf
    for _ in range(SWEEPS_TUCKER):
        seen = np.einsum("kchw,ci->kihw", weight, basis_in, optimize=True)
        basis_out = leading(_along_outputs(seen), rank_out)
        made = np.einsum("kchw,ko->ochw", weight, basis_out, optimize=True)
        basis_in = leading(_along_inputs(made), rank_in)
        core = np.einsum("ochw,ci->oihw", made, basis_in, optimize=True)
        error = size - float(np.sum(core**2))  # bases are orthonormal
        if before - error <= TOLERANCE * error or error <= ROUNDING * size:
            break
        before = error
    # Bases are orthonormal, with entries of about 1 / sqrt(their length): even the three factors out.
    scale = float(np.sqrt(np.mean(core**2))) or 1.0
    size_in, size_out = (1 / math.sqrt(len(basis)) for basis in (basis_in, basis_out))
    mean = (scale * size_in * size_out) ** (1 / 3)
    return (
        (basis_in.T * (mean / size_in))[:, :, None, None],
        (core * (mean / scale)).reshape(rank_out, rank_in, height, width),
        (basis_out * (mean / size_out))[:, :, None, None],
    )


def _along_inputs(weight: Float64Array) -> Float64Array:
    return weight.transpose(1, 0, 2, 3).reshape(weight.shape[1], -1)


def _along_outputs(weight: Float64Array) -> Float64Array:
    return weight.reshape(weight.shape[0], -1)


# -- CP ----------------------------------------------------------------------------------------------------


def factor_cp(
    weight: Float64Array, rank: int, seed: Sequence[int]
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Filters [rank, inputs, 1, 1], [rank, 1, height, 1], [rank, 1, 1, width] and [outputs, rank, 1, 1] of a
    canonical polyadic decomposition (Lebedev et al., "Speeding-up convolutional neural networks using
    fine-tuned CP-decomposition", ICLR 2015), by alternating least squares from a seeded normal start (Kolda &
    Bader, SIAM Review 2009, sec. 3.4). At the largest rank that can be needed, all dimensions but the
    largest multiplied, one term for each of their elements is exact, and nothing is iterated."""
    if rank == cp_limit(weight.shape):
        parts = _cp_exact(weight)
    else:
        parts = _cp_least_squares(weight, rank, np.random.default_rng(list(seed)))
    outputs, inputs, height, width = _evened(parts)
    return (
        inputs.T[:, :, None, None],
        height.T[:, None, :, None],
        width.T[:, None, None, :],
        outputs[:, :, None, None],
    )


def cp_limit(shape: Sequence[int]) -> int:
    """A rank with which every tensor of the shape can be written: its dimensions but the largest."""
    return math.prod(shape) // max(shape)


def _cp_exact(weight: Float64Array) -> list[Float64Array]:
    """One term for each element of the dimensions but the largest: unit vectors, and the fibre there."""
    largest = int(np.argmax(weight.shape))
    rest = [size for axis, size in enumerate(weight.shape) if axis != largest]
    places = np.unravel_index(np.arange(math.prod(rest)), rest)
    units = [np.eye(size)[:, place] for size, place in zip(rest, places, strict=True)]
    units.insert(largest, np.moveaxis(weight, largest, 0).reshape(weight.shape[largest], -1))
    return units


def _cp_least_squares(weight: Float64Array, rank: int, draw: np.random.Generator) -> list[Float64Array]:
    """[outputs, rank], [inputs, rank], [height, rank], [width, rank]. Outputs are contracted once a sweep,
    and the other three solved from what is left, so that a sweep costs two passes over the weight."""
    outputs, inputs, height, width = weight.shape
    k, c, r, s = (draw.standard_normal((size, rank)) for size in weight.shape)
    flat = weight.reshape(outputs, -1)
    size = float(np.sum(flat**2))
    before = math.inf
    for _ in range(SWEEPS_CP):
        columns = np.einsum("cf,rf,sf->crsf", c, r, s).reshape(-1, rank)
        k = _solved(flat @ columns, c, r, s)
        left = (flat.T @ k).reshape(inputs, height, width, rank)
        c = _solved(np.einsum("crsf,rf,sf->cf", left, r, s, optimize=True), k, r, s)
        plane = np.einsum("crsf,cf->rsf", left, c, optimize=True)
        r = _solved(np.einsum("rsf,sf->rf", plane, s), k, c, s)
        seen = np.einsum("rsf,rf->sf", plane, r)
        s = _solved(seen, k, c, r)
        error = size - 2 * float(np.sum(seen * s)) + float(np.sum(_gram(k, c, r, s)))
        if before - error <= TOLERANCE * error or error <= ROUNDING * size:
            break
        before = error
        k, c, r, s = _evened([k, c, r, s])
    return [k, c, r, s]


def _gram(*parts: Float64Array) -> Float64Array:
    """Inner products of the terms that the factors make, [rank, rank]."""
    found = parts[0].T @ parts[0]
    for part in parts[1:]:
        found = found * (part.T @ part)
    return found


def _solved(right: Float64Array, *others: Float64Array) -> Float64Array:
    """The least-squares factor, given the others and the weight contracted with them."""
    found: Float64Array = right @ np.linalg.pinv(_gram(*others), hermitian=True)
    return found


def _evened(parts: Sequence[Float64Array]) -> list[Float64Array]:
    """The same terms, with the size of each shared out evenly over its factors."""
    sizes = [np.linalg.norm(part, axis=0) for part in parts]
    mean = np.prod(sizes, axis=0) ** (1 / len(parts))
    return [
        part * np.divide(mean, size, out=np.zeros_like(size), where=size > 0)
        for part, size in zip(parts, sizes, strict=True)
    ]
