"""Recall of held-out pairs, by which training chooses its best epoch.

Computed by a kernel of ours rather than a BLAS product, because the choice must not depend on the
number of threads or on the library that happens to be installed.
"""

from typing import Any, NamedTuple

import numpy as np

from pintext.arrays import F32, I32
from pintext.compiled import compiled_allocating, compiled_fast
from pintext.training.corpus import Corpus
from pintext.training.objective import project
from pintext.training.randomness import key, permuted
from pintext.training.threads import ThreadTeam

__all__ = ["FEWEST_QUERIES", "RECALL_AT", "Validation"]

RECALL_AT = 10
FEWEST_QUERIES = 20
"""Of a task, for its recall to choose the epoch well; what fewer say is half chance."""
_MOST_QUERIES = 2_000  # a task; enough for a standard error of about 0.01
_MOST_PINS = 10_000
_SAMPLE = 5  # purpose of a random stream


class _Task(NamedTuple):
    """One task's questions: for each pair, which query and which candidate is the answer."""

    queries: I32  # entity of each held-out query
    candidates: I32  # entities that compete
    query_of: I32  # (pairs,) position in queries
    answer_of: I32  # (pairs,) position in candidates


@compiled_fast
def _unit_vectors(embeddings: F32, tokens: I32, starts: Any, entities: I32, units: F32) -> None:
    for i in range(entities.shape[0]):
        e = entities[i]
        project(embeddings, tokens, starts[e], starts[e + 1], units, i)


@compiled_fast
def _cosines(queries: F32, query: int, pins: F32, cosines: F32) -> None:
    for j in range(pins.shape[0]):
        total = np.float32(0)
        for k in range(pins.shape[1]):
            total += queries[query, k] * pins[j, k]
        cosines[j] = total


@compiled_allocating
def _found(
    thread: int, threads: int, queries: F32, pins: F32, query_of: I32, answer_of: I32, found: Any
) -> None:
    """Write, for each pair, the chance that its answer is among the first ``RECALL_AT`` candidates.

    Candidates as similar as the answer are taken to come in random order, so a dictionary that
    makes everything equal gains nothing by it. Pairs come grouped by query.
    """
    cosines = np.empty(pins.shape[0], np.float32)
    last = -1
    for i in range(query_of.shape[0]):
        query = query_of[i]
        if query % threads != thread:
            continue
        if query != last:
            _cosines(queries, query, pins, cosines)
            last = query
        mine = cosines[answer_of[i]]
        above = equal = 0
        for j in range(pins.shape[0]):
            above += cosines[j] > mine
            equal += cosines[j] == mine
        found[i] = min(max(RECALL_AT - above, 0) / max(equal, 1), 1.0)


class Validation:
    """The held-out pairs of every task, asked again after every epoch."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self._corpus = corpus
        self._tasks = {
            task: questions
            for t, task in enumerate(corpus.tasks)
            if (questions := _questions(corpus, t, seed)) is not None
        }

    @property
    def queries(self) -> dict[str, int]:
        """How many queries of each task are asked; tasks without held-out pairs are left out."""
        return {name: len(task.queries) for name, task in self._tasks.items()}

    def recall(self, embeddings: F32, team: ThreadTeam) -> dict[str, float]:
        """Return the recall@10 of each task that has held-out pairs, in [0, 1].

        It is the mean over a task's queries of the share of a query's pins that are among the ten
        candidates most similar to it.
        """
        arrays, dim = self._corpus.arrays, embeddings.shape[1]
        result = {}
        for name, task in self._tasks.items():
            queries = np.zeros((task.queries.shape[0], dim), np.float32)
            pins = np.zeros((task.candidates.shape[0], dim), np.float32)
            _unit_vectors(embeddings, arrays.tokens, arrays.starts, task.queries, queries)
            _unit_vectors(embeddings, arrays.tokens, arrays.starts, task.candidates, pins)
            found = np.zeros(task.query_of.shape[0])

            def ask(
                thread: int,
                queries: F32 = queries,
                pins: F32 = pins,
                task: _Task = task,
                found: Any = found,
            ) -> None:
                _found(thread, team.threads, queries, pins, task.query_of, task.answer_of, found)

            team.run(ask)
            answers = np.bincount(task.query_of)
            result[name] = float((np.bincount(task.query_of, found) / answers).mean())
        return result


def _sample(values: I32, most: int, seed: int, task: int, what: int) -> I32:
    """At most ``most`` of the values, chosen by the seed, in ascending order."""
    if values.shape[0] <= most:
        return values
    stream = np.uint64(key(seed, _SAMPLE, task, what))
    chosen = [permuted(i, values.shape[0], stream) for i in range(most)]
    return np.sort(values[np.array(chosen)])


def _questions(corpus: Corpus, t: int, seed: int) -> _Task | None:
    held, arrays = corpus.held_out, corpus.arrays
    first, last = int(held.starts[t]), int(held.starts[t + 1])
    if first == last:
        return None
    pairs = np.unique(np.stack([held.queries[first:last], held.pins[first:last]], axis=1), axis=0)
    queries = _sample(np.unique(pairs[:, 0]), _MOST_QUERIES, seed, t, 0)
    pairs = pairs[np.isin(pairs[:, 0], queries)]
    known = arrays.distinct_pins[arrays.distinct_starts[t] : arrays.distinct_starts[t + 1]]
    background = _sample(known, _MOST_PINS, seed, t, 1)
    candidates = np.union1d(background, pairs[:, 1]).astype(np.int32)
    return _Task(
        queries=queries,
        candidates=candidates,
        query_of=np.searchsorted(queries, pairs[:, 0]).astype(np.int32),
        answer_of=np.searchsorted(candidates, pairs[:, 1]).astype(np.int32),
    )
