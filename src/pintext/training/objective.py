"""The exact gradient of the loss of one group of positive pairs; see :mod:`~.losses`.

An entity is the sum of its words' rows (cosine does not see the difference from the mean). A group
holds up to :data:`GROUP` pairs of one task that share one block of background entities, so that
each entity is gathered once and every cosine is a dot product of unit vectors already in cache.
"""

from typing import Any, NamedTuple

import numpy as np

from pintext.arrays import I32, I64, U8, Floats
from pintext.compiled import compiled_fast, prefetch
from pintext.training.losses import Loss, hinge, softmax

__all__ = ["GROUP", "GroupBuffers", "group_gradient", "project", "sum_rows"]

GROUP = 128
"""Pairs that share one block of background entities."""

_AHEAD = 2
"""Entities between asking memory for the rows of one and adding them up."""


class GroupBuffers(NamedTuple):
    """What one thread needs to work on a group; reused from group to group.

    Rows 0..m-1 of an entity array are the queries, GROUP..GROUP+m-1 the pins, and 2*GROUP.. the
    background entities.
    """

    units: Floats  # (2 * GROUP + negatives + 3, dim) unit vectors
    lengths: Floats  # (2 * GROUP + negatives,) lengths before division
    slopes: Floats  # (GROUP + 1, negatives + 3), cos(q, p-), padded to whole tiles of 2 x 4; then
    # d loss / d cos(q, p-), which is never negative
    turned: Floats  # (negatives, GROUP) the same slopes by background entity
    masked: U8  # (GROUP, negatives) 1 where a background entity is a known positive of the query

    @classmethod
    def allocate(cls, negatives: int, dim: int, dtype: type = np.float32) -> "GroupBuffers":
        """Buffers for groups with ``negatives`` background entities and rows of length ``dim``."""
        entities = 2 * GROUP + negatives
        return cls(
            units=np.zeros((entities + 3, dim), dtype),
            lengths=np.zeros(entities, dtype),
            slopes=np.zeros((GROUP + 1, negatives + 3), dtype),
            turned=np.zeros((negatives, GROUP), dtype),
            masked=np.zeros((GROUP, negatives), np.uint8),
        )


@compiled_fast
def sum_rows(table: Floats, rows: I32, start: int, stop: int, totals: Floats, place: int) -> None:
    """Write the sum of the table's rows ``rows[start:stop]`` to ``totals[place]``.

    Four rows at a time: a pass over the total costs as much as a pass over a row. Here and below a
    row is named by its table and number, because making a view of it takes as long as adding it up.
    """
    dim = table.shape[1]
    for k in range(dim):
        totals[place, k] = 0
    i = start
    while i + 4 <= stop:
        a, b, c, d = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        for k in range(dim):
            totals[place, k] += (table[a, k] + table[b, k]) + (table[c, k] + table[d, k])
        i += 4
    while i < stop:
        a = rows[i]
        for k in range(dim):
            totals[place, k] += table[a, k]
        i += 1


@compiled_fast
def _ask_for_rows(flat: Floats, dim: int, tokens: I32, start: int, stop: int) -> None:
    line = 64 // flat.itemsize
    for i in range(start, stop):
        first = np.int64(tokens[i]) * dim
        for k in range(0, dim, line):
            prefetch(flat, first + k)


@compiled_fast
def project(
    embeddings: Floats, tokens: I32, start: int, stop: int, units: Floats, place: int
) -> Any:
    """Write an entity's unit vector to ``units[place]`` and return its length.

    An entity of length 0 gets a vector of zeros.
    """
    dim = units.shape[1]
    sum_rows(embeddings, tokens, start, stop, units, place)
    square = embeddings.dtype.type(0)
    for k in range(dim):
        square += units[place, k] * units[place, k]
    length = np.sqrt(square)
    if length > 0:
        scale = 1 / length
        for k in range(dim):
            units[place, k] *= scale
    return length


@compiled_fast
def _background_cosines(units: Floats, pairs: int, negatives: int, slopes: Floats) -> None:
    """Write cos(q, p-) of every query and background entity, in register tiles of 2 x 4."""
    zero = units.dtype.type(0)
    for i in range(0, pairs, 2):
        for j in range(0, negatives, 4):
            at = 2 * GROUP + j
            q0 = q1 = q2 = q3 = r0 = r1 = r2 = r3 = zero
            for k in range(units.shape[1]):
                n0, n1, n2, n3 = units[at, k], units[at + 1, k], units[at + 2, k], units[at + 3, k]
                q, r = units[i, k], units[i + 1, k]
                q0 += q * n0
                q1 += q * n1
                q2 += q * n2
                q3 += q * n3
                r0 += r * n0
                r1 += r * n1
                r2 += r * n2
                r3 += r * n3
            slopes[i, j], slopes[i, j + 1], slopes[i, j + 2], slopes[i, j + 3] = q0, q1, q2, q3
            i2 = i + 1
            slopes[i2, j], slopes[i2, j + 1], slopes[i2, j + 2], slopes[i2, j + 3] = (
                r0,
                r1,
                r2,
                r3,
            )


@compiled_fast
def _through_normalisation(gradients: Floats, units: Floats, length: Any, i: int) -> None:
    """Turn entity i's d loss / d unit into d loss / d sum:  (g - (g . u^) u^) / |u|."""
    along = gradients.dtype.type(0)
    for k in range(units.shape[1]):
        along += gradients[i, k] * units[i, k]
    scale = 1 / length
    for k in range(units.shape[1]):
        gradients[i, k] = (gradients[i, k] - along * units[i, k]) * scale


