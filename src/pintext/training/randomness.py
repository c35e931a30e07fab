"""Random numbers without state: every draw is a function of the seed and of where it is used.

Training can therefore start anywhere, on any number of threads, and draw the same numbers: a
checkpoint holds no generator, and resuming replays nothing.
"""

from typing import Any

import numpy as np

from pintext.arrays import F32
from pintext.compiled import compiled

__all__ = ["initial_rows", "key", "permuted", "uniform_below"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = 4


@compiled
def mixed(value: Any) -> Any:
    """Scramble 64 bits (the finalizer of SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    x = np.uint64(value) + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def key(seed: Any, purpose: int, a: Any, b: int) -> Any:
    """A 64-bit key for one stream of draws, named by its purpose and two more numbers.

    To the interpreter it comes as an ``int``: wrap it in ``np.uint64`` before giving it to a
    compiled function again, which would take it for an int64 and refuse every second key.
    """
    return mixed(mixed(mixed(np.uint64(seed)) ^ np.uint64(purpose)) ^ mixed(np.uint64(a))) ^ mixed(
        ~np.uint64(b)
    )


@compiled
def uniform_below(stream: Any, draw: int, count: int) -> Any:
    """The ``draw``-th number of a stream, uniform on [0, count), for count < 2**32."""
    high = mixed(np.uint64(stream) + np.uint64(draw) * _GOLDEN) >> np.uint64(32)
    return np.int64((high * np.uint64(count)) >> np.uint64(32))


@compiled
def permuted(index: int, count: int, stream: Any) -> Any:
    """Where a random permutation of ``range(count)`` sends ``index``, using no memory.

    A balanced Feistel network over the next even number of bits, walked until the image falls
    inside the range (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002): a
    bijection, so each index is visited exactly once.
    """
    half = 1
    while (1 << (2 * half)) < count:
        half += 1
    mask = np.uint64((1 << half) - 1)
    x = np.uint64(index)
    while True:
        left, right = x >> np.uint64(half), x & mask
        for round_ in range(_ROUNDS):
            # Each round needs a function of its own: no two rounds may scramble the same number.
            number = np.uint64(_ROUNDS) * right + np.uint64(round_)
            left, right = right, left ^ (mixed(number + np.uint64(stream)) & mask)
        x = (left << np.uint64(half)) | right
        if x < np.uint64(count):
            return np.int64(x)


@compiled
def initial_rows(rows: F32, norm: float, stream: Any) -> None:
    """Fill rows with numbers uniform on [-a, a] such that a row's length is about ``norm``."""
    bound = norm * np.sqrt(3.0 / rows.shape[1])
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            bits = mixed(np.uint64(stream) + np.uint64(i * rows.shape[1] + k) * _GOLDEN)
            unit = np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)
            rows[i, k] = np.float32((2.0 * unit - 1.0) * bound)
