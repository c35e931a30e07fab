"""What is asked for, how often, and which pins are shown for it.

A query is made of words of one entity: for search, one to three words of a pin, typed; for related
pins and the home feed the entity itself, by its id. Queries whose first word is the same belong to
one topic, which is what a session stays in. For a query those pins are shown that share its first
word or, where those are few, another; those that share more words before the others.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.arrays import I32, I64
from pintext.compiled import compiled, compiled_allocating
from pintext.simulation.catalogue import Entities, Postings

__all__ = ["Demand", "demand_by_id", "typed_demand"]

_WORDS = 3
_CANDIDATES = 8  # times as many pins are looked at as are shown
_COMMON = 0.02  # a word that more than this share of the pins has says little
_NONE = -1


class Demand(NamedTuple):
    """The queries of a task, those of one topic next to each other.

    Attributes:
        name: ``query`` or ``query_id``, what the texts below are.
        texts: (n,) typed queries, or ids.
        upto: (n,) sum of the probabilities of the queries up to each; the last is 1.
        topic: (n, 2) of each query the interval of ``upto`` that its topic fills.
        pins: (n, results) pins by their numbers, best first; -1 where no more pins match.
    """

    name: str
    texts: pl.Series
    upto: NDArray[np.float64]
    topic: NDArray[np.float64]
    pins: I32


class Ask(NamedTuple):
    """How queries are drawn: how many at most, the exponent, how many pins are shown for each."""

    queries: int
    zipf: float
    results: int


def typed_demand(
    pins: Entities, words: pl.Series, where: Postings, ask: Ask, draw: np.random.Generator
) -> Demand:
    """Queries of one to three words that some pin has."""
    seeds = draw.permutation(len(pins.ids))[: ask.queries]
    chosen = _choose_words(pins, seeds, where, ask, draw)
    shorter = [np.where(np.arange(_WORDS) < n, chosen, _NONE) for n in range(1, _WORDS + 1)]
    every = np.unique(np.concatenate(shorter), axis=0)
    kept = np.sort(draw.permutation(len(every))[: ask.queries])
    asked = every[kept]
    # A null where there is no further word, which joining leaves out.
    texts = pl.DataFrame(
        {f"{n}": words.gather(pl.Series(asked[:, n]).replace(_NONE, None)) for n in range(_WORDS)}
    ).select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True))
    nobody = np.full(len(asked), _NONE)
    return _demand("query", texts.to_series(), asked, nobody, where, ask, draw)


def demand_by_id(
    entities: Entities,
    where: Postings,
    ask: Ask,
    draw: np.random.Generator,
    *,
    are_pins: bool,
) -> Demand:
    """Queries that are entities of a catalogue; where they are pins, none is shown for itself."""
    chosen_ones = draw.permutation(len(entities.ids))[: ask.queries]
    chosen = _choose_words(entities, chosen_ones, where, ask, draw)
    order = np.lexsort((chosen_ones, chosen[:, 0]))
    asked, chosen_ones = chosen[order], chosen_ones[order]
    texts = entities.ids.gather(chosen_ones)
    subjects = chosen_ones if are_pins else np.full(len(asked), _NONE)
    return _demand("query_id", texts, asked, subjects, where, ask, draw)


def _choose_words(
    entities: Entities, chosen: I64, where: Postings, ask: Ask, draw: np.random.Generator
) -> I64:
    """Up to three distinct words of each chosen entity, shape (n, 3); those that tell most first.

    First come words of more pins than are shown but not of a large share of all, then those that
    another pin has at all, each in random order.
    """
    rows, offsets = entities.tokens
    lengths = (offsets[1:] - offsets[:-1])[chosen]
    owner = np.repeat(np.arange(len(chosen)), lengths)
    first = np.cumsum(lengths) - lengths
    word = rows[np.arange(len(owner)) - first[owner] + offsets[chosen][owner]].astype(np.int64)
    pairs = np.unique(np.stack([owner, word], 1), axis=0)
    owner, word = pairs.T
    df = np.diff(where.offsets)[word]
    rare = df <= max(100, _COMMON * where.n_pins)
    telling = np.where(rare & (df > ask.results), 0, np.where(rare & (df > 1), 1, 2))
    order = np.lexsort((draw.random(len(word)), telling, owner))
    owner, word = owner[order], word[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    picked = np.full((len(chosen), _WORDS), _NONE)
    picked[owner[rank < _WORDS], rank[rank < _WORDS]] = word[rank < _WORDS]
    return picked


def _demand(
    name: str,
    texts: pl.Series,
    asked: I64,
    subjects: I64,
    where: Postings,
    ask: Ask,
    draw: np.random.Generator,
) -> Demand:
    rank = draw.permutation(len(asked)) + 1
    weight = rank.astype(np.float64) ** -ask.zipf
    upto = np.cumsum(weight / weight.sum())
    upto[-1] = 1.0
    edges = np.flatnonzero(np.diff(asked[:, 0], prepend=-2))
    number = np.searchsorted(edges, np.arange(len(asked)), side="right") - 1
    low = np.concatenate([[0.0], upto])[edges]
    topic = np.stack([low, np.append(low[1:], 1.0)], 1)[number]
    pins = np.full((len(asked), ask.results), _NONE, np.int32)
    _match(asked, subjects, where.pins, where.offsets, pins)
    return Demand(name, texts, upto, topic, pins)


@compiled_allocating
def _match(asked: I64, subjects: I64, pins: I64, offsets: I64, out: I32) -> None:
    """For each query the pins that share its first word, in the order of further shared words."""
    shown = out.shape[1]
    found = np.zeros(shown * _CANDIDATES, np.int64)
    shared = np.zeros(shown * _CANDIDATES, np.int64)
    for query in range(len(asked)):
        count = 0
        for word in asked[query]:
            if word < 0 or count >= shown:
                break  # the pins of a further word only fill what is left
            having = pins[offsets[word] : offsets[word + 1]]
            start = (word * 7919) % max(len(having), 1)
            for i in range(min(len(having), len(found) - count)):
                pin = having[(start + i) % len(having)]
                if pin != subjects[query] and not (found[:count] == pin).any():
                    found[count] = pin
                    shared[count] = _shared(asked[query], pin, pins, offsets)
                    count += 1
        filled = 0
        for wanted in range(_WORDS, 0, -1):
            for i in range(count):
                if shared[i] == wanted and filled < shown:
                    out[query, filled] = found[i]
                    filled += 1


@compiled
def _shared(words: I64, pin: int, pins: I64, offsets: I64) -> int:
    """How many of the words a pin has."""
    count = 0
    for word in words:
        if word >= 0:
            having = pins[offsets[word] : offsets[word + 1]]
            at = np.searchsorted(having, pin)
            count += int(at < len(having) and having[at] == pin)
    return count
