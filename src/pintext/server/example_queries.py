"""Queries to try where nobody configured any."""

from pintext.index.sharded import AnyIndex
from pintext.index.stored import text_of
from pintext.model import PinTextModel
from pintext.text import split

__all__ = ["example_queries"]

_MANY = 8
_WORDS = 3  # of a pin
_SHORT = 2  # letters: "of", "to", "in" say little


def example_queries(model: PinTextModel, index: AnyIndex | None) -> tuple[str, ...]:
    """The first words of the best pin for each of the most frequent words; without pins, the words.

    A frequent word leads to a pin of its own, so that the pins are of many kinds. Words of one or
    two letters are left out, unless there are no others.
    """
    vocabulary = model.vocabulary
    order = (-vocabulary.counts.sum(axis=0)).argsort(kind="stable")
    words = _telling([vocabulary.word(row) for row in order[: 4 * _MANY].tolist()])[:_MANY]
    if index is None:
        return tuple(words)
    found = dict.fromkeys(hit.id for word in words for hit in index.search(word, 1))
    texts = (split(text_of(index.columns, pin)) for pin in index.documents(found))
    return tuple(dict.fromkeys(" ".join(_telling(text)[:_WORDS]) for text in texts)) or tuple(words)


def _telling(words: list[str]) -> list[str]:
    return [word for word in words if len(word) > _SHORT] or words
