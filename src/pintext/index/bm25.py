"""BM25 of pins, from the words that their rows hold.

Tantivy proposes pins by words, but its own scores count pins that were deleted and, in a shard,
know the average length of that shard's texts only. The scores that count are computed here, from
counts of the pins that there are, and are the same to the bit in one index and in shards of it.

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, with the idf
of Lucene and Tantivy, which is never negative.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I64
from pintext.compiled import compiled
from pintext.text import Texts, words_of
from pintext.word_table import word_hashes

__all__ = [
    "U32",
    "PinWords",
    "WordCounts",
    "hashed",
    "hashed_texts",
    "idf",
    "score_rows",
    "sum_of",
]

K1, B = 1.2, 0.75
U32 = NDArray[np.uint32]


class PinWords(NamedTuple):
    """The words of some texts, as rows hold them.

    Attributes:
        hashes: half of each word's hash, one text behind the other.
        offsets: text ``i`` has ``hashes[offsets[i]:offsets[i + 1]]``.
    """

    hashes: U32
    offsets: I64


class WordCounts(msgspec.Struct, frozen=True):
    """What BM25 knows of words.

    Attributes:
        pins: how many there are.
        length: words in all their texts together.
        holders: word -> how many of the pins hold it.
    """

    pins: int
    length: int
    holders: dict[str, int]

    @classmethod
    def together(cls, parts: Sequence["WordCounts"]) -> Self:
        """Counts of the same words over several shards."""
        words = parts[0].holders if parts else {}
        return cls(
            sum(part.pins for part in parts),
            sum(part.length for part in parts),
            {word: sum(part.holders[word] for part in parts) for word in words},
        )

    @property
    def mean_length(self) -> float:
        """Words in a text on average; 1 where there are none."""
        return self.length / self.pins if self.length else 1.0

    def idf(self, word: str) -> float:
        """How rare a word is."""
        return idf(self.pins, self.holders[word])


def idf(pins: int, holders: int) -> float:
    """How rare a word is that so many of the pins hold."""
    return math.log(1 + (pins - holders + 0.5) / (holders + 0.5))


def hashed_texts(texts: Texts) -> PinWords:
    """The words of texts; those of a null are none."""
    words = words_of(texts)
    return PinWords(_halves(word_hashes(words.data, words.bounds)), words.offsets)


def hashed(words: Iterable[str]) -> U32:
    """The same half of the hash of each of some words."""
    coded = [word.encode() for word in words]
    ends = np.cumsum([0, *map(len, coded)])
    bounds = np.stack((ends[:-1], ends[1:]), axis=1).reshape(-1)
    return _halves(word_hashes(np.frombuffer(b"".join(coded), np.uint8), bounds))


def _halves(hashes: NDArray[np.uint64]) -> U32:
    return (hashes >> np.uint64(32)).astype(np.uint32)


@compiled
def sum_of(hashes: U32) -> Any:
    """The checksum of a text's words, FNV-1a."""
    total = np.uint32(2_166_136_261)
    for value in hashes:
        total = np.uint32((total ^ value) * np.uint32(16_777_619))
    return total


@compiled
def score_rows(
    hashes: U32,
    places: I64,
    sums: U32,
    asked: U32,
    weights: NDArray[np.float64],
    mean_length: float,
    scores: F32,
) -> int:
    """Write the BM25 of each pin.

    Args:
        hashes: words of all rows.
        places: the first word and the number of words of each pin, shape ``(n, 2)``.
        sums: the checksum of each pin's words, shape ``(n,)``.
        asked: hashes of the words of the query; one that is there twice counts twice.
        weights: idf of each.
        mean_length: words in a text on average.
        scores: shape ``(n,)``.

    Returns:
        -1, or the place of a pin whose words are not as they were written.
    """
    for pin in range(len(places)):
        start, length = places[pin]
        if start < 0 or start + length > len(hashes):
            return pin
        own = hashes[start : start + length]
        if sum_of(own) != sums[pin]:
            return pin
        norm = K1 * (1 - B + B * length / mean_length)
        total = 0.0
        for word in range(len(asked)):
            count = 0
            for value in own:
                count += value == asked[word]
            total += weights[word] * (K1 + 1) * count / (count + norm)
        scores[pin] = total
    return -1