@compiled_fast
def _weighted_sum(
    weights: Floats, row: int, count: int, units: Floats, first: int, totals: Floats, place: int
) -> None:
    """Add ``units[first + j]`` times ``weights[row, j]`` for j < ``count`` to ``totals[place]``."""
    dim = units.shape[1]
    j = 0
    while j + 4 <= count:
        u = first + j
        a, b, c, d = weights[row, j], weights[row, j + 1], weights[row, j + 2], weights[row, j + 3]
        for k in range(dim):
            totals[place, k] += (a * units[u, k] + b * units[u + 1, k]) + (
                c * units[u + 2, k] + d * units[u + 3, k]
            )
        j += 4
    while j < count:
        a = weights[row, j]
        for k in range(dim):
            totals[place, k] += a * units[first + j, k]
        j += 1


@compiled_fast
def _pair_gradient(
    i: int, weight: Any, loss: Loss, buffers: GroupBuffers, gradients: Floats, active: U8
) -> tuple[Any, int, int]:
    """One pair's loss, and its gradient with respect to the unit vectors of q and p+.

    With a the slope d loss / d cos(q, p-) of each p-, times the pair's weight,

        d loss / d q^ = sum over p- of a (p-^ - p+^),    d loss / d p+^ = - (sum of a) q^.

    The background entities' share, a q^ for each, is added up later, by entity.
    """
    units, slopes, masked = buffers.units, buffers.slopes, buffers.masked
    dim, negatives, p = units.shape[1], masked.shape[1], GROUP + i
    positive = units.dtype.type(0)
    for k in range(dim):
        positive += units[i, k] * units[p, k]
    known = 0
    for j in range(negatives):
        known += masked[i, j]
    if loss.softmax:
        value, pull, violated = softmax(i, positive, loss.temperature, slopes, masked)
    else:
        value, pull, violated = hinge(i, positive, loss.margin, slopes, masked)
    pull *= weight
    for j in range(negatives):
        slopes[i, j] *= weight
        buffers.turned[j, i] = slopes[i, j]
    if pull > 0:
        active[i] = active[p] = 1
        for k in range(dim):
            gradients[i, k] = -pull * units[p, k]
            gradients[p, k] = -pull * units[i, k]
        _weighted_sum(slopes, i, negatives, units, 2 * GROUP, gradients, i)
    return weight * value, violated, negatives - known


@compiled_fast
def _background_gradients(pairs: int, buffers: GroupBuffers, gradients: Floats, active: U8) -> None:
    """Each background entity's gradient with respect to its unit vector: the sum of a q^."""
    turned, units = buffers.turned, buffers.units
    for j in range(turned.shape[0]):
        n = 2 * GROUP + j
        push = units.dtype.type(0)
        for i in range(pairs):
            push += turned[j, i]
        if push > 0:
            active[n] = 1
            for k in range(units.shape[1]):
                gradients[n, k] = 0
            _weighted_sum(turned, j, pairs, units, 0, gradients, n)


@compiled_fast
def group_gradient(
    embeddings: Floats,
    tokens: I32,
    starts: I64,
    pairs: int,
    weights: Floats,
    loss: Loss,
    buffers: GroupBuffers,
    gradients: Floats,
    active: U8,
) -> tuple[float, int, int]:
    """The loss of one group and its gradient with respect to each entity's sum of rows.

    Args:
        embeddings: (n_words, dim) the dictionary, only read.
        tokens: rows of the entities' words; entity ``i`` has ``tokens[starts[i]:starts[i + 1]]``,
            and the entities are laid out as in :class:`GroupBuffers`.
        starts: int64 (2 * GROUP + negatives + 1,).
        pairs: number of pairs in the group, 1..GROUP.
        weights: (GROUP,) weight of each pair's loss.
        loss: which loss.
        buffers: this thread's buffers; ``buffers.masked`` says which cosines do not count.
        gradients: (2 * GROUP + negatives, dim) result; only rows with ``active`` 1 are meaningful.
        active: uint8 (2 * GROUP + negatives,) result; 1 where the gradient is not zero.

    Returns:
        the weighted loss; the number of violated margins, or with softmax of background entities
        closer than p+; and the number of background entities looked at.
    """
    units, lengths = buffers.units, buffers.lengths
    negatives = buffers.masked.shape[1]
    flat = embeddings.ravel()
    for i in range(active.shape[0]):
        active[i] = 0
        if i + _AHEAD < active.shape[0]:
            _ask_for_rows(flat, units.shape[1], tokens, starts[i + _AHEAD], starts[i + _AHEAD + 1])
        if i < pairs or GROUP <= i < GROUP + pairs or i >= 2 * GROUP:
            lengths[i] = project(embeddings, tokens, starts[i], starts[i + 1], units, i)
    _background_cosines(units, pairs, negatives, buffers.slopes)

    total, violated, looked_at = 0.0, 0, 0
    for i in range(pairs):
        pair = _pair_gradient(i, weights[i], loss, buffers, gradients, active)
        total += pair[0]
        violated += pair[1]
        looked_at += pair[2]
    _background_gradients(pairs, buffers, gradients, active)
    for i in range(active.shape[0]):
        if active[i]:
            if lengths[i] > 0:
                _through_normalisation(gradients, units, lengths[i], i)
            else:
                active[i] = 0
    return total, violated, looked_at
