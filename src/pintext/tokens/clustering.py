"""Spherical k-means whose cost grows almost linearly, with the same bytes on any number of threads.

Lloyd's algorithm on the sphere (Dhillon and Modha, "Concept decompositions for large sparse text
data", 2001): every point goes to the centroid of the largest cosine, every centroid becomes the
direction of the sum of its points. Where centroids are many, the points are first split into about
sqrt(K) groups, each group is clustered by itself, and a few rounds over all points mend the borders
between groups (hierarchical k-means; Nister and Stewenius, 2006).

The sums are added up in the order of the points by one thread; everything else is computed point by
point or group by group. That is why the number of threads does not matter.
"""

from typing import NamedTuple

import numpy as np

from pintext.arrays import F32, I32, I64
from pintext.tokens.kernels import (
    EVERYTHING,
    in_threads,
    nearest,
    normalized,
    panels_of,
    row_blocks,
    sums_by_label,
)

__all__ = ["Centroids", "cluster", "grouped"]

ROUNDS = 10
BORDER_ROUNDS = 2
UNGROUPED = 512
"""So many centroids are looked at one by one; more are put into groups."""


class Centroids(NamedTuple):
    """Unit vectors in groups.

    Attributes:
        vectors: ``(K, dim)``, those of a group together.
        starts: ``(groups + 1,)`` where each group starts, and the end.
        heads: ``(groups, dim)``, the unit vector that stands for each group.
    """

    vectors: F32
    starts: I64
    heads: F32

    def nearest(self, rows: F32, count: int, visits: int, threads: int = 0) -> tuple[I32, F32]:
        """The nearest centroids of each row; see :func:`pintext.tokens.kernels.nearest`."""
        tokens = np.full((len(rows), count), -1, np.int32)
        cosines = np.zeros((len(rows), count), np.float32)
        panels, heads = panels_of(self.vectors, self.starts), self.heads.T.ravel()

        def look_up(block: slice) -> None:
            found = tokens[block], cosines[block]
            nearest(rows[block], heads, panels, self.starts, visits, EVERYTHING, *found)

        in_threads(look_up, row_blocks(len(rows)), threads)
        return tokens, cosines


def cluster(points: F32, count: int, seed: int, threads: int = 0) -> Centroids:
    """Find ``count`` centroids of points.

    Args:
        points: ``(n, dim)`` unit vectors, ``n >= 1``.
        count: centroids, from 1 to ``n``.
        seed: of the points that the centroids start from.
        threads: 0 means all cores. The result does not depend on it.
    """
    if count <= UNGROUPED:
        return grouped(_lloyd(points, count, seed, threads), seed, threads)
    groups = round(count**0.5)
    heads = _lloyd(points[: 256 * groups], groups, seed, threads)
    labels = _as_one_group(heads).nearest(points, 1, 1, threads)[0][:, 0]
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=groups)
    parts = np.split(points[order], np.cumsum(sizes)[:-1])
    shares = _shares(sizes, count)
    found: list[F32] = [points[:0]] * groups

    def cluster_part(group: int) -> None:
        if shares[group]:
            found[group] = _lloyd(parts[group], int(shares[group]), seed + group + 1, threads=1)

    in_threads(cluster_part, range(groups), threads)
    centroids = grouped(np.concatenate(found), seed, threads)
    for _ in range(BORDER_ROUNDS):
        labels, cosines = centroids.nearest(points, 1, border_visits(groups), threads)
        moved = _moved(points, labels[:, 0], cosines[:, 0], centroids.vectors)
        centroids = grouped(moved, seed, threads)
    return centroids


def border_visits(groups: int) -> int:
    """Groups to look at for a nearest centroid that is nearly always the nearest of all."""
    return min(groups, 4 + groups // 16)


def grouped(vectors: F32, seed: int, threads: int = 0) -> Centroids:
    """Put centroids that are near to each other into one group; about sqrt(K) groups."""
    if len(vectors) <= UNGROUPED:
        return _as_one_group(vectors)
    heads = _lloyd(vectors, round(len(vectors) ** 0.5), seed, threads)
    labels = _as_one_group(heads).nearest(vectors, 1, 1, threads)[0][:, 0]
    sizes = np.bincount(labels, minlength=len(heads))
    starts = np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64)
    return Centroids(vectors[np.argsort(labels, kind="stable")], starts, heads[sizes > 0])


def _as_one_group(vectors: F32) -> Centroids:
    return Centroids(vectors, np.array([0, len(vectors)], np.int64), vectors[:1])


def _shares(sizes: I64, count: int) -> I64:
    """Divide ``count`` centroids among groups in proportion to their points, none more than it has.

    The parts that are lost to rounding down go where most was lost (largest remainder).
    """
    exact = sizes * (count / sizes.sum())
    shares: I64 = np.minimum(np.floor(exact).astype(np.int64), sizes)
    by_loss = np.argsort(-(exact - shares), kind="stable")
    while shares.sum() < count:
        open_ = by_loss[shares[by_loss] < sizes[by_loss]][: count - int(shares.sum())]
        shares[open_] += 1
    return shares


def _lloyd(points: F32, count: int, seed: int, threads: int) -> F32:
    """Plain spherical k-means: ``(count, dim)`` unit vectors."""
    start = np.random.default_rng(seed).choice(len(points), count, replace=False)
    centroids = points[np.sort(start)]
    before: I32 | None = None
    for _ in range(ROUNDS):
        found, cosines = _as_one_group(centroids).nearest(points, 1, 1, threads)
        labels = found[:, 0]
        if before is not None and np.array_equal(labels, before):
            break
        centroids = _moved(points, labels, cosines[:, 0], centroids)
        before = labels
    return centroids


def _moved(points: F32, labels: I32, cosines: F32, centroids: F32) -> F32:
    """Each centroid in the direction of the sum of its points.

    A centroid without points goes to one of the points that are farthest from theirs.
    """
    sums = np.zeros_like(centroids)
    sums_by_label(points, labels, sums)
    moved = normalized(sums)
    lost = np.flatnonzero(~moved.any(axis=1))
    if lost.size:
        moved[lost] = points[np.argsort(cosines, kind="stable")[: lost.size]]
    return moved
