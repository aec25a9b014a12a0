"""hwsim: how long a neural network takes on an accelerator, what it costs in energy and area, and why.

    import hwsim

    result = hwsim.run("resnet50", "tpu_v1", batch=8)
    print(result.latency_s, result.energy_j, result.limit)

The public names below are loaded when they are first used, so that `import hwsim` is quick and the library
pays only for what it uses. Inside the package nobody imports this module.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from hwsim.errors import (
    CapacityError,
    CheckError,
    DeadlockError,
    HwsimError,
    OutputError,
    SpecError,
    UnsupportedError,
    VerificationError,
)
from hwsim.version import __version__

if TYPE_CHECKING:
    from hwsim.comparison import compare
    from hwsim.compress import Compressed, CompressionTable, Recipe, compress, load_recipe
    from hwsim.design import Design, load_design
    from hwsim.explore.stored import load_sweep
    from hwsim.explore.sweep import sweep
    from hwsim.explore.sweep_result import Sweep
    from hwsim.pipeline import run, verify
    from hwsim.result import Result, Verification
    from hwsim.result.comparison import Comparison
    from hwsim.validate import ValidationReport, validate
    from hwsim.workload import Workload, conv2d, load_workload, matmul
    from hwsim.workload.folder import save_workload
    from hwsim.workload.frontends.torch import from_torch

# Public name -> the module that holds it.
_HOMES = {
    "Comparison": "hwsim.result.comparison",
    "Compressed": "hwsim.compress",
    "CompressionTable": "hwsim.compress",
    "Design": "hwsim.design",
    "Recipe": "hwsim.compress",
    "Result": "hwsim.result",
    "Sweep": "hwsim.explore.sweep_result",
    "ValidationReport": "hwsim.validate",
    "Verification": "hwsim.result",
    "Workload": "hwsim.workload",
    "compare": "hwsim.comparison",
    "compress": "hwsim.compress",
    "conv2d": "hwsim.workload",
    "from_torch": "hwsim.workload.frontends.torch",
    "load_design": "hwsim.design",
    "load_recipe": "hwsim.compress",
    "load_sweep": "hwsim.explore.stored",
    "load_workload": "hwsim.workload",
    "matmul": "hwsim.workload",
    "run": "hwsim.pipeline",
    "save_workload": "hwsim.workload.folder",
    "sweep": "hwsim.explore.sweep",
    "validate": "hwsim.validate",
    "verify": "hwsim.pipeline",
}

__all__ = [
    "CapacityError",
    "CheckError",
    "Comparison",
    "Compressed",
    "CompressionTable",
    "DeadlockError",
    "Design",
    "HwsimError",
    "OutputError",
    "Recipe",
    "Result",
    "SpecError",
    "Sweep",
    "UnsupportedError",
    "ValidationReport",
    "Verification",
    "VerificationError",
    "Workload",
    "__version__",
    "compare",
    "compress",
    "conv2d",
    "from_torch",
    "load_design",
    "load_recipe",
    "load_sweep",
    "load_workload",
    "matmul",
    "run",
    "save_workload",
    "sweep",
    "validate",
    "verify",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use and keep it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hwsim' has no attribute {name!r}")
    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Root(ModuleType):
    """The package as callers see it. The import system binds every subpackage here by name, and would put
    the subpackage `hwsim.validate` where the function `hwsim.validate` belongs: public names win."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root
