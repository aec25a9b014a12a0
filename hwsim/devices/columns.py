"""Named columns laid out in the order of a pipeline's stages and pools."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.plan import Pipeline, Plan
from hwsim.plan.mapping import TileMapping


def lay_out(
    pipeline: Pipeline,
    kind_of_tile: Int32Array,
    kinds: int,
    demands: Mapping[str, Int64Array],
    takes: Mapping[str, BoolArray],
    frees: Mapping[str, BoolArray],
    actions: Mapping[tuple[str, str], Int64Array],
    *,
    mapping: TileMapping | None = None,
    parts: Mapping[str, Int64Array] | None = None,
    ideal: Collection[str] = (),
) -> Plan:
    """A plan from columns by name, (kinds,) each; stages and pools not named demand nothing, and components
    without limit (`ideal`) are charged nothing."""
    stages, pools = pipeline.stages, pipeline.pools
    zero = np.zeros(kinds, dtype=np.int64)
    none = np.zeros(kinds, dtype=np.bool_)
    return Plan(
        pipeline,
        kind_of_tile,
        np.array([demands.get(s.name, zero) for s in stages], dtype=np.int64).reshape(len(stages), kinds),
        np.array([takes.get(p.name, none) for p in pools], dtype=np.bool_).reshape(len(pools), kinds),
        np.array([frees.get(p.name, none) for p in pools], dtype=np.bool_).reshape(len(pools), kinds),
        {key: counts for key, counts in actions.items() if key[0] not in ideal},
        mapping,
        parts or {},
    )
