"""Loops over the bytes of texts: fold to lower case, find the words.

Numba counts references whenever a helper that has branches is called with an array, which costs
more than finding a word. So the loops are written out, UTF-8 included.
"""

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import I64, U8
from pintext.compiled import compiled, compiled_allocating

__all__ = [
    "ALONE",
    "HARD",
    "IN_WORD",
    "RETIRED",
    "SEPARATOR",
    "U32",
    "Bools",
    "fold",
    "lower_ascii",
    "word_bounds",
]

U32 = NDArray[np.uint32]
Bools = NDArray[np.bool_]

SEPARATOR, IN_WORD, ALONE, RETIRED = 0, 1, 2, 3
"""Classes of code points. A retired one separates words as well, and does so before NFKC."""

HARD = 0xFFFFFFFF
"""In the folding table: what becomes of this code point depends on its neighbours."""


@compiled
def lower_ascii(data: U8, lowered: U8) -> None:
    """Write ASCII capitals as small letters, and all other bytes as they are."""
    for index in range(len(data)):
        byte = data[index]
        lowered[index] = byte | 0x20 if 65 <= byte <= 90 else byte


@compiled_allocating
def fold(data: U8, offsets: I64, table: U32) -> tuple[U8, I64, Bools]:
    """Normalise code point by code point.

    Args:
        data: texts, UTF-8.
        offsets: their bounds, shape ``(n + 1,)``.
        table: what each code point becomes, shape ``(0x110000,)``; ``HARD`` ones stay as they are.

    Returns:
        The folded texts, UTF-8; their bounds, shape ``(n + 1,)``; and which texts have a hard code
        point, shape ``(n,)``.
    """
    folded = np.empty(2 * len(data), np.uint8)  # lower case takes at most half as much again
    bounds = np.empty(len(offsets), np.int64)
    hard = np.zeros(len(offsets) - 1, np.bool_)
    out = bounds[0] = 0
    for text in range(len(hard)):
        at, end = offsets[text], offsets[text + 1]
        while at < end:
            point = np.int64(data[at])
            if point < 0x80:
                at += 1
            elif point < 0xE0:
                point = (point & 0x1F) << 6 | data[at + 1] & 0x3F
                at += 2
            elif point < 0xF0:
                point = (point & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6
                point |= data[at + 2] & 0x3F
                at += 3
            else:
                point = (point & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
                point |= np.int64(data[at + 2] & 0x3F) << 6 | data[at + 3] & 0x3F
                at += 4
            new = np.int64(table[point])
            if new == HARD:
                hard[text] = True
                new = point
            if new < 0x80:
                folded[out] = new
                out += 1
            elif new < 0x800:
                folded[out] = 0xC0 | new >> 6
                folded[out + 1] = 0x80 | new & 0x3F
                out += 2
            elif new < 0x10000:
                folded[out] = 0xE0 | new >> 12
                folded[out + 1] = 0x80 | new >> 6 & 0x3F
                folded[out + 2] = 0x80 | new & 0x3F
                out += 3
            else:
                folded[out] = 0xF0 | new >> 18
                folded[out + 1] = 0x80 | new >> 12 & 0x3F
                folded[out + 2] = 0x80 | new >> 6 & 0x3F
                folded[out + 3] = 0x80 | new & 0x3F
                out += 4
        bounds[text + 1] = out
    return folded[:out], bounds, hard


@compiled_allocating
def word_bounds(data: U8, offsets: I64, max_tokens: int, classes: U8) -> tuple[I64, I64]:
    """Find the words of normalised texts.

    Args:
        data: normalised texts, UTF-8.
        offsets: their bounds, shape ``(n_texts + 1,)``.
        max_tokens: how many words of each text are kept.
        classes: the class of every code point, shape ``(0x110000,)``.

    Returns:
        Where words start and stop, by turns, shape ``(2 * n_words,)``; and the bounds of the texts
        in the words, shape ``(n_texts + 1,)``.
    """
    n_texts = len(offsets) - 1
    # A word takes a byte and, but for the last of a text, another one: a separator behind it, or
    # the further bytes of a code point that stands alone.
    bounds = np.empty(len(data) + n_texts + 2, np.int64)
    words = np.empty(n_texts + 1, np.int64)
    words[0] = 0
    n_bounds, limit = np.int64(0), max(max_tokens, 0)
    for text in range(n_texts):
        at, end = offsets[text], offsets[text + 1]
        before = np.int64(0)
        while at < end:
            start = at
            point = np.int64(data[at])
            if point < 0x80:
                at += 1
            elif point < 0xE0:
                point = (point & 0x1F) << 6 | data[at + 1] & 0x3F
                at += 2
            elif point < 0xF0:
                point = (point & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6
                point |= data[at + 2] & 0x3F
                at += 3
            else:
                point = (point & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
                point |= np.int64(data[at + 2] & 0x3F) << 6 | data[at + 3] & 0x3F
                at += 4
            kind = classes[point]
            # Without a branch: always written, but only kept where a run of word characters
            # begins or ends.
            inside = np.int64(kind == IN_WORD)
            bounds[n_bounds] = start
            n_bounds += inside ^ before
            before = inside
            if kind == ALONE:
                bounds[n_bounds] = start
                bounds[n_bounds + 1] = at
                n_bounds += 2
        bounds[n_bounds] = end
        n_bounds += before
        words[text + 1] = min(n_bounds >> 1, words[text] + limit)
        n_bounds = 2 * words[text + 1]
    return bounds[:n_bounds], words
