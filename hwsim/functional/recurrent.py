"""Recurrent operators as the machine computes them: step by step along the tiles of the Program, the products
of a step as the array makes them, and then the gates and the new state on the activation unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.functional.functions import apply_binary, apply_unary
from hwsim.functional.locate import Place
from hwsim.functional.numbers import Stored
from hwsim.functional.products import CACHED_BYTES, Executed, ProductRun
from hwsim.functional.recurrent_numbers import Steps
from hwsim.functional.step_walk import StepWalk
from hwsim.functional.walk import NOTHING
from hwsim.plan.mapping import StepMapping
from hwsim.tensor.encoding import Float64Array
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload.operators import Matmul, Operator, Recurrent


@dataclass(frozen=True, eq=False)
class ExecutedSteps:
    """The states after all steps, and the cells of an LSTM (zeros of others), [T, N, H] as they are kept."""

    states: Executed
    cells: Array


class StepRun:
    """One recurrent operator on the array and the activation unit."""

    def __init__(self, p: Steps, mapping: StepMapping, walk: StepWalk, accumulator_bits: int) -> None:
        self.p = p
        self.mapping = mapping
        self.walk = walk
        problem = p.problem
        shape = (problem.N, problem.H)
        # What is stored after each step, behind the zero that the first one finds.
        self.states = np.repeat(p.out.store(np.zeros((1, *shape))), problem.T + 1, axis=0)
        self.cells = np.repeat(p.cell.store(np.zeros((1, *shape))), problem.T + 1, axis=0)
        self.written = np.zeros((problem.T, *shape), dtype=np.uint8)
        self.runs = [self._product(i, accumulator_bits) for i in range(len(p.weights))]
        # One width for all products: a stale block of another one may be as wide as that one needs.
        self.compute = np.result_type(*(run.compute for run in self.runs))
        # Blocks are used again in every step, and kept as they are multiplied where all have room.
        elements = sum(weights.values.size for weights in p.weights)
        self._caches = elements * np.dtype(self.compute).itemsize <= CACHED_BYTES
        self._blocks: dict[tuple[int, ...], Array] = {}

    def _product(self, index: int, accumulator_bits: int) -> ProductRun:
        p, one = self.p, self.mapping.products[index]
        source = p.out if index == len(p.weights) - 1 else p.x.encoding
        op = Operator(
            p.op.name,
            Matmul(1, one.m, one.n, one.k),
            p.op.inputs[:2],
            p.op.output,
            attributes=(("trans_b", True),),
        )
        nothing = Stored(np.zeros((one.m, one.k), dtype=p.x.values.dtype), source)
        bias = p.biases[index] if self.walk.tiles.constants_arrive else np.zeros_like(p.biases[index])
        return ProductRun(op, one, nothing, p.weights[index], p.out, bias, p.drains[index], accumulator_bits)

    def run(self) -> ExecutedSteps:
        """Execute all tiles in order."""
        walk, boxes = self.walk.tiles, self.walk.tiles.boxes.tolist()
        parts = self._no_sums()
        sums: Array | None = None
        for i, (which, m0, m1, n0, n1, k0, k1) in enumerate(boxes):
            step, product = divmod(which, len(self.runs))
            run = self.runs[product]
            run.feed(self._operand(step, product))
            extent = (m1 - m0, n1 - n0)
            if sums is None or walk.opens[i] or sums.shape != extent:
                sums = run.new_sums(extent, cleared=bool(walk.opens[i]))
            run.add(sums, self._rows(i, (m0, m1), (k0, k1)) @ self._block(i, k1 - k0, n1 - n0))
            if walk.drains[i]:
                parts[product].reals[m0:m1, n0:n1] = run.linear(sums, 0, (m0, m1), (n0, n1))
                parts[product].left[m0:m1, n0:n1] += 1
            if walk.loses[i]:
                sums = None
            if (i + 1) % self.mapping.step_tiles == 0:
                self._update(step, parts)
                parts = self._no_sums()
        stored = Executed(self.states[1:], self.written)
        return ExecutedSteps(stored, self.cells[1:])

    # -- operands --------------------------------------------------------------------------------------

    def _operand(self, step: int, product: int) -> Array:
        """What a step multiplies: the state that it finds, or its input."""
        if product == len(self.runs) - 1:
            found: Array = self.states[self.walk.states_from[step] + 1]
            return found
        return self._given(step)

    def _given(self, step: int) -> Array:
        source = self.walk.inputs_from[step]
        x: Array = self.p.x.values
        return np.zeros_like(x[0]) if source == NOTHING else x[source]

    def _rows(self, tile: int, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """The rows that a tile multiplies, or the block of them that the array holds."""
        walk = self.walk.tiles
        count, depth = rows[1] - rows[0], columns[1] - columns[0]
        source = int(walk.rows_from[tile]) if walk.holds_rows else tile
        found = np.zeros((count, depth), dtype=self.compute)
        if source == NOTHING:
            return found
        which, m0, m1, _, _, k0, k1 = (int(part) for part in walk.boxes[source])
        there = self._operand(*divmod(which, len(self.runs)))[m0:m1, k0:k1][:count, :depth]
        found[: there.shape[0], : there.shape[1]] = there
        return found

    def _block(self, tile: int, depth: int, width: int) -> Array:
        """What the array holds of the weights, where depth x width of it are used."""
        source = int(self.walk.tiles.block_from[tile])
        found = np.zeros((depth, width), dtype=self.compute)
        if source == NOTHING:
            return found
        which, _, _, n0, n1, k0, k1 = (int(part) for part in self.walk.tiles.boxes[source])
        product = which % len(self.runs)
        key = (product, k0, k1, n0, n1)
        if key in self._blocks and (k1 - k0, n1 - n0) == (depth, width):
            return self._blocks[key]
        there = self.runs[product].block(0, k0, k1, n0, n1)[:depth, :width]
        found[: there.shape[0], : there.shape[1]] = there
        if self._caches and (k1 - k0, n1 - n0) == (depth, width):
            self._blocks[key] = found
        return found

    # -- the activation unit -----------------------------------------------------------------------------

    def _no_sums(self) -> list[_Part]:
        return [
            _Part(np.full((one.m, one.n), np.nan), np.zeros((one.m, one.n), dtype=np.uint8))
            for one in self.mapping.products
        ]

    def _update(self, step: int, parts: list[_Part]) -> None:
        """The gates of a step from what left the accumulators, and the state they make."""
        p, problem = self.p, self.p.problem
        shape = (problem.N, problem.gates, problem.H)
        if problem.I:
            given = parts[0].reals.reshape(shape)
        else:
            x = Stored(self._given(step), p.x.encoding).reals
            given = np.broadcast_to(x.reshape(problem.N, -1, problem.H), shape)
        found = self.walk.states_from[step] + 1
        state, cell = p.out.reals(self.states[found]), p.cell.reals(self.cells[found])
        sums = parts[-1].reals.reshape(shape)
        if problem.cell == "lstm":
            self.cells[step + 1] = p.cell.store(_new_cell(given, sums, cell))
            kept = _squashed("tanh", p.cell.reals(self.cells[step + 1]))
            made = apply_binary("mul", _squashed("sigmoid", given[:, 1] + sums[:, 1]), kept)
        else:
            made = _new_state(problem, given, sums, state)
        self.states[step + 1] = p.out.store(made)
        times = np.stack([part.left.reshape(shape) for part in parts])
        once = times.min(axis=(0, 2)) > 0
        if self.walk.stores[step]:
            self.written[step] += np.where(once, times.max(axis=(0, 2)), 0).astype(np.uint8)

    # -- where it went wrong -----------------------------------------------------------------------------

    def locate(self, index: Shape) -> Place:
        """Why the state at (step, sequence, unit) is wrong."""
        step, row, unit = index
        walk, size = self.walk.tiles, self.mapping.step_tiles
        first, end = step * size, (step + 1) * size
        if walk.tiles < end:
            return Place(None, "compute", f"step {step} of {self.mapping.steps} has not all its tiles")
        columns = [gate * self.p.problem.H + unit for gate in range(self.p.problem.gates)]
        for tile in range(first, end):
            which, m0, m1, n0, n1, *_ = (int(part) for part in walk.boxes[tile])
            if m0 <= row < m1 and any(n0 <= column < n1 for column in columns):
                fault = self._fault(tile, step, which % len(self.runs))
                if fault is not None:
                    return fault
        if self.walk.inputs_from[step] != step:
            return Place(first, "load", f"the input of step {step} has not come")
        if not self.walk.stores[step]:
            return Place(end - 1, "store", f"the state after step {step} is never written to memory")
        if not walk.constants_arrive:
            return Place(first, "weights", "its bias is never fetched")
        return Place(end - 1, "drain", f"the gates of step {step}, or the state they make, are not right")

    def _fault(self, tile: int, step: int, product: int) -> Place | None:
        """What is wrong about the tile's part of the schedule."""
        walk = self.walk.tiles
        batch = len(self.runs)
        if product == batch - 1 and self.walk.states_from[step] != step - 1:
            return Place(tile, "compute", f"step {step} reads a state that step {step - 1} has not finished")
        source = int(walk.block_from[tile])
        box = walk.boxes[tile]
        if source == NOTHING:
            return Place(tile, "weights", "no block of weights has arrived")
        other = walk.boxes[source]
        if other[0] % batch != product or (other[3:] != box[3:]).any():
            return Place(tile, "weights", f"it multiplies the stale block of tile {source} of this operator")
        if walk.holds_rows and (walk.rows_from[tile] == NOTHING or (
            walk.boxes[walk.rows_from[tile]][[0, 1, 2, 5, 6]] != box[[0, 1, 2, 5, 6]]
        ).any()):  # fmt: skip
            return Place(tile, "shift", "it multiplies stale rows")
        same = np.flatnonzero((walk.boxes[:, :5] == box[:5]).all(axis=1))
        if bool(walk.opens[tile]) != (tile == same[0]):
            return Place(tile, "compute", "its sums do not begin where they must")
        if bool(walk.drains[tile]) != (tile == same[-1]):
            return Place(tile, "drain", "its sums do not leave where they must")
        return None


