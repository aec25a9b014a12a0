"""A recurrent operator's results beside the reference's. Each step is compared on the state that the step
before it left in the machine, so that differences of floats do not pile up from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.functional import reference
from hwsim.functional.check import Expected, rounded, to_integers
from hwsim.functional.numbers import Stored
from hwsim.functional.recurrent_numbers import Left, Steps
from hwsim.functional.reference_recurrent import (
    Meeting,
    begin,
    begin_errors,
    finish,
    finish_errors,
    in_places,
)
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import Matmul

CHUNK = 2**22  # sums of gates looked at together


@dataclass(frozen=True, eq=False)
class ExpectedSteps:
    """What must be there: the result at its places, and of an LSTM's steps cells, and what is multiplied once
    more, where there are any."""

    result: Expected
    cells: Expected | None
    hidden: Expected | None


def expect_steps(p: Steps, left: Left, tiles_deep: tuple[int, ...]) -> ExpectedSteps:
    """What must be stored after every step, given what the machine stored before. `tiles_deep` is how many
    tiles the sums of each product are cut into."""
    state, cell = _begins(p)
    before = Left(_before(left.states, state), _before(left.cells, cell), left.hidden)
    some = max(1, CHUNK // (p.problem.N * p.problem.H * p.problem.gates))
    parts = [
        _expect(p, slice(first, first + some), before, left.cells, tiles_deep)
        for first in range(0, p.problem.T, some)
    ]
    states, cells, hidden = (_joined(found) for found in zip(*parts, strict=True))
    last = rounded_or_exact(p.cell.reals(left.cells[-1:]), p.out) if p.problem.keeps_cell else None
    return ExpectedSteps(
        _placed(p, states, last),
        cells if p.problem.cell == "lstm" else None,
        hidden if p.problem.products[-1][0] == "hidden" else None,
    )


def _expect(
    p: Steps, steps: slice, before: Left, made: Array, tiles_deep: tuple[int, ...]
) -> tuple[Expected, Expected, Expected]:
    """States, cells and hidden of some steps, all at once: `before` are states and cells that each step of
    the operator finds, `made` the cells after it."""
    problem = p.problem
    kept = p.cell.reals(made[steps])
    met, off_given, off_sums = _meeting(p, steps, before, tiles_deep)
    new, new_cell = begin(problem, met, lambda _: kept)
    off_new, off_cell = begin_errors(problem, met, off_given, off_sums, kept)
    cells = _expected(new_cell, off_cell, p.cell)
    if problem.products[-1][0] != "hidden":
        return _expected(new, off_new, p.out), cells, cells
    hidden = _expected(new, off_new, p.hidden)
    late, off_late = _sums(p, -1, Stored(before.hidden[steps], p.hidden), tiles_deep[-1])
    state = finish(problem, met, late)
    off_state = finish_errors(problem, met, late, off_given, off_sums, off_late)
    return _expected(state, off_state, p.out), cells, hidden


def _meeting(
    p: Steps, steps: slice, before: Left, tiles_deep: tuple[int, ...], wrapped_bits: int = 0
) -> tuple[Meeting, Float64Array, Float64Array]:
    """What the gates of some steps are made from, and how far its sums may be off."""
    whats = [what for what, _, _ in p.problem.products]
    x = Stored((p.x.values[::-1] if p.problem.reverse else p.x.values)[steps], p.x.encoding)
    given, off_given = x.reals, np.zeros(x.values.shape)
    if "input" in whats:
        given, off_given = _sums(p, 0, x, tiles_deep[0], wrapped_bits)
    at = whats.index("state")
    sums, off_sums = _sums(p, at, Stored(before.states[steps], p.out), tiles_deep[at], wrapped_bits)
    state, cell = p.out.reals(before.states[steps]), p.cell.reals(before.cells[steps])
    return Meeting(given, sums, state, cell, p.peepholes), off_given, off_sums


def _expected(reals: Float64Array, off: Float64Array, of: Encoding) -> Expected:
    return rounded(reals, off, of) if of.is_float else Expected(to_integers(reals, of), None)


def rounded_or_exact(reals: Float64Array, of: Encoding) -> Expected:
    """Reals that are exactly known, stored anew."""
    return _expected(reals, np.zeros_like(reals), of)


def _placed(p: Steps, states: Expected, last_cell: Expected | None) -> Expected:
    """States by step, and perhaps the last cell, as the result has them."""
    nothing = np.zeros(states.values.shape[1:])

    def placed(of: Float64Array, cell: Float64Array | None) -> Float64Array:
        return in_places(p.problem, of, nothing if cell is None else cell[0])

    values = placed(states.values, None if last_cell is None else last_cell.values)
    if states.bound is None:
        return Expected(values, None)
    return Expected(values, placed(states.bound, None if last_cell is None else last_cell.bound))


def _joined(parts: Sequence[Expected]) -> Expected:
    bounds = [part.bound for part in parts if part.bound is not None]
    values = np.concatenate([part.values for part in parts])
    return Expected(values, np.concatenate(bounds) if bounds else None)


def alone(p: Steps, wrapped_bits: int) -> Float64Array:
    """The result by the reference's arithmetic alone: stored integers (sums wrap at so many bits), or floats,
    each rounded."""
    problem = p.problem
    state, cell = _begins(p)
    found, deep = np.empty((problem.T, problem.N, problem.S)), (1,) * len(problem.products)
    for step in range(problem.T):
        before = Left(state[None], cell[None], cell[None])
        here = _one_step(p, step)
        met, _, _ = _meeting(here, slice(None), before, deep, wrapped_bits)
        stored: list[Array] = []

        def keep(reals: Float64Array, into: list[Array] = stored) -> Float64Array:
            into.append(_stored(reals, p.cell))
            return p.cell.reals(into[0])

        new, _ = begin(problem, met, keep)
        cell = stored[0][0] if stored else cell
        if problem.products[-1][0] == "hidden":
            late, _ = _sums(p, -1, Stored(_stored(new, p.hidden), p.hidden), 1, wrapped_bits)
            new = finish(problem, met, late)
        state = _stored(new, p.out)[0]
        found[step] = state
    last = _stored(p.cell.reals(cell), p.out) if problem.keeps_cell else np.zeros(state.shape)
    return in_places(problem, found, np.asarray(last, dtype=np.float64))


def _one_step(p: Steps, step: int) -> Steps:
    """The operator with the input of one of its steps alone."""
    at = p.problem.T - 1 - step if p.problem.reverse else step
    return replace(p, x=Stored(p.x.values[at : at + 1], p.x.encoding))


def _begins(p: Steps) -> tuple[Array, Array]:
    """State and cell before the first step as they are stored there: what comes stored anew, or zeros."""
    shapes = ((p.state, p.out, p.problem.S), (p.cell_before, p.cell, p.problem.H))
    state, cell = (
        of.store(np.zeros((p.problem.N, size)))
        if given is None
        else np.asarray(_stored(given.reals.reshape(p.problem.N, size), of))
        for given, of, size in shapes
    )
    return state, cell


def _stored(reals: Float64Array, of: Encoding) -> Array:
    return of.store(reals) if of.is_float else to_integers(reals, of)


def _before(values: Array, first: Array) -> Array:
    """What was stored before every step: what steps begin with, and then what they left."""
    return np.concatenate([first[None].astype(values.dtype), values[:-1]])


def _sums(
    p: Steps, product: int, left: Stored, tiles_deep: int, wrapped_bits: int = 0
) -> tuple[Float64Array, Float64Array]:
    """Product number `product` of all steps at once with its bias, [T, N, rows] in reals, and how far fp32
    sums may be off."""
    right, drain, bias = p.weights[product], p.drains[product], p.biases[product]
    steps, batch, depth = left.values.shape
    problem = Matmul(1, steps * batch, p.problem.products[product][1], depth)
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
