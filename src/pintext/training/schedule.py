"""Which pairs and which background entities meet in which group of which epoch.

An epoch visits the groups of all tasks in one random order, and the pairs of a task in another, so
that each pair is used exactly once an epoch, the short last group of a task included. Everything is
a function of (seed, epoch, position): see :mod:`pintext.training.randomness`.
"""

from typing import Any, NamedTuple

import numpy as np

from pintext.arrays import F32, I32, I64, U8, Floats
from pintext.compiled import compiled, prefetch
from pintext.training.objective import GROUP
from pintext.training.randomness import key, permuted, uniform_below

__all__ = ["CorpusArrays", "GroupDraw", "Groups", "count_groups", "draw_group", "gather_words"]

_GROUP_ORDER, _PAIR_ORDER, _BACKGROUND = 1, 2, 3  # purposes of random streams
_LONG_LIST = 1024
"""A query with more known pins than this is searched by bisection instead of by a walk."""


class CorpusArrays(NamedTuple):
    """The training pairs as flat arrays, usually memory-mapped; grouped by task."""

    tokens: I32  # rows of all entities' words, one entity after the other
    starts: I64  # (n_entities + 1,) where each entity's words start
    queries: I32  # (n_pairs,) entity of q
    pins: I32  # (n_pairs,) entity of p+
    weights: F32  # (n_pairs,)
    pair_starts: I64  # (n_tasks + 1,)
    distinct_pins: I32  # the distinct pins of each task
    distinct_starts: I64  # (n_tasks + 1,)
    known_starts: I64  # (n_entities + 1,) where each query's known pins start
    known_pins: I32  # entities that are positive for the query in any task, ascending


class GroupDraw(NamedTuple):
    """One thread's buffers for drawing a group."""

    weights: Floats  # (GROUP,)
    positions: I64  # (GROUP + negatives,) where in the corpus the pairs and background lie
    known: I64  # (GROUP, 2) first and last + 1 of each query's known pins
    table: I32  # hash table from entity to a position in the background block, -1 where empty
    same: I32  # (negatives,) next position that holds the same entity, or -1

    @classmethod
    def allocate(cls, negatives: int, dtype: type = np.float32) -> "GroupDraw":
        """Buffers for blocks of ``negatives`` background entities."""
        size = 1 << (4 * negatives - 1).bit_length()
        return cls(
            weights=np.zeros(GROUP, dtype),
            positions=np.zeros(GROUP + negatives, np.int64),
            known=np.zeros((GROUP, 2), np.int64),
            table=np.full(size, -1, np.int32),
            same=np.full(negatives, -1, np.int32),
        )


class Groups(NamedTuple):
    """How the pairs of each task fall into groups."""

    size: int  # pairs of a group, at most GROUP; the last group of a task may have fewer
    starts: I64  # (n_tasks + 1,) where each task's groups start in the list of all groups


