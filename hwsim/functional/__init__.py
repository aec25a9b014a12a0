"""The numbers: the simulated schedule is executed in the machine's own formats and compared with a
reference."""

from hwsim.functional.verify import estimate_s, verify_program

__all__ = ["estimate_s", "verify_program"]
