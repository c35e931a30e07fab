"""Small models with random rows, and the slow, plain way to encode with them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pintext.model import PinTextModel
from pintext.text import split
from pintext.vocabulary import Vocabulary

WORDS = (
    "wood", "kitchen", "cabinets", "oak", "white", "alaska", "train", "ride", "glacier", "a", "7",
    "crème", "brûlée", "küche", "weiß", "木", "の", "台", "σοφοσ", "москва", "कमरा",
    "2024", "x2",
)  # fmt: skip


def some_model(words: Sequence[str] = WORDS, dim: int = 8, seed: int = 0) -> PinTextModel:
    rows = np.random.default_rng(seed).standard_normal((len(words), dim))
    return PinTextModel(Vocabulary.from_words(words), rows.astype(np.float32))


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def plain_vector(model: PinTextModel, text: str) -> NDArray[np.float64]:
    """The mean of the rows of a text's known words, in float64, with nothing but a dict."""
    table = {word: row for row, word in enumerate(model.vocabulary.words())}
    rows = [model.embeddings[table[word]] for word in split(text) if word in table]
    if not rows:
        return np.zeros(model.dim)
    mean: NDArray[np.float64] = np.mean(np.array(rows, np.float64), axis=0)
    return mean
