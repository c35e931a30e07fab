"""Short names for the array types that cross module borders."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["F32", "I32", "I64", "U8", "U64", "Floats", "zeros_in_lines"]

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
Floats = NDArray[np.floating[Any]]
"""float32 in use; float64 where the tests compare with finite differences."""

_LINE = 64  # bytes of a cache line


def zeros_in_lines(shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Floats:
    """Zeros that begin with a cache line, so that rows lie in as few lines as they can."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    return raw[first : first + size].view(dtype).reshape(shape)
