"""A recurrent operator's results beside the reference's. Each step is compared on the state that the step
before it left in the machine, so that differences of floats do not pile up from step to step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.functional import reference
from hwsim.functional.check import Expected, rounded, to_integers
from hwsim.functional.numbers import Stored
from hwsim.functional.recurrent_numbers import Steps
from hwsim.functional.reference_recurrent import advance, errors
from hwsim.tensor.encoding import Encoding, Float64Array
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import Matmul

CHUNK = 2**22  # sums of gates looked at together


def expect_steps(
    p: Steps, states: Array, cells: Array, tiles_deep: tuple[int, ...]
) -> tuple[Expected, Expected]:
    """What states and cells [T, N, H] must be after every step, given those that the machine stored before.
    `tiles_deep` is how many tiles the sums of each product are cut into."""
    before, cells_before = (_before(values, of) for values, of in ((states, p.out), (cells, p.cell)))
    some = max(1, CHUNK // (p.problem.N * p.problem.H * p.problem.gates))
    parts = [
        _expect(p, slice(first, first + some), before, cells_before, cells, tiles_deep)
        for first in range(0, p.problem.T, some)
    ]
    return _joined([state for state, _ in parts]), _joined([cell for _, cell in parts])


def _expect(
    p: Steps, steps: slice, states: Array, cells: Array, made: Array, tiles_deep: tuple[int, ...]
) -> tuple[Expected, Expected]:
    """The same for some steps, all at once: `states` and `cells` are those before each step of the operator,
    `made` the cells after it."""
    kept = p.cell.reals(made[steps])
    sums, off = _sums(p, -1, Stored(states[steps], p.out), tiles_deep[-1])
    x = Stored(p.x.values[steps], p.x.encoding)
    given = x.reals
    if p.problem.I:
        given, off_given = _sums(p, 0, x, tiles_deep[0])
        off = off + off_given
    state, cell = p.out.reals(states[steps]), p.cell.reals(cells[steps])
    new, new_cell = advance(p.problem, given, sums, state, cell, lambda _: kept)
    if not p.out.is_float:
        return Expected(to_integers(new, p.out), None), Expected(to_integers(new_cell, p.cell), None)
    off_state, off_cell = errors(p.problem, given, sums, off, state, cell, kept)
    return rounded(new, off_state, p.out), rounded(new_cell, off_cell, p.cell)


def _joined(parts: Sequence[Expected]) -> Expected:
    bounds = [part.bound for part in parts if part.bound is not None]
    values = np.concatenate([part.values for part in parts])
    return Expected(values, np.concatenate(bounds) if bounds else None)


def alone(p: Steps, wrapped_bits: int) -> Float64Array:
    """The states after all steps, by the reference's arithmetic alone: stored integers (sums wrap at so many
    bits), or floats, each rounded."""
    problem, out = p.problem, p.out
    shape = (problem.N, problem.H)
    state, cell = (of.store(np.zeros(shape)) for of in (out, p.cell))
    found = np.empty((problem.T, *shape))
    for step in range(problem.T):
        x = Stored(p.x.values[step : step + 1], p.x.encoding)
        given = _sums(p, 0, x, 1, wrapped_bits)[0] if problem.I else x.reals
        sums, _ = _sums(p, -1, Stored(state[None], out), 1, wrapped_bits)
        stored: list[Array] = []

        def keep(reals: Float64Array, into: list[Array] = stored) -> Float64Array:
            into.append(_stored(reals, p.cell))
            return p.cell.reals(into[0])

        new, _ = advance(problem, given[0], sums[0], out.reals(state), p.cell.reals(cell), keep)
        state, cell = _stored(new, out), stored[0] if stored else cell
        found[step] = state
    return found


def _stored(reals: Float64Array, of: Encoding) -> Array:
    return of.store(reals) if of.is_float else to_integers(reals, of)


def _before(values: Array, of: Encoding) -> Array:
    """What was stored before every step: the zero that steps begin with, and then what steps left."""
    return np.concatenate([of.store(np.zeros((1, *values.shape[1:]))), values[:-1]])


def _sums(
    p: Steps, product: int, left: Stored, tiles_deep: int, wrapped_bits: int = 0
) -> tuple[Float64Array, Float64Array]:
    """Product number `product` of all steps at once with its bias, [T, N, gates H] in reals, and how far fp32
    sums may be off."""
    right, drain, bias = p.weights[product], p.drains[product], p.biases[product]
    steps, batch, depth = left.values.shape
    problem = Matmul(1, steps * batch, p.problem.gates * p.problem.H, depth)
    a, b = left.values.reshape(-1, depth), right.values
    if drain is not None:
        a = reference.whole_units(a, left.encoding.zero_points)
        b = reference.whole_units(b, right.encoding.along(right.encoding.zero_points, 2))
    sums = reference.multiply(problem, (("trans_b", True),), a, b)[0]
    off = np.zeros_like(sums)
    if drain is None:
        size = reference.multiply(problem, (("trans_b", True),), np.abs(a), np.abs(b))[0]
        off = reference.gamma(depth + tiles_deep, 2.0**-24) * size + depth * 2.0**-149
        reals = sums + bias
    else:
        assert np.abs(sums).max(initial=0.0) < reference.EXACT
        if wrapped_bits:
            sums = reference.wrapped(sums, wrapped_bits)
        reals = (sums + bias) * drain.sum_scales
    shape = (steps, batch, problem.N)
    return reals.reshape(shape), off.reshape(shape)
