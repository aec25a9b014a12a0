"""Time: turns a program into a trace, by events or by compiled loops, and says why a stage stood still.

Nothing below this floor knows time; nothing here knows what a tile means.
"""

from hwsim.sim.retimed import Retimed
from hwsim.sim.simulate import simulate
from hwsim.sim.soundness import NEVER_PS
from hwsim.sim.stalls import StallTable, attribute_stalls, completions

__all__ = ["NEVER_PS", "Retimed", "StallTable", "attribute_stalls", "completions", "simulate"]
