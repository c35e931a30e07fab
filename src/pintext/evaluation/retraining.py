"""Dictionaries trained for the comparison: on one task, without one task, on texts alone."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pintext.arrays import F32
from pintext.config import TrainConfig
from pintext.errors import MissingExtraError
from pintext.evaluation.baselines import dictionary
from pintext.evaluation.rankers import Embedding, words_of
from pintext.model import PinTextModel
from pintext.pairs import PairSource
from pintext.training import train

__all__ = ["TRAINED", "train_parts", "train_unsupervised"]

_EPOCHS, _WINDOW = 5, 5


def train_parts(
    pairs: Path,
    config: TrainConfig,
    tell: Callable[[str], None],
    name: str = "PinText",
) -> list[Embedding]:
    """Train on each task alone and, where there are three or more, on all but each.

    The settings are those of the evaluated model, so that nothing but the pairs differs.
    """
    tasks = PairSource(pairs).tasks
    parts = {f"{name}, {task} alone": [task] for task in tasks} if len(tasks) > 1 else {}
    if len(tasks) > 2:
        parts |= {f"{name} without {t}": [other for other in tasks if other != t] for t in tasks}
    made = []
    for title, chosen in parts.items():
        tell(f"training {title}")
        made.append(dictionary(title, train(PairSource(pairs, tasks=chosen), config)))
    return made


def train_unsupervised(name: str, texts: Sequence[str], dim: int, seed: int) -> Embedding:
    """Word vectors of the texts that the dictionary was trained on, without who engaged with what.

    Args:
        name: one of :data:`TRAINED`.
        texts: every query and pin, as often as it occurs.
        dim: of the vectors.
        seed: the same seed gives the same vectors; one thread is used for that.

    Raises:
        MissingExtraError: the library is not installed.
    """
    return TRAINED[name]([" ".join(words) for words in words_of(texts)], dim, seed)


def _word2vec(lines: Sequence[str], dim: int, seed: int) -> Embedding:
    """Skip-gram with negative sampling (Mikolov et al., 2013), by gensim."""
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise MissingExtraError("gensim", "baselines") from None
    trained = Word2Vec(
        [line.split() for line in lines],
        vector_size=dim,
        window=_WINDOW,
        min_count=1,
        sg=1,
        epochs=_EPOCHS,
        seed=seed % 2**32,
        workers=1,
    ).wv
    from pintext.vocabulary import Vocabulary

    vocabulary = Vocabulary.from_words(trained.index_to_key)
    rows = np.ascontiguousarray(trained.vectors, np.float32)
    return dictionary("word2vec, same text", PinTextModel(vocabulary, rows), "unsupervised")


def _fasttext(lines: Sequence[str], dim: int, _seed: int) -> Embedding:
    """Skip-gram over words and their parts (Bojanowski et al., 2017), by fastText.

    Its seed is fixed.
    """
    try:
        import fasttext
    except ImportError:
        raise MissingExtraError("fasttext-wheel", "baselines") from None
    with tempfile.TemporaryDirectory(prefix="pintext-") as folder:
        file = Path(folder, "texts.txt")
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        trained: Any = fasttext.train_unsupervised(
            str(file),
            model="skipgram",
            dim=dim,
            ws=_WINDOW,
            minCount=1,
            epoch=_EPOCHS,
            thread=1,
            bucket=200_000,
            verbose=0,
        )

    def encode(texts: list[str]) -> F32:
        words = words_of(texts)
        rows = {word: trained.get_word_vector(word) for word in {w for text in words for w in text}}
        out = np.zeros((len(texts), dim), np.float32)
        for vector, text in zip(out, words, strict=True):
            if text:
                vector[:] = np.mean([rows[word] for word in text], axis=0)
        return out

    return Embedding("fastText, same text", "unsupervised", encode)


TRAINED: dict[str, Callable[[Sequence[str], int, int], Embedding]] = {
    "word2vec": _word2vec,
    "fasttext": _fasttext,
}
"""Names of what is trained on the same text (extra ``baselines``)."""
