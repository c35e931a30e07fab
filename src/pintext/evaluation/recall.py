"""One figure of a ranker, where a whole report would be too much: for the demo and for sweeps."""

from typing import NamedTuple

import numpy as np

from pintext.evaluation.metrics import Places, only, recall
from pintext.evaluation.questions import Question, places_of
from pintext.evaluation.rankers import Ranker

__all__ = ["Recall", "recall_of"]

_K = 10


class Recall(NamedTuple):
    """Recall@10, the mean over queries, in [0, 1].

    Attributes:
        overall: of all answers.
        no_shared_word: of those that share no word with their query, the others taken out of the
            ranking; no lexical method can find them.
    """

    overall: float
    no_shared_word: float


def recall_of(ranker: Ranker, question: Question) -> Recall:
    """Ask a question; ties count by expectation.

    Raises:
        MissingExtraError: the library that the ranker needs is not installed.
    """
    places = places_of(question, ranker.prepare(question))
    return Recall(_mean(places), _mean(only(places, question.unlike)))


def _mean(places: Places) -> float:
    """The mean over the queries that have an answer; 0 where none has."""
    asked = np.bincount(places.query, minlength=places.n_queries) > 0
    return float(recall(places, _K)[asked].mean()) if asked.any() else 0.0
