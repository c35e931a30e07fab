"""Pins for the tests of the page, some of them written by no friend of it."""

import random
from typing import Any

import numpy as np

from pintext import PinTextModel
from pintext.vocabulary import Vocabulary
from small_data import TASKS, TOPICS

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '" onmouseover="window.hacked = 1" x="',
    "javascript:window.hacked=1",
    "</mark><svg onload=window.hacked=1>",
    "{{constructor.constructor('window.hacked=1')()}}",
]


def topic_model() -> PinTextModel:
    """A model as training would make it: the words of a topic lie near to each other."""
    draw = np.random.default_rng(0)
    words = [word for topic in TOPICS.values() for word in topic]
    directions = np.repeat(draw.standard_normal((len(TOPICS), 16)), len(words) // len(TOPICS), 0)
    rows = directions + 0.4 * draw.standard_normal(directions.shape)
    counts = np.array([np.arange(len(words), 0, -1) * 10, np.arange(1, len(words) + 1) * 10])
    vocabulary = Vocabulary.from_words(words, counts, TASKS)
    return PinTextModel(vocabulary, rows.astype(np.float32))


def pins() -> list[dict[str, Any]]:
    """Sixty pins of two topics, and some that were written by no friend."""
    draw = random.Random(1)
    topics = list(TOPICS.values())
    friendly = [
        {
            "id": str(number),
            "title": " ".join(draw.sample(topics[number % 2], 3)),
            "text": " ".join(draw.sample(topics[number % 2], 5)),
        }
        for number in range(60)
    ]
    hostile = [
        {
            "id": f"{number}{text}".replace("/", ""),
            "title": f"cupboards {text}",
            "text": f"{text} cupboards oak",
        }
        for number, text in enumerate(HOSTILE)
    ]
    return friendly + hostile
