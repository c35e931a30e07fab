"""Metrics against trec_eval: equal to 1e-9, with ties the mean over every order of the equals."""

from itertools import permutations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from pintext.evaluation.metrics import Places, metric, mrr, ndcg, precision, recall
from pintext.evaluation.questions import Question, places_of

TREC = {
    "precision@1": "P_1",
    "precision@5": "P_5",
    "precision@10": "P_10",
    "recall@5": "recall_5",
    "recall@10": "recall_10",
    "ndcg@5": "ndcg_cut_5",
    "ndcg@10": "ndcg_cut_10",
    "mrr": "recip_rank",
}


def question(gains: np.ndarray) -> Question:
    """Queries and candidates without texts; gain 0 is no answer."""
    answers = np.argwhere(gains > 0).astype(np.int32)
    queries, candidates = gains.shape
    return Question(
        queries=[""] * queries,
        candidates=[""] * candidates,
        popularity=np.zeros(candidates, np.int64),
        frequency=np.zeros(queries, np.int64),
        answers=answers,
        gain=gains[gains > 0].astype(np.float64),
        unlike=np.zeros(len(answers), np.bool_),
        barred=np.zeros((0, 2), np.int32),
    )


def ours(scores: np.ndarray, gains: np.ndarray) -> dict[str, np.ndarray]:
    places = places_of(question(gains), lambda first, last: scores[first:last].astype(np.float32))
    return {name: metric(name)(places) for name in TREC}


def trec(scores: np.ndarray, gains: np.ndarray) -> dict[str, np.ndarray]:
    """What trec_eval says of scores without ties; queries without answers are 0."""
    judged = {
        str(q): {str(c): int(gain) for c, gain in enumerate(row)} for q, row in enumerate(gains)
    }
    run = {
        str(q): {str(c): float(score) for c, score in enumerate(row)}
        for q, row in enumerate(scores)
    }
    evaluator = pytrec_eval.RelevanceEvaluator(
        judged, {"P.1,5,10", "recall.5,10", "ndcg_cut.5,10", "recip_rank"}
    )
    found = evaluator.evaluate(run)
    return {
        name: np.array([found[str(q)][trec_name] for q in range(len(gains))])
        for name, trec_name in TREC.items()
    }


def test_without_ties_as_trec_eval() -> None:
    rng = np.random.default_rng(0)
    scores = rng.permuted(np.tile(np.arange(300.0), (200, 1)), axis=1)
    gains = rng.choice([0, 1, 2, 3], (200, 300), p=[0.97, 0.01, 0.01, 0.01])
    gains[5] = rng.choice([0, 1], 300)  # many answers, where places are found by sorting
    expected = trec(scores, gains)
    for name, values in ours(scores, gains).items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=1e-9, err_msg=name)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_with_ties_the_mean_over_all_orders(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 5))
    scores = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))[None]
    gains = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))[None]
    if not gains.any():
        gains[0, 0] = 1
    orders = [np.array(order) for order in permutations(range(n))]
    broken = np.concatenate([scores * 10.0 + order for order in orders])
    expected = trec(broken, np.repeat(gains, len(orders), axis=0))
    for name, values in ours(scores, gains).items():
        np.testing.assert_allclose(values[0], expected[name].mean(), rtol=0, atol=1e-9)


def places(*answers: tuple[int, int, int], gain: float = 1.0) -> Places:
    """Places of (query, above, equal)."""
    query, above, equal = np.array(answers, np.int32).reshape(-1, 3).T.copy()
    return Places(3, query, above, equal, np.full(len(query), gain))


def test_by_hand() -> None:
    # Query 0: answers at ranks 1 and 4. Query 1: no answer. Query 2: one among ranks 3, 4 and 5.
    given_places = places((0, 0, 1), (0, 3, 1), (2, 2, 3))
    assert precision(given_places, 2).tolist() == [0.5, 0, 0]
    assert precision(given_places, 4) == pytest.approx([0.5, 0, 2 / 3 / 4])
    assert recall(given_places, 3) == pytest.approx([0.5, 0, 1 / 3])
    assert recall(given_places, 100).tolist() == [1, 0, 1]
    assert mrr(given_places) == pytest.approx([1, 0, (1 / 3 + 1 / 4 + 1 / 5) / 3])
    best = 1 + 1 / np.log2(3)
    second = (1 / np.log2(4) + 1 / np.log2(5)) / 3
    assert ndcg(given_places, 4) == pytest.approx([(1 + 1 / np.log2(5)) / best, 0, second])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_properties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, (6, 30)).astype(np.float64)
    gains = rng.integers(0, 2, (6, 30))
    at = [metric(f"{name}@{k}") for name in ("precision", "recall", "ndcg")]

    def values(scores: np.ndarray) -> list[np.ndarray]:
        found = places_of(question(gains), lambda a, b: scores[a:b].astype(np.float32))
        return [*(function(found) for function in at), mrr(found)]

    for before, after in zip(values(scores), values(scores * 3 - 1), strict=True):
        assert ((before >= 0) & (before <= 1 + 1e-12)).all()
        np.testing.assert_array_equal(before, after)  # only the order counts
    perfect = values(scores + 100 * gains)
    assert perfect[2][gains.any(axis=1)] == pytest.approx(1)
    for mine, best in zip(values(scores), perfect, strict=True):
        assert (mine <= best + 1e-12).all()
