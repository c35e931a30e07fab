"""Deterministic training on any number of threads.

A step takes the groups of one batch. While the dictionary stands still, every thread computes the
gradients of its share of the groups; then every thread changes the rows that it **owns** (row
modulo threads), adding up each row's gradient in the order of the groups. What is added, and in
which order, does not depend on the number of threads or their timing, so neither do the bytes of
the dictionary.
"""

from typing import Any, NamedTuple

import numpy as np

from pintext.arrays import I32, I64, U8, Floats
from pintext.compiled import compiled, compiled_fast, prefetch
from pintext.training.losses import Loss
from pintext.training.objective import (
    GROUP,
    GroupBuffers,
    ask_for_row,
    group_gradient,
    sum_rows,
)
from pintext.training.schedule import CorpusArrays, GroupDraw, Groups, draw_group, gather_words
from pintext.training.threads import meet

__all__ = ["LOOKED_AT", "LOSS", "VIOLATED", "Rules", "Shared", "Workspace", "run_steps"]

LOSS, VIOLATED, LOOKED_AT = 0, 1, 2  # columns of the statistics
_ROWS_AHEAD = 3
"""Rows between asking memory for one and changing it."""
_OCCURRENCES_AHEAD = 8
"""Gradients between asking memory for one and adding it."""


class Rules(NamedTuple):
    """The numbers that steer training."""

    seed: int
    loss: Loss
    max_norm: Any  # gamma
    learning_rate: Any
    by_engagement: bool
    task_weights: Floats  # (n_tasks,)
    groups_per_step: int
    steps_per_epoch: int
    total_steps: int


class Shared(NamedTuple):
    """What all threads read and write; see :func:`run_steps` for who writes when."""

    embeddings: Floats  # (n_words, dim) the dictionary
    squares: Floats  # (threads, rows per thread) AdaGrad: row r is at [r % threads, r // threads]
    tokens: I32  # (groups_per_step, words at most) the words of each group's entities
    starts: I64  # (groups_per_step, 2 * GROUP + negatives + 1) where each entity's words start
    gradients: Floats  # (groups_per_step * (2 * GROUP + negatives), dim)
    active: U8  # (groups_per_step, 2 * GROUP + negatives)
    tasks: I32  # (groups_per_step,) task of each group, -1 past the end of the epoch
    group_statistics: Any  # float64 (groups_per_step, 3)
    statistics: Any  # float64 (n_tasks, 3) loss, violated margins, margins looked at
    traffic: I64  # (threads, 16) rows gathered, rows changed
    arrivals: I64  # the barrier


class Workspace(NamedTuple):
    """What one thread needs for itself."""

    buffers: GroupBuffers
    draw: GroupDraw
    entities: I32  # (2 * GROUP + negatives,) of the group at work
    head: I32  # (rows per thread,) first occurrence of an owned row in this step, -1 for none
    met: I32  # (occurrences,) owned rows in the order in which they occur
    occurrence: I32  # (occurrences,) where: group * (2 * GROUP + negatives) + entity
    following: I32  # (occurrences,) next occurrence of the same row, -1 at the end
    rows: I32  # owned rows that occur in this step, each once
    bounds: I32  # (rows + 1,) where each row's part of ``chain`` starts
    chain: I32  # (occurrences,) row after row, where it occurs, in the order of the groups
    total: Floats  # (1, dim) gradient of one row

    @classmethod
    def allocate(
        cls, rows: int, occurrences: int, negatives: int, dim: int, dtype: type = np.float32
    ) -> "Workspace":
        """A workspace for a thread that owns ``rows`` rows and meets ``occurrences`` words."""
        return cls(
            buffers=GroupBuffers.allocate(negatives, dim, dtype),
            draw=GroupDraw.allocate(negatives, dtype),
            entities=np.zeros(2 * GROUP + negatives, np.int32),
            head=np.full(rows, -1, np.int32),
            met=np.zeros(occurrences + 1, np.int32),
            occurrence=np.zeros(occurrences + 1, np.int32),
            following=np.zeros(occurrences, np.int32),
            rows=np.zeros(min(rows, occurrences) + 1, np.int32),
            bounds=np.zeros(min(rows, occurrences) + 1, np.int32),
            chain=np.zeros(occurrences, np.int32),
            total=np.zeros((1, dim), dtype),
        )


@compiled
def _compute(
    thread: int,
    threads: int,
    epoch: int,
    step: int,
    corpus: CorpusArrays,
    groups: Groups,
    rules: Rules,
    shared: Shared,
    mine: Workspace,
) -> None:
    """Compute the gradients of this thread's groups; the dictionary is only read."""
    count = groups.starts[groups.starts.shape[0] - 1]
    width = shared.active.shape[1]
    for slot in range(thread, rules.groups_per_step, threads):
        position = step * rules.groups_per_step + slot
        if position >= count:
            shared.tasks[slot] = -1
            continue
        tokens, starts = shared.tokens[slot], shared.starts[slot]
        task, pairs = draw_group(
            corpus,
            groups,
            rules.seed,
            epoch,
            position,
            rules.by_engagement,
            mine.entities,
            mine.draw,
            mine.buffers.masked,
        )
        gather_words(corpus, mine.entities, pairs, tokens, starts)
        for i in range(pairs):
            mine.draw.weights[i] *= rules.task_weights[task]
        loss, violated, looked_at = group_gradient(
            shared.embeddings,
            tokens,
            starts,
            pairs,
            mine.draw.weights,
            rules.loss,
            mine.buffers,
            shared.gradients[slot * width : (slot + 1) * width],
            shared.active[slot],
        )
        shared.tasks[slot] = task
        shared.group_statistics[slot, LOSS] = loss
        shared.group_statistics[slot, VIOLATED] = violated
        shared.group_statistics[slot, LOOKED_AT] = looked_at
        shared.traffic[thread, 0] += starts[width]


