"""Short names for the array types that cross module borders."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["F32", "I32", "I64", "U8", "Floats"]

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
"""float32 in use; float64 where the tests compare with finite differences."""