def count_groups(pair_starts: I64, size: int = GROUP) -> Groups:
    """Divide the pairs of each task into groups of ``size`` pairs, 1..GROUP, and a shorter last."""
    counts = -(-np.diff(pair_starts) // size)
    return Groups(size, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


@compiled
def _slot(entity: int, table: I32, block: I32) -> Any:
    """Where ``entity`` is, or would be, in the open-addressing hash table."""
    mask = table.shape[0] - 1
    slot = (entity * 0x9E3779B1 >> 8) & mask
    while table[slot] >= 0 and block[table[slot]] != entity:
        slot = (slot + 1) & mask
    return slot


@compiled
def _mask_known(
    corpus: CorpusArrays, entities: I32, pairs: int, draw: GroupDraw, masked: U8
) -> None:
    """Mark the background entities that are known positives of each query, its p+ among them."""
    block = entities[2 * GROUP :]
    draw.table[:] = -1
    for j in range(block.shape[0]):
        slot = _slot(block[j], draw.table, block)
        draw.same[j] = draw.table[slot]
        draw.table[slot] = j
    for i in range(pairs):
        query = entities[i]
        draw.known[i, 0], draw.known[i, 1] = (
            corpus.known_starts[query],
            corpus.known_starts[query + 1],
        )
    for i in range(pairs):
        prefetch(corpus.known_pins, draw.known[i, 0])
    masked[:pairs] = 0
    for i in range(pairs):
        start, stop = draw.known[i, 0], draw.known[i, 1]
        if stop - start <= _LONG_LIST:
            for at in range(start, stop):
                j = draw.table[_slot(corpus.known_pins[at], draw.table, block)]
                while j >= 0:
                    masked[i, j] = 1
                    j = draw.same[j]
        else:
            known = corpus.known_pins[start:stop]
            for j in range(block.shape[0]):
                at = np.searchsorted(known, block[j])
                if at < known.shape[0] and known[at] == block[j]:
                    masked[i, j] = 1


@compiled
def draw_group(
    corpus: CorpusArrays,
    groups: Groups,
    seed: int,
    epoch: int,
    position: int,
    by_engagement: bool,
    entities: I32,
    draw: GroupDraw,
    masked: U8,
) -> tuple[int, int]:
    """Fill in the group at a position of an epoch.

    Args:
        corpus: the training pairs.
        groups: from :func:`count_groups`.
        seed: seed of the run.
        epoch: epoch, from 0.
        position: place in the epoch's order, 0..n_groups-1.
        by_engagement: draw background entities as often as they were engaged with, rather than
            uniformly over the task's distinct pins.
        entities: int32 (2 * GROUP + negatives,) result: queries, pins, background.
        draw: this thread's buffers; ``draw.weights`` becomes the pairs' weights.
        masked: uint8 (GROUP, negatives) result: 1 where a background entity is a known positive.

    Returns:
        the task and the number of pairs in the group.
    """
    tasks = corpus.pair_starts.shape[0] - 1
    group = permuted(position, groups.starts[tasks], key(seed, _GROUP_ORDER, epoch, 0))
    task = 0
    while group >= groups.starts[task + 1]:
        task += 1
    first_pair, last_pair = corpus.pair_starts[task], corpus.pair_starts[task + 1]
    count = last_pair - first_pair
    first = (group - groups.starts[task]) * groups.size
    pairs = min(groups.size, count - first)
    order = key(seed, _PAIR_ORDER, epoch, task)
    positions, negatives = draw.positions, entities.shape[0] - 2 * GROUP
    for i in range(pairs):
        positions[i] = first_pair + permuted(first + i, count, order)
    stream = key(seed, _BACKGROUND, epoch, group)
    first_pin, last_pin = corpus.distinct_starts[task], corpus.distinct_starts[task + 1]
    for j in range(negatives):
        if by_engagement:
            positions[GROUP + j] = first_pair + uniform_below(stream, j, count)
        else:
            positions[GROUP + j] = first_pin + uniform_below(stream, j, last_pin - first_pin)
    # Loops this short have many waits for memory under way at once.
    for i in range(pairs):
        entities[i] = corpus.queries[positions[i]]
    for i in range(pairs):
        entities[GROUP + i] = corpus.pins[positions[i]]
    for i in range(pairs):
        draw.weights[i] = corpus.weights[positions[i]]
    pins = corpus.pins if by_engagement else corpus.distinct_pins
    for j in range(negatives):
        entities[2 * GROUP + j] = pins[positions[GROUP + j]]
    _mask_known(corpus, entities, pairs, draw, masked)
    return task, pairs


@compiled
def gather_words(corpus: CorpusArrays, entities: I32, pairs: int, tokens: I32, starts: I64) -> None:
    """Copy the words of a group's entities side by side.

    First all places, then all words: many waits for memory overlap that would otherwise follow one
    another, entity by entity.

    Args:
        corpus: the training pairs.
        entities: int32 (2 * GROUP + negatives,) from :func:`draw_group`.
        pairs: number of pairs in the group; places of pairs beyond get no words.
        tokens: int32 result, long enough; entity ``i`` has ``tokens[starts[i]:starts[i + 1]]``.
        starts: int64 (2 * GROUP + negatives + 1,) result.
    """
    starts[0] = 0
    for i in range(entities.shape[0]):
        words = np.int64(0)
        if i < pairs or GROUP <= i < GROUP + pairs or i >= 2 * GROUP:
            first = corpus.starts[entities[i]]
            words = corpus.starts[entities[i] + 1] - first
            prefetch(corpus.tokens, first)
        starts[i + 1] = starts[i] + words
    for i in range(entities.shape[0]):
        if starts[i + 1] > starts[i]:
            shift = corpus.starts[entities[i]] - starts[i]
            for at in range(starts[i], starts[i + 1]):
                tokens[at] = corpus.tokens[shift + at]
