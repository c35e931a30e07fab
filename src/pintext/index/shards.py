"""What one shard gives to a search over several: a part, small enough to be sent.

A part holds whatever may be among the best of all shards: the nearest of the shard's candidates and
the best by words. :mod:`pintext.index.sharded` makes one answer of the parts.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from pintext.arrays import F32, I64
from pintext.errors import DataError, PinIndexError
from pintext.index.asking import Asked
from pintext.index.bm25 import WordCounts
from pintext.index.by_words import Matches
from pintext.index.manifest import Manifest
from pintext.index.pin_index import PinIndex
from pintext.index.searching import (
    EVERYTHING,
    Wanted,
    allowed,
    depth_of,
    first,
    matched_tokens,
    names_of,
    probes_of,
    token_candidates,
    union,
    word_matches,
)
from pintext.index.snapshot import Snapshot

__all__ = ["LocalShard", "Part", "Shard", "ShardState", "StoredPin", "check_cut"]


class Part(msgspec.Struct, frozen=True):
    """What a shard found, in columns; in the order of its rows.

    Attributes:
        ids: of pins that may be among the best.
        similarities: exact cosines.
        near: whether it is a candidate by its tokens.
        worded: whether it is one by its words.
        bm25: weighed by all shards; none where no words were asked for.
        tokens: that it shares with the query.
        candidates: pins that were compared.
        by_tokens: of them by tokens and not excluded; where all shards together have less than
            ``k``, more is to be looked at.
        complete: more would be of no use.
    """

    ids: list[str]
    similarities: list[float]
    near: list[bool]
    worded: list[bool]
    bm25: list[float]
    tokens: list[tuple[int, ...]]
    candidates: int
    by_tokens: int
    complete: bool


class ShardState(msgspec.Struct, frozen=True):
    """What a shard is.

    Attributes:
        manifest: of the index.
        pins: in it.
        commit: the number of the commit that is shown.
    """

    manifest: Manifest
    pins: int
    commit: int


class StoredPin(msgspec.Struct, frozen=True):
    """A pin as a shard has it.

    Attributes:
        document: id, text columns and fields.
        vector: little-endian float32; empty where it was not asked for.
    """

    document: dict[str, Any]
    vector: bytes = b""


class Shard(Protocol):
    """A part of an index, in this process or elsewhere; what is elsewhere may not answer.

    ``word_counts``, ``part`` and ``stored`` may raise ShardDownError.
    """

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def state(self) -> ShardState | None:
        """What it is, as far as is known; ``None``: it has not answered yet."""

    @property
    def down(self) -> bool:
        """Whether it did not answer lately."""

    def reload(self) -> bool:
        """Follow its commits; whether there was one."""

    def word_counts(self, words: list[str]) -> WordCounts:
        """How many pins it has, how long their texts, and how many of them hold words."""

    def part(self, asked: Asked) -> Part:
        """What it finds."""

    def stored(self, ids: list[str], *, vectors: bool = False) -> list[StoredPin]:
        """Those of some pins that it has."""


class LocalShard:
    """A shard that is a folder of this machine.

    Args:
        index: opened.
    """

    def __init__(self, index: PinIndex) -> None:
        self.index = index

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.index.folder)

    @property
    def down(self) -> bool:
        """Never."""
        return False

    @property
    def state(self) -> ShardState:
        """What it is."""
        snapshot = self.index.snapshot
        return ShardState(snapshot.manifest, len(snapshot), snapshot.commit)

    def reload(self) -> bool:
        """Show the state after the last commit; whether there was a new one."""
        return self.index.reload()

    def word_counts(self, words: list[str]) -> WordCounts:
        """How many pins it has, how long their texts, and how many of them hold words."""
        return self.index.snapshot.words.counts(words)

    def part(self, asked: Asked) -> Part:
        """What it finds.

        Raises:
            DataError: a filter does not fit the index, or the vector has another length.
        """
        snapshot = self.index.snapshot
        return _part(snapshot, asked, asked.of(snapshot))

    def stored(self, ids: list[str], *, vectors: bool = False) -> list[StoredPin]:
        """Those of some pins that it has."""
        snapshot, found = self.index.snapshot, []
        for name in ids:
            try:
                document = msgspec.json.decode(snapshot.document(name))
                vector = snapshot.rows.vector(snapshot.row(name)).tobytes() if vectors else b""
            except DataError:
                continue
            found.append(StoredPin(document, vector))
        return found


def check_cut(parts: Sequence[tuple[str, tuple[int, int] | None]]) -> None:
    """Refuse shards that have the same pins, which would be found twice.

    Args:
        parts: names of shards, and which part of how many each is, if it is one.

    Raises:
        PinIndexError: two are the same part, or are not of one cut.
    """
    for (name, part), (other, found) in combinations(parts, 2):
        if found == part is not None or (found and found[1]) != (part and part[1]):
            first, second = (
                "no shard" if cut is None else f"shard {cut[0]}/{cut[1]}" for cut in (part, found)
            )
            raise PinIndexError(
                f"{name} is {first} and {other} is {second}, so pins would be found twice; give "
                "the shards of one cut, each once"
            )


class _Candidates(NamedTuple):
    """Rows to compare; whether tokens brought them in, and whether looking at more is of no use."""

    rows: I64
    complete: bool


def _candidates(snapshot: Snapshot, asked: Asked, wanted: Wanted) -> _Candidates:
    if asked.only is not None:
        return _Candidates(np.sort(snapshot.rows_of_ids(asked.only)), True)
    if asked.mode == "text":
        return _Candidates(np.zeros(0, np.int64), True)
    if asked.widening == EVERYTHING:
        filtered = wanted.filtered
        rows = snapshot.all_rows if filtered is None else snapshot.rows_of(filtered)
        return _Candidates(rows, True)
    return _Candidates(*token_candidates(snapshot, wanted, probes_of(snapshot, wanted)))


def _part(snapshot: Snapshot, asked: Asked, wanted: Wanted) -> Part:
    probes = probes_of(snapshot, wanted._replace(widening=0))
    by_tokens, complete = _candidates(snapshot, asked, wanted)
    by_words = asked.mode != "embedding"
    matches = Matches(np.zeros(0, np.int64), np.zeros(0, np.float32))
    if by_words and asked.only is None:
        matches = word_matches(snapshot, wanted, asked.mode, asked.counts)
    near = _nearest(snapshot, by_tokens, wanted, depth_of(wanted, asked.mode))
    rows = union(near, matches.rows)
    scored = by_words or asked.only is not None
    bm25 = snapshot.words.bm25(rows, asked.words, asked.counts).tolist() if scored else []
    return Part(
        snapshot.rows.ids(rows),
        snapshot.similarities(rows, wanted.vector).tolist(),
        np.isin(rows, near).tolist(),
        np.isin(rows, matches.rows).tolist(),
        bm25,
        matched_tokens(snapshot, rows, probes),
        len(union(by_tokens, matches.rows)),
        allowed(by_tokens, wanted),
        complete,
    )


def _nearest(snapshot: Snapshot, rows: I64, wanted: Wanted, depth: int) -> I64:
    """The most similar of some rows, but for those that are no hits; in their order."""
    if len(wanted.excluded):
        rows = rows[~np.isin(rows, wanted.excluded)]
    similarities: F32 = snapshot.similarities(rows, wanted.vector)
    if wanted.min_similarity is not None:
        near = similarities >= wanted.min_similarity
        rows, similarities = rows[near], similarities[near]
    return np.sort(rows[first(depth, names_of(snapshot, rows), similarities)])
