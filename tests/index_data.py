"""Pins for tests of the index, and the slow, plain way to search them."""

import datetime
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.model import PinTextModel
from pintext.text import split
from pintext.vocabulary import Vocabulary
from some_models import plain_vector

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
COLORS = ("red", "green", "blue", "Dark Red", "ünïcode", "a=b")


def topic_model(words: int = 600, topics: int = 30, dim: int = 16, seed: int = 3) -> PinTextModel:
    """A model whose words ``w0`` … stand around topics."""
    draw = np.random.default_rng(seed)
    centers = draw.standard_normal((topics, dim))
    rows = centers[np.arange(words) % topics] + 0.6 * draw.standard_normal((words, dim))
    vocabulary = Vocabulary.from_words([f"w{word}" for word in range(words)])
    return PinTextModel(vocabulary, rows.astype(np.float32))


def some_pins(count: int, model: PinTextModel, seed: int = 0, topics: int = 30) -> pl.DataFrame:
    """Pins of some words of one topic and a stray one, with fields of every kind, some null."""
    draw = np.random.default_rng(seed)
    per_topic = len(model) // topics
    own = draw.integers(0, topics, count)[:, None]
    words = own + topics * draw.integers(0, per_topic, (count, 4))
    words[:, 3] = draw.integers(0, len(model), count)
    titles = [" ".join(f"W{word}" for word in row) for row in words.tolist()]
    number = draw.integers(-50, 50, count).astype(float)
    number[draw.random(count) < 0.1] = np.nan
    days = draw.integers(0, 400, count).tolist()
    return pl.DataFrame(
        {
            "id": [f"pin-{row}" for row in range(count)],
            "title": [None if row % 97 == 5 else title for row, title in enumerate(titles)],
            "description": [["unknown", f"w{row % 7}"] if row % 3 else [] for row in range(count)],
            "color": [None if row % 11 == 0 else COLORS[row % 6] for row in range(count)],
            "tags": [[f"t{row % 4}", f"t{row % 7}"] if row % 5 else None for row in range(count)],
            "price": pl.Series(number, nan_to_null=True),
            "sold": [None if row % 13 == 0 else row % 2 == 0 for row in range(count)],
            "day": [None if row % 17 == 0 else DAY + datetime.timedelta(days=d) for row, d in
                    enumerate(days)],
        }
    )  # fmt: skip


FILTER_COLUMNS = ("color", "tags", "price", "sold", "day")


def text_of(pin: Mapping[str, Any]) -> str:
    """The text of a pin as an index joins it."""
    return " ".join(part for part in (pin["title"], " ".join(pin["description"])) if part)


def unit(vector: NDArray[Any]) -> NDArray[np.float64]:
    wide = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(wide))
    shortened: NDArray[np.float64] = wide / length if length else wide
    return shortened


class Plain:
    """Pins with their vectors and words, to be searched by loops."""

    def __init__(self, model: PinTextModel, pins: pl.DataFrame) -> None:
        self._model = model
        texts = {pin["id"]: text_of(pin) for pin in pins.iter_rows(named=True)}
        self._units = {name: unit(plain_vector(model, text)) for name, text in texts.items()}
        self._words = {name: Counter(split(text)) for name, text in texts.items()}
        self._holders = Counter(word for words in self._words.values() for word in words)
        self._mean = sum(words.total() for words in self._words.values()) / len(texts)

    def similarities(self, query: str) -> dict[str, float]:
        """Id -> cosine, in float64, one by one."""
        vector = unit(plain_vector(self._model, query))
        return {name: float(own @ vector) for name, own in self._units.items()}

    def bm25(self, query: str) -> dict[str, float]:
        """Id -> BM25 of the pins that share a word, by the formula (k1 = 1.2, b = 0.75)."""
        scores = {}
        for name, words in self._words.items():
            total = 0.0
            for word in split(query):
                if word in words:
                    holders = self._holders[word]
                    idf = math.log(1 + (len(self._words) - holders + 0.5) / (holders + 0.5))
                    length = 1.2 * (1 - 0.75 + 0.75 * words.total() / self._mean)
                    total += idf * words[word] * 2.2 / (words[word] + length)
            if total:
                scores[name] = total
        return scores


_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


def passes(pin: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """Whether a pin passes filters, by the words of the documentation."""
    for name, wanted in filters.items():
        values = pin[name] if isinstance(pin[name], list) else [pin[name]]
        values = [value for value in values if value is not None]
        if isinstance(wanted, dict):
            if not any(all(_HOLDS[b](v, bound) for b, bound in wanted.items()) for v in values):
                return False
        else:
            among = wanted if isinstance(wanted, list) else [wanted]
            if not any(value in among for value in values):
                return False
    return True
