"""The most frequent words on a plane, for the page's map."""

import numpy as np

from pintext.model import PinTextModel
from pintext.server.shapes import MapWord, WordMap

__all__ = ["word_map"]


def word_map(model: PinTextModel, words: int = 2000) -> WordMap:
    """Project the rows of the most frequent words on their two principal components.

    Rows count by direction alone, as in every similarity. The signs of the components are chosen so
    that the largest coordinate is positive: the same model gives the same map.

    Args:
        model: a vocabulary without counts gives its first words, and the task "".
        words: how many.
    """
    counts = model.vocabulary.counts
    totals = counts.sum(axis=0)
    rows = np.argsort(-totals, kind="stable")[:words]
    table = model.embeddings[rows].astype(np.float64)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    table /= np.where(lengths > 0, lengths, 1)
    table -= table.mean(axis=0)
    _, _, axes = np.linalg.svd(table, full_matrices=False)
    places = np.zeros((len(rows), 2))
    found = table @ axes[:2].T
    places[:, : found.shape[1]] = found
    largest = np.argmax(np.abs(places), axis=0)
    places *= np.where(places[largest, [0, 1]] < 0, -1, 1)
    tasks = [""] * len(rows)
    if len(counts):
        shares = counts[:, rows] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        tasks = [model.vocabulary.tasks[task] for task in shares.argmax(axis=0).tolist()]
    return WordMap(
        [
            MapWord(model.vocabulary.word(row), round(x, 4), round(y, 4), task, count)
            for row, (x, y), task, count in zip(
                rows.tolist(), places.tolist(), tasks, totals[rows].tolist(), strict=True
            )
        ]
    )
