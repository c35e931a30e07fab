"""Several shards that are searched like one index."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I64
from pintext.errors import (
    ConfigError,
    DataError,
    ModelMismatchError,
    PinIndexError,
    ShardDownError,
)
from pintext.index.asking import Asked, Searchable
from pintext.index.bm25 import WordCounts
from pintext.index.hits import Explanation, Hit, Hits
from pintext.index.manifest import Retrieval
from pintext.index.pin_index import PinIndex
from pintext.index.pins import Columns
from pintext.index.searching import EVERYTHING, Wanted, depth_of, first, fused, unit
from pintext.index.settings import IndexConfig
from pintext.index.shards import LocalShard, Part, Shard, ShardState, check_cut
from pintext.index.stored import text_of
from pintext.model import PinTextModel
from pintext.text import split

__all__ = ["AnyIndex", "ShardedIndex"]

Result = TypeVar("Result")
_WORDS_KEPT = 100_000


class ShardedIndex(Searchable):
    """Shards of an index, searched as one. Each pin must be in one shard only.

    A search asks every shard for its best and puts these in one order: similarities are exact, BM25
    weighs words by all shards together. Where the shards have the same tokens (``pintext index
    --tokens``) the hits are those of one index, in the same order. Shards that do not answer are
    named in :attr:`Hits.missing`.

    Args:
        shards: at least one.
        model: whose vectors are in them.
        executor: asks shards at the same time; without it one comes after another.

    Raises:
        ModelMismatchError: a shard was made with another model.
        PinIndexError: the shards have different columns.
        ShardDownError: no shard answers.

    Attributes:
        model: whose vectors are in it.
        shards: in the order in which they were given.
    """

    def __init__(
        self, shards: Sequence[Shard], model: PinTextModel, executor: Executor | None = None
    ) -> None:
        self.model = model
        self.shards = tuple(shards)
        self._executor = executor
        self._known = WordCounts(0, 0, {})
        self._words_of: tuple[int, ...] = ()
        self._words_lock = threading.Lock()
        self._check()

    @classmethod
    def open(
        cls,
        folders: Iterable[str | Path],
        model: PinTextModel | None = None,
        *,
        verify: bool = True,
    ) -> Self:
        """Open the folders of shards; ``verify`` as in :meth:`PinIndex.open`.

        Raises:
            DataError: one folder was given for a list of them.
            PinIndexError: a folder is no index, or the shards do not belong together.
            ModelMismatchError: they, or the given model, are of different models.
        """
        if isinstance(folders, str):
            raise DataError(f"expected a list of folders, found the text {folders!r}")
        opened: list[PinIndex] = []
        for folder in folders:
            if Path(folder).resolve() in (index.folder.resolve() for index in opened):
                raise PinIndexError(f"{folder}: given twice; name each shard once")
            opened.append(PinIndex.open(folder, model, verify=verify))
            model = opened[0].model
        if model is None:
            raise ConfigError("no shards: expected one folder or more")
        return cls([LocalShard(index) for index in opened], model)

    def _check(self) -> None:
        if not self._states:
            names = ", ".join(shard.name for shard in self.shards)
            raise ShardDownError(f"no shard answers ({names}); start at least one")
        head = self._states[0].manifest
        for shard in self.shards:
            if (state := shard.state) is None:
                continue
            manifest = state.manifest
            if manifest.fingerprint != self.model.fingerprint:
                raise ModelMismatchError(
                    f"{shard.name}: made with the model {manifest.fingerprint}, expected "
                    f"{self.model.fingerprint}; build all shards with one model"
                )
            if manifest.columns != head.columns:
                raise PinIndexError(
                    f"{shard.name}: has other columns than {self.shards[0].name}; build all shards "
                    "with the same settings"
                )
        check_cut(
            [
                (shard.name, state.manifest.shard)
                for shard in self.shards
                if (state := shard.state) is not None
            ]
        )

    # ------------------------------------------------------------------------ what it holds

    @property
    def _states(self) -> list[ShardState]:
        """Of the shards that have answered yet."""
        return [state for shard in self.shards if (state := shard.state) is not None]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the model."""
        return self.model.fingerprint

    @property
    def generation(self) -> int:
        """The sum of the numbers of the commits that are shown; it grows with each."""
        return sum(state.commit for state in self._states)

    @property
    def columns(self) -> Columns:
        """The columns of the pins, with the filter fields."""
        return self._states[0].manifest.columns

    @property
    def config(self) -> IndexConfig:
        """The settings that the first shard was built with."""
        return self._states[0].manifest.config

    @property
    def retrieval(self) -> Retrieval:
        """How the first shard finds pins by tokens."""
        return self._states[0].manifest.retrieval

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the shards that did not answer lately."""
        return tuple(shard.name for shard in self.shards if shard.down)

    def __len__(self) -> int:
        """The number of pins, also of shards that do not answer now."""
        return sum(state.pins for state in self._states)

    def __contains__(self, pin_id: object) -> bool:
        return isinstance(pin_id, str) and bool(self._stored([pin_id]))

    def __repr__(self) -> str:
        return f"ShardedIndex({len(self.shards)} shards, {len(self):,} pins)"

    def vector(self, pin_id: str) -> F32:
        """The unit vector of a pin, as :meth:`PinIndex.vector`.

        Raises:
            DataError: there is no such pin, in the shards that answer.
        """
        found = self._stored([pin_id], vectors=True)
        if not found:
            raise DataError(f"no pin {pin_id!r} in the index")
        return np.frombuffer(found[pin_id].vector, "<f4").astype(np.float32)

    def documents(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """The stored columns of pins, as :meth:`PinIndex.documents`.

        Raises:
            DataError: an id is unknown to the shards that answer.
        """
        wanted = list(ids)
        found = self._stored(wanted)
        for name in wanted:
            if name not in found:
                raise DataError(f"no pin {name!r} in the index")
        return [dict(found[name].document) for name in wanted]

    def _stored(self, ids: list[str], *, vectors: bool = False) -> dict[str, Any]:
        if not ids:
            return {}
        name = self.columns.id
        found, _ = self._each(lambda shard: shard.stored(ids, vectors=vectors))
        return {pin.document[name]: pin for pin in chain.from_iterable(found)}

    def reload(self) -> bool:
        """Follow the commits of every shard; whether there was one.

        Raises:
            PinIndexError: a shard now has other columns.
            ModelMismatchError: a shard is now of another model.
        """
        news, _ = self._each(lambda shard: shard.reload())
        if changed := any(news):
            self._check()
        return changed

    # ------------------------------------------------------------------------ searching

    def explain(self, query: str, pin_id: str) -> Explanation:
        """Take the match of a text and a pin apart.

        Raises:
            DataError: there is no such pin, in the shards that answer.
        """
        text = text_of(self.columns, self.documents([pin_id])[0])
        words = self.model.explain(query, text)
        asked = self._asked(unit(self.model.encode(query)), 1, None, None)
        asked = msgspec.structs.replace(asked, words=split(query), only=(pin_id,))
        hit = self._find(asked)[0]
        return Explanation(
            pin_id, words.similarity, hit.bm25 or 0.0, hit.matched_tokens, words.contributions, text
        )

    def _find(self, asked: Asked, notice: str | None = None) -> Hits:
        missing: set[str] = set()
        if asked.words and (asked.mode != "embedding" or asked.only is not None):
            counts, failed = self._word_counts(asked.words)
            asked = msgspec.structs.replace(asked, counts=counts)
            missing |= failed
        for widening in range(asked.widening, EVERYTHING + 1):
            wider = msgspec.structs.replace(asked, widening=widening)
            parts, failed = self._each(partial(_part, wider))
            found = sum(part.by_tokens for part in parts)
            if found >= asked.k or all(part.complete for part in parts):
                break
        missing |= failed
        if not parts:
            raise ShardDownError(f"no shard answers ({', '.join(sorted(missing))}); try again")
        compared = sum(part.candidates for part in parts)
        named = tuple(sorted(missing))
        return Hits(
            _merged(parts, asked), mode=asked.mode, candidates=compared, notice=notice,
            missing=named,
        )  # fmt: skip

    def _word_counts(self, words: list[str]) -> tuple[WordCounts, set[str]]:
        """Counts over all shards; those of words that were asked for lately are remembered."""
        commits = tuple(state.commit for state in self._states)
        with self._words_lock:
            if commits != self._words_of or len(self._known.holders) > _WORDS_KEPT:
                self._known, self._words_of = WordCounts(0, 0, {}), commits
            known = self._known
        if unknown := [word for word in dict.fromkeys(words) if word not in known.holders]:
            found, missing = self._each(lambda shard: shard.word_counts(unknown))
            if missing:  # then all words are weighed by the same shards
                found, missing = self._each(lambda shard: shard.word_counts(words))
                return WordCounts.together(found), missing
            counted = WordCounts.together(found)
            known = msgspec.structs.replace(counted, holders=known.holders | counted.holders)
            with self._words_lock:
                if commits == self._words_of:
                    self._known = known
        holders = {word: known.holders[word] for word in words}
        return msgspec.structs.replace(known, holders=holders), set()

    def _each(self, ask: Callable[[Shard], Result]) -> tuple[list[Result], set[str]]:
        """What the shards answer, in their order, and the names of those that do not."""

        def safely(shard: Shard) -> Result | ShardDownError:
            try:
                return ask(shard)
            except ShardDownError as error:
                return error

        mapped = map if self._executor is None else self._executor.map
        found, missing = [], set()
        for shard, answer in zip(self.shards, mapped(safely, self.shards), strict=True):
            if isinstance(answer, ShardDownError):
                missing.add(shard.name)
            else:
                found.append(answer)
        return found, missing


AnyIndex = PinIndex | ShardedIndex
"""What can be searched."""


def _part(asked: Asked, shard: Shard) -> Part:
    return shard.part(asked)


def _merged(parts: Sequence[Part], asked: Asked) -> list[Hit]:
    """The best of all parts, ordered as one index orders them."""

    def column(name: str) -> list[Any]:
        return list(chain.from_iterable(getattr(part, name) for part in parts))

    ids, tokens = column("ids"), column("tokens")
    if not ids:
        return []
    similarities = np.array(column("similarities"), np.float32)
    bm25 = np.array(column("bm25"), np.float32)
    wanted = Wanted(np.zeros(0, np.float32), [], asked.k, None, asked.min_similarity)
    depth = depth_of(wanted, asked.mode)
    allowed = np.array(column("near"), bool)
    worded = np.flatnonzero(column("worded"))
    if len(worded):
        best = first(depth, partial(_some, ids, worded), bm25[worded], similarities[worded])
        worded = worded[best]
        allowed[worded] = True  # others that words proposed are not among the best of all shards
    if asked.min_similarity is not None:
        allowed &= similarities >= asked.min_similarity
    places = np.flatnonzero(allowed)
    names, near = partial(_some, ids, places), similarities[places]
    if asked.mode == "embedding":
        best = first(asked.k, names, near)
    else:
        worth: NDArray[np.floating] = bm25[places]
        if asked.mode == "hybrid":
            by_words = np.searchsorted(places, worded[allowed[worded]])
            worth = fused(near, bm25[places], by_words, depth, names)
        best = first(asked.k, names, worth, near)
    scores: list[float] | list[None] = bm25.tolist() if len(bm25) else [None] * len(ids)
    return [
        Hit(ids[place], float(similarities[place]), scores[place], tuple(tokens[place]))
        for place in places[best].tolist()
    ]


def _some(ids: list[str], among: I64, places: I64) -> list[str]:
    """The ids of some of those that are looked at."""
    return [ids[place] for place in among[places].tolist()]
