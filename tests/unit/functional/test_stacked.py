"""Operators of sequence networks over more inputs at once than their shapes were made for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hwsim.errors import UnsupportedError
from hwsim.functional import execute
from hwsim.functional.images import for_inputs
from hwsim.tensor.tensor import Array, draw_input
from hwsim.workload import Workload
from tests.sequences import (
    appended,
    decoder,
    gathered,
    masked_softmax,
    normed,
    patches,
    reduced,
    resized,
    rotated,
    transposed_conv,
)
from tests.transformer_block import encoder

STACKED: dict[str, Callable[[], Workload]] = {
    "decoder": lambda: decoder(queries=9),
    "layer_norm": lambda: normed(6, 8),
    "group_norm": lambda: normed(6, 8, "group_norm"),
    "lookup": lambda: gathered(5, 8, 20),
    "reduce": lambda: reduced((2, 3, 5)),
    "resize": lambda: resized((1, 2, 5, 5), (9, 7)),
    "fold": lambda: transposed_conv((1, 3, 5, 5), 4, 3, 2),
    "mask": lambda: masked_softmax(4, 6),
    "rotary": lambda: rotated(5, 8),
    "patches": lambda: patches(3, 6, 2),
}


def drawn(workload: Workload, seed: int) -> dict[str, Array]:
    return {name: draw_input(workload.name, workload.tensors[name], seed) for name in workload.inputs}


@pytest.mark.parametrize("name", STACKED)
def test_inputs_together_are_what_they_are_one_by_one(name: str) -> None:
    workload = STACKED[name]().astype("fp32")
    each = [drawn(workload, seed) for seed in (1, 2, 3)]
    together = {name: np.concatenate([one[name] for one in each]) for name in workload.inputs}
    found = execute(workload, together)
    for output in workload.outputs:
        alone = np.concatenate([execute(workload, one)[output] for one in each])
        np.testing.assert_allclose(found[output], alone, rtol=1e-5, atol=1e-6)
    more = for_inputs(workload, together)
    assert more.macs == 3 * workload.macs


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        (decoder(past=7), "fills a cache"),
        (appended(7, 2, 6), "fills a cache"),
        (reduced((1, 3, 5), axis=0), "works across the first axis"),
        (encoder(batch=1), "works across the first axis"),  # its mask is an input, and not one for each
    ],
)
def test_what_cannot_be_stacked_is_refused(workload: Workload, reason: str) -> None:
    workload = workload.astype("fp32")
    one = drawn(workload, 1)
    assert execute(workload, one)
    with pytest.raises(UnsupportedError, match=rf"{reason}.*batch="):
        execute(workload, {name: np.concatenate([values, values]) for name, values in one.items()})