@dataclass(eq=False)
class _Part:
    """Of one product of a step: what its sums stand for, [N, gates H], and how often each left."""

    reals: Float64Array
    left: Array


def _squashed(function: str, reals: Float64Array) -> Float64Array:
    return apply_unary(function, (), reals)


def _new_cell(given: Float64Array, sums: Float64Array, cell: Float64Array) -> Float64Array:
    """f c' + i g of an LSTM, with gates i o f c along the second axis."""
    total = given + sums
    gates = _squashed("sigmoid", total[:, [0, 2]])
    kept = apply_binary("mul", gates[:, 1], cell)
    return apply_binary("add", kept, apply_binary("mul", gates[:, 0], _squashed("tanh", total[:, 3])))


def _new_state(
    problem: Recurrent, given: Float64Array, sums: Float64Array, state: Float64Array
) -> Float64Array:
    """Of an RNN, or of a GRU with gates z r h: n + z (h' - n)."""
    if problem.cell == "rnn":
        return _squashed(problem.function, given[:, 0] + sums[:, 0])
    gates = _squashed("sigmoid", given[:, :2] + sums[:, :2])
    new = _squashed("tanh", given[:, 2] + gates[:, 1] * sums[:, 2])
    return apply_binary("add", new, apply_binary("mul", gates[:, 0], state - new))
