"""Results: tidy tables of one run, and the folder they are written to."""

from hwsim.result.result import Provenance, Result
from hwsim.result.tables import AreaTable, TimingTable, UsageTable
from hwsim.result.trace import Trace
from hwsim.result.verification import Verification
from hwsim.result.weights import WeightTable

__all__ = [
    "AreaTable",
    "Provenance",
    "Result",
    "TimingTable",
    "Trace",
    "UsageTable",
    "Verification",
    "WeightTable",
]
