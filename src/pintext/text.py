"""Text rules, version 1: how a text becomes words.

1. A lone surrogate or a *retired* code point becomes a space. Retired are those that not every
   engine, or not every Unicode version, knows the same way.
2. Unicode normal form NFKC, then lower case, then final sigma ``ς`` becomes ``σ``.
3. A word is a run of letters, marks and digits, or one Han, Hiragana or Katakana letter. All else,
   NUL included, separates words.

The classes of code points are frozen in :mod:`pintext.unicode_table`, so a text keeps its words
when Python or a library moves to a newer Unicode. There are three forms, which give the same words
for every text: :func:`split` for one text, :func:`split_column` and :func:`words_of` for columns,
and :func:`tokenizer_definition` for the ``tokenizers`` library and everything built on it.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pintext import unicode_table
from pintext.arrays import I64, U8
from pintext.errors import DataError
from pintext.text_kernels import (
    ALONE,
    HARD,
    IN_WORD,
    RETIRED,
    U32,
    fold,
    lower_ascii,
    word_bounds,
)

__all__ = [
    "CLASSES",
    "NO_LIMIT",
    "TEXT_RULES",
    "USUAL_COLUMNS",
    "TextBuffers",
    "Texts",
    "Words",
    "as_column",
    "buffers",
    "normalize",
    "normalize_column",
    "pieces",
    "split",
    "split_column",
    "tokenizer_definition",
    "words_of",
    "words_of_text",
]

TEXT_RULES = 1
"""The version of the rules above; a model folder names the version that its words were made by."""

USUAL_COLUMNS = ("title", "description", "text")
"""Columns that make a pin's text where none is named: those of them that it has, in this order."""

NO_LIMIT = 2**31 - 1
"""As ``max_tokens``: every word."""

Texts = Sequence[str | None] | pl.Series


def _ranges(written: str) -> list[tuple[int, int]]:
    pairs = (word.partition("-") for word in written.split())
    return [(int(low, 16), int(high or low, 16)) for low, _, high in pairs]


def _class_table() -> U8:
    table = np.zeros(0x110000, np.uint8)
    for written, kind in (
        (unicode_table.WORD, IN_WORD),
        (unicode_table.ALONE, ALONE),
        (unicode_table.RETIRED, RETIRED),
    ):
        for low, high in _ranges(written):
            table[low : high + 1] = kind
    table.flags.writeable = False
    return table


CLASSES = _class_table()
"""The class of every code point, shape ``(0x110000,)``, uint8: what the kernels want."""


def _members(written: str, form: str, last: int = 0x10FFFF) -> str:
    """The inside of a ``[...]``, with code points written by ``form``, up to ``last``."""
    return "".join(
        f"{form.format(low)}-{form.format(min(high, last))}"
        for low, high in _ranges(written)
        if low <= last
    )


_RUST = r"\x{{{:X}}}"  # understood by the regex engines of Polars and of tokenizers
_RETIRED_REGEX = f"[{_members(unicode_table.RETIRED, _RUST)}]"
_WORD_REGEX = f"[{_members(unicode_table.WORD, _RUST)}]+|[{_members(unicode_table.ALONE, _RUST)}]"
_SURROGATE = re.compile("[\ud800-\udfff]")
# Python's re tests code points up to U+FFFF with a bit map but walks through ranges beyond, so the
# pattern takes everything beyond, and _cleaned decides.
_SUSPECT = re.compile(
    f"[{_members(unicode_table.RETIRED, chr(92) + 'u{:04x}', 0xFFFF)}"
    r"\ud800-\udfff\U00010000-\U0010ffff]"
)


def normalize(text: str) -> str:
    """The text after steps 1 and 2, in which only words and separators are left to tell apart.

    Any ``str`` will do, lone surrogates included. Lower case comes after NFKC, so a few small
    letters whose capital is written with a mark stay apart from it (``ẖ`` and ``H̱``).
    """
    if text.isascii():
        return text.lower()
    text = _SUSPECT.sub(_cleaned, text)
    return unicodedata.normalize("NFKC", text).lower().replace("ς", "σ")


def _cleaned(match: re.Match[str]) -> str:
    point = ord(match[0])
    return match[0] if point > 0xFFFF and CLASSES[point] != RETIRED else " "


def split(text: str) -> list[str]:
    """The words of one text, in order; none for an empty text."""
    words = words_of_text(text)
    data, places = words.data.tobytes(), iter(words.bounds.tolist())
    return [data[start:stop].decode() for start, stop in zip(places, places, strict=True)]


def as_column(texts: Texts) -> pl.Series:
    """The texts as a Polars column of strings without nulls; a null becomes an empty text.

    Raises:
        DataError: something other than texts was given; the message says what and where.
    """
    if isinstance(texts, pl.Series):
        if texts.dtype == pl.Null or isinstance(texts.dtype, pl.Categorical | pl.Enum):
            texts = texts.cast(pl.String)
        if texts.dtype != pl.String:
            raise DataError(f"expected a column of texts, found {texts.dtype}; cast it to String")
        return texts.fill_null("")
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise DataError(f"expected a sequence of texts, found one {type(texts).__name__}")
    texts = list(texts)
    try:
        column = pl.Series(texts, dtype=pl.String)
    except (TypeError, UnicodeEncodeError, pl.exceptions.PolarsError):
        storable = [_storable(index, text) for index, text in enumerate(texts)]
        column = pl.Series(storable, dtype=pl.String)
    return column.fill_null("")


def _storable(index: int, text: str | None) -> str:
    if not isinstance(text, str | None):
        raise DataError(f"expected a sequence of texts, but item {index} is {text!r:.80}")
    return _SURROGATE.sub(" ", text or "")  # Polars holds UTF-8, which has no surrogates


