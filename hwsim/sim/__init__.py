"""Time: turns a program into a trace, by events or by compiled loops, and says why a stage stood still.

Nothing below this floor knows time; nothing here knows what a tile means.
"""

from hwsim.sim.simulate import simulate
from hwsim.sim.stalls import StallTable, attribute_stalls, completions
from hwsim.sim.trace import NEVER_PS, Trace

__all__ = ["NEVER_PS", "StallTable", "Trace", "attribute_stalls", "completions", "simulate"]
