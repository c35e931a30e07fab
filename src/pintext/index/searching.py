"""Searching a snapshot: candidates by tokens and words, exact cosines, and what is best of both.

Hybrid search puts two orders together by reciprocal rank (Cormack, Clarke and Büttcher, "Reciprocal
rank fusion outperforms Condorcet and individual rank learning methods", 2009): a pin's worth is the
sum of ``1 / (60 + rank)`` over the orders by similarity and by BM25 in which it stands. Both are
counted to the same depth, so that shards need not tell of all that they compared.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I64
from pintext.index.hits import Hit, Hits, Mode
from pintext.index.snapshot import Filtered, Matches, Snapshot, WordCounts
from pintext.tokens import Probes

__all__ = [
    "EVERYTHING",
    "Wanted",
    "allowed",
    "depth_of",
    "exact",
    "first",
    "fused",
    "matched_tokens",
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
_SPARE = 4  # times the pins that one query in a hundred exceeds: a limit that hardly any meets


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
    if mode == "text":
        matches = word_matches(snapshot, wanted, mode)
        rows = matches.rows
    elif mode == "embedding":
        matches = None
        rows = _near_rows(snapshot, wanted, probes)
    else:
        matches = word_matches(snapshot, wanted, mode)
        rows = union(_near_rows(snapshot, wanted, probes), matches.rows)
    compared = len(rows)
    if len(wanted.excluded):
        rows = rows[~np.isin(rows, wanted.excluded)]
    similarities = snapshot.similarities(rows, wanted.vector)
    if wanted.min_similarity is not None:
        near = similarities >= wanted.min_similarity
        rows, similarities = rows[near], similarities[near]
    if mode == "text":
        best = np.arange(min(wanted.k, len(rows)))
    elif matches is None:
        best = first(similarities, rows, wanted.k)
    else:
        worth = fused(similarities, rows, *_placed(matches, rows), depth_of(wanted, mode))
        best = first(worth, rows, wanted.k)
    hits = _hits(snapshot, wanted, rows[best], similarities[best], matches, probes)
    return Hits(hits, mode=mode, candidates=compared, notice=notice)


def exact(snapshot: Snapshot, wanted: Wanted) -> Hits:
    """The most similar of all pins, by comparing with each."""
    rows = snapshot.all_rows
    if wanted.filtered is not None:
        rows = snapshot.rows_of(wanted.filtered)
    if len(wanted.excluded):
        rows = rows[~np.isin(rows, wanted.excluded)]
    similarities = snapshot.similarities(rows, wanted.vector)
    best = first(similarities, rows, wanted.k)
    if wanted.min_similarity is not None:
        best = best[similarities[best] >= wanted.min_similarity]
    probes = probes_of(snapshot, wanted)
    hits = _hits(snapshot, wanted, rows[best], similarities[best], None, probes)
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
    least = max(snapshot.manifest.retrieval.candidates, wanted.k)
    limit = _SPARE * least + len(wanted.excluded)
    return snapshot.token_rows(probes, limit, wanted.filtered), False


def allowed(rows: I64, wanted: Wanted) -> int:
    """How many of some rows are not excluded."""
    return (
        len(rows) - int(np.isin(rows, wanted.excluded).sum()) if len(wanted.excluded) else len(rows)
    )


def union(first: I64, second: I64) -> I64:
    """The rows that are in one of two, sorted; quicker than NumPy's by not hashing so few."""
    rows = np.sort(np.concatenate((first, second)))
    return rows[np.flatnonzero(np.diff(rows, prepend=-1))]


def word_matches(
    snapshot: Snapshot, wanted: Wanted, mode: Mode, counts: WordCounts | None = None
) -> Matches:
    """Pins that share words with the query, as many as the mode looks at."""
    limit = depth_of(wanted, mode) + len(wanted.excluded)
    return snapshot.text_matches(wanted.words, limit, wanted.filtered, counts)


# -------------------------------------------------------------------------------- order


