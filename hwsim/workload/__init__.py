"""Workloads: networks as graphs of operators. Front ends load when a file needs them."""

from hwsim.workload.constructors import conv2d, elementwise, matmul, matvec, recurrent
from hwsim.workload.graph import Source, Workload
from hwsim.workload.load import load_with, load_workload
from hwsim.workload.operators import Operator, Step

__all__ = [
    "Operator", "Source", "Step", "Workload", "conv2d", "elementwise", "load_with", "load_workload", "matmul",
    "matvec", "recurrent",
]  # fmt: skip
