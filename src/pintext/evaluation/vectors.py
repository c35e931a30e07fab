"""Pictures of the vectors themselves: similarities of pairs, and a map of the vocabulary."""

import msgspec
import numpy as np

from pintext.arrays import F32
from pintext.errors import MissingExtraError
from pintext.evaluation.questions import Question
from pintext.evaluation.rankers import Embedding, unit_vectors
from pintext.model import PinTextModel

__all__ = ["MapPoint", "Similarities", "similarities", "vocabulary_map"]

_BINS = 40
_MOST_PAIRS = 20_000
_MOST_WORDS = 800


class Similarities(msgspec.Struct, frozen=True):
    """How the cosines of held-out pairs differ from those of a query and a random pin.

    Attributes:
        task: whose pairs.
        ranker: whose vectors.
        edges: bounds of the bins, from -1 to 1.
        positive: share of the held-out pairs in each bin.
        background: share of the random pairs in each bin.
        auc: chance that a held-out pair has the higher cosine of the two, ties counting half.
    """

    task: str
    ranker: str
    edges: list[float]
    positive: list[float]
    background: list[float]
    auc: float


def similarities(task: str, question: Question, ranker: Embedding, seed: int) -> Similarities:
    """Compare the cosines of up to 20,000 held-out pairs with as many random ones."""
    rng = np.random.default_rng(seed)
    pairs = question.answers
    if len(pairs) > _MOST_PAIRS:
        pairs = pairs[np.sort(rng.choice(len(pairs), _MOST_PAIRS, replace=False))]
    queries, pins = ranker.vectors(question)
    others = rng.integers(0, len(question.candidates), len(pairs))
    positive = np.einsum("ij,ij->i", queries[pairs[:, 0]], pins[pairs[:, 1]])
    background = np.einsum("ij,ij->i", queries[pairs[:, 0]], pins[others])
    edges = np.linspace(-1, 1, _BINS + 1)
    shares = [
        np.histogram(np.clip(values, -1, 1), edges)[0] / len(pairs)
        for values in (positive, background)
    ]
    return Similarities(
        task=task,
        ranker=ranker.name,
        edges=[round(float(edge), 6) for edge in edges],
        positive=shares[0].tolist(),
        background=shares[1].tolist(),
        auc=_auc(positive, background),
    )


def _auc(positive: F32, background: F32) -> float:
    """Mann and Whitney's U, as a share of the pairs."""
    ordered = np.sort(background)
    below = np.searchsorted(ordered, positive, "left")
    not_above = np.searchsorted(ordered, positive, "right")
    return float((below + not_above).mean() / 2 / len(background))


class MapPoint(msgspec.Struct, frozen=True):
    """A word on the map, and the task that uses it most for its size."""

    word: str
    x: float
    y: float
    task: str
    tokens: int


def vocabulary_map(model: PinTextModel, seed: int) -> list[MapPoint]:
    """Lay out the 800 most frequent words so that near words stand together.

    t-SNE (van der Maaten and Hinton, 2008) of the rows by cosine, by scikit-learn; x and y are in
    [0, 1]. Empty for fewer than ten words.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    counts = model.vocabulary.counts
    chosen = np.argsort(-counts.sum(axis=0), kind="stable")[:_MOST_WORDS]
    chosen = chosen[np.linalg.norm(model.embeddings[chosen], axis=1) > 0]
    if len(chosen) < 10:
        return []
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MissingExtraError("scikit-learn", "evaluate") from None
    units = unit_vectors(model.embeddings[chosen])
    with threadpool_limits(1):  # the same map on any number of cores
        layout = TSNE(
            init="pca" if min(units.shape) > 1 else "random",
            perplexity=min(30, (len(chosen) - 1) / 3),
            random_state=seed % 2**32,
            n_jobs=1,
        ).fit_transform(units)
    layout = layout - layout.min(axis=0)
    layout = layout / np.maximum(layout.max(axis=0), 1e-9)
    shares = counts[:, chosen] / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    tasks = model.vocabulary.tasks or ("",)
    most = shares.argmax(axis=0) if len(shares) else np.zeros(len(chosen), int)
    total = counts.sum(axis=0)
    return [
        MapPoint(
            word=model.vocabulary.word(int(row)),
            x=round(float(x), 4),
            y=round(float(y), 4),
            task=tasks[int(task)],
            tokens=int(total[row]),
        )
        for row, (x, y), task in zip(chosen, layout, most, strict=True)
    ]
