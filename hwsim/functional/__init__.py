"""The numbers: the simulated schedule is executed in the machine's own formats and compared with a
reference; and networks are executed by that reference alone, for accuracy and calibration.

    execute(workload, inputs, *, fixed_point=None, accumulator_bits=32) -> {output: reals}
    execute_stored(workload, inputs, *, fixed_point=None, accumulator_bits=32, keep=None) -> {tensor: Stored}
    activations(workload, inputs) -> {tensor: reals of the float64 flow}
"""

from hwsim.functional.execute import activations, execute, execute_stored
from hwsim.functional.numbers import Stored
from hwsim.functional.verify import estimate_s, verify_program

__all__ = ["Stored", "activations", "estimate_s", "execute", "execute_stored", "verify_program"]
