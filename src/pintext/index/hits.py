"""What a search gives back."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, overload

from pintext.model import Contribution

__all__ = ["Explanation", "Hit", "Hits", "Mode"]

Mode = Literal["hybrid", "embedding", "text"]


class Hit(NamedTuple):
    """A pin that was found."""

    id: str
    similarity: float
    """cosine with the query, exact, from -1 to 1; 0.0 where one of the two has no known word"""
    bm25: float | None
    """of the words that query and pin share, 0.0 where they share none; ``None``: not asked for"""
    matched_tokens: tuple[int, ...]
    """the tokens that query and pin share, the query's most promising first"""


class Hits(Sequence[Hit]):
    """The pins that a search found, the best first.

    Attributes:
        mode: how was searched in the end.
        notice: why that was another way than asked for; ``None`` where it was not.
        candidates: pins that were compared exactly with the query.
        missing: shards that did not answer, so that their pins are not among the hits.
    """

    def __init__(
        self,
        hits: list[Hit],
        *,
        mode: Mode,
        candidates: int,
        notice: str | None = None,
        missing: tuple[str, ...] = (),
    ) -> None:
        self._hits = hits
        self.mode = mode
        self.candidates = candidates
        self.notice = notice
        self.missing = missing

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...

    @overload
    def __getitem__(self, index: slice) -> list[Hit]: ...

    def __getitem__(self, index: int | slice) -> Hit | list[Hit]:
        return self._hits[index]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self._hits)

    def __repr__(self) -> str:
        return f"Hits({self._hits!r}, mode={self.mode!r})"


class Explanation(NamedTuple):
    """Why a pin matches a query."""

    id: str
    similarity: float
    """cosine: the sum of the contributions"""
    bm25: float
    """of the words that they share"""
    matched_tokens: tuple[int, ...]
    """the tokens that they share; without any, only words or an exact search can find the pin"""
    contributions: list[Contribution]
    """of every pair of known words to the similarity, the largest in size first"""
    text: str
    """of the pin"""
