"""Searching a snapshot: candidates by tokens and words, exact cosines, and what is best of both.

Hybrid search puts two orders together by reciprocal rank (Cormack, Clarke and Büttcher, "Reciprocal
rank fusion outperforms Condorcet and individual rank learning methods", 2009): a pin's worth is the
sum of ``1 / (60 + rank)`` over the orders by similarity and by BM25 in which it stands. Both are
counted to the same depth, so that shards need not tell of all that they compared.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I64
from pintext.index.bm25 import WordCounts
from pintext.index.by_words import Matches
from pintext.index.filtered import Filtered
from pintext.index.hits import Hit, Hits, Mode
from pintext.index.snapshot import Snapshot
from pintext.tokens import Probes

__all__ = [
    "EVERYTHING",
    "Names",
    "Wanted",
    "allowed",
    "depth_of",
    "exact",
    "first",
    "fused",
    "matched_tokens",
    "names_of",
    "probes_of",
    "search",
    "token_candidates",
    "union",
    "unit",
    "word_matches",
]

_RANK_OFFSET = 60
_DEPTH = 200  # of both orders at least, in hybrid search
_CUT_OFF_DEPTH = 1000  # the same where a cut-off drops some
_MOST_PROBES = 1024
_WIDER = 8  # times the tokens, for a query that found too little
EVERYTHING = 3
"""The widening at which a query is compared with every pin."""
_SPARE = 8  # times the pins that one query in a hundred exceeds: a limit that hardly any meets


Names = Callable[[I64], list[str]]
"""Gives the ids of pins by their places; asked only for those that are equally good."""


class Wanted(NamedTuple):
    """What a search is for.

    Attributes:
        vector: a unit vector, or zeros.
        words: of the query; none for a vector.
        k: hits at most.
        filtered: what the hits must be among.
        min_similarity: hits that are less similar are dropped.
        excluded: rows that are no hits.
        widening: how often the query has found too little; each time it asks for more tokens.
    """

    vector: F32
    words: list[str]
    k: int
    filtered: Filtered | None = None
    min_similarity: float | None = None
    excluded: I64 = np.zeros(0, np.int64)
    widening: int = 0


def unit(vector: F32) -> F32:
    """The vector with length 1, or zero as it is; float32."""
    wide = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(wide))
    shortened: F32 = (wide / length if length else wide).astype(np.float32)
    return shortened


def search(snapshot: Snapshot, wanted: Wanted, mode: Mode, notice: str | None = None) -> Hits:
    """The best pins: by similarity, by BM25, or by both."""
    probes = probes_of(snapshot, wanted)
    matches = None if mode == "embedding" else word_matches(snapshot, wanted, mode)
    near = np.zeros(0, np.int64) if mode == "text" else _near_rows(snapshot, wanted, probes)
    rows = near if matches is None else union(near, matches.rows)
    compared = len(rows)
    if len(wanted.excluded):
        rows = rows[~np.isin(rows, wanted.excluded)]
    similarities = snapshot.similarities(rows, wanted.vector)
    if wanted.min_similarity is not None:
        close = similarities >= wanted.min_similarity
        rows, similarities = rows[close], similarities[close]
    names = names_of(snapshot, rows)
    if matches is None:
        best = first(wanted.k, names, similarities)
    else:
        by_words, scores = _placed(matches, rows)
        worth: NDArray[np.floating] = scores
        if mode == "hybrid":
            worth = fused(similarities, scores, by_words, depth_of(wanted, mode), names)
        there = np.flatnonzero(worth)  # the others are in neither order
        names = names_of(snapshot, rows[there])
        best = there[first(wanted.k, names, worth[there], similarities[there])]
    words = [] if matches is None else wanted.words
    hits = _hits(snapshot, words, rows[best], similarities[best], probes)
    return Hits(hits, mode=mode, candidates=compared, notice=notice)


def exact(snapshot: Snapshot, wanted: Wanted) -> Hits:
    """The most similar of all pins, by comparing with each."""
    rows = snapshot.all_rows
    if wanted.filtered is not None:
        rows = snapshot.rows_of(wanted.filtered)
    if len(wanted.excluded):
        rows = rows[~np.isin(rows, wanted.excluded)]
    similarities = snapshot.similarities(rows, wanted.vector)
    best = first(wanted.k, names_of(snapshot, rows), similarities)
    if wanted.min_similarity is not None:
        best = best[similarities[best] >= wanted.min_similarity]
    probes = probes_of(snapshot, wanted)
    hits = _hits(snapshot, [], rows[best], similarities[best], probes)
    return Hits(hits, mode="embedding", candidates=len(rows))


# -------------------------------------------------------------------------------- candidates


def probes_of(snapshot: Snapshot, wanted: Wanted) -> Probes:
    """The tokens that the query asks for: more for more hits and behind a filter."""
    retrieval, filtered = snapshot.manifest.retrieval, wanted.filtered
    growth = max(1.0, wanted.k / 10) ** 0.5 * _WIDER**wanted.widening
    if filtered is not None and filtered.rows is None:
        growth *= (len(snapshot) / max(1, filtered.pins)) ** 0.5
    asked = max(retrieval.probes, min(_MOST_PROBES, round(retrieval.probes * growth)))
    scheme = snapshot.scheme if growth == 1 else snapshot.scheme.unheld()
    return _present(scheme.probe(wanted.vector[None, :], asked))


def _present(probes: Probes) -> Probes:
    """The tokens of the only query, without the places of none."""
    there = probes.tokens[0] >= 0
    return Probes(probes.tokens[0][there], probes.weights[0][there])


def _near_rows(snapshot: Snapshot, wanted: Wanted, probes: Probes) -> I64:
    """Pins that are likely to be the most similar; all where that is less than was asked for."""
    for widening in range(EVERYTHING):
        if widening:
            wanted = wanted._replace(widening=widening)
            probes = probes_of(snapshot, wanted)
        rows, complete = token_candidates(snapshot, wanted, probes)
        if complete or allowed(rows, wanted) >= wanted.k:
            return rows
    return snapshot.all_rows if wanted.filtered is None else snapshot.rows_of(wanted.filtered)


def token_candidates(snapshot: Snapshot, wanted: Wanted, probes: Probes) -> tuple[I64, bool]:
    """Pins that share the most promising tokens, and whether looking at more is of no use."""
    if wanted.filtered is not None and wanted.filtered.rows is not None:
        return wanted.filtered.rows, True
    if not len(probes.tokens):
        return np.zeros(0, np.int64), True
    if wanted.filtered is None:
        return snapshot.lists.holders(probes.tokens), False
    least = max(snapshot.manifest.retrieval.candidates, wanted.k)
    limit = _SPARE * least + len(wanted.excluded)
    return np.sort(snapshot.token_rows(probes, limit, wanted.filtered)), False


def allowed(rows: I64, wanted: Wanted) -> int:
    """How many of some rows are not excluded."""
    return (
        len(rows) - int(np.isin(rows, wanted.excluded).sum()) if len(wanted.excluded) else len(rows)
    )


def union(many: I64, few: I64) -> I64:
    """The rows that are in one of two, in their order; ``many`` has that order."""
    few = np.sort(few)
    places = np.searchsorted(many, few)
    new = np.ones(len(few), np.bool_)
    inside = places < len(many)
    new[inside] = many[places[inside]] != few[inside]
    return np.insert(many, places[new], few[new])


def word_matches(
    snapshot: Snapshot, wanted: Wanted, mode: Mode, counts: WordCounts | None = None
) -> Matches:
    """Pins that share words with the query, as many as the mode looks at."""
    depth = depth_of(wanted, mode)
    rows, bm25 = snapshot.words.matches(wanted.words, depth, wanted.filtered, counts)
    if len(rows) <= depth:
        return Matches(rows, bm25)
    last = np.flatnonzero(bm25 == bm25.min())
    similarities = snapshot.similarities(rows[last], wanted.vector)
    left = depth - (len(rows) - len(last))
    kept = last[first(left, names_of(snapshot, rows[last]), similarities)]
    places = np.concatenate((np.flatnonzero(bm25 > bm25[last[0]]), kept))
    return Matches(rows[places], bm25[places])


# -------------------------------------------------------------------------------- order


def depth_of(wanted: Wanted, mode: Mode) -> int:
    """How many pins of an order count."""
    if mode == "embedding":
        return wanted.k
    least = _DEPTH if mode == "hybrid" else 1
    return max(wanted.k, least if wanted.min_similarity is None else _CUT_OFF_DEPTH)


def _placed(matches: Matches, rows: I64) -> tuple[I64, F32]:
    """Where in sorted ``rows`` the matches stand, some may have been dropped; BM25 of the rows."""
    scores = np.zeros(len(rows), np.float32)
    if not len(rows):
        return rows, scores
    places = np.minimum(np.searchsorted(rows, matches.rows), len(rows) - 1)
    there = rows[places] == matches.rows
    scores[places[there]] = matches.bm25[there]
    return places[there], scores


def fused(
    similarities: F32, bm25: F32, by_words: I64, depth: int, names: Names
) -> NDArray[np.float64]:
    """What each pin is worth by reciprocal rank; equals share the rank of the first of them.

    Args:
        similarities: of the pins.
        bm25: of those that words propose.
        by_words: places of these, ``depth`` at most.
        depth: pins of the order by similarity that count.
        names: of pins.
    """
    worth = np.zeros(len(similarities))
    nearest = first(depth, names, similarities)
    worth[nearest] = _reciprocal_ranks(similarities[nearest])
    by_words = by_words[np.argsort(-bm25[by_words])]
    worth[by_words] += _reciprocal_ranks(bm25[by_words])
    return worth


def _reciprocal_ranks(falling: F32) -> NDArray[np.float64]:
    """``1 / (60 + rank)`` of scores that do not rise."""
    ranks = np.arange(1, len(falling) + 1)
    ranks[1:][falling[1:] == falling[:-1]] = 0  # an equal of the one before
    return 1 / (_RANK_OFFSET + np.maximum.accumulate(ranks))


def first(k: int, names: Names, *keys: NDArray[np.floating]) -> I64:
    """The places of the ``k`` largest by the first key, equal ones by the next and then by id."""
    worth = keys[0]
    if len(worth) > 4 * k:
        places = np.flatnonzero(worth >= np.partition(worth, -k)[-k])
    else:
        places = np.arange(len(worth))
    sorted_keys = [-key[places] for key in keys]
    order = np.lexsort(sorted_keys[::-1])
    same = np.ones(max(0, len(order) - 1), bool)  # as the one before
    for key in sorted_keys:
        same &= key[order[1:]] == key[order[:-1]]
    if not same[:k].any():
        return places[order[:k]]
    stop = k + int(np.argmin(np.append(same[k - 1 :], False))) if len(order) > k else len(order)
    group = np.concatenate(([0], np.cumsum(~same)))[:stop]
    tied = np.flatnonzero(np.bincount(group)[group] > 1)
    ids = dict(zip(tied.tolist(), names(places[order[tied]]), strict=True))
    sequence = sorted(range(stop), key=lambda at: (group[at], ids.get(at, "")))
    return places[order[sequence[:k]]]


# -------------------------------------------------------------------------------- hits


def names_of(snapshot: Snapshot, rows: I64) -> Names:
    """What gives the ids of some of these rows by their places."""
    return lambda places: snapshot.rows.ids(rows[places])


def _hits(
    snapshot: Snapshot, words: list[str], rows: I64, similarities: F32, probes: Probes
) -> list[Hit]:
    bm25: list[float] | list[None] = [None] * len(rows)
    if words:
        bm25 = snapshot.words.bm25(rows, words).tolist()
    matched = matched_tokens(snapshot, rows, probes)
    return list(map(Hit, snapshot.rows.ids(rows), similarities.tolist(), bm25, matched))


def matched_tokens(snapshot: Snapshot, rows: I64, probes: Probes) -> list[tuple[int, ...]]:
    """The tokens that each pin shares with the query, the query's most promising first."""
    promise = {token: place for place, token in enumerate(probes.tokens.tolist())}
    return [
        tuple(sorted(filter(promise.__contains__, tokens), key=promise.__getitem__))
        for tokens in snapshot.rows.tokens(rows).tolist()
    ]
