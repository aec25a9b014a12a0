"""What number formats and compression leave of a network's answers, once for each network: signal over noise
at its outputs, and right answers on the test images that ship."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hwsim.compress.accuracy import Labelled, accuracy, load_labelled
from hwsim.explore.outcome import TEST_IMAGES
from hwsim.functional import execute_stored
from hwsim.functional.execute import activations
from hwsim.functional.flow import given_or_drawn
from hwsim.workload import Workload


@lru_cache(maxsize=256)
def output_sqnr_db(graph: Workload, original: Workload) -> float:
    """Signal over noise of the worst output, in dB, of a network in its own formats against `original`, what
    it was before any compression, in float64; both on the input that the network's seed draws. Infinite
    without noise."""
    inputs = {name: given_or_drawn(graph, name, {}) for name in graph.inputs}
    stored = execute_stored(graph, inputs, keep=graph.outputs)
    wanted = activations(original, inputs)
    found = []
    for after, before in zip(graph.outputs, original.outputs, strict=True):
        signal = float(np.sum(wanted[before] ** 2))
        noise = float(np.sum((stored[after].reals.reshape(-1) - wanted[before].reshape(-1)) ** 2))
        found.append(math.inf if not noise else 10 * math.log10(signal / noise) if signal else -math.inf)
    return min(found)


@lru_cache(maxsize=256)
def counted_accuracy(graph: Workload) -> float:
    """Share of the test images that the network, executed in its own formats, names rightly, as
    `hwsim.compress.accuracy` counts them; not a number for a network that no test images ship for."""
    name = TEST_IMAGES.get(graph.name)
    trained = graph.source.weights or graph.source.format == "compressed"
    return accuracy(graph, _test_images(name)).share if name is not None and trained else math.nan


@lru_cache(maxsize=1)
def _test_images(name: str) -> Labelled:
    return load_labelled(name)
