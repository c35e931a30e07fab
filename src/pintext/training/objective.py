"""The exact gradient of the loss of one group of positive pairs; see :mod:`~.losses`.

An entity is the sum of its words' rows (cosine does not see the difference from the mean). A group
holds up to :data:`GROUP` pairs of one task that share one block of background entities, so that
each entity is gathered once and every cosine is a dot product of unit vectors already in cache.
"""

from typing import Any, NamedTuple

import numpy as np

from pintext.arrays import I32, I64, U8, Floats, zeros_in_lines
from pintext.compiled import compiled_fast, prefetch
from pintext.training.losses import Loss, hinge, softmax
from pintext.training.products import TILE_COLUMNS, TILE_ROWS, multiply_tile, whole_tiles

__all__ = ["GROUP", "GroupBuffers", "ask_for_row", "group_gradient", "project", "sum_rows"]

GROUP = 128
"""Pairs that share one block of background entities."""

_AHEAD = 2
"""Entities between asking memory for the rows of one and adding them up."""


class GroupBuffers(NamedTuple):
    """What one thread needs to work on a group; reused from group to group.

    Rows 0..m-1 of an entity array are the queries, GROUP..GROUP+m-1 the pins, and 2*GROUP.. the
    background entities. Columns past the last are zeros, so that products come in whole tiles.
    """

    units: Floats  # (2 * GROUP + negatives, stride) unit vectors
    lengths: Floats  # (2 * GROUP + negatives,) lengths before division
    panels: Floats  # (negatives / 16, dim, 16) the background's unit vectors, turned
    slopes: Floats  # (GROUP, negatives) cos(q, p-); then d loss / d cos(q, p-), never negative
    pulls: Floats  # (GROUP,) each pair's sum of slopes
    pushes: Floats  # (negatives,) each background entity's sum of slopes
    rows: Floats  # (TILE_ROWS, stride) of a product
    masked: U8  # (GROUP, negatives) 1 where a background entity is a known positive of the query

    @classmethod
    def allocate(cls, negatives: int, dim: int, dtype: type = np.float32) -> "GroupBuffers":
        """Buffers for groups with ``negatives`` background entities and rows of length ``dim``."""
        entities, columns = 2 * GROUP + negatives, whole_tiles(negatives)
        # One tile more than is needed: rows a power of two apart would share few cache sets.
        stride = whole_tiles(dim) + TILE_COLUMNS
        return cls(
            units=zeros_in_lines((entities, stride), dtype),
            lengths=np.zeros(entities, dtype),
            panels=zeros_in_lines((columns // TILE_COLUMNS, dim, TILE_COLUMNS), dtype),
            slopes=zeros_in_lines((GROUP, columns), dtype),
            pulls=np.zeros(GROUP, dtype),
            pushes=np.zeros(columns, dtype),
            rows=zeros_in_lines((TILE_ROWS, stride), dtype),
            masked=np.zeros((GROUP, negatives), np.uint8),
        )


@compiled_fast
def sum_rows(table: Floats, rows: I32, start: int, stop: int, totals: Floats, place: int) -> None:
    """Write the sum of the table's rows ``rows[start:stop]`` to ``totals[place]``.

    The first one to three rows are written, the others added four at a time: a pass over the total
    costs as much as a pass over a row. Here and below a row is named by its table and number,
    because making a view of it takes as long as adding it up.
    """
    dim, few = table.shape[1], (stop - start) % 4
    if few == 0:
        for k in range(dim):
            totals[place, k] = 0
    elif few == 1:
        a = rows[start]
        for k in range(dim):
            totals[place, k] = table[a, k]
    elif few == 2:
        a, b = rows[start], rows[start + 1]
        for k in range(dim):
            totals[place, k] = table[a, k] + table[b, k]
    else:
        a, b, c = rows[start], rows[start + 1], rows[start + 2]
        for k in range(dim):
            totals[place, k] = table[a, k] + table[b, k] + table[c, k]
    for i in range(start + few, stop, 4):
        a, b, c, d = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        for k in range(dim):
            totals[place, k] += (table[a, k] + table[b, k]) + (table[c, k] + table[d, k])


@compiled_fast
def ask_for_row(table: Floats, row: int, dim: int) -> None:
    """Ask memory for all cache lines of a row of a table."""
    first = np.int64(row) * dim
    for k in range(0, dim, 64 // table.itemsize):
        prefetch(table, first + k)


@compiled_fast
def project(
    embeddings: Floats, tokens: I32, start: int, stop: int, units: Floats, place: int
) -> Any:
    """Write an entity's unit vector to the front of ``units[place]`` and return its length.

    An entity of length 0 gets a vector of zeros.
    """
    dim = embeddings.shape[1]
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
def _project_all(
    embeddings: Floats, tokens: I32, starts: I64, pairs: int, buffers: GroupBuffers
) -> None:
    """Fill in the unit vectors and lengths of a group's entities, and the background's panels."""
    units, panels = buffers.units, buffers.panels
    dim, entities = embeddings.shape[1], units.shape[0]
    for i in range(entities):
        if i + _AHEAD < entities:
            for at in range(starts[i + _AHEAD], starts[i + _AHEAD + 1]):
                ask_for_row(embeddings, tokens[at], dim)
        if i < pairs or GROUP <= i < GROUP + pairs or i >= 2 * GROUP:
            buffers.lengths[i] = project(embeddings, tokens, starts[i], starts[i + 1], units, i)
    for j in range(entities - 2 * GROUP):
        panel, column = j // TILE_COLUMNS, j % TILE_COLUMNS
        for k in range(dim):
            panels[panel, k, column] = units[2 * GROUP + j, k]


@compiled_fast
def _cosines(first: int, buffers: GroupBuffers) -> None:
    """Write cos(q, p-) of ``TILE_ROWS`` queries and every background entity."""
    units, panels, slopes = buffers.units, buffers.panels, buffers.slopes
    dim, stride, columns = panels.shape[1], units.shape[1], slopes.shape[1]
    at = first * stride
    for j in range(0, columns, TILE_COLUMNS):
        to = first * columns + j
        multiply_tile(units, at, stride, 1, dim, panels, j * dim, TILE_COLUMNS, slopes, to, columns)


@compiled_fast
def _weighted_sums(
    first: int, row: int, step: int, count: int, entity: int, buffers: GroupBuffers
) -> None:
    """Write ``TILE_ROWS`` sums of unit vectors, each times its slope, to ``buffers.rows``.

    Sum r is over the unit vectors ``entity + t``, t < ``count``; the slope of each is at the flat
    position ``first + r * row + t * step``.
    """
    slopes, units, rows = buffers.slopes, buffers.units, buffers.rows
    stride = units.shape[1]
    for k in range(0, buffers.panels.shape[1], TILE_COLUMNS):
        at = entity * stride + k
        multiply_tile(slopes, first, row, step, count, units, at, stride, rows, k, stride)


@compiled_fast
def _slopes_of_pair(i: int, weight: Any, loss: Loss, buffers: GroupBuffers) -> tuple[Any, int, int]:
    """Turn one pair's cosines into slopes, times its weight.

    Returns the pair's loss, and how many background entities violate and how many are looked at.
    """
    units, slopes, masked = buffers.units, buffers.slopes, buffers.masked
    positive = units.dtype.type(0)
    for k in range(buffers.panels.shape[1]):
        positive += units[i, k] * units[GROUP + i, k]
    looked_at = 0
    for j in range(masked.shape[1]):
        looked_at += 1 - masked[i, j]
    if loss.softmax:
        value, pull, violated = softmax(i, positive, loss.temperature, slopes, masked)
    else:
        value, pull, violated = hinge(i, positive, loss.margin, slopes, masked)
    buffers.pulls[i] = weight * pull
    for j in range(masked.shape[1]):
        slopes[i, j] *= weight
        buffers.pushes[j] += slopes[i, j]
    return weight * value, violated, looked_at


@compiled_fast
def _through_normalisation(gradients: Floats, i: int, units: Floats, length: Any) -> int:
    """Turn entity i's d loss / d unit into d loss / d sum:  (g - (g . u^) u^) / |u|.

    Returns 1, or 0 for an entity of length 0, which has no direction and so no gradient.
    """
    if not length > 0:
        return 0
    along = gradients.dtype.type(0)
    for k in range(gradients.shape[1]):
        along += gradients[i, k] * units[i, k]
    scale = 1 / length
    for k in range(gradients.shape[1]):
        gradients[i, k] = (gradients[i, k] - along * units[i, k]) * scale
    return 1


@compiled_fast
def _pair_gradients(
    first: int, last: int, buffers: GroupBuffers, gradients: Floats, active: U8
) -> None:
    """The gradients of the queries and pins of ``TILE_ROWS`` pairs.

    With a the slope d loss / d cos(q, p-) of each p-, times the pair's weight,

        d loss / d q^ = sum over p- of a (p-^ - p+^),    d loss / d p+^ = - (sum of a) q^.
    """
    units, lengths, rows, columns = (
        buffers.units,
        buffers.lengths,
        buffers.rows,
        buffers.slopes.shape[1],
    )
    _weighted_sums(first * columns, columns, 1, buffers.masked.shape[1], 2 * GROUP, buffers)
    for i in range(first, last):
        p, pull = GROUP + i, buffers.pulls[i]
        if pull > 0:
            for k in range(gradients.shape[1]):
                gradients[i, k] = rows[i - first, k] - pull * units[p, k]
                gradients[p, k] = -pull * units[i, k]
            active[i] = _through_normalisation(gradients, i, units, lengths[i])
            active[p] = _through_normalisation(gradients, p, units, lengths[p])


@compiled_fast
def _background_gradients(pairs: int, buffers: GroupBuffers, gradients: Floats, active: U8) -> None:
    """Each background entity's gradient: with respect to its unit vector, the sum of a q^."""
    units, rows, negatives = buffers.units, buffers.rows, buffers.masked.shape[1]
    for first in range(0, negatives, TILE_ROWS):
        _weighted_sums(first, 1, buffers.slopes.shape[1], pairs, 0, buffers)
        for j in range(first, min(first + TILE_ROWS, negatives)):
            n = 2 * GROUP + j
            if buffers.pushes[j] > 0:
                for k in range(gradients.shape[1]):
                    gradients[n, k] = rows[j - first, k]
                active[n] = _through_normalisation(gradients, n, units, buffers.lengths[n])


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
    active[:] = 0
    buffers.pushes[:] = 0
    _project_all(embeddings, tokens, starts, pairs, buffers)
    total, violated, looked_at = 0.0, 0, 0
    for first in range(0, pairs, TILE_ROWS):
        last = min(first + TILE_ROWS, pairs)
        _cosines(first, buffers)
        for i in range(first, last):
            pair = _slopes_of_pair(i, weights[i], loss, buffers)
            total += pair[0]
            violated += pair[1]
            looked_at += pair[2]
        _pair_gradients(first, last, buffers, gradients, active)
    _background_gradients(pairs, buffers, gradients, active)
    return total, violated, looked_at
