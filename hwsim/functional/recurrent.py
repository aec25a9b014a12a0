"""Recurrent operators as the machine computes them: step by step along the tiles of the Program, the products
of a step as the array makes them, and then the gates and the new state on the activation unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.functional.functions import apply_binary, apply_unary
from hwsim.functional.locate import Place
from hwsim.functional.numbers import Stored
from hwsim.functional.products import CACHED_BYTES, Executed, ProductRun
from hwsim.functional.recurrent_numbers import Left, Steps
from hwsim.functional.step_walk import StepWalk
from hwsim.functional.walk import NOTHING
from hwsim.plan.mapping import StepMapping
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload.operators import Matmul, Operator, Recurrent


@dataclass(frozen=True, eq=False)
class ExecutedSteps:
    """The result at its places, and what every step left: states [T, N, S], cells of an LSTM and what gates
    made for one more product [T, N, H] (zeros of others), as they are kept."""

    result: Executed
    left: Left


class StepRun:
    """One recurrent operator on the array and the activation unit."""

    def __init__(self, p: Steps, mapping: StepMapping, walk: StepWalk, accumulator_bits: int) -> None:
        self.p = p
        self.mapping = mapping
        self.walk = walk
        problem = p.problem
        self.whats = [what for what, _, _ in problem.products]
        # What is stored after each step, behind what the first one finds.
        self.states = self._steps_behind(p.state, p.out, problem.S)
        self.cells = self._steps_behind(p.cell_before, p.cell, problem.H)
        self.hidden = self._steps_behind(None, p.hidden, problem.H)
        self.written = np.zeros((problem.T, problem.N, problem.S), dtype=np.uint8)
        self.runs = [self._product(i, accumulator_bits) for i in range(len(p.weights))]
        # One width for all products: a stale block of another one may be as wide as that one needs.
        self.compute = np.result_type(*(run.compute for run in self.runs))
        # Blocks are used again in every step, and kept as they are multiplied where all have room.
        elements = sum(weights.values.size for weights in p.weights)
        self._caches = elements * np.dtype(self.compute).itemsize <= CACHED_BYTES
        self._blocks: dict[tuple[int, ...], Array] = {}

    def _steps_behind(self, given: Stored | None, of: Encoding, size: int) -> Array:
        """(T + 1, N, size): what the first step finds, given or zero where none came, and room for what steps
        leave."""
        problem = self.p.problem
        shape = (1, problem.N, size)
        came = given is not None and self.walk.tiles.constants_arrive
        first = given.reals.reshape(shape) if came and given is not None else np.zeros(shape)
        return np.repeat(of.store(first), problem.T + 1, axis=0)

    def _product(self, index: int, accumulator_bits: int) -> ProductRun:
        p, one = self.p, self.mapping.products[index]
        source = p.sources[index]
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
        gates_end = sum(one.tiles for one in self.mapping.products[: self.whats.index("state") + 1])
        gates_end %= self.mapping.step_tiles
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
            done = (i + 1) % self.mapping.step_tiles
            if done == gates_end:
                self._gates(step, parts)
            if done == 0:
                if "hidden" in self.whats:
                    self.states[step + 1] = self.p.out.store(self._finished(step, parts))
                self._note_written(step, parts)
                parts = self._no_sums()
        return ExecutedSteps(self._result(), Left(self.states[1:], self.cells[1:], self.hidden[1:]))

    def _result(self) -> Executed:
        """States at the places of the sequence, and perhaps the last cell behind them."""
        p, states, written = self.p, self.states[1:], self.written
        if p.problem.reverse:
            states, written = states[::-1], written[::-1]
        if p.problem.keeps_cell:
            last = p.out.store(p.cell.reals(self.cells[-1:]))
            states = np.concatenate([states, last])
            there = np.full((1, *written.shape[1:]), self.walk.stores_cell, dtype=np.uint8)
            written = np.concatenate([written, there])
        return Executed(states, written)

    # -- operands --------------------------------------------------------------------------------------

    def _operand(self, step: int, product: int) -> Array:
        """What a step multiplies: its input, the state that it finds, or what its gates made."""
        what = self.whats[product]
        if what == "input":
            return self._given(step)
        found: Array = (
            self.states[self.walk.states_from[step] + 1]
            if what == "state"
            else self.hidden[self.walk.hidden_from[step] + 1]
        )
        return found

    def _given(self, step: int) -> Array:
        source = self.walk.inputs_from[step]
        x: Array = self.p.x.values
        place = self.p.problem.T - 1 - source if self.p.problem.reverse else source
        return np.zeros_like(x[0]) if source == NOTHING else x[place]

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

    def _met(self, step: int, parts: list[_Part]) -> tuple[Float64Array, Float64Array, Float64Array]:
        """What gates are made from: [N, gates, H] from the input, as many or fewer from the state, and the
        state."""
        p, problem = self.p, self.p.problem
        if problem.I:
            given = parts[0].reals.reshape(problem.N, problem.gates, problem.H)
        else:
            x = Stored(self._given(step), p.x.encoding).reals
            given = np.broadcast_to(
                x.reshape(problem.N, -1, problem.H), (problem.N, problem.gates, problem.H)
            )
        sums = parts[self.whats.index("state")].reals.reshape(problem.N, -1, problem.H)
        return given, sums, p.out.reals(self.states[self.walk.states_from[step] + 1])

    def _gates(self, step: int, parts: list[_Part]) -> None:
        """What the gates of a step make: a state, or what one more product multiplies; and a new cell."""
        p, problem = self.p, self.p.problem
        given, sums, state = self._met(step, parts)
        if problem.resets_before:
            self.hidden[step + 1] = p.hidden.store(_reset(given, sums, state))
            return
        if problem.cell != "lstm":
            self.states[step + 1] = p.out.store(_new_state(problem, given, sums, state))
            return
        before, total = p.cell.reals(self.cells[self.walk.states_from[step] + 1]), given + sums
        if p.peepholes is not None:
            total[:, [0, 2]] += p.peepholes[[0, 2]] * before[:, None]
        self.cells[step + 1] = p.cell.store(_new_cell(total, before))
        kept = p.cell.reals(self.cells[step + 1])
        if p.peepholes is not None:
            total[:, 1] += p.peepholes[1] * kept
        made = apply_binary("mul", _squashed("sigmoid", total[:, 1]), _squashed("tanh", kept))
        if problem.P:
            self.hidden[step + 1] = p.hidden.store(made)
        else:
            self.states[step + 1] = p.out.store(made)

    def _finished(self, step: int, parts: list[_Part]) -> Float64Array:
        """The new state, behind the product of what the gates made."""
        late = parts[-1].reals
        if self.p.problem.P:
            return late
        given, sums, state = self._met(step, parts)
        return _blended(given[:, 0] + sums[:, 0], _squashed("tanh", given[:, 2] + late), state)

    def _note_written(self, step: int, parts: list[_Part]) -> None:
        """Of each number of the state, whether all its sums have left the accumulators, and how often."""
        problem = self.p.problem
        if not self.walk.stores[step]:
            return
        last = parts[-1].left if problem.P else np.ones((problem.N, problem.S), dtype=np.uint8)
        gates = parts[:-1] if problem.P else parts
        times = np.concatenate([part.left.reshape(problem.N, -1, problem.H) for part in gates], axis=1)
        least, most = times.min(axis=1), times.max(axis=1)
        if problem.P:  # each number of it is made from all units
            least, most = least.min(axis=1, keepdims=True), most.max(axis=1, keepdims=True)
        once = (least > 0) & (last > 0)
        self.written[step] += np.where(once, np.maximum(most, last), 0).astype(np.uint8)

    # -- where it went wrong -----------------------------------------------------------------------------

    def locate(self, index: Shape) -> Place:
        """Why the result at (place, sequence, number) is wrong."""
        place, problem = index[0], self.p.problem
        if place == problem.T:
            if not self.walk.stores_cell:
                return Place(self.walk.tiles.tiles - 1, "store", "the last cell is never written to memory")
            return self.locate_step((problem.T - 1, *index[1:]))
        return self.locate_step((problem.T - 1 - place if problem.reverse else place, *index[1:]))

    def locate_step(self, index: Shape) -> Place:
        """Why what (step, sequence, unit) left is wrong."""
        step, row, unit = index
        walk, size = self.walk.tiles, self.mapping.step_tiles
        first, end = step * size, (step + 1) * size
        if walk.tiles < end:
            return Place(None, "compute", f"step {step} of {self.mapping.steps} has not all its tiles")
        units = self.p.problem.H
        for tile in range(first, end):
            which, m0, m1, n0, n1, *_ = (int(part) for part in walk.boxes[tile])
            # A projection mixes all units, so that any of a step's tiles may be at fault.
            meets = self.p.problem.P > 0 or any(column % units == unit for column in range(n0, n1))
            if m0 <= row < m1 and meets:
                fault = self._fault(tile, step, which % len(self.runs))
                if fault is not None:
                    return fault
        if self.walk.inputs_from[step] != step:
            return Place(first, "load", f"the input of step {step} has not come")
        if not self.walk.stores[step]:
            return Place(end - 1, "store", f"the state after step {step} is never written to memory")
        if not walk.constants_arrive:
            return Place(first, "weights", f"its {self._constants()} is never fetched")
        return Place(end - 1, "drain", f"the gates of step {step}, or the state they make, are not right")

    def _constants(self) -> str:
        p = self.p
        begins = p.state is not None or p.cell_before is not None
        given = (p.peepholes is not None, "peepholes"), (begins, "state before the first step")
        return " or ".join(["bias", *(name for there, name in given if there)])

    def _fault(self, tile: int, step: int, product: int) -> Place | None:
        """What is wrong about the tile's part of the schedule."""
        walk = self.walk.tiles
        batch, what = len(self.runs), self.whats[product]
        if what == "state" and self.walk.states_from[step] != step - 1:
            return Place(tile, "compute", f"step {step} reads a state that step {step - 1} has not finished")
        if what == "hidden" and self.walk.hidden_from[step] != step:
            return Place(tile, "compute", f"step {step} multiplies what its gates have not made")
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


