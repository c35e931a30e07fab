"""Searching a snapshot: candidates by tokens and words, exact cosines, and what is best of both.

Hybrid search puts two orders together by reciprocal rank (Cormack, Clarke and Büttcher, "Reciprocal
rank fusion outperforms Condorcet and individual rank learning methods", 2009): a pin's worth is the
sum of ``1 / (60 + rank)`` over the orders by similarity and by BM25 in which it stands.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I64
from pintext.index.hits import Hit, Hits, Mode
from pintext.index.snapshot import Filtered, Matches, Snapshot
from pintext.tokens import Probes

__all__ = ["Wanted", "exact", "search", "unit"]

_RANK_OFFSET = 60
_TEXT_CANDIDATES = 200  # pins at least that words propose to hybrid search
_CUT_OFF_DEPTH = 1000  # pins at least that words propose where a cut-off drops some
_MOST_PROBES = 1024


class Wanted(NamedTuple):
    """What a search is for.

    Attributes:
        vector: a unit vector, or zeros.
        words: of the query; none for a vector.
        k: hits at most.
        filtered: what the hits must be among.
        min_similarity: hits that are less similar are dropped.
        excluded: rows that are no hits.
    """

    vector: F32
    words: list[str]
    k: int
    filtered: Filtered | None = None
    min_similarity: float | None = None
    excluded: I64 = np.zeros(0, np.int64)


def unit(vector: F32) -> F32:
    """The vector with length 1, or zero as it is; float32."""
    wide = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(wide))
    shortened: F32 = (wide / length if length else wide).astype(np.float32)
    return shortened


def search(snapshot: Snapshot, wanted: Wanted, mode: Mode, notice: str | None = None) -> Hits:
    """The best pins: by similarity, by BM25, or by both."""
    probes = _probes(snapshot, wanted)
    if mode == "text":
        matches = _text_matches(snapshot, wanted, max(wanted.k, 1))
        rows = matches.rows
    elif mode == "embedding":
        matches = None
        rows = _near_rows(snapshot, wanted, probes)
    else:
        matches = _text_matches(snapshot, wanted, max(wanted.k, _TEXT_CANDIDATES))
        rows = _union(_near_rows(snapshot, wanted, probes), matches.rows)
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
        best = _first(similarities, rows, wanted.k)
    else:
        best = _first(_fused(rows, similarities, matches), rows, wanted.k)
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
    best = _first(similarities, rows, wanted.k)
    if wanted.min_similarity is not None:
        best = best[similarities[best] >= wanted.min_similarity]
    probes = _probes(snapshot, wanted)
    hits = _hits(snapshot, wanted, rows[best], similarities[best], None, probes)
    return Hits(hits, mode="embedding", candidates=len(rows))


# -------------------------------------------------------------------------------- candidates


def _probes(snapshot: Snapshot, wanted: Wanted) -> Probes:
    """The tokens that the query asks for: more for more hits and behind a filter."""
    retrieval, filtered = snapshot.manifest.retrieval, wanted.filtered
    growth = max(1.0, wanted.k / 10) ** 0.5
    if filtered is not None and filtered.rows is None:
        growth *= (len(snapshot) / max(1, filtered.pins)) ** 0.5
    asked = max(retrieval.probes, min(_MOST_PROBES, round(retrieval.probes * growth)))
    scheme = snapshot.scheme if growth == 1 else snapshot.scheme.unheld()
    found = scheme.probe(wanted.vector[None, :], asked)
    there = found.tokens[0] >= 0
    return Probes(found.tokens[0][there], found.weights[0][there])


def _near_rows(snapshot: Snapshot, wanted: Wanted, probes: Probes) -> I64:
    """Pins that are likely to be the most similar; all where that is less than was asked for."""
    if wanted.filtered is not None and wanted.filtered.rows is not None:
        return wanted.filtered.rows
    if not len(probes.tokens):
        return np.zeros(0, np.int64)
    limit = max(snapshot.manifest.retrieval.candidates, 4 * wanted.k) + len(wanted.excluded)
    rows = snapshot.token_rows(
        probes.tokens.tolist(), probes.weights.tolist(), limit, wanted.filtered
    )
    if len(rows) >= wanted.k + len(wanted.excluded):
        return rows
    return snapshot.all_rows if wanted.filtered is None else snapshot.rows_of(wanted.filtered)


def _union(first: I64, second: I64) -> I64:
    """The rows that are in one of two, sorted; quicker than NumPy's by not hashing so few."""
    rows = np.sort(np.concatenate((first, second)))
    return rows[np.flatnonzero(np.diff(rows, prepend=-1))]


def _text_matches(snapshot: Snapshot, wanted: Wanted, limit: int) -> Matches:
    if wanted.min_similarity is not None:
        limit = max(limit, _CUT_OFF_DEPTH)
    return snapshot.text_matches(wanted.words, limit + len(wanted.excluded), wanted.filtered)


# -------------------------------------------------------------------------------- order


def _fused(rows: I64, similarities: F32, matches: Matches) -> NDArray[np.float64]:
    """What each row is worth by reciprocal rank; ``rows`` are sorted and hold the matches."""
    worth = np.empty(len(rows))
    if not len(rows):
        return worth
    worth[np.lexsort((rows, -similarities))] = 1 / (_RANK_OFFSET + np.arange(1, len(rows) + 1))
    places = np.minimum(np.searchsorted(rows, matches.rows), len(rows) - 1)
    places = places[rows[places] == matches.rows]  # a cut-off or exclusion may have dropped some
    worth[places] += 1 / (_RANK_OFFSET + np.arange(1, len(places) + 1))
    return worth


def _first(worth: NDArray[np.floating], rows: I64, k: int) -> I64:
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
    promise = {token: place for place, token in enumerate(probes.tokens.tolist())}
    hits = []
    for name, similarity, text_part, tokens in zip(
        ids, similarities.tolist(), bm25, snapshot.rows.tokens(rows).tolist(), strict=True
    ):
        matched = sorted(filter(promise.__contains__, tokens), key=promise.__getitem__)
        hits.append(Hit(name, similarity, text_part, tuple(matched)))
    return hits


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
