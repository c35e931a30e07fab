"""Exact neighbours, what is measured of tokens, and the plans made of it."""

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from pintext.arrays import F32, I64
from pintext.errors import ConfigError
from pintext.tokens import HyperplaneTokens, LearnedTokens, TokenScheme, plan_tokens
from pintext.tokens.curve import draw_sample, measure
from pintext.tokens.exact import exact_neighbors

Kind = Literal["learned", "hyperplane"]
DIM = 16


def around_topics(rows: int, seed: int, spread: float) -> F32:
    draw = np.random.default_rng(seed)
    topics = np.random.default_rng(7).standard_normal((60, DIM))
    vectors = topics[draw.integers(60, size=rows)] + spread * draw.standard_normal((rows, DIM))
    return vectors.astype(np.float32)


PINS = around_topics(5000, 1, 0.4)
QUERIES = around_topics(1200, 2, 0.9)  # farther from pins than pins are from each other


def cosines(queries: F32, pins: F32) -> NDArray[np.float64]:
    a, b = queries.astype(np.float64), pins.astype(np.float64)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    product: NDArray[np.float64] = a @ b.T
    return product


# --- exact neighbours -----------------------------------------------------------------------------


def test_exact_neighbors_are_those_of_a_full_sort() -> None:
    found = exact_neighbors(QUERIES[:300], PINS, 10)
    expected = cosines(QUERIES[:300], PINS)
    best = np.argsort(-expected, axis=1, kind="stable")[:, :10]
    assert (found.rows == best).mean() > 0.999  # two cosines can differ by less than float32 shows
    shown = np.take_along_axis(expected, found.rows.astype(np.int64), axis=1)
    assert np.allclose(found.similarities, shown, atol=1e-6)
    assert np.allclose(shown, np.take_along_axis(expected, best, axis=1), atol=1e-6)


def test_of_equals_the_lower_rows_come_first() -> None:
    pins = np.repeat(PINS[:3], 5, axis=0)
    assert exact_neighbors(PINS[1:2], pins, 4).rows.tolist() == [[5, 6, 7, 8]]


def test_a_pin_is_not_its_own_neighbor() -> None:
    own = np.arange(50)
    found = exact_neighbors(PINS[:50], PINS, 3, own=own)
    assert not (found.rows == own[:, None]).any()
    found = exact_neighbors(PINS[:50], PINS, 1)
    assert found.rows[:, 0].tolist() == own.tolist()


def test_zero_vectors_and_few_pins() -> None:
    pins = PINS[:4].copy()
    pins[2] = 0
    queries = QUERIES[:2].copy()
    queries[1] = 0
    found = exact_neighbors(queries, pins, 5)
    assert sorted(found.rows[0].tolist()) == [-1, -1, 0, 1, 3]
    assert found.rows[1].tolist() == [-1] * 5
    assert exact_neighbors(queries[:0], pins, 5).rows.shape == (0, 5)
    assert (exact_neighbors(queries, pins[:0], 5).rows == -1).all()


def test_exact_neighbors_on_any_number_of_threads() -> None:
    one, three = (exact_neighbors(QUERIES, PINS, 10, threads=n) for n in (1, 3))
    assert np.array_equal(one.rows, three.rows)
    assert np.array_equal(one.similarities, three.similarities)


# --- measuring ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scheme",
    [
        LearnedTokens.train(PINS, centroids=80, per_pin=3, reach=0),
        HyperplaneTokens(DIM, tables=6, bits=6),
    ],
    ids=["learned", "hyperplane"],
)
def test_measured_recall_and_share_are_those_of_sets_of_pins(scheme: TokenScheme) -> None:
    """Against the plain way: the set of pins that carry any of the tokens asked for."""
    sample = draw_sample(PINS, QUERIES[:40], 10, seed=0)
    curve = measure(scheme, PINS, sample, 24)[-1]
    carried = scheme.assign(PINS)
    sampled = set(sample.pins.tolist())
    for probes in (1, 5, 24):
        asked = scheme.probe(QUERIES[:40], 24).tokens[:, :probes]
        for query in range(40):
            found = set(np.flatnonzero(np.isin(carried, asked[query]).any(axis=1)).tolist())
            true = set(sample.neighbors[query].tolist())
            assert curve.recall[query, probes - 1] == pytest.approx(len(found & true) / 10)
            share = len(found & sampled) / len(sampled)
            assert curve.share[query, probes - 1] == pytest.approx(share)


def test_fewer_tokens_a_pin_are_measured_as_if_they_were_all() -> None:
    three = LearnedTokens.train(PINS, centroids=80, per_pin=3, reach=0)
    sample = draw_sample(PINS, QUERIES[:100], 10, seed=0)
    for per_pin, curve in enumerate(measure(three, PINS, sample, 20), 1):
        fewer = three.with_use(per_pin=per_pin, reach=0)
        alone = measure(fewer, PINS, sample, 20)[-1]
        assert np.array_equal(curve.recall, alone.recall)
        assert np.array_equal(curve.share, alone.share)


