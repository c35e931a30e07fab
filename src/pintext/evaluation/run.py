"""One evaluation: pairs and labels become questions, every ranker answers, a report is made."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from pintext.errors import DataError
from pintext.evaluation.baselines import dictionary, open_baseline
from pintext.evaluation.bootstrap import Comparison, Estimate, compare, draws, estimate, holm
from pintext.evaluation.labels import interest_question, read_labels
from pintext.evaluation.metrics import Places, metric, only, recall
from pintext.evaluation.questions import Question, places_of, retrieval_question
from pintext.evaluation.rankers import BM25, Popularity, Random, Ranker, TfIdf
from pintext.evaluation.report import Protocol, Report, Result, Row
from pintext.evaluation.settings import EvaluateConfig
from pintext.evaluation.slices import ALL, Slice, slices_of
from pintext.model import PinTextModel
from pintext.pairs import PairSource

__all__ = ["evaluate", "retrieval_questions"]

CURVE_KS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
"""Where the recall curves are measured."""

_FIRST_LABELS = (1, 3, 5)  # the article's
_Asked = tuple[Protocol, str, Question]


def evaluate(
    model: PinTextModel,
    pairs: str | Path | None = None,
    labels: Sequence[str | Path] = (),
    *,
    against: Sequence[str] = (),
    config: EvaluateConfig | None = None,
    hide_label_words: bool = False,
    name: str = "PinText",
    callback: Callable[[str], None] | None = None,
) -> Report:
    """Measure a dictionary beside everything that could be used instead.

    Args:
        model: the dictionary.
        pairs: a pair dataset (:class:`pintext.pairs.PairSource`). Its ``test`` rows, or where there
            are none its ``validation`` rows, are asked; the model must not have learned from them.
        labels: files of texts with their interests (:func:`pintext.evaluation.labels.read_labels`).
        against: further rankers, by name or path
            (:func:`pintext.evaluation.baselines.open_baseline`).
        config: settings.
        hide_label_words: take the words of a text's own labels out of the text.
        name: of the model in the report.
        callback: told in words what is being done.

    Raises:
        DataError: neither pairs nor labels are given, a file cannot be used, or no pair is held
            out.
        MissingExtraError: a library of the extra ``evaluate`` is not installed.
    """
    if pairs is None and not labels:
        raise DataError("nothing to evaluate with: give pairs, labels or both")
    config = config or EvaluateConfig()
    tell = callback or (lambda _: None)
    tell("reading")
    asked: list[_Asked] = []
    if pairs is not None:
        found = retrieval_questions(PairSource(pairs), config.max_queries)
        asked += [("retrieval", task, question) for task, question in found.items()]
    for file in labels:
        kind, labelled = read_labels(file)
        question = interest_question(
            labelled, config.max_queries, hide_label_words=hide_label_words
        )
        asked.append(("interests", kind, question))
    others = [open_baseline(source) for source in against]
    rankers = [Random(), Popularity(), BM25(), TfIdf(), *others, dictionary(name, model)]
    _name_apart(rankers)
    results = []
    for protocol, task, question in asked:
        places = {}
        for ranker in rankers:
            tell(f"{protocol} {task}: {ranker.name}")
            places[ranker.name] = places_of(question, ranker.prepare(question))
        results += _results(protocol, task, question, rankers, places, model, config)
    return Report(
        model=name,
        fingerprint=model.fingerprint,
        words=len(model),
        dim=model.dim,
        settings=config.to_dict() | {"hide_label_words": hide_label_words},
        curve_ks=CURVE_KS,
        results=results,
        notes=list(_notes(asked)),
    )


def retrieval_questions(source: PairSource, max_queries: int) -> dict[str, Question]:
    """The question of each task that has held-out pairs.

    Raises:
        DataError: the pairs cannot be read, or none is held out.
    """
    parts: dict[str, list[pl.DataFrame]] = {}
    for task, frame in source.batches():
        parts.setdefault(task, []).append(frame)
    asked = {}
    for task in sorted(parts):
        frame = pl.concat(parts[task])
        for split in ("test", "validation"):
            held = pl.col("split").eq_missing(pl.lit(split))
            question = retrieval_question(frame.filter(~held), frame.filter(held), max_queries)
            if question.queries:
                asked[task] = question
                break
    if not asked:
        raise DataError(
            f"{source.path}: no pairs to ask for; give pairs that the model has not learned from "
            "the value 'test' in a column 'split'"
        )
    return asked


def _name_apart(rankers: Iterable[Ranker]) -> None:
    """Number the rankers that share a name with an earlier one."""
    seen: dict[str, int] = {}
    for ranker in rankers:
        seen[ranker.name] = seen.get(ranker.name, 0) + 1
        if seen[ranker.name] > 1:
            ranker.name = f"{ranker.name} ({seen[ranker.name]})"


def _metrics_of(protocol: Protocol, k: int) -> list[str]:
    if protocol == "interests":
        return [*(f"precision@{n}" for n in _FIRST_LABELS), "mrr"]
    names = [f"recall@{k}", f"ndcg@{k}", "mrr", f"precision@{k}", "recall@100"]
    return list(dict.fromkeys(names))


def _results(
    protocol: Protocol,
    task: str,
    question: Question,
    rankers: Sequence[Ranker],
    places: dict[str, Places],
    model: PinTextModel,
    config: EvaluateConfig,
) -> list[Result]:
    """A result for each slice of one question."""
    names = _metrics_of(protocol, config.k)
    made = []
    for part in slices_of(question, model.vocabulary):
        here = {
            name: place if part.answers.all() else only(place, part.answers)
            for name, place in places.items()
        }
        made.append(
            Result(
                protocol=protocol,
                task=task,
                slice=part.name,
                queries=int(part.queries.sum()),
                answers=int(part.answers.sum()),
                candidates=len(question.candidates),
                rows=_rows(names, rankers, here, part, config),
                curves=_curves(here) if part.name == ALL else {},
            )
        )
    return made


def _rows(
    names: Sequence[str],
    rankers: Sequence[Ranker],
    places: dict[str, Places],
    part: Slice,
    config: EvaluateConfig,
) -> list[Row]:
    estimates: list[dict[str, Estimate]] = [{} for _ in rankers]
    compared: list[dict[str, Comparison]] = [{} for _ in rankers]
    for name in names:
        function = metric(name)
        values = np.stack([function(places[r.name])[part.queries] for r in rankers])
        drawn = draws(values, config.resamples, config.seed)
        against = [
            compare(values[-1], drawn[-1], values[i], drawn[i], config.confidence)
            for i in range(len(rankers) - 1)
        ]
        adjusted = holm([comparison.p for comparison in against])
        for i, _ in enumerate(rankers):
            estimates[i][name] = estimate(values[i], drawn[i], config.confidence)
            if i < len(against):
                compared[i][name] = msgspec.structs.replace(against[i], p=adjusted[i])
    return [
        Row(ranker.name, ranker.kind, estimates[i], compared[i]) for i, ranker in enumerate(rankers)
    ]


def _curves(places: dict[str, Places]) -> dict[str, list[float]]:
    return {
        name: [float(recall(place, k).mean()) for k in CURVE_KS] for name, place in places.items()
    }


def _notes(asked: Sequence[_Asked]) -> Iterable[str]:
    for protocol, task, question in asked:
        if protocol == "retrieval" and not question.frequency.any():
            yield f"{task}: no query that is asked was seen in training."
        if len(question.queries) < 100:
            yield f"{task}: only {len(question.queries)} queries; the intervals are wide."
