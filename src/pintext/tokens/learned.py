"""Tokens that are learned from the pins: the numbers of their nearest centroids."""

import math
from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I32
from pintext.errors import ConfigError, DataError
from pintext.tokens.clustering import Centroids, cluster
from pintext.tokens.kernels import EVERYTHING, nearest, normalized, panels_of
from pintext.tokens.scheme import Probes, TokenScheme

__all__ = ["LearnedTokens", "default_centroids"]

POINTS_PER_CENTROID = 48
"""k-means looks at so many pins for each centroid; more make it slower, hardly better."""


# The centroids were learned from pins. A query lies farther from all of them, so the group that
# holds its nearest is less often among those whose heads are nearest.
_PART_FOR_PINS, _PART_FOR_QUERIES = 8, 3


def default_centroids(pins: int) -> int:
    """Centroids for so many pins: 16 sqrt(pins), at most 65,536 and one for every four pins.

    Where that is less than 12,000 it is one for every eight pins, up to 12,000.
    """
    least = min(pins // 8, 12_000)
    return max(1, min(max(round(16 * math.sqrt(pins)), least), 65_536, pins // 4))


class LearnedTokens(TokenScheme):
    """A pin carries its ``per_pin`` nearest of ``K`` centroids; a query asks for the nearest, too.

    It asks for those whose cosine is at least ``reach`` times that of the nearest one, at most
    ``probes`` of them: a query in the middle of a topic needs a few, one between topics many. The
    weights are the cosines. Where centroids are many they stand in groups, and only the groups
    nearest to a vector are searched: now and then a centroid is missed that is nearer than the last
    of those found.
    """

    kind: ClassVar[str] = "learned"

    def __init__(
        self,
        centroids: Centroids,
        *,
        per_pin: int = 2,
        reach: float = 0.6,
        seed: int = 0,
        fingerprint: str = "",
    ) -> None:
        """Make a scheme of given centroids.

        Args:
            centroids: unit vectors in groups.
            per_pin: tokens of a pin, from 1 to 16; no more than there are centroids are given.
            reach: share of the nearest centroid's cosine that others must have, from 0 to 1.
            seed: that the centroids were found with.
            fingerprint: of the model that the vectors are from.
        """
        if not 1 <= per_pin <= 16:
            raise ConfigError(f"per_pin = {per_pin}: expected 1 to 16")
        if not 0 <= reach <= 1:
            raise ConfigError(f"reach = {reach}: expected 0 to 1")
        self.centroids = centroids
        self.n_tokens, self.dim = centroids.vectors.shape
        self.per_pin = per_pin
        self.reach = reach
        self.seed = seed
        self.fingerprint = fingerprint
        self._panels = panels_of(centroids.vectors, centroids.starts)
        self._heads = np.ascontiguousarray(centroids.heads.T).ravel()

    @classmethod
    def train(
        cls,
        vectors: F32,
        *,
        centroids: int = 0,
        per_pin: int = 2,
        reach: float = 0.6,
        seed: int = 0,
        fingerprint: str = "",
        threads: int = 0,
    ) -> Self:
        """Learn centroids from the vectors of pins; the same bytes on any number of threads.

        Args:
            vectors: ``(n, dim)``, may be memory-mapped: only a sample is read.
            centroids: how many; 0 for :func:`default_centroids`. No more than distinct usable
                vectors of the sample.
            per_pin: tokens of a pin.
            reach: of a query's probes.
            seed: of the sample and of the start of k-means.
            fingerprint: of the model that the vectors are from.
            threads: 0 means all cores.

        Raises:
            DataError: a vector of the sample is not finite.
        """
        count = centroids or default_centroids(len(vectors))
        points = _sample(vectors, POINTS_PER_CENTROID * count, seed)
        if not len(points):  # nothing to learn from: one token that every pin will carry
            points = np.eye(1, vectors.shape[1], dtype=np.float32)
        found = cluster(points, min(count, len(points)), seed, threads)
        return cls(found, per_pin=per_pin, reach=reach, seed=seed, fingerprint=fingerprint)

    def with_use(self, *, per_pin: int, reach: float) -> Self:
        """The same centroids, used in another way."""
        used = copy(self)
        used.per_pin, used.reach = per_pin, reach
        return used

    def unheld(self) -> Self:
        """The same centroids for queries that want more than the nearest: without a reach."""
        return self.with_use(per_pin=self.per_pin, reach=0)

    def visits(self, count: int, part: int) -> int:
        """Groups that are searched for the ``count`` nearest centroids: a part and some."""
        groups = len(self.centroids.starts) - 1
        filled = count * groups / self.n_tokens
        return min(groups, 6 + groups // part + math.ceil(4 * filled))

    def _assign(self, rows: F32, tokens: I32) -> None:
        found = Probes(tokens, np.empty(tokens.shape, np.float32))
        self._nearest(rows, EVERYTHING, found, _PART_FOR_PINS)

    def _probe(self, rows: F32, found: Probes) -> None:
        self._nearest(rows, self.reach, found, _PART_FOR_QUERIES)

    def _nearest(self, rows: F32, reach: float, found: Probes, part: int) -> None:
        visits = self.visits(found.tokens.shape[1], part)
        centroids = self._heads, self._panels, self.centroids.starts
        nearest(rows, *centroids, visits, reach, found.tokens, found.weights)

    def _parts(self) -> tuple[Mapping[str, NDArray[Any]], dict[str, float]]:
        return self.centroids._asdict(), {"per_pin": self.per_pin, "reach": self.reach}

    @classmethod
    def _from_parts(cls, tensors: Mapping[str, NDArray[Any]], marks: Mapping[str, str]) -> Self:
        centroids = Centroids(*(np.array(tensors[name]) for name in Centroids._fields))
        vectors, starts, heads = centroids
        count, groups = len(vectors), len(starts) - 1
        if not (
            vectors.ndim == heads.ndim == 2
            and vectors.dtype == heads.dtype == np.float32
            and starts.dtype == np.int64
            and heads.shape == (groups, vectors.shape[1])
            and starts[0] == 0
            and starts[-1] == count
            and (np.diff(starts) > 0).all()
            and np.isfinite(vectors).all()
        ):
            raise ValueError("the centroids do not fit together")
        return cls(
            centroids,
            per_pin=int(marks["per_pin"]),
            reach=float(marks["reach"]),
            seed=int(marks["seed"]),
            fingerprint=marks["fingerprint"],
        )


def _sample(vectors: F32, count: int, seed: int) -> F32:
    """At most ``count`` unit vectors in random order, without the zero vectors."""
    draw = np.random.default_rng(seed)
    rows = np.sort(draw.choice(len(vectors), min(count, len(vectors)), replace=False))
    taken = np.ascontiguousarray(vectors[rows], np.float32)
    if not np.isfinite(taken).all():
        bad = int(rows[~np.isfinite(taken).all(axis=1)][0])
        raise DataError(f"vector {bad} has a number that is not finite")
    points = normalized(taken)
    points = points[points.any(axis=1)]
    return points[draw.permutation(len(points))]
