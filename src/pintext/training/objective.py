"""The objective and its exact gradient for one group of positive pairs.

For a pair <q, p+> and background entities p- the loss is

    sum over p- of max(0, mu - cos(q, p+) + cos(q, p-))                    (PinText, KDD 2019)

An entity is the sum of its words' rows (cosine does not see the difference from the mean). A group
holds up to :data:`GROUP` pairs of one task that share one block of background entities, so that
each entity is gathered once and every cosine is a dot product of unit vectors already in cache.
"""

from typing import Any, NamedTuple

import numpy as np

from pintext.arrays import I32, I64, U8, Floats
from pintext.compiled import compiled_fast, prefetch

__all__ = ["GROUP", "GroupBuffers", "group_gradient", "project", "sum_rows"]

GROUP = 128
"""Pairs that share one block of background entities."""

PLACES = GROUP + 1
"""Room for the queries whose margin one background entity violates, and one place to spare."""


_AHEAD = 2
"""Entities between asking memory for the rows of one and adding them up."""


class GroupBuffers(NamedTuple):
    """What one thread needs to work on a group; reused from group to group.

    Rows 0..m-1 of an entity array are the queries, GROUP..GROUP+m-1 the pins, and 2*GROUP.. the
    background entities.
    """

    units: Floats  # (2 * GROUP + negatives, dim) unit vectors
    lengths: Floats  # (2 * GROUP + negatives,) lengths before division
    weighted: Floats  # (GROUP, dim) the queries' unit vectors times their pairs' weights
    cosines: Floats  # (GROUP + 1, negatives + 3), cos(q, p-), padded to whole tiles of 2 x 4;
    # then by how much each margin is violated
    masked: U8  # (GROUP, negatives) 1 where a background entity is a known positive of the query
    violators: I32  # (negatives + 1,) background entities that violate one query's margin
    violated_by: I32  # (negatives * PLACES,) queries whose margin a background entity violates
    violations: I32  # (negatives,) how many there are

    @classmethod
    def allocate(cls, negatives: int, dim: int, dtype: type = np.float32) -> "GroupBuffers":
        """Buffers for groups with ``negatives`` background entities and rows of length ``dim``."""
        entities = 2 * GROUP + negatives
        return cls(
            units=np.zeros((entities + 3, dim), dtype),
            lengths=np.zeros(entities, dtype),
            weighted=np.zeros((GROUP, dim), dtype),
            cosines=np.zeros((GROUP + 1, negatives + 3), dtype),
            masked=np.zeros((GROUP, negatives), np.uint8),
            violators=np.zeros(negatives + 1, np.int32),
            violated_by=np.zeros(negatives * PLACES, np.int32),
            violations=np.zeros(negatives, np.int32),
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
def _background_cosines(units: Floats, pairs: int, negatives: int, cosines: Floats) -> None:
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
            cosines[i, j], cosines[i, j + 1], cosines[i, j + 2], cosines[i, j + 3] = q0, q1, q2, q3
            i2 = i + 1
            cosines[i2, j], cosines[i2, j + 1], cosines[i2, j + 2], cosines[i2, j + 3] = (
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
def _pair_gradient(
    i: int, weight: Any, margin: Any, buffers: GroupBuffers, gradients: Floats, active: U8
) -> tuple[float, int, int]:
    """One pair's loss, and its gradient with respect to the unit vectors of q and p+.

    With c the number of violated margins and w the pair's weight,

        d loss / d q^ = w * (sum of violating p-^  -  c p+^),    d loss / d p+^ = -c w q^.

    The background entities' share, w q^ for each violated margin, is added up later, by entity.
    """
    units, weighted, excesses, masked = (
        buffers.units,
        buffers.weighted,
        buffers.cosines,
        buffers.masked,
    )
    dim, negatives, p = units.shape[1], masked.shape[1], GROUP + i
    zero = units.dtype.type(0)
    positive = zero
    for k in range(dim):
        positive += units[i, k] * units[p, k]
    loss, known = zero, 0
    for j in range(negatives):
        excess = zero if masked[i, j] else margin - positive + excesses[i, j]
        excess = zero if excess <= 0 else excess  # NaN stays, so that the loss tells of it
        excesses[i, j] = excess
        loss += excess
        known += masked[i, j]
    # Branches here would be guessed wrong as often as right, so every place is written and only
    # those of violated margins are kept.
    violated = 0
    for j in range(negatives):
        hit = int(excesses[i, j] > 0)
        buffers.violators[violated] = 2 * GROUP + j
        violated += hit
        buffers.violated_by[j * PLACES + buffers.violations[j]] = i
        buffers.violations[j] += hit
    if violated:
        active[i] = active[p] = 1
        sum_rows(units, buffers.violators, 0, violated, gradients, i)
        count = units.dtype.type(violated)
        for k in range(dim):
            gradients[i, k] = weight * (gradients[i, k] - count * units[p, k])
            weighted[i, k] = weight * units[i, k]
            gradients[p, k] = -count * weighted[i, k]
    return weight * loss, violated, negatives - known


@compiled_fast
def group_gradient(
    embeddings: Floats,
    tokens: I32,
    starts: I64,
    pairs: int,
    weights: Floats,
    margin: Any,
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
        margin: mu.
        buffers: this thread's buffers; ``buffers.masked`` says which cosines do not count.
        gradients: (2 * GROUP + negatives, dim) result; only rows with ``active`` 1 are meaningful.
        active: uint8 (2 * GROUP + negatives,) result; 1 where the gradient is not zero.

    Returns:
        the weighted loss, the number of violated margins, the number of margins looked at.
    """
    units, lengths = buffers.units, buffers.lengths
    negatives = buffers.violations.shape[0]
    flat = embeddings.ravel()
    for i in range(active.shape[0]):
        active[i] = 0
        if i + _AHEAD < active.shape[0]:
            _ask_for_rows(flat, units.shape[1], tokens, starts[i + _AHEAD], starts[i + _AHEAD + 1])
        if i < pairs or GROUP <= i < GROUP + pairs or i >= 2 * GROUP:
            lengths[i] = project(embeddings, tokens, starts[i], starts[i + 1], units, i)
    _background_cosines(units, pairs, negatives, buffers.cosines)

    buffers.violations[:] = 0
    loss, violated, looked_at = 0.0, 0, 0
    for i in range(pairs):
        pair = _pair_gradient(i, weights[i], margin, buffers, gradients, active)
        loss += pair[0]
        violated += pair[1]
        looked_at += pair[2]
    for j in range(negatives):
        count = buffers.violations[j]
        if count:
            active[2 * GROUP + j] = 1
            start = j * PLACES
            sum_rows(
                buffers.weighted,
                buffers.violated_by,
                start,
                start + count,
                gradients,
                2 * GROUP + j,
            )

    for i in range(active.shape[0]):
        if active[i]:
            if lengths[i] > 0:
                _through_normalisation(gradients, units, lengths[i], i)
            else:
                active[i] = 0
    return loss, violated, looked_at
