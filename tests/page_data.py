"""Pins for the tests of the page, some of them written by no friend of it."""

import random
from typing import Any

from small_data import TOPICS

HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '" onmouseover="window.hacked = 1" x="',
    "javascript:window.hacked=1",
    "</mark><svg onload=window.hacked=1>",
    "{{constructor.constructor('window.hacked=1')()}}",
]


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
        {"id": f"{number}{text}", "title": f"cupboards {text}", "text": f"{text} cupboards oak"}
        for number, text in enumerate(HOSTILE)
    ]
    return friendly + hostile
