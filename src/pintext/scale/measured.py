"""What the stages were measured to cost, by ``benchmarks/scale.py``.

Texts of ten words, dim 128, two cores of a shared virtual machine (x86-64 with AVX2), 2026-11.
Processor time and growth are fitted over three decades: 10^4 to 10^7 events and pairs, 10^3 to 10^6
texts and pins; searches from 3 10^4 pins on, because in fewer their time hardly grows.
"""

from typing import NamedTuple

__all__ = [
    "BUILD_BYTES",
    "EMBED",
    "EMBED_BYTES",
    "EVENT_BYTES",
    "FRONT_SECONDS",
    "INDEX",
    "INDEX_BYTES",
    "PAIRS",
    "QUERY",
    "SHARD_SECONDS",
    "TRAIN",
    "TRAIN_BYTES",
    "Cost",
]


class Cost(NamedTuple):
    """Processor time and how it grows: ``fixed + unit * (size / 10^6) ^ exponent``.

    Attributes:
        fixed: core-seconds whatever the size.
        unit: core-seconds of a million besides.
        exponent: at least 1 where everything is read once.
        by_dim: share of the cost at dim 128 that goes with dim.
    """

    fixed: float
    unit: float
    exponent: float
    by_dim: float

    def seconds(self, size: float, dim: int) -> float:
        """Core-seconds of so many."""
        stretch = 1 - self.by_dim + self.by_dim * dim / 128
        return float((self.fixed + self.unit * (size / 1e6) ** self.exponent) * stretch)


PAIRS = Cost(0.895, 3.085, 1.06, 0.0)
"""of events"""
TRAIN = Cost(1.433, 5.702, 1.11, 0.59)
"""of pairs, one epoch"""
EMBED = Cost(0.025, 2.316, 1.045, 0.67)
"""of texts"""
INDEX = Cost(0.513, 117.8, 1.06, 0.74)
"""of pins"""
QUERY = Cost(567.0, 1324.0, 0.995, 0.0)
"""of a million hybrid searches, by the pins of the index"""

EVENT_BYTES = 15
"""of an event in the store"""
TRAIN_BYTES = 386
"""of a pair while it is trained on, in mapped files"""
EMBED_BYTES = 6
"""of a pin in a file of vectors, besides its vector"""
INDEX_BYTES = 183
"""of a pin in an index, besides its vector"""
BUILD_BYTES = 2400
"""of a pin in memory while an index is made"""
SHARD_SECONDS = 0.0024
"""core-seconds of the service of a shard for its part of a search, besides the search"""
FRONT_SECONDS = 0.0012
"""core-seconds of a front for each shard that it asks"""
