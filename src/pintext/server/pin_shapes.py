"""What requests and answers about pins look like."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pintext.server.shapes import Explained, K, Request, Similarity, Text

__all__ = [
    "Bounds",
    "DeletePins",
    "Deleted",
    "Feed",
    "Find",
    "FoundPin",
    "Pin",
    "PutPins",
    "Related",
    "Search",
    "Searched",
    "Written",
]


class Bounds(Request, omit_defaults=True):
    """Bounds of a number or of a date in ISO 8601; at least one."""

    gt: float | str | None = None
    gte: float | str | None = None
    lt: float | str | None = None
    lte: float | str | None = None


FilterValue = str | bool | int | float
Filters = Annotated[
    dict[str, FilterValue | list[FilterValue] | Bounds],
    Meta(description="field -> a value, a list of values (any of them), or bounds; all must fit"),
]


class Find(Request):
    """What searches have in common."""

    k: K = 10
    filters: Filters | None = None
    min_similarity: Annotated[float | None, Meta(description="drops hits with a lower cosine")] = (
        None
    )
    explain: Annotated[bool, Meta(description="say of each hit which words make it similar")] = (
        False
    )


class Search(Find, kw_only=True):
    """A query, and how pins are searched for it."""

    query: Text
    mode: Annotated[
        Literal["hybrid", "embedding", "text"],
        Meta(description="by meaning, by words (BM25), or by both"),
    ] = "hybrid"


class Feed(Find, kw_only=True):
    """What somebody is interested in, as a text."""

    interests: Text


class FoundPin(msgspec.Struct):
    """A pin that was found."""

    id: str
    similarity: Similarity
    bm25: float | None
    """of the words that query and pin share; null where words were not asked for"""
    matched_tokens: list[int]
    """the tokens that query and pin share, the query's most promising first"""
    fields: dict[str, Any]
    """the stored columns of the pin"""
    explanation: Explained | None = None


class Searched(msgspec.Struct):
    """The pins that were found, the best first."""

    query: str
    mode: Literal["hybrid", "embedding", "text"]
    """how was searched in the end"""
    notice: str | None
    """why that was another way than asked for"""
    candidates: int
    """pins that were compared exactly"""
    took_ms: float
    unknown_words: list[str]
    """words of the query that have no row"""
    hits: list[FoundPin]
    partial: bool = False
    """pins are missing, because a shard that holds some does not answer"""


class Pin(msgspec.Struct):
    """A pin of the index."""

    id: str
    fields: dict[str, Any]


class Related(msgspec.Struct):
    """A pin and the nearest others, the nearest first."""

    pin: Pin
    hits: list[FoundPin]
    partial: bool = False
    """pins are missing, because a shard that holds some does not answer"""


class PutPins(Request):
    """Pins to put into the index, each in place of the one with its id."""

    pins: Annotated[
        list[dict[str, Any]],
        Meta(min_length=1, description="objects with the columns of the index"),
    ]


class DeletePins(Request):
    """Pins to take out of the index."""

    ids: Annotated[list[str], Meta(min_length=1)]


class Written(msgspec.Struct):
    """How many pins were written or deleted; they are on the disk."""

    pins: int
    generation: int
    """of the index, from which on searches see it"""


class Deleted(Written):
    """With the ids that no pin had."""

    unknown: list[str]
