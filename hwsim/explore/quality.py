"""How much signal number formats and compression leave at the outputs of a network, once for each network."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hwsim.functional import execute_stored
from hwsim.functional.execute import activations
from hwsim.workload import Workload


@lru_cache(maxsize=256)
def output_sqnr_db(graph: Workload) -> float:
    """Signal over noise of the worst output, in dB, of the network in its own formats against itself in
    float64, on the input that its seed draws. Infinite without noise."""
    stored = execute_stored(graph, {}, keep=graph.outputs)
    wanted = activations(graph, {})
    found = []
    for name in graph.outputs:
        signal = float(np.sum(wanted[name] ** 2))
        noise = float(np.sum((stored[name].reals - wanted[name]) ** 2))
        found.append(math.inf if not noise else 10 * math.log10(signal / noise) if signal else -math.inf)
    return min(found)
