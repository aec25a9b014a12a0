"""What is kept between runs, forgotten: a test that puts a fault in must not meet what was made before."""

from __future__ import annotations

from hwsim import lowering, preparation
from hwsim.cost import price
from hwsim.devices import eie_matrix, families, make_device

KEPT = (
    make_device, preparation.prepare, preparation._scheduled, preparation._first_of_equals, lowering._lowered,
    price._price_actions, price._area_table, price._action_figure, price._part_figures,
)  # fmt: skip


def forget() -> None:
    """Empty every cache between a workload and its result."""
    for kept in KEPT:
        kept.cache_clear()
    families.KEPT.clear()
    eie_matrix.NONZEROS.clear()
