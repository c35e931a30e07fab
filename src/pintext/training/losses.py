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


@compiled_fast
def _exp(x: Any) -> Any:
    """The exponential of x <= 0, to 3e-5 of itself in float32: (exp(x / 256)) ** 256.

    In plain arithmetic, which the compiler turns into SIMD and which is the same on every system.
    """
    y = x / 256
    z = 1 + y / 6 * (1 + y / 7 * (1 + y / 8 * (1 + y / 9)))
    z = 1 + y * (1 + y / 2 * (1 + y / 3 * (1 + y / 4 * (1 + y / 5 * z))))
    for _ in range(8):
        z *= z
    return z


@compiled_fast
def softmax(
    i: int, positive: Any, temperature: Any, slopes: Floats, masked: U8
) -> tuple[Any, Any, int]:
    """The softmax loss of pair i, the sum of its slopes, and how many p- are closer than p+.

    With s the softmax of all similarities over tau, d loss / d cos(q, p-) is s of that p- over tau.
    """
    zero = slopes.dtype.type(0)
    one = slopes.dtype.type(1)
    highest = positive
    closer = 0
    for j in range(masked.shape[1]):
        ahead = slopes[i, j] > positive and not masked[i, j]
        closer += ahead
        highest = slopes[i, j] if ahead and slopes[i, j] > highest else highest
    scale = one / temperature
    others = zero
    for j in range(masked.shape[1]):
        share = _exp(min(zero, (slopes[i, j] - highest) * scale)) * (one - masked[i, j])
        slopes[i, j] = share
        others += share
    whole = others + _exp((positive - highest) * scale)
    scale /= whole
    for j in range(masked.shape[1]):
        slopes[i, j] *= scale
    loss = (highest - positive) / temperature + np.log(whole)
    return loss, others * scale, closer