def depth_of(wanted: Wanted, mode: Mode) -> int:
    """How many pins of an order count."""
    if mode == "embedding":
        return wanted.k
    least = _DEPTH if mode == "hybrid" else 1
    return max(wanted.k, least if wanted.min_similarity is None else _CUT_OFF_DEPTH)


def _placed(matches: Matches, rows: I64) -> tuple[I64, NDArray[np.float64]]:
    """Where in sorted ``rows`` the matches stand, and their BM25; some may have been dropped."""
    if not len(rows):
        return rows, np.zeros(0)
    places = np.minimum(np.searchsorted(rows, matches.rows), len(rows) - 1)
    there = rows[places] == matches.rows
    return places[there], matches.bm25[there]


def fused(
    similarities: F32, rows: I64, by_words: I64, bm25: NDArray[np.float64], depth: int
) -> NDArray[np.float64]:
    """What each pin is worth by reciprocal rank; equals share the rank of the first of them.

    Args:
        similarities: of the pins.
        rows: in whose order equally similar ones stand.
        by_words: places of those that words propose, the best first.
        bm25: of these.
        depth: pins of each order that count.
    """
    worth = np.zeros(len(rows))
    nearest = np.lexsort((rows, -similarities))[:depth]
    worth[nearest] = _reciprocal_ranks(similarities[nearest])
    # The sums of float32 behind BM25 differ in their last digits by the order of the words.
    worth[by_words[:depth]] += _reciprocal_ranks(bm25[:depth].astype(np.float32), rounded=True)
    return worth


def _reciprocal_ranks(falling: F32, *, rounded: bool = False) -> NDArray[np.float64]:
    """``1 / (60 + rank)`` of scores that do not rise; ``rounded``: a part in 10^5 is no matter."""
    least = falling[:-1] * np.float32(1 - 1e-5) if rounded else falling[:-1]
    ranks = np.arange(1, len(falling) + 1)
    ranks[1:][falling[1:] >= least] = 0  # an equal of the one before
    return 1 / (_RANK_OFFSET + np.maximum.accumulate(ranks))


def first(worth: NDArray[np.floating], rows: I64, k: int) -> I64:
    """The places of the ``k`` largest, equal ones in the order of the rows."""
    if len(worth) > 4 * k:
        bound = np.partition(worth, len(worth) - k)[len(worth) - k]
        places = np.flatnonzero(worth >= bound)
    else:
        places = np.arange(len(worth))
    order = np.lexsort((rows[places], -worth[places]))[:k]
    return places[order]


# -------------------------------------------------------------------------------- hits


def _hits(
    snapshot: Snapshot,
    wanted: Wanted,
    rows: I64,
    similarities: F32,
    matches: Matches | None,
    probes: Probes,
) -> list[Hit]:
    ids = snapshot.rows.ids(rows)
    bm25 = _bm25(snapshot, wanted, rows, ids, matches)
    matched = matched_tokens(snapshot, rows, probes)
    return list(map(Hit, ids, similarities.tolist(), bm25, matched))


def matched_tokens(snapshot: Snapshot, rows: I64, probes: Probes) -> list[tuple[int, ...]]:
    """The tokens that each pin shares with the query, the query's most promising first."""
    promise = {token: place for place, token in enumerate(probes.tokens.tolist())}
    return [
        tuple(sorted(filter(promise.__contains__, tokens), key=promise.__getitem__))
        for tokens in snapshot.rows.tokens(rows).tolist()
    ]


def _bm25(
    snapshot: Snapshot, wanted: Wanted, rows: I64, ids: list[str], matches: Matches | None
) -> list[float | None]:
    if matches is None:
        return [None] * len(rows)
    known = dict(zip(matches.rows.tolist(), matches.bm25.tolist(), strict=True))
    listed = rows.tolist()
    others = [name for row, name in zip(listed, ids, strict=True) if row not in known]
    if others:
        known |= snapshot.bm25_of(wanted.words, others)
    return [known.get(row, 0.0) for row in listed]
