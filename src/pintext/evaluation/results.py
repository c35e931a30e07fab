"""The figures of one question: every metric of every ranker on every slice, with how sure it is."""

from collections.abc import Sequence

import msgspec
import numpy as np
import polars as pl

from pintext.evaluation.bootstrap import LEAST_QUERIES, Comparison, compare, draws, estimate, holm
from pintext.evaluation.metrics import Places, metric, only, recall
from pintext.evaluation.questions import Question
from pintext.evaluation.rankers import Ranker
from pintext.evaluation.report import Protocol, Result, Row
from pintext.evaluation.settings import EvaluateConfig
from pintext.evaluation.slices import ALL, Slice, slices_of
from pintext.vocabulary import Vocabulary

__all__ = ["CURVE_KS", "Asked", "results_of"]

CURVE_KS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
"""Where the recall curves are measured."""

_FIRST_LABELS = (1, 3, 5)  # the article's


class Asked(msgspec.Struct, frozen=True):
    """A question with its name: the protocol and the task, or what the labelled texts are."""

    protocol: Protocol
    task: str
    question: Question

    def metrics(self, k: int) -> list[str]:
        """The names of what is measured, the most important first."""
        if self.protocol == "interests":
            return [*(f"precision@{n}" for n in _FIRST_LABELS), "mrr"]
        names = [f"recall@{k}", f"ndcg@{k}", "mrr", f"precision@{k}", "recall@100"]
        return list(dict.fromkeys(names))


def results_of(
    asked: Asked,
    rankers: Sequence[Ranker],
    places: Sequence[Places],
    vocabulary: Vocabulary,
    config: EvaluateConfig,
    about: pl.DataFrame | None = None,
) -> list[Result]:
    """A result for each slice of one question.

    Args:
        asked: the question.
        rankers: the evaluated model last.
        places: where the answers stand under each of them.
        vocabulary: of the evaluated model, for the slices by unknown words.
        config: settings.
        about: column ``query`` and others, each value of which is a slice.
    """
    question = asked.question
    made = []
    for part in slices_of(question, vocabulary, about):
        here = [place if part.answers.all() else only(place, part.answers) for place in places]
        curves = {}
        if part.name == ALL:
            curves = {
                ranker.name: [float(recall(place, k).mean()) for k in CURVE_KS]
                for ranker, place in zip(rankers, here, strict=True)
            }
        made.append(
            Result(
                protocol=asked.protocol,
                task=asked.task,
                slice=part.name,
                queries=int(part.queries.sum()),
                answers=int(part.answers.sum()),
                candidates=len(question.candidates),
                rows=_rows(asked.metrics(config.k), rankers, here, part, config),
                curves=curves,
            )
        )
    return made


def _rows(
    names: Sequence[str],
    rankers: Sequence[Ranker],
    places: Sequence[Places],
    part: Slice,
    config: EvaluateConfig,
) -> list[Row]:
    values = np.array([[metric(n)(place)[part.queries] for n in names] for place in places])
    # One draw of the queries serves every metric.
    shape = (len(rankers), len(names), config.resamples)
    flat = values.reshape(len(rankers) * len(names), -1)
    drawn = draws(flat, config.resamples, config.seed).reshape(shape)
    compared: list[dict[str, Comparison]] = [{} for _ in rankers]
    for m, name in enumerate(names if values.shape[2] >= LEAST_QUERIES else ()):
        found = [
            compare(values[-1, m], drawn[-1, m], values[r, m], drawn[r, m], config.confidence)
            for r in range(len(rankers) - 1)
        ]
        for r, p in enumerate(holm([comparison.p for comparison in found])):
            compared[r][name] = msgspec.structs.replace(found[r], p=p)
    return [
        Row(
            ranker=ranker.name,
            kind=ranker.kind,
            metrics={
                name: estimate(values[r, m], drawn[r, m], config.confidence)
                for m, name in enumerate(names)
            },
            compared=compared[r],
        )
        for r, ranker in enumerate(rankers)
    ]
