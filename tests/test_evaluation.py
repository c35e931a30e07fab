"""Questions, rankers, slices and the report: small data whose right answers are known."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from pintext import PinTextModel, TrainConfig, train
from pintext.errors import ConfigError, DataError
from pintext.evaluation import EvaluateConfig, evaluate, write_report
from pintext.evaluation.baselines import NAMES, dictionary, open_baseline
from pintext.evaluation.bootstrap import compare, draws, estimate, holm
from pintext.evaluation.charts import recall_curves
from pintext.evaluation.coverage import contributions, coverage, task_overlaps
from pintext.evaluation.fusion import ReciprocalRank, WeightedSum
from pintext.evaluation.labels import interest_question, read_labels
from pintext.evaluation.metrics import metric, mrr, only, recall
from pintext.evaluation.page import html_page
from pintext.evaluation.questions import Question, Scores, places_of, retrieval_question
from pintext.evaluation.rankers import (
    BM25,
    Embedding,
    Popularity,
    Random,
    Ranker,
    TfIdf,
    unit_vectors,
)
from pintext.evaluation.recall import recall_of
from pintext.evaluation.report import mark, markdown, table_rows
from pintext.evaluation.retraining import TRAINED, train_parts, train_unsupervised
from pintext.evaluation.run import retrieval_questions
from pintext.evaluation.slices import slices_of
from pintext.evaluation.vectors import similarities, vocabulary_map
from pintext.pairs import PairSource
from pintext.vocabulary import Vocabulary
from small_data import TOPICS, make_small_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("small")
    make_small_folder(made)
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> PinTextModel:
    return train(folder / "split-pairs", TrainConfig(dim=8, epochs=3), out=folder / "model")


def pairs_frame(*rows: tuple[str, str], weight: float = 1.0) -> pl.DataFrame:
    schema = {"query": pl.String, "pin": pl.String}
    return pl.DataFrame(list(rows), schema, orient="row").with_columns(weight=pl.lit(weight))


# --- questions ------------------------------------------------------------------------------------


def test_a_retrieval_question_leaks_nothing() -> None:
    known = pairs_frame(("oak", "oak table"), ("oak", "oak table"), ("pine", "pine bed"))
    held = pairs_frame(
        ("oak", "oak table"), ("oak", "pine bed"), ("new", "oak bed"), ("same", "same")
    )
    asked = retrieval_question(known, held, 100)
    assert asked.queries == ["new", "oak"]
    assert asked.candidates == ["oak bed", "oak table", "pine bed"]
    assert asked.frequency.tolist() == [0, 2]
    assert asked.popularity.tolist() == [0, 2, 1]
    assert asked.answers.tolist() == [[0, 0], [1, 2]]
    assert asked.barred.tolist() == [[1, 1]]
    assert asked.unlike.tolist() == [True, True]


def test_the_query_itself_does_not_compete() -> None:
    asked = retrieval_question(pairs_frame(("b", "a"), ("c", "b")), pairs_frame(("a", "b")), 9)
    assert asked.candidates == ["a", "b"]
    assert asked.barred.tolist() == [[0, 0]]


def test_a_pair_that_is_held_out_twice_is_one_answer_with_the_larger_gain() -> None:
    held = pl.concat([pairs_frame(("q", "p"), weight=1), pairs_frame(("q", "p"), weight=3)])
    asked = retrieval_question(pairs_frame(), held, 9)
    assert (asked.answers.tolist(), asked.gain.tolist()) == ([[0, 0]], [3.0])


def test_a_sample_of_queries_is_always_the_same() -> None:
    held = pairs_frame(*((f"q{i}", f"p{i % 7}") for i in range(100)))
    first, second = (retrieval_question(pairs_frame(), held, 10) for _ in range(2))
    assert len(first.queries) == 10
    assert first.queries == second.queries
    assert len(first.answers) == 10


def test_places_count_what_is_better_and_what_is_equal() -> None:
    known = pairs_frame(("q", "barred"))
    asked = retrieval_question(known, pairs_frame(("q", "a"), ("q", "b"), ("r", "c")), 9)
    order = dict(zip(asked.candidates, [5, 5, 9, 1], strict=True))  # a, b, barred, c
    scores = np.tile([order[c] for c in asked.candidates], (2, 1)).astype(np.float32)
    found = places_of(asked, lambda first, last: scores[first:last].copy())
    assert found.above.tolist() == [0, 0, 3]  # "barred" competes for r alone
    assert found.equal.tolist() == [2, 2, 1]


def test_sorting_and_counting_agree() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, (2, 400)).astype(np.float32)
    held = pairs_frame(
        *(("a", f"{i:03}") for i in range(300)), *(("b", f"{i:03}") for i in range(400))
    )
    asked = retrieval_question(pairs_frame(), held, 9)
    found = places_of(asked, lambda first, last: scores[first:last].copy())
    for i, (q, c) in enumerate(asked.answers):
        assert found.above[i] == (scores[q] > scores[q, c]).sum()
        assert found.equal[i] == (scores[q] == scores[q, c]).sum()


def test_validation_rows_are_asked_where_there_is_no_test(tmp_path: Path) -> None:
    rows = pairs_frame(("q", "a"), ("q", "b"), ("q", "c")).with_columns(task=pl.lit("t"))
    rows.with_columns(split=pl.Series(["train", "validation", None])).write_parquet(
        tmp_path / "pairs.parquet"
    )
    asked = retrieval_questions(PairSource(tmp_path / "pairs.parquet"), 9)["t"]
    assert [asked.candidates[c] for c in asked.answers[:, 1]] == ["b"]
    assert [asked.candidates[c] for c in asked.barred[:, 1]] == ["a", "c"]


def test_pairs_without_anything_held_out_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no pair is held out. .*'test' in a column 'split'"):
        retrieval_questions(PairSource(folder / "pairs"), 9)


# --- labels ---------------------------------------------------------------------------------------


def test_labels_in_three_forms(tmp_path: Path) -> None:
    rows = [("oak table", ["__label__home_decor", "furniture"]), ("train", ["__label__travel"])]
    frame = pl.DataFrame(rows, {"query": pl.String, "labels": pl.List(pl.String)}, orient="row")
    frame.write_parquet(tmp_path / "labels.parquet")
    frame.write_ndjson(tmp_path / "labels.jsonl")
    lines = "__label__home_decor __label__furniture oak  table\n\n__label__travel train\n"
    (tmp_path / "labels.txt").write_text(lines)
    for name, kind in (("parquet", "query"), ("jsonl", "query"), ("txt", "text")):
        found_kind, found = read_labels(tmp_path / f"labels.{name}")
        assert found_kind == kind
        assert found.to_dict(as_series=False) == {
            "text": ["oak table", "train"],
            "labels": [["home decor", "furniture"], ["travel"]],
        }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "no label here\n", "no text with a label"),
        ("a.jsonl", '{"query": "oak"}\n', r"a\.jsonl:1: .*labels"),
        ("a.jsonl", '{"query": "oak", "pin": "x", "labels": ["a"]}\n', "expected one column"),
        ("a.parquet", "not parquet", "not a readable Parquet file"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / name)


def test_the_words_of_a_label_can_be_hidden(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("__label__home_decor Decor, oak oak home!\n__label__travel travel\n")
    _, labelled = read_labels(path)
    assert interest_question(labelled, 9).queries == ["Decor, oak oak home!", "travel"]
    hidden = interest_question(labelled, 9, hide_label_words=True)
    assert hidden.queries == ["oak oak"]
    assert hidden.candidates == ["home decor", "travel"]
    assert hidden.answers.tolist() == [[0, 0]]


# --- rankers --------------------------------------------------------------------------------------


@pytest.fixture
def shop() -> Question:
    known = pairs_frame(("x", "red shoe"), ("y", "red shoe"), ("z", "blue shoe"))
    held = pairs_frame(("red shoes", "blue shoe"), ("red", "red shoe"), ("green hat", "hat green"))
    return retrieval_question(known, held, 100)


def best(ranker: Ranker, question: Question) -> dict[str, str]:
    scores = ranker.prepare(question)(0, len(question.queries))
    return {
        query: question.candidates[int(np.argmax(row))]
        for query, row in zip(question.queries, scores, strict=True)
    }


def test_what_each_ranker_prefers(shop: Question) -> None:
    assert set(best(Popularity(), shop).values()) == {"red shoe"}
    for lexical in (BM25(), TfIdf()):
        assert best(lexical, shop) | {"red shoes": ""} == {
            "green hat": "hat green",
            "red": "red shoe",
            "red shoes": "",
        }


def test_guessing_is_worth_its_expectation(shop: Question) -> None:
    found = places_of(shop, Random().prepare(shop))
    assert recall(found, 1) == pytest.approx([1 / 3] * 3)


def test_one_figure_of_a_ranker(shop: Question) -> None:
    """Of the answers only ``red shoes -> blue shoe`` shares no word with its query."""
    # All queries have the same favourite, which is the answer of ``red`` alone.
    assert recall_of(Popularity(), shop)[0] == pytest.approx(1.0)  # three candidates, ten places
    many = replace(shop, candidates=[*shop.candidates, *"abcdefghijkl"],
                   popularity=np.array([0, 0, 3, *[1] * 12]))  # fmt: skip
    found = recall_of(Popularity(), many)
    assert found.overall == pytest.approx(1 / 3)
    assert found.no_shared_word == 0.0


def test_the_order_of_words_decides_nothing() -> None:
    rng = np.random.default_rng(1)
    table = {word: rng.normal(size=64).astype(np.float32) for word in "abcdefgh"}

    def encode(texts: list[str]) -> Any:
        return np.stack([np.mean([table[w] for w in t.split()], axis=0) for t in texts])

    held = pairs_frame(*(("a b", text) for text in ("a b c d e", "e d c b a", "c a e b d")))
    asked = retrieval_question(pairs_frame(), held, 9)
    found = places_of(asked, Embedding("e", "pintext", encode).prepare(asked))
    assert found.equal.tolist() == [3, 3, 3]


def test_texts_without_words_are_ranked_by_nobody() -> None:
    asked = retrieval_question(pairs_frame(("?", "!")), pairs_frame(("??", "!!")), 9)
    for ranker in (BM25(), TfIdf(), Popularity(), Random()):
        assert places_of(asked, ranker.prepare(asked)).equal.tolist() == [
            1 if ranker.name == "popularity" else 2
        ]


def test_baselines_by_path(folder: Path, model: PinTextModel) -> None:
    pytest.importorskip("sentence_transformers")
    texts = ["wood cabinets", "train"]
    mine = open_baseline(str(folder / "model"))
    assert (mine.kind, mine.name) == ("pintext", "model")
    np.testing.assert_array_equal(mine.encode(texts), model.encode(texts))
    vectors = open_baseline(str(folder / "words.vec"))
    assert vectors.encode(["train"]).tolist() == [[0, 1]]
    # The same folder looks foreign once its own marks are gone.
    foreign = folder / "foreign"
    foreign.mkdir()
    for file in (folder / "model").iterdir():
        (foreign / file.name).write_bytes(file.read_bytes())
    about = json.loads((foreign / "config.json").read_text())
    (foreign / "config.json").write_text(
        json.dumps(about | {"format": "", "model_type": "model2vec"})
    )
    for _ in range(2):
        found = open_baseline(str(foreign)).encode(texts)
        units = found / np.linalg.norm(found, axis=1, keepdims=True)
        wanted = model.encode(texts)
        np.testing.assert_allclose(
            units, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5
        )
        (foreign / "config.json").write_text("{}")  # now for sentence-transformers


def test_a_baseline_that_is_not_there(tmp_path: Path) -> None:
    names = ", ".join([*NAMES, *TRAINED])
    with pytest.raises(DataError, match=f"none of the names {names}$"):
        open_baseline(str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="neither a PinText model"):
        open_baseline(str(tmp_path))


# --- fusion ---------------------------------------------------------------------------------------


class Fixed(Ranker):
    """Scores that a test gives."""

    kind = "lexical"

    def __init__(self, scores: Any, name: str = "fixed") -> None:
        self.name, self._scores = name, np.array(scores, np.float32)

    def prepare(self, question: Question) -> Scores:
        return lambda first, last: self._scores[first:last].copy()


def test_reciprocal_rank_fusion_by_hand() -> None:
    asked = retrieval_question(pairs_frame(("q", "e")), pairs_frame(*(("q", p) for p in "abcd")), 9)
    # a, b, c, d, e: the last is barred; 0 is not in a list; equals share the mean of their ranks
    first = Fixed([[3, 2, 2, 0, 9]])
    second = Fixed([[0.1, 0.9, 0.0, -0.5, 0.95]])
    scores = ReciprocalRank(first, second).prepare(asked)(0, 1)
    expected = [1 / 61 + 1 / 62, 1 / 62.5 + 1 / 61, 1 / 62.5, 0, 0]
    assert scores[0] == pytest.approx(expected, rel=1e-6)


def test_the_weight_is_tuned_on_the_other_half() -> None:
    """A list that is right for half of the queries cannot tell its own half so."""
    n = 200
    held = pairs_frame(*((f"q{i:03}", f"p{i:03}") for i in range(n)))
    asked = retrieval_question(pairs_frame(), held, n)
    right, noise = np.eye(n), np.random.default_rng(0).random((n, n))
    for good, bad in ((Fixed(right), Fixed(noise)), (Fixed(noise), Fixed(right))):
        found = places_of(asked, WeightedSum(good, bad).prepare(asked))
        assert mrr(found).mean() == 1.0
    half = np.random.default_rng(0).permutation(n) % 2 == 0
    opposed = Fixed(np.where(half[:, None], right, 1 - right))
    found = places_of(asked, WeightedSum(opposed, Fixed(noise)).prepare(asked))
    assert mrr(found)[half].mean() < 0.1  # the other half said: give it no weight


# --- coverage and similarity ----------------------------------------------------------------------


def test_what_tasks_brought() -> None:
    counts = np.array([[1, 1, 0, 2], [1, 0, 3, 0]])
    vocabulary = Vocabulary.from_words(["oak", "red", "sea", "bed"], counts, ("a", "b"))
    found = {tuple(one.tasks): one.words for one in task_overlaps(vocabulary)}
    assert found == {("a",): 2, ("b",): 1, ("a", "b"): 1}
    a, b = contributions(vocabulary, {"texts": ["red bed oak sky", "sea"]})
    assert (a.words, a.own_words, a.lost) == (3, 2, {"texts": 2 / 5})
    assert (b.words, b.own_words, b.lost) == (2, 1, {"texts": 1 / 5})
    (covered,) = coverage({"texts": ["red bed oak sky", "sea"]}, {"d": vocabulary})
    assert (covered.word_coverage, covered.token_coverage) == (4 / 5, 4 / 5)
    assert task_overlaps(Vocabulary.from_words(["oak"])) == []
    assert contributions(Vocabulary.from_words(["oak"]), {}) == []


def test_the_area_under_the_curve_as_scikit_learn(folder: Path, model: PinTextModel) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    asked = retrieval_questions(PairSource(folder / "split-pairs"), 99)["search"]
    found = similarities("search", asked, dictionary("m", model), seed=3)
    units = [unit_vectors(model.encode(texts)) for texts in (asked.queries, asked.candidates)]
    others = np.random.default_rng(3).integers(0, len(asked.candidates), len(asked.answers))
    q, p = asked.answers.T
    cosines = [(units[0][q] * units[1][pins]).sum(axis=1) for pins in (p, others)]
    truth = np.repeat([1, 0], len(q))
    assert found.auc == pytest.approx(
        metrics.roc_auc_score(truth, np.concatenate(cosines)), abs=1e-3
    )
    assert sum(found.positive) == pytest.approx(1)
    assert sum(found.background) == pytest.approx(1)


def test_near_words_are_near_on_the_map(model: PinTextModel) -> None:
    points = {point.word: np.array([point.x, point.y]) for point in vocabulary_map(model, 0)}
    assert set(points) == {word for words in TOPICS.values() for word in words}
    assert all(((at >= 0) & (at <= 1)).all() for at in points.values())
    kitchen, travel = (np.mean([points[w] for w in words], axis=0) for words in TOPICS.values())
    spread = max(np.linalg.norm(points[w] - kitchen) for w in TOPICS["kitchen"])
    assert np.linalg.norm(kitchen - travel) > spread
    assert [p.word for p in vocabulary_map(model, 0)] == list(points)


# --- trained for the comparison -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["word2vec", "fasttext"])
def test_vectors_of_the_same_text(name: str) -> None:
    pytest.importorskip({"word2vec": "gensim"}.get(name, name))
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(words, 5)) for _ in range(3000) for words in TOPICS.values()]
    first, second = (train_unsupervised(name, texts, 16, 1) for _ in range(2))
    words = [word for topic in TOPICS.values() for word in topic]
    np.testing.assert_array_equal(first.encode(words), second.encode(words))
    units = unit_vectors(first.encode(words))
    cosines = units @ units.T
    same = np.kron(np.eye(2), np.ones((8, 8))) - np.eye(16) > 0
    assert cosines[same].mean() > cosines[~same & ~np.eye(16, dtype=bool)].mean()


def test_single_tasks_and_all_but_one(folder: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(folder / "split-pairs" / "pairs.parquet")
    third = frame.head(100).with_columns(task=pl.lit("third"))
    pl.concat([frame, third]).write_parquet(tmp_path / "pairs.parquet")
    told: list[str] = []
    made = train_parts(tmp_path, TrainConfig(dim=4, epochs=1), told.append)
    names = ["related_pins", "search", "third"]
    assert [one.name for one in made] == [
        *(f"PinText, {task} alone" for task in names),
        *(f"PinText without {task}" for task in names),
    ]
    assert [one.vocabulary.tasks for one in made if one.vocabulary] == [
        *((task,) for task in names),
        *(tuple(other for other in names if other != task) for task in names),
    ]


# --- slices ---------------------------------------------------------------------------------------


def test_slices_by_frequency_and_shared_words() -> None:
    known = pairs_frame(
        *((f"q{i:02}", "x") for i in range(40) for _ in range(100 if i < 10 else 1))
    )
    held = pairs_frame(*((f"q{i:02}", f"q{i:02} pin" if i % 2 else "other") for i in range(50)))
    asked = retrieval_question(known, held, 99)
    found = {part.name: part for part in slices_of(asked)}
    assert [asked.queries[i] for i in np.flatnonzero(found["unseen"].queries)] == [
        f"q{i}" for i in range(40, 50)
    ]
    assert found["tail"].queries.sum() == 30 + 1  # the tenth frequent one starts behind 80 %
    apart = found["no shared word"]
    assert [asked.queries[q] for q in asked.answers[apart.answers, 0]] == [
        f"q{i:02}" for i in range(0, 50, 2)
    ]
    assert found["all"].queries.all()
    assert found["all"].answers.all()


def test_slices_by_unknown_words(model: PinTextModel) -> None:
    texts = [f"{word} {'wood' if i % 2 else 'zebra'}" for i, word in enumerate(["oak"] * 24)]
    held = pairs_frame(*((f"{text} {i}", "pin") for i, text in enumerate(texts)))
    asked = retrieval_question(pairs_frame(), held, 99)
    found = {part.name: part for part in slices_of(asked, model.vocabulary)}
    assert found["half or more unknown"].queries.sum() == 12
    assert found["some words unknown"].queries.sum() == 12


def test_slices_by_what_is_told_about_queries() -> None:
    held = pairs_frame(*((f"q{i:02}", "pin") for i in range(30)))
    asked = retrieval_question(pairs_frame(), held, 99)
    about = pl.DataFrame(
        {"query": [*asked.queries[:28], "other"], "language": ["de", "en"] * 14 + ["fr"]}
    )
    found = {part.name: part for part in slices_of(asked, about=about)}
    assert [asked.queries[i] for i in np.flatnonzero(found["language = de"].queries)] == [
        f"q{i:02}" for i in range(0, 28, 2)
    ]
    assert found["language = en"].queries.sum() == 14
    assert "language = fr" not in found


def test_what_is_told_about_queries_needs_queries(model: PinTextModel) -> None:
    with pytest.raises(DataError, match="needs a column 'query' of texts; found text"):
        evaluate(model, labels=["x"], about_queries=pl.DataFrame({"text": ["a"]}))


def test_other_answers_are_no_mistakes() -> None:
    held = pairs_frame(*(("q", pin) for pin in "abcd"))
    asked = retrieval_question(pairs_frame(("r", "e")), held, 9)
    scores = np.array([[5, 4, 4, 2, 3]], np.float32)  # a, b, c, d, e
    places = places_of(asked, lambda *_: scores.copy())
    kept = only(places, np.array([False, True, False, True]))
    assert kept.above.tolist() == [0, 2]
    assert kept.equal.tolist() == [1, 1]
    assert mrr(kept).tolist() == [1.0]


# --- bootstrap ------------------------------------------------------------------------------------


def test_intervals_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(3).beta(1, 3, (2, 400))
    drawn = draws(values, 20_000, seed=0)
    mine = estimate(values[0], drawn[0], 0.95)
    theirs = stats.bootstrap(
        (values[0],), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (mine.low, mine.high) == pytest.approx(tuple(theirs), abs=2e-3)
    found = compare(values[0], drawn[0], values[1], drawn[1], 0.95)
    paired = stats.bootstrap(
        (values[0], values[1]),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(paired), abs=2e-3)
    assert found.difference == pytest.approx(values[0].mean() - values[1].mean())


def test_p_values_are_right_where_nothing_differs() -> None:
    """Under the null hypothesis one p-value in twenty is below 0.05."""
    rng = np.random.default_rng(0)
    small = 0
    for seed in range(400):
        values = rng.normal(size=(2, 60))
        drawn = draws(values, 500, seed)
        small += compare(values[0], drawn[0], values[1], drawn[1], 0.95).p < 0.05
    assert 8 <= small <= 36  # 20 expected, standard deviation 4.4


def test_a_difference_of_nothing_and_of_everything() -> None:
    values = np.stack([np.ones(50), np.zeros(50), np.ones(50)])
    drawn = draws(values, 1000, 0)
    better = compare(values[0], drawn[0], values[1], drawn[1], 0.95)
    same = compare(values[0], drawn[0], values[2], drawn[2], 0.95)
    assert (mark(better), mark(same), mark(None)) == ("+", "", "")
    assert same.p == 1.0


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


# --- the whole ------------------------------------------------------------------------------------


def test_a_report(folder: Path, model: PinTextModel, tmp_path: Path) -> None:
    config = EvaluateConfig(resamples=600)
    told: list[str] = []
    reports = [
        evaluate(
            model,
            folder / "split-pairs",
            [folder / "interests.txt"],
            against=[str(folder / "words.vec"), str(folder / "words.vec")],
            config=config,
            callback=told.append,
        )
        for _ in range(2)
    ]
    report = reports[0]
    assert "retrieval search: BM25" in told
    result = report.result("retrieval", "search")
    assert [row.ranker for row in result.rows] == [
        *("random", "popularity", "BM25", "TF-IDF", "words.vec", "words.vec (2)"),
        *("PinText + BM25, reciprocal rank", "PinText + BM25, weighted sum", "PinText"),
    ]
    interests = report.result("interests", "text").rows
    assert interests[-1].metrics["precision@1"].mean == 1.0
    assert mark(interests[0].compared["precision@1"]) == "+"
    with pytest.raises(KeyError):
        report.result("interests", "pin")

    for number, one in enumerate(reports):
        write_report(one, tmp_path / str(number))
    for name in ("report.html", "report.json", "report.md"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()
    stored = json.loads((tmp_path / "0" / "report.json").read_text())
    assert stored["format"] == "pintext-report"
    assert stored["fingerprint"] == model.fingerprint
    metrics = stored["results"][0]["rows"][-1]["metrics"]["recall@10"]
    assert metrics["low"] <= metrics["mean"] <= metrics["high"]
    with pytest.raises(DataError, match="exists already"):
        write_report(report, tmp_path / "0")
    write_report(report, tmp_path / "0", overwrite=True)


@pytest.mark.parametrize("queries", [1, 9, 10])
def test_too_few_queries_compare_nothing(
    folder: Path, model: PinTextModel, tmp_path: Path, queries: int
) -> None:
    """Nine queries that all favour the model might be chance, however they are drawn."""
    words = [*TOPICS["kitchen"], *TOPICS["travel"]]
    lines = [
        f"__label__{'kitchen' if word in TOPICS['kitchen'] else 'train_ride'} {word}"
        for word in words[-queries:]
    ]
    (tmp_path / "labels.txt").write_text("\n".join(lines) + "\n")
    report = evaluate(model, labels=[tmp_path / "labels.txt"], config=EvaluateConfig(resamples=200))
    (result,) = report.results
    verdicts = {row["model is"] for row in table_rows(result)}
    page, text = html_page(report), markdown(report)
    few = queries < 10
    assert any(row.compared for row in result.rows) is not few
    assert (verdicts == {"too few queries to say", ""}) is few
    for told in (page, text):
        assert ("too few queries to compare." in told) is few
        assert ("nothing is compared with fewer than 10" in told) is few
        assert (f"{queries} quer{'y' if queries == 1 else 'ies'}, " in told) is True
    assert ("<strong>too few queries to compare</strong>" in page) is few
    assert ("95% intervals</h3>" in page) is not few
    assert ('class="whisker"' in page) is not few
    assert ('class="interval"' in page) is not few


def test_recall_curves_end_with_the_candidates(folder: Path, model: PinTextModel) -> None:
    report = evaluate(model, folder / "split-pairs", config=EvaluateConfig(resamples=100))
    result = report.result("retrieval", "search")
    expected = {77: ["20", "50", "77"], 51: ["10", "20", "51"], 282: ["50", "100", "282"], 1: ["1"]}
    for candidates, ends in expected.items():
        there = msgspec.structs.replace(result, candidates=candidates)
        svg = recall_curves(there, report.curve_ks)
        axis = re.findall(r'text-anchor="middle">([\d,]+)</text>', svg)
        assert axis[-3:] == ends


def test_names_cannot_break_the_markdown(folder: Path, model: PinTextModel) -> None:
    report = evaluate(
        model, labels=[folder / "interests.txt"], name="a|b\n# *c*", config=EvaluateConfig()
    )
    assert "| a\\|b \\# \\*c\\* | 1.0000 |" in markdown(report)


def test_nothing_to_evaluate_with(model: PinTextModel) -> None:
    with pytest.raises(DataError, match="give pairs, labels or both"):
        evaluate(model)
    with pytest.raises(DataError, match="nothing to train"):
        evaluate(model, labels=["labels.txt"], against=["word2vec"])


def test_further_pins_compete(folder: Path, model: PinTextModel) -> None:
    few = EvaluateConfig(resamples=100)
    alone = evaluate(model, folder / "split-pairs", config=few)
    more = evaluate(model, folder / "split-pairs", pins=["wood", "wood", None, "oak"], config=few)
    count = [r.result("retrieval", "search").candidates for r in (alone, more)]
    assert count[1] == count[0] + 2


@pytest.mark.parametrize("name", ["recall", "recall@0", "recall@x", "map@10"])
def test_no_such_metric(name: str) -> None:
    with pytest.raises(ConfigError, match="no metric"):
        metric(name)