# --- plans ----------------------------------------------------------------------------------------


def recall_of(scheme: TokenScheme, probes: int, queries: F32, own: I64 | None = None) -> float:
    """The plain way, with queries that no plan has seen."""
    true = exact_neighbors(queries, PINS, 10, own=own).rows
    carried, asked = scheme.assign(PINS)[true], scheme.probe(queries, probes).tokens
    found = (carried[:, :, :, None] == asked[:, None, None, :]) & (carried >= 0)[..., None]
    return float(found.any(axis=(2, 3)).mean())


@pytest.mark.parametrize(
    ("kind", "target"), [("learned", 0.7), ("learned", 0.9), ("hyperplane", 0.8)]
)
def test_a_promise_is_kept_for_queries_that_nobody_has_seen(kind: Kind, target: float) -> None:
    plan = plan_tokens(PINS, target, queries=QUERIES[:900], kind=kind, fingerprint="f")
    assert plan.kept
    assert plan.notice is None
    assert plan.expected_recall >= target
    assert plan.measured_recall >= target
    assert plan.scheme.kind == kind
    assert plan.scheme.fingerprint == "f"
    unseen = recall_of(plan.scheme, plan.probes, QUERIES[900:])
    assert unseen > target - 0.03
    assert abs(unseen - plan.measured_recall) < 0.04
    assert 0 < plan.measured_share < 0.7
    assert plan.measured_share * len(PINS) < plan.candidates <= len(PINS)


def test_a_higher_promise_costs_more() -> None:
    low, high = (plan_tokens(PINS, target, queries=QUERIES) for target in (0.6, 0.97))
    assert low.measured_share < high.measured_share


def test_a_limit_of_probes_beside_the_reach_saves_pins_to_compare() -> None:
    """Beside the best that any reach does alone, on the very queries."""
    far = around_topics(1200, 2, 1.5)
    plan = plan_tokens(PINS, 0.9, queries=far)
    whole = LearnedTokens.train(PINS, per_pin=plan.scheme.per_pin, reach=0)
    sample = draw_sample(PINS, far, 10, seed=0)
    curve = measure(whole, PINS, sample, whole.n_tokens)[-1]
    weights = whole.probe(far, whole.n_tokens).weights
    shares, rows = [], np.arange(len(far))
    for reach in np.arange(0, 1, 0.01):
        last = (weights >= reach * weights[:, :1]).sum(axis=1) - 1
        if curve.recall[rows, last].mean() >= plan.measured_recall:
            shares.append(curve.share[rows, last].mean())
    assert plan.measured_share < 0.9 * min(shares)


def test_pins_stand_for_queries_that_are_not_given_and_the_plan_says_so() -> None:
    plan = plan_tokens(PINS, 0.9)
    assert plan.from_pins
    assert plan.kept
    assert plan.notice is not None
    assert "typed queries are farther" in plan.notice
    own = np.arange(2000, 2400)
    assert recall_of(plan.scheme, plan.probes, PINS[own], own) > 0.87


@pytest.mark.parametrize("kind", ["learned", "hyperplane"])
def test_what_cannot_be_promised_is_said(kind: Kind) -> None:
    plan = plan_tokens(PINS, 0.99, queries=QUERIES, kind=kind, most_probes=2)
    assert plan.probes <= 2
    assert not plan.kept
    assert plan.notice is not None
    assert "recall 0.99 was asked for" in plan.notice
    assert plan.measured_recall < 0.99


def test_the_same_plan_on_any_number_of_threads() -> None:
    one, three = (plan_tokens(PINS, 0.9, queries=QUERIES, threads=n) for n in (1, 3))
    assert one.to_dict() == three.to_dict()
    assert np.array_equal(one.scheme.assign(PINS), three.scheme.assign(PINS))


@pytest.mark.parametrize("rows", [0, 1, 9])
@pytest.mark.parametrize("kind", ["learned", "hyperplane"])
def test_tiny_corpora_get_a_plan(rows: int, kind: Kind) -> None:
    plan = plan_tokens(PINS[:rows], kind=kind)
    assert plan.probes >= 1
    assert plan.queries <= max(rows, 2)
    assert plan.candidates <= rows
    plan = plan_tokens(np.zeros((rows, DIM), np.float32), kind=kind)
    assert plan.queries == 0
    assert plan.kept


def test_promises_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="kind = 'lsh': expected learned or hyperplane"):
        plan_tokens(PINS, kind="lsh")  # type: ignore[arg-type]
    for recall in (0.0, 1.0, -1.0):
        with pytest.raises(ConfigError, match=r"expected recall in \(0, 1\)"):
            plan_tokens(PINS, recall)
