"""Queries that the tokens of an index are planned and measured with.

Those that people really typed are best. Where none are given, a few words of a pin stand for one: a
typed query is short and lies farther from the pins than they lie from each other, so tokens that
were planned with whole pins as queries would find less than promised.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pintext.arrays import F32
from pintext.errors import DataError
from pintext.files import reason
from pintext.text import split

__all__ = ["PinWords", "Queries", "Trial", "given_queries", "trial"]

PLANNED, MEASURED = 1000, 100
"""Queries at most that choose the tokens, and that measure what the index then finds."""
_MOST_WORDS = 4

Queries = str | Path | Iterable[str]
"""Texts, or a file with one a line."""


class Trial(NamedTuple):
    """Vectors of queries, each ``(n, dim)``.

    Attributes:
        planned: that choose the tokens.
        measured: that measure what the index finds; others than those, where there are enough.
    """

    planned: F32
    measured: F32


class PinWords:
    """Draws pins from batches that pass by, and makes queries of their words.

    Args:
        seed: the same pins and seed give the same queries.
    """

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)
        self._kept = pl.DataFrame(schema={"lot": pl.Float64, "text": pl.String})

    def add(self, texts: pl.Series) -> None:
        """Let the pins of a batch take part; those with the lowest lots of all are kept."""
        lots = pl.DataFrame({"lot": self._draw.random(len(texts)), "text": texts})
        best = lots.drop_nulls().bottom_k(PLANNED + MEASURED, by="lot")
        self._kept = pl.concat([self._kept, best]).bottom_k(PLANNED + MEASURED, by="lot")

    def queries(self) -> list[str]:
        """Up to four different words of each pin that was drawn, in random order."""
        made = []
        for text in self._kept.sort("lot")["text"]:
            words = list(dict.fromkeys(split(text)))
            count = min(len(words), int(self._draw.integers(1, _MOST_WORDS + 1)))
            if count:
                places = self._draw.choice(len(words), count, replace=False)
                made.append(" ".join(words[place] for place in places))
        return made


def given_queries(queries: Queries, seed: int) -> list[str]:
    """Some of the queries that were given, in random order.

    Raises:
        DataError: the file cannot be read, or there is no query.
    """
    if isinstance(queries, str | Path):
        try:
            lines = Path(queries).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            what = reason(error) if isinstance(error, OSError) else "not UTF-8"
            raise DataError(f"{queries}: cannot be read: {what}") from None
        texts = [line for line in lines if line.strip()]
    else:
        texts = list(queries)
    if not texts:
        raise DataError("no query to plan with; give some, or leave them out")
    order = np.random.default_rng(seed).permutation(len(texts))[: PLANNED + MEASURED]
    return [texts[place] for place in order.tolist()]


def trial(vectors: F32) -> Trial:
    """Divide the vectors of queries; those without a known word are left out."""
    usable = vectors[vectors.any(axis=1)]
    if len(usable) < 2:
        return Trial(usable, usable)
    held = min(MEASURED, len(usable) // 2)
    return Trial(usable[held:], usable[:held])
