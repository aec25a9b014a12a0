"""Several devices that share a network: who runs what, what crosses the links, and all as one Program."""

from hwsim.placement.machine import Machine, SharedMachine, make_machine
from hwsim.placement.place import Placed, place
from hwsim.placement.price import Prices, price
from hwsim.placement.program import prepare, read_ahead

__all__ = [
    "Machine", "Placed", "Prices", "SharedMachine", "make_machine", "place", "prepare", "price", "read_ahead",
]  # fmt: skip
