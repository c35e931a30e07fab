"""The losses of one positive pair and its background entities.

For a pair <q, p+> and background entities p- the loss is

    hinge:    sum over p- of max(0, mu - cos(q, p+) + cos(q, p-))          (PinText, KDD 2019)
    softmax:  log(1 + sum over p- of exp((cos(q, p-) - cos(q, p+)) / tau))

The second is the cross-entropy of picking p+ out of p+ and all p- (Sohn, 2016; "InfoNCE", van den
Oord et al., 2018): it goes on pulling where the first is content, most where p- is closest.

Both functions take, in row i of ``slopes``, the cosines cos(q, p-), and leave there the slopes
d loss / d cos(q, p-). That of cos(q, p+) is their sum with the sign turned.
"""

from typing import Any, NamedTuple

import numpy as np

from pintext.arrays import U8, Floats
from pintext.compiled import compiled_fast

__all__ = ["Loss", "hinge", "softmax"]


class Loss(NamedTuple):
    """Which loss, and its one number; of the dictionary's dtype."""

    softmax: bool  # or else hinge
    margin: Any  # mu
    temperature: Any  # tau


@compiled_fast
def hinge(i: int, positive: Any, margin: Any, slopes: Floats, masked: U8) -> tuple[Any, Any, int]:
    """The hinge loss of pair i, the sum of its slopes, and how many margins are violated.

    d loss / d cos(q, p-) is 1 where the margin is violated and 0 elsewhere.
    """
    loss = pull = slopes.dtype.type(0)
    violated: Any = 0
    for j in range(masked.shape[1]):
        excess = pull * 0 if masked[i, j] else margin - positive + slopes[i, j]
        excess = pull * 0 if excess <= 0 else excess  # NaN stays, so that the loss tells of it
        hit = excess > 0
        loss += excess
        violated += hit
        slopes[i, j] = hit
    return loss, pull + violated, violated


_LOG_2 = 0.6931471805599453
_LOWEST = -87.0  # where 2 ** n is the smallest normal float32


@compiled_fast
def _exp(x: Any, real: Any) -> Any:
    """The exponential of x <= 0 to 3e-6 of itself in float32, and to 1e-12 of itself in float64.

    exp(x) = 2 ** n exp(r) with |r| <= log(2) / 2, where a few terms of the series are enough, and
    2 ** n is written as the bits of a float32. In plain arithmetic, which the compiler turns into
    SIMD and which is the same on every system. What is less than exp(-87) counts as that much.
    ``real`` is the type of x: Numba would widen a float32 that meets another number.
    """
    x = max(x, real(_LOWEST))
    n = np.floor(x * real(1 / _LOG_2) + real(0.5))
    r = x - n * real(_LOG_2)
    y = real(1) + r * real(1 / 9) * (real(1) + r * real(1 / 10))
    y = real(1) + r * real(1 / 6) * (real(1) + r * real(1 / 7) * (real(1) + r * real(1 / 8) * y))
    y = real(1) + r * real(1 / 3) * (real(1) + r * real(1 / 4) * (real(1) + r * real(1 / 5) * y))
    y = real(1) + r * (real(1) + r * real(1 / 2) * y)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return y * power.view(np.float32)


@compiled_fast
def softmax(
    i: int, positive: Any, temperature: Any, slopes: Floats, masked: U8
) -> tuple[Any, Any, int]:
    """The softmax loss of pair i, the sum of its slopes, and how many p- are closer than p+.

    With s the softmax of all similarities over tau, d loss / d cos(q, p-) is s of that p- over tau.
    """
    real = slopes.dtype.type
    highest = positive
    closer = 0
    for j in range(masked.shape[1]):
        ahead = slopes[i, j] > positive and not masked[i, j]
        closer += ahead
        highest = slopes[i, j] if ahead and slopes[i, j] > highest else highest
    scale = real(1) / temperature
    others = real(0)
    for j in range(masked.shape[1]):
        share = _exp(min(real(0), (slopes[i, j] - highest) * scale), real)
        share *= real(1 - masked[i, j])
        others += share
        slopes[i, j] = share
    whole = others + _exp((positive - highest) * scale, real)
    scale /= whole
    for j in range(masked.shape[1]):
        slopes[i, j] *= scale
    loss = (highest - positive) / temperature + np.log(whole)
    return loss, others * scale, closer
