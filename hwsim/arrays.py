"""Types of arrays by what they hold, of any shape: the one home of these names. Shapes stand in docstrings of
what takes and returns them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
Uint8Array = NDArray[np.uint8]
Uint64Array = NDArray[np.uint64]
Float64Array = NDArray[np.float64]
RealArray = NDArray[np.float32] | NDArray[np.float64]
