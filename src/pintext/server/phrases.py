"""A list of labels or keywords, and the nearest of them to a vector."""

from typing import NamedTuple, Self

import numpy as np
import polars as pl

from pintext.arrays import F32
from pintext.embed import text_batches
from pintext.errors import DataError
from pintext.model import PinTextModel

__all__ = ["NearPhrase", "Phrases"]


class NearPhrase(NamedTuple):
    """A phrase and its cosine with what it was compared to."""

    phrase: str
    similarity: float


class Phrases:
    """Phrases with their unit vectors; exact search, one matrix product.

    Attributes:
        phrases: those that hold a known word, each once, in the order of the file.
        left_out: how many hold none, and so are near to nothing.
    """

    def __init__(self, model: PinTextModel, phrases: list[str]) -> None:
        vectors = model.encode(phrases)
        lengths = np.linalg.norm(vectors, axis=1)
        known = np.flatnonzero(lengths > 0)
        self.phrases = [phrases[row] for row in known.tolist()]
        self.left_out = len(phrases) - len(known)
        self._units: F32 = vectors[known] / lengths[known, None]

    @classmethod
    def read(cls, model: PinTextModel, path: str, column: str) -> Self:
        """The phrases of a file: plain text, one a line, or the column of a table.

        Raises:
            DataError: the file cannot be read, or holds no phrase with a known word.
        """
        texts = [batch.texts for batch in text_batches(path, column)]
        series = pl.concat(texts or [pl.Series(dtype=pl.String)]).drop_nulls()
        found = cls(model, series.unique(maintain_order=True).to_list())
        if not found.phrases:
            raise DataError(f"{path}: no {column} in it holds a word that the model knows")
        return found

    def __len__(self) -> int:
        return len(self.phrases)

    def nearest(self, vector: F32, k: int) -> list[NearPhrase]:
        """The ``k`` nearest phrases; none for a vector of zeros. Equal ones in the file's order."""
        length = float(np.linalg.norm(vector))
        if length == 0:
            return []
        similarities = np.clip(self._units @ (vector / length), -1.0, 1.0)
        order = np.argsort(-similarities, kind="stable")[:k]
        return [NearPhrase(self.phrases[row], float(similarities[row])) for row in order.tolist()]
