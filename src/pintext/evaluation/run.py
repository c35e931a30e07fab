"""One evaluation: pairs and labels become questions, every ranker answers, a report is made."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from pintext.config import TrainConfig
from pintext.errors import DataError
from pintext.evaluation.baselines import dictionary, open_baseline
from pintext.evaluation.bootstrap import LEAST_QUERIES
from pintext.evaluation.coverage import contributions, coverage, task_overlaps
from pintext.evaluation.fusion import ReciprocalRank, WeightedSum
from pintext.evaluation.labels import interest_question, read_labels
from pintext.evaluation.questions import Question, places_of, retrieval_question
from pintext.evaluation.rankers import BM25, Embedding, Popularity, Random, Ranker, TfIdf
from pintext.evaluation.report import Report, Result, counted
from pintext.evaluation.results import CURVE_KS, Asked, results_of
from pintext.evaluation.retraining import TRAINED, train_parts, train_unsupervised
from pintext.evaluation.settings import EvaluateConfig
from pintext.evaluation.vectors import Similarities, similarities, vocabulary_map
from pintext.model import PinTextModel
from pintext.pairs import PairSource
from pintext.text import Texts, as_column

__all__ = ["evaluate", "retrieval_questions"]

Tell = Callable[[str], None]

_FEW_QUERIES = 100


def evaluate(
    model: PinTextModel,
    pairs: str | Path | None = None,
    labels: Sequence[str | Path] = (),
    *,
    pins: Texts | None = None,
    against: Sequence[str] = (),
    retrain: bool = False,
    texts: Mapping[str, Texts] | None = None,
    about_queries: pl.DataFrame | None = None,
    config: EvaluateConfig | None = None,
    hide_label_words: bool = False,
    name: str = "PinText",
    callback: Tell | None = None,
) -> Report:
    """Measure a dictionary beside everything that could be used instead.

    Args:
        model: the dictionary.
        pairs: a pair dataset (:class:`pintext.pairs.PairSource`). Its ``test`` rows, or where there
            are none its ``validation`` rows, are asked; the model must not have learned from them.
        labels: files of texts with their interests (:func:`pintext.evaluation.labels.read_labels`).
        pins: further texts that compete in every task, such as the rest of a catalogue; where not
            given, the pins of the task's pairs are all there is.
        against: further rankers, by name or path, as :func:`.baselines.open_baseline` takes,
            or ``word2vec`` or ``fasttext``, which are trained on the texts of ``pairs``.
        retrain: also train on each task alone and on all but each, with the model's settings.
        texts: further columns of texts whose coverage is wanted, by a name for each.
        about_queries: column ``query`` and others (language, country, …): each of their values is a
            slice.
        config: settings.
        hide_label_words: take the words of a text's own labels out of the text.
        name: of the model in the report.
        callback: told in words what is being done.

    Raises:
        DataError: neither pairs nor labels are given, ``about_queries`` has no column ``query``, a
            file cannot be used, no pair is held out, or something is to be trained without pairs.
        MissingExtraError: a library of the extra ``evaluate`` or ``baselines`` is not installed.
    """
    if pairs is None and not labels:
        raise DataError("nothing to evaluate with: give pairs, labels or both")
    if pairs is None and (retrain or set(against) & set(TRAINED)):
        raise DataError("nothing to train the other rows on: give pairs")
    if about_queries is not None and about_queries.schema.get("query") != pl.String:
        found = ", ".join(about_queries.columns)
        raise DataError(
            f"what is told about queries needs a column 'query' of texts; found {found}"
        )
    config = config or EvaluateConfig()
    tell = callback or (lambda _: None)
    tell("reading")
    asked = _questions(pairs, labels, pins, config, hide_label_words=hide_label_words)
    mine = dictionary(name, model)
    others = _others(model, pairs, against, config, tell, retrain=retrain, name=name)
    fused = [ReciprocalRank(BM25(), mine), WeightedSum(BM25(), mine, config.seed)]
    rankers = [Random(), Popularity(), BM25(), TfIdf(), *others, *fused, mine]
    _name_apart(rankers)
    columns = _columns(asked) | dict(texts or {})
    results, pairs_alike = _measured(asked, rankers, model, config, tell, about_queries)
    dictionaries = [r for r in (*others, mine) if r.vocabulary is not None]
    return Report(
        model=name,
        fingerprint=model.fingerprint,
        words=len(model),
        dim=model.dim,
        settings=config.to_dict() | {"hide_label_words": hide_label_words},
        curve_ks=CURVE_KS,
        results=results,
        coverage=coverage(columns, {r.name: r.vocabulary for r in dictionaries if r.vocabulary}),
        contributions=contributions(model.vocabulary, columns),
        overlaps=task_overlaps(model.vocabulary),
        similarities=pairs_alike,
        map=vocabulary_map(model, config.seed),
        notes=list(_notes(asked)),
    )


def _questions(
    pairs: str | Path | None,
    labels: Sequence[str | Path],
    pins: Texts | None,
    config: EvaluateConfig,
    *,
    hide_label_words: bool,
) -> list[Asked]:
    asked: list[Asked] = []
    if pairs is not None:
        more = None if pins is None else as_column(pins)
        found = retrieval_questions(PairSource(pairs), config.max_queries, more)
        asked += [Asked("retrieval", task, question) for task, question in found.items()]
    for file in labels:
        kind, labelled = read_labels(file)
        question = interest_question(
            labelled, config.max_queries, hide_label_words=hide_label_words
        )
        asked.append(Asked("interests", kind, question))
    return asked


def retrieval_questions(
    source: PairSource, max_queries: int, pins: pl.Series | None = None
) -> dict[str, Question]:
    """The question of each task that has held-out pairs; ``pins`` compete in all of them.

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
            question = retrieval_question(
                frame.filter(~held), frame.filter(held), max_queries, pins
            )
            if question.queries:
                asked[task] = question
                break
    if not asked:
        raise DataError(
            f"{source.path}: no pair is held out. Give some pairs the value 'test' in a column "
            "'split', and train on the others"
        )
    return asked


