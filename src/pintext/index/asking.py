"""What one index and several shards have in common: the searches, checked and put into one form."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
import numpy as np

from pintext.arrays import F32
from pintext.errors import ConfigError, DataError
from pintext.index.bm25 import WordCounts
from pintext.index.fields import Filters
from pintext.index.hits import Hits, Mode
from pintext.index.searching import EVERYTHING, Wanted, unit
from pintext.index.snapshot import Snapshot
from pintext.model import PinTextModel
from pintext.text import split

__all__ = ["Asked", "Searchable"]


class Asked(msgspec.Struct, frozen=True):
    """What an index or a shard is asked for; small enough to be sent.

    Attributes:
        vector: little-endian float32 of a unit vector, or zeros.
        words: of the query.
        k: hits at most, of all shards together.
        mode: as in :meth:`Searchable.search`.
        filters: as there.
        min_similarity: as there.
        exclude: ids that are no hits.
        widening: as in :class:`~pintext.index.searching.Wanted`.
        only: compare these alone, in place of the above.
        counts: of the words, over all shards.
    """

    vector: bytes
    words: list[str]
    k: int
    mode: Mode = "embedding"
    filters: dict[str, Any] | None = None
    min_similarity: float | None = None
    exclude: tuple[str, ...] = ()
    widening: int = 0
    only: tuple[str, ...] | None = None
    counts: WordCounts | None = None

    def of(self, snapshot: Snapshot) -> Wanted:
        """What is wanted of one index in one state.

        Raises:
            DataError: a filter does not fit the index, or the vector has another length.
        """
        vector = np.frombuffer(self.vector, "<f4").astype(np.float32)
        if len(vector) != snapshot.manifest.dim:
            raise DataError(
                f"expected a vector of {snapshot.manifest.dim} numbers, found {len(vector)}"
            )
        return Wanted(
            vector,
            self.words,
            self.k,
            snapshot.filtered(self.filters),
            self.min_similarity,
            snapshot.rows_of_ids(self.exclude),
            self.widening,
        )


class Searchable(ABC):
    """Pins that are found by what they mean, by their words, or by both.

    Attributes:
        model: whose vectors they have.
    """

    model: PinTextModel

    @abstractmethod
    def _find(self, asked: Asked, notice: str | None = None) -> Hits:
        """The hits, with what a person should know of them."""

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        mode: Mode = "hybrid",
        filters: Filters | None = None,
        min_similarity: float | None = None,
    ) -> Hits:
        """Find pins for a text.

        Args:
            query: the text.
            k: hits at most.
            mode: ``embedding``: nearest by exact cosine among those that share tokens; ``text``: by
                BM25 of the words; ``hybrid``: both orders together.
            filters: field -> a value, a list of values of which one must be there, or bounds
                ``{"gte": …, "lt": …}``; all fields must fit.
            min_similarity: hits with a lower cosine are dropped.

        Returns:
            The best first. A query without a known word is searched by its words; ``notice`` says
            so, and ``mode`` is ``text``.

        Raises:
            ConfigError: ``k`` is less than 1, or no such mode.
            DataError: a filter does not fit the index, or the query is no text.
            ShardDownError: of shards, none answers.
        """
        if mode not in get_args(Mode):
            raise ConfigError(f"mode = {mode!r}: expected {', '.join(get_args(Mode))}")
        if not isinstance(query, str):
            raise DataError(f"expected one text to search for, found a {type(query).__name__}")
        vector, notice = self.model.encode(query), None
        if mode != "text" and not vector.any():
            mode, notice = "text", "no word of the query is known to the model: searched by words"
        asked = self._asked(vector, k, filters, min_similarity)
        return self._find(msgspec.structs.replace(asked, words=split(query), mode=mode), notice)

    def search_vector(
        self,
        vector: F32,
        k: int = 10,
        *,
        filters: Filters | None = None,
        min_similarity: float | None = None,
        exclude: Iterable[str] = (),
    ) -> Hits:
        """Find the pins whose vectors are nearest, among those that share tokens.

        Args:
            vector: ``(dim,)``, of any length above zero.
            k: hits at most.
            filters: as for :meth:`search`.
            min_similarity: hits with a lower cosine are dropped.
            exclude: ids that are no hits, as that of the pin whose related pins are wanted.

        Raises:
            ConfigError: ``k`` is less than 1.
            DataError: a filter does not fit the index, or the vector has another shape.
            ShardDownError: of shards, none answers.
        """
        asked = self._asked(vector, k, filters, min_similarity)
        return self._find(msgspec.structs.replace(asked, exclude=tuple(exclude)))

    def exact(self, vector: F32, k: int = 10, filters: Filters | None = None) -> Hits:
        """Find the nearest pins by comparing with every one: what tokens are measured against.

        Raises:
            ConfigError: ``k`` is less than 1.
            DataError: a filter does not fit the index, or the vector has another shape.
            ShardDownError: of shards, none answers.
        """
        asked = self._asked(vector, k, filters, None)
        return self._find(msgspec.structs.replace(asked, widening=EVERYTHING))

    def _asked(
        self, vector: F32, k: int, filters: Filters | None, min_similarity: float | None
    ) -> Asked:
        vector = np.asarray(vector, np.float32)
        if vector.shape != (self.model.dim,) or not np.isfinite(vector).all():
            raise DataError(
                f"expected a vector of {self.model.dim} finite numbers, found {vector.shape}"
            )
        if k < 1:
            raise ConfigError(f"k = {k}: expected 1 or more")
        plain = dict(filters) if filters else None
        return Asked(
            unit(vector).astype("<f4").tobytes(), [], k, "embedding", plain, min_similarity
        )
