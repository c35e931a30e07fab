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
from pintext.compiled import compiled_fast

__all__ = ["GROUP", "GroupBuffers", "group_gradient", "sum_rows"]

GROUP = 128
"""Pairs that share one block of background entities."""


class GroupBuffers(NamedTuple):
    """What one thread needs to work on a group; reused from group to group.

    Rows 0..m-1 of an entity array are the queries, GROUP..GROUP+m-1 the pins, and 2*GROUP.. the
    background entities.
    """

    units: Floats  # (2 * GROUP + negatives, dim) unit vectors
    lengths: Floats  # (2 * GROUP + negatives,) lengths before division
    weighted: Floats  # (GROUP, dim) the queries' unit vectors times their pairs' weights
    cosines: Floats  # (GROUP + 1, negatives + 3), cos(q, p-), padded to whole tiles of 2 x 4
    masked: U8  # (GROUP, negatives) 1 where a background entity is a known positive of the query
    violators: I32  # (GROUP,) background entities that violate one query's margin
    violated_by: I32  # (negatives, GROUP) queries whose margin a background entity violates
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
            violators=np.zeros(negatives, np.int32),
            violated_by=np.zeros((negatives, GROUP), np.int32),
            violations=np.zeros(negatives, np.int32),
        )


@compiled_fast
def sum_rows(table: Floats, rows: I32, start: int, stop: int, total: Floats) -> None:
    """Write the sum of the table's rows ``rows[start:stop]`` to ``total``.

    Four rows at a time: a pass over ``total`` costs as much as a pass over a row.
    """
    dim = table.shape[1]
    total[:] = 0
    i = start
    while i + 4 <= stop:
        a, b, c, d = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        for k in range(dim):
            total[k] += (table[a, k] + table[b, k]) + (table[c, k] + table[d, k])
        i += 4
    while i < stop:
        a = rows[i]
        for k in range(dim):
            total[k] += table[a, k]
        i += 1


@compiled_fast
def _project(embeddings: Floats, tokens: I32, start: int, stop: int, unit: Floats) -> Any:
    """Write an entity's unit vector and return its length; an entity of length 0 stays 0."""
    sum_rows(embeddings, tokens, start, stop, unit)
    square = embeddings.dtype.type(0)
    for k in range(unit.shape[0]):
        square += unit[k] * unit[k]
    length = np.sqrt(square)
    if length > 0:
        scale = 1 / length
        for k in range(unit.shape[0]):
            unit[k] *= scale
    return length


@compiled_fast
def _background_cosines(units: Floats, pairs: int, negatives: int, cosines: Floats) -> None:
    """Write cos(q, p-) of every query and background entity, in register tiles of 2 x 4."""
    zero = units.dtype.type(0)
    for i in range(0, pairs, 2):
        q, r = units[i], units[i + 1]
        for j in range(0, negatives, 4):
            at = 2 * GROUP + j
            q0 = q1 = q2 = q3 = r0 = r1 = r2 = r3 = zero
            for k in range(units.shape[1]):
                n0, n1, n2, n3 = units[at, k], units[at + 1, k], units[at + 2, k], units[at + 3, k]
                q0 += q[k] * n0
                q1 += q[k] * n1
                q2 += q[k] * n2
                q3 += q[k] * n3
                r0 += r[k] * n0
                r1 += r[k] * n1
                r2 += r[k] * n2
                r3 += r[k] * n3
            cosines[i, j], cosines[i, j + 1], cosines[i, j + 2], cosines[i, j + 3] = q0, q1, q2, q3
            i2 = i + 1
            cosines[i2, j], cosines[i2, j + 1], cosines[i2, j + 2], cosines[i2, j + 3] = (
                r0,
                r1,
                r2,
                r3,
            )


@compiled_fast
def _through_normalisation(gradient: Floats, unit: Floats, length: Any) -> None:
    """Turn d loss / d unit into d loss / d sum:  (g - (g . u^) u^) / |u|."""
    along = gradient.dtype.type(0)
    for k in range(unit.shape[0]):
        along += gradient[k] * unit[k]
    scale = 1 / length
    for k in range(unit.shape[0]):
        gradient[k] = (gradient[k] - along * unit[k]) * scale


@compiled_fast
def _pair_gradient(
    i: int, weight: Any, margin: Any, buffers: GroupBuffers, gradients: Floats, active: U8
) -> tuple[float, int, int]:
    """One pair's loss, and its gradient with respect to the unit vectors of q and p+.

    With c the number of violated margins and w the pair's weight,

        d loss / d q^ = w * (sum of violating p-^  -  c p+^),    d loss / d p+^ = -c w q^.

    The background entities' share, w q^ for each violated margin, is added up later, by entity.
    """
    query, pin, weighted = buffers.units[i], buffers.units[GROUP + i], buffers.weighted[i]
    positive = query.dtype.type(0)
    for k in range(query.shape[0]):
        positive += query[k] * pin[k]
    loss, violated, looked_at = 0.0, 0, 0
    for j in range(buffers.violators.shape[0]):
        if buffers.masked[i, j]:
            continue
        looked_at += 1
        excess = margin - positive + buffers.cosines[i, j]
        if excess <= 0:
            continue
        loss += excess  # NaN comes here too, so that the loss tells of it
        buffers.violators[violated] = 2 * GROUP + j
        violated += 1
        buffers.violated_by[j, buffers.violations[j]] = i
        buffers.violations[j] += 1
    if violated:
        active[i] = active[GROUP + i] = 1
        sum_rows(buffers.units, buffers.violators, 0, violated, gradients[i])
        for k in range(query.shape[0]):
            gradients[i, k] = weight * (gradients[i, k] - violated * pin[k])
            weighted[k] = weight * query[k]
            gradients[GROUP + i, k] = -violated * weighted[k]
    return weight * loss, violated, looked_at


@compiled_fast
def group_gradient(
    embeddings: Floats,
    tokens: I32,
    starts: I64,
    entities: I32,
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
        tokens: rows of all entities' words; entity ``e`` owns ``tokens[starts[e]:starts[e + 1]]``.
        starts: int64 (n_entities + 1,).
        entities: int32 (2 * GROUP + negatives,) the group's entities, laid out as in
            :class:`GroupBuffers`.
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
    negatives = buffers.violators.shape[0]
    for i in range(entities.shape[0]):
        active[i] = 0
        if i < pairs or GROUP <= i < GROUP + pairs or i >= 2 * GROUP:
            e = entities[i]
            lengths[i] = _project(embeddings, tokens, starts[e], starts[e + 1], units[i])
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
            sum_rows(buffers.weighted, buffers.violated_by[j], 0, count, gradients[2 * GROUP + j])

    for i in range(entities.shape[0]):
        if active[i]:
            if lengths[i] > 0:
                _through_normalisation(gradients[i], units[i], lengths[i])
            else:
                active[i] = 0
    return loss, violated, looked_at