def _others(
    model: PinTextModel,
    pairs: str | Path | None,
    against: Sequence[str],
    config: EvaluateConfig,
    tell: Tell,
    *,
    retrain: bool,
    name: str,
) -> list[Embedding]:
    """What else gives vectors, opened or trained."""
    made: list[Embedding] = []
    texts: list[str] = []
    for source in against:
        if source not in TRAINED:
            made.append(open_baseline(source))
            continue
        if not texts and pairs is not None:
            texts = list(_training_texts(PairSource(pairs)))
        tell(f"training {source}")
        made.append(train_unsupervised(source, texts, model.dim, config.seed))
    if retrain and pairs is not None:
        made += train_parts(Path(pairs), model.config or TrainConfig(), tell, name)
    return made


def _training_texts(source: PairSource) -> Iterator[str]:
    """Both texts of every pair that is not held out for a test."""
    for _, frame in source.batches():
        learned = frame.filter(pl.col("split").ne_missing(pl.lit("test")))
        yield from learned["query"]
        yield from learned["pin"]


def _name_apart(rankers: Iterable[Ranker]) -> None:
    """Number the rankers that share a name with an earlier one."""
    seen: dict[str, int] = {}
    for ranker in rankers:
        seen[ranker.name] = seen.get(ranker.name, 0) + 1
        if seen[ranker.name] > 1:
            ranker.name = f"{ranker.name} ({seen[ranker.name]})"


def _measured(
    asked: Sequence[Asked],
    rankers: Sequence[Ranker],
    model: PinTextModel,
    config: EvaluateConfig,
    tell: Tell,
    about: pl.DataFrame | None,
) -> tuple[list[Result], list[Similarities]]:
    """Let every ranker answer every question."""
    made, alike = [], []
    for one in asked:
        places = []
        for ranker in rankers:
            tell(f"{one.protocol} {one.task}: {ranker.name}")
            places.append(places_of(one.question, ranker.prepare(one.question)))
            if isinstance(ranker, Embedding) and one.protocol == "retrieval":
                alike.append(similarities(one.task, one.question, ranker, config.seed))
        made += results_of(one, rankers, places, model.vocabulary, config, about)
    return made, alike


def _columns(asked: Sequence[Asked]) -> dict[str, Texts]:
    """The texts whose coverage matters: what is asked, and what should be found."""
    columns: dict[str, Texts] = {}
    for one in asked:
        question = one.question
        if one.protocol == "interests":
            columns[f"{one.task} texts with labels"] = question.queries
            columns[f"interests of {one.task} texts"] = question.candidates
        else:
            columns[f"{one.task} queries"] = question.queries
            pins = pl.Series(question.candidates, dtype=pl.String).gather(question.answers[:, 1])
            columns[f"{one.task} pins"] = pins
    return columns


def _notes(asked: Sequence[Asked]) -> Iterator[str]:
    for one in asked:
        question = one.question
        if one.protocol == "retrieval" and not question.frequency.any():
            yield f"{one.task}: no query that is asked was seen in training."
        number = len(question.queries)
        only = f"{one.task}: only {counted(number, 'query', 'queries')}"
        if number < LEAST_QUERIES:
            yield f"{only}; nothing is compared with fewer than {LEAST_QUERIES}."
        elif number < _FEW_QUERIES:
            yield f"{only}; the intervals are wide."