@compiled
def _occurrences(thread: int, threads: int, shared: Shared, mine: Workspace) -> Any:
    """List the owned words of this step's entities in ``met`` and ``occurrence``; how many."""
    width, team = shared.active.shape[1], np.uint32(threads)
    count = np.int64(0)
    for slot in range(shared.tasks.shape[0]):
        if shared.tasks[slot] < 0:
            continue
        for i in range(width):
            if not shared.active[slot, i]:
                continue
            for at in range(shared.starts[slot, i], shared.starts[slot, i + 1]):
                row = shared.tokens[slot, at]
                # Written in any case and kept if owned: nothing for the processor to guess.
                mine.met[count] = row
                mine.occurrence[count] = slot * width + i
                count += np.uint32(row) % team == thread
    return count


@compiled
def _collect(thread: int, threads: int, shared: Shared, mine: Workspace) -> Any:
    """List the owned rows of this step, and where each occurs; returns how many rows there are."""
    count = _occurrences(thread, threads, shared, mine)
    team = np.uint32(threads)
    rows = np.int64(0)
    for at in range(count - 1, -1, -1):
        local = np.uint32(mine.met[at]) // team
        mine.following[at] = mine.head[local]
        mine.rows[rows] = mine.met[at]
        rows += mine.head[local] < 0
        mine.head[local] = at
    filled = 0
    for r in range(rows):
        mine.bounds[r] = filled
        local = np.uint32(mine.rows[r]) // team
        at = mine.head[local]
        mine.head[local] = -1
        while at >= 0:
            mine.chain[filled] = mine.occurrence[at]
            filled += 1
            at = mine.following[at]
    mine.bounds[rows] = filled
    return rows


@compiled_fast
def _change_row(
    embeddings: Floats, row: int, gradient: Floats, square_so_far: Any, rules: Rules, rate: Any
) -> Any:
    """One AdaGrad step of one row, then back into the ball of radius ``max_norm``.

    AdaGrad keeps one number a row, the sum of |gradient|^2 so far, so that the first step of a row
    has length ``rate`` whatever the scale of the loss (Duchi, Hazan and Singer, 2011; the form with
    one number a row is StarSpace's). Returns that number.
    """
    dim = embeddings.shape[1]
    for k in range(dim):
        square_so_far += gradient[0, k] * gradient[0, k]
    if square_so_far == 0:
        return square_so_far
    scale = rate / np.sqrt(square_so_far)
    norm = embeddings.dtype.type(0)
    for k in range(dim):
        embeddings[row, k] -= scale * gradient[0, k]
        norm += embeddings[row, k] * embeddings[row, k]
    if norm > rules.max_norm * rules.max_norm:
        shrink = rules.max_norm / np.sqrt(norm)
        for k in range(dim):
            embeddings[row, k] *= shrink
    return square_so_far


@compiled_fast
def _update(
    thread: int,
    threads: int,
    rate: Any,
    rules: Rules,
    shared: Shared,
    mine: Workspace,
) -> None:
    """Change the rows that this thread owns, each once, by the sum of its gradients."""
    rows = _collect(thread, threads, shared, mine)
    squares, embeddings, gradients = shared.squares[thread], shared.embeddings, shared.gradients
    dim = embeddings.shape[1]
    asked, occurrences = 0, mine.bounds[rows]
    for r in range(rows):
        if r + _ROWS_AHEAD < rows:
            later = mine.rows[r + _ROWS_AHEAD]
            prefetch(squares, later // threads)
            ask_for_row(embeddings, later, dim)
        first, last = mine.bounds[r], mine.bounds[r + 1]
        while asked < min(last + _OCCURRENCES_AHEAD, occurrences):
            ask_for_row(gradients, mine.chain[asked], dim)
            asked += 1
        row = mine.rows[r]
        local = row // threads
        sum_rows(gradients, mine.chain, first, last, mine.total, 0)
        squares[local] = _change_row(embeddings, row, mine.total, squares[local], rules, rate)
    shared.traffic[thread, 1] += rows


@compiled
def run_steps(
    thread: int,
    threads: int,
    epoch: int,
    first: int,
    last: int,
    corpus: CorpusArrays,
    groups: Groups,
    rules: Rules,
    shared: Shared,
    mine: Workspace,
) -> None:
    """Run steps ``first``..``last - 1`` of an epoch, together with the rest of the team."""
    for step in range(first, last):
        _compute(thread, threads, epoch, step, corpus, groups, rules, shared, mine)
        meet(shared.arrivals, thread, threads)
        done = epoch * rules.steps_per_epoch + step
        rate = shared.embeddings.dtype.type(rules.learning_rate * (1.0 - done / rules.total_steps))
        _update(thread, threads, rate, rules, shared, mine)
        if thread == 0:
            for slot in range(rules.groups_per_step):
                task = shared.tasks[slot]
                if task >= 0:
                    for column in range(3):
                        shared.statistics[task, column] += shared.group_statistics[slot, column]
        meet(shared.arrivals, thread, threads)