def normalize_column(texts: Texts) -> pl.Series:
    """:func:`normalize` for a whole column; a null becomes an empty text."""
    column = as_column(texts)
    rows = (column.str.len_bytes() != column.str.len_chars()).arg_true()
    lowered = column.str.to_lowercase()
    return lowered.scatter(rows, _normalized(column.gather(rows))) if len(rows) else lowered


def _normalized(column: pl.Series) -> pl.Series:
    return (
        column.str.replace_all(_RETIRED_REGEX, " ")
        .str.normalize("NFKC")
        .str.to_lowercase()
        .str.replace_all("ς", "σ", literal=True)
    )


def split_column(texts: Texts) -> pl.Series:
    """:func:`split` for a whole column: a column of lists of words."""
    return normalize_column(texts).str.extract_all(_WORD_REGEX)


class TextBuffers(NamedTuple):
    """Normalised texts, one behind the other.

    Attributes:
        data: UTF-8, shape ``(n_bytes,)``, uint8, read-only.
        offsets: text ``i`` is ``data[offsets[i]:offsets[i + 1]]``; shape ``(n_texts + 1,)``, int64.
    """

    data: U8
    offsets: I64


def buffers(texts: Texts) -> TextBuffers:
    """Normalise a column and lay it out for the kernels; give a large column in :func:`pieces`.

    ASCII texts cost two copies. Most others are folded code point by code point; only texts in
    which neighbours matter, those with combining marks for one, go through Polars' NFKC.
    """
    column = as_column(texts)
    data, offsets = _flat(column)
    if not len(data) or data.max() < 0x80:
        lowered = np.empty_like(data)
        lower_ascii(data, lowered)
        lowered.flags.writeable = False
        return TextBuffers(lowered, offsets)
    folded, bounds, hard = fold(data, offsets, _folding_table())
    if hard.any():
        rows = np.flatnonzero(hard)
        column = column.clone().scatter(rows, _normalized(column.gather(rows)))
        folded, bounds, _ = fold(*_flat(column), _folding_table())  # changes nothing in these rows
    folded.flags.writeable = False
    return TextBuffers(folded, bounds)


@cache
def _folding_table() -> U32:
    """What each code point becomes, or ``HARD``; shape ``(0x110000,)``."""
    table = np.arange(0x110000, dtype=np.uint32)
    for low, high in _ranges(unicode_table.CHANGED):
        table[low : high + 1] = [ord(normalize(chr(point))) for point in range(low, high + 1)]
    for low, high in _ranges(unicode_table.HARD):
        table[low : high + 1] = HARD
    for low, high in _ranges(unicode_table.RETIRED):
        table[low : high + 1] = ord(" ")
    table.flags.writeable = False
    return table


def _flat(column: pl.Series) -> TextBuffers:
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum(column.str.len_bytes().to_numpy(), out=offsets[1:])
    joined = column.str.join("").cast(pl.Binary).item() if offsets[-1] else b""
    return TextBuffers(np.frombuffer(joined, np.uint8), offsets)


def pieces(column: pl.Series, n_bytes: int = 1 << 20) -> Iterator[pl.Series]:
    """Cut a column without nulls into slices of about ``n_bytes`` of text, to bound memory."""
    ends = column.str.len_bytes().cast(pl.Int64).cum_sum().to_numpy()
    start = 0
    while start < len(column):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + n_bytes, side="right")))
        yield column.slice(start, stop - start)
        start = stop


class Words(NamedTuple):
    """Where the words of some texts are.

    Attributes:
        data: the normalised texts, UTF-8, uint8.
        bounds: word ``w`` is ``data[bounds[2 * w]:bounds[2 * w + 1]]``; int64.
        offsets: text ``i`` has the words ``offsets[i]`` to ``offsets[i + 1]``, int64.
    """

    data: U8
    bounds: I64
    offsets: I64


def words_of(texts: Texts, max_tokens: int = NO_LIMIT) -> Words:
    """The first ``max_tokens`` words of every text, as the kernels take them."""
    data, offsets = buffers(texts)
    return Words(data, *word_bounds(data, offsets, max_tokens, CLASSES))


def words_of_text(text: str, max_tokens: int = NO_LIMIT) -> Words:
    """:func:`words_of` for one text, in a few microseconds."""
    data = np.frombuffer(normalize(text).encode(), np.uint8)
    return Words(data, *word_bounds(data, np.array([0, len(data)]), max_tokens, CLASSES))


def tokenizer_definition(words: Sequence[str], unknown: str, max_tokens: int) -> dict[str, Any]:
    """The same rules and a word list as the ``tokenizers`` library's ``tokenizer.json``.

    Args:
        words: in the order of their ids, from 0; ``unknown`` must be one of them.
        unknown: the word whose id stands for all words that are not listed. It should be nothing
            that :func:`split` can return: ``"[UNK]"`` is fine.
        max_tokens: how many words of a text are read.
    """
    retired = {"type": "Replace", "pattern": {"Regex": _RETIRED_REGEX}, "content": " "}
    sigma = {"type": "Replace", "pattern": {"String": "ς"}, "content": "σ"}
    return {
        "version": "1.0",
        "truncation": {
            "direction": "Right",
            "max_length": max_tokens,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": None,
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [retired, {"type": "NFKC"}, {"type": "Lowercase"}, sigma],
        },
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": _WORD_REGEX},
            "behavior": "Removed",
            "invert": True,
        },
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate(words)},
            "unk_token": unknown,
        },
    }