def _new_cell(total: Float64Array, cell: Float64Array) -> Float64Array:
    """f c' + i g of an LSTM, from the arguments of gates i o f c along the second axis."""
    gates = _squashed("sigmoid", total[:, [0, 2]])
    kept = apply_binary("mul", gates[:, 1], cell)
    return apply_binary("add", kept, apply_binary("mul", gates[:, 0], _squashed("tanh", total[:, 3])))


def _reset(given: Float64Array, sums: Float64Array, state: Float64Array) -> Float64Array:
    """r h' of a GRU with gates z r h."""
    return apply_binary("mul", _squashed("sigmoid", given[:, 1] + sums[:, 1]), state)


def _new_state(
    problem: Recurrent, given: Float64Array, sums: Float64Array, state: Float64Array
) -> Float64Array:
    """Of an RNN, or of a GRU with gates z r h that resets the product of the state."""
    if problem.cell == "rnn":
        return _squashed(problem.function, given[:, 0] + sums[:, 0])
    reset = _squashed("sigmoid", given[:, 1] + sums[:, 1])
    new = _squashed("tanh", given[:, 2] + reset * sums[:, 2])
    return _blended(given[:, 0] + sums[:, 0], new, state)


def _blended(update: Float64Array, new: Float64Array, state: Float64Array) -> Float64Array:
    """n + z (h' - n), from the argument of z."""
    return apply_binary("add", new, apply_binary("mul", _squashed("sigmoid", update), state - new))
