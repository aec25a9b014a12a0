"""What rows of measurement files about recurrent layers stand for."""

from __future__ import annotations

import pytest

from hwsim.validate.constructors import CONSTRUCTORS, Operands, make_workload
from hwsim.workload.operators import Recurrent


@pytest.mark.parametrize(("op", "cell"), [("lstm", "lstm"), ("gru", "gru"), ("rnn_vanilla", "rnn")])
def test_a_row_is_one_layer_whose_inputs_are_not_multiplied(op: str, cell: str) -> None:
    constructor = CONSTRUCTORS[op]
    assert constructor is not None
    assert constructor.needs == ("hidden", "timesteps")
    found = make_workload(op, (("hidden", 8), ("timesteps", 5), ("batch", 3)), Operands())
    assert [o.problem for o in found.operators] == [Recurrent(cell, 3, 5, 8, skip=True)]
