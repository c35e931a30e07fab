"""How sure a figure is: paired bootstrap over queries.

Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993; for rankings Sakai, "Evaluating
evaluation metrics based on the bootstrap", SIGIR 2006. Queries are drawn with replacement, the same
draws for every ranker, so that what makes a query hard for all of them cancels in a difference.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_QUERIES", "Comparison", "Estimate", "compare", "draws", "estimate", "holm"]

F64 = NDArray[np.float64]

LEAST_QUERIES = 10
"""With fewer queries nothing is compared: samples of so few say too little of other queries."""

_PART = 4_000_000  # numbers of a part of the draws in memory


class Estimate(msgspec.Struct, frozen=True):
    """A mean over queries and its interval."""

    mean: float
    low: float
    high: float


class Comparison(msgspec.Struct, frozen=True):
    """A difference of means over the same queries: its interval, and its two-sided p-value."""

    difference: float
    low: float
    high: float
    p: float


def draws(values: F64, resamples: int, seed: int) -> F64:
    """Means of bootstrap samples.

    Args:
        values: ``(n_rankers, n_queries)``, the metric of each query under each ranker.
        resamples: how many samples.
        seed: the same seed gives the same draws, also for another number of rankers.

    Returns:
        ``(n_rankers, resamples)``; nothing but NaN where there is no query.
    """
    n = values.shape[1]
    if n == 0:
        return np.full((len(values), resamples), np.nan)
    rng = np.random.default_rng(seed)
    means = np.empty((len(values), resamples))
    step = max(1, _PART // n)
    for first in range(0, resamples, step):
        count = min(step, resamples - first)
        chosen = rng.integers(0, n, (count, n))
        chosen += n * np.arange(count)[:, None]
        times = np.bincount(chosen.ravel(), minlength=count * n).reshape(count, n)
        means[:, first : first + count] = values @ times.T / n
    return means


def estimate(values: F64, drawn: F64, confidence: float) -> Estimate:
    """The mean of one ranker's values, with the percentile interval of its draws."""
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan)
    low, high = _interval(drawn, confidence)
    return Estimate(float(values.mean()), low, high)


def compare(
    values: F64, drawn: F64, others: F64, others_drawn: F64, confidence: float
) -> Comparison:
    """One ranker's values less another's, query by query."""
    if not len(values):
        return Comparison(np.nan, np.nan, np.nan, 1.0)
    difference = drawn - others_drawn
    low, high = _interval(difference, confidence)
    # One is added because the data itself is one of the possible samples.
    tail = min((difference <= 0).sum(), (difference >= 0).sum()) + 1
    p = min(1.0, 2 * float(tail) / (len(difference) + 1))
    return Comparison(float((values - others).mean()), low, high, p)


def holm(p: list[float]) -> list[float]:
    """p-values adjusted for being many: Holm, "A simple sequentially rejective procedure", 1979."""
    adjusted, running = [0.0] * len(p), 0.0
    for place, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        running = max(running, min(1.0, (len(p) - place) * p[index]))
        adjusted[index] = running
    return adjusted


def _interval(drawn: F64, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
