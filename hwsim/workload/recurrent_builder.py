"""The builder's methods for recurrent cells, and for the parts of their results."""

from __future__ import annotations

import math

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Shape, format_shape
from hwsim.workload.draft import Draft, Label, naming
from hwsim.workload.operators import View
from hwsim.workload.recurrent import RecurrentParts, recurrent_problem


class RecurrentBuilder(Draft):
    """Part of `GraphBuilder`; see there."""

    def recurrent(
        self,
        label: Label,
        x: str,
        state_weight: str,
        input_weight: str = "",
        state_bias: str = "",
        input_bias: str = "",
        *,
        cell: str,
        projection: str = "",
        peepholes: str = "",
        initial_state: str = "",
        initial_cell: str = "",
        skip: bool = False,
        function: str = "tanh",
        reset_after: bool = True,
        reverse: bool = False,
        keeps_cell: bool = False,
    ) -> str:
        """x [T, N, features] through `cell` ("lstm", "gru", "rnn") makes the state at every place of the
        sequence, [T, N, S], and with `keeps_cell` [T + 1, N, H], the last cell being the last row.
        `state_weight` is [gates H, S]; with `input_weight` [gates H, features] the inputs are multiplied in
        every step, else x holds what each gate adds, or with `skip` what all gates add. `projection` is
        [S, H]; without one S is H. `initial_state` [N, S] and `initial_cell` [N, H], a first axis of 1
        allowed, may be anything that is there before. For equations, fields and the order of gates see
        `recurrent.Recurrent`."""
        with naming(label, cell):
            names = (
                x, state_weight, input_weight, projection, state_bias, input_bias, peepholes, initial_state,
                initial_cell,
            )  # fmt: skip
            constants = [name for name in names[1:7] if name]
            given: list[Shape | None] = [self.shape(name) if name else None for name in names]
            problem = recurrent_problem(
                cell, RecurrentParts(self.shape(x), self.shape(state_weight), *given[2:]), skip=skip,
                function=function, reset_after=reset_after, reverse=reverse, keeps_cell=keeps_cell,
            )  # fmt: skip
            if any(self.tensors[name].role not in ("weight", "constant") for name in constants):
                raise SpecError("weights and biases must be constants, not what the network computes")
            shape = (problem.result_rows, problem.N, problem.S)
            return self.add(label, problem, tuple(name for name in names if name), shape)

    def rows(self, label: Label, x: str, start: int, end: int) -> str:
        """Places `start` to `end` (exclusive) of the first axis, where they lie: nothing is copied, as they
        lie together."""
        with naming(label, "rows"):
            shape = self.shape(x)
            if not shape or not 0 <= start < end <= shape[0]:
                raise SpecError(f"rows {start} to {end} are not in {format_shape(shape)}")
            cut = (end - start, *shape[1:])
            attributes = (("rows", (start, end)),)
            return self.add(label, View("rows", math.prod(cut)), (x,), cut, attributes)
