"""What actions and parts cost: energy in pJ, area in mm2, leakage in W, from technology tables with sources.

Knows components and actions by name; knows nothing of time, operators or devices.
"""

from hwsim.cost.figures import Figure
from hwsim.cost.price import PriceList, area_table, price_actions
from hwsim.cost.table import TableRow
from hwsim.cost.technology import Technology, load_technology, technology_rows

__all__ = [
    "Figure",
    "PriceList",
    "TableRow",
    "Technology",
    "area_table",
    "load_technology",
    "price_actions",
    "technology_rows",
]
