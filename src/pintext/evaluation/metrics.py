"""How good a ranking is: pure functions from where the answers stand to one number a query.

A ranking is described by :class:`Places`: for each right answer of each query, how many candidates
have a higher score and how many have the same one. Where scores are equal no order is the right
one, so every metric is its expected value over all orders of the equals (McSherry and Najork,
"Computing information retrieval performance measures efficiently in the presence of tied scores",
ECIR 2008). A ranker that makes everything equal gains nothing by it, and no figure depends on the
order of the files.

Every function returns float64, shape ``(n_queries,)``, each in [0, 1]; a query without answers has
the value 0. Without ties the values are those of ``trec_eval`` (``P_k``, ``recall_k``,
``ndcg_cut_k``, ``recip_rank``).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import I32, I64
from pintext.compiled import compiled, compiled_allocating
from pintext.errors import ConfigError

__all__ = ["Metric", "Places", "metric", "mrr", "ndcg", "only", "precision", "recall"]

F64 = NDArray[np.float64]
Metric = Callable[["Places"], F64]


class Places(NamedTuple):
    """Where the right answers of some queries stand; one entry for each (query, answer).

    Attributes:
        n_queries: how many queries there are.
        query: int32 (n,), the query, from 0 to ``n_queries - 1``, ascending.
        above: int32 (n,), candidates with a higher score than the answer.
        equal: int32 (n,), candidates with the same score, the answer itself included: >= 1.
        gain: float64 (n,), how good the answer is, > 0; counts in nDCG alone. 1 for a plain answer.
    """

    n_queries: int
    query: I32
    above: I32
    equal: I32
    gain: F64


def precision(places: Places, k: int) -> F64:
    """Share of the first ``k`` candidates that are right: ``P@k = hits@k / k``.

    Manning, Raghavan and Schuetze, *Introduction to Information Retrieval*, 2008, section 8.4.
    """
    return _hits(places, k) / k


def recall(places: Places, k: int) -> F64:
    """Share of the answers that are among the first ``k``: ``R@k = hits@k / answers``.

    Manning, Raghavan and Schuetze, *Introduction to Information Retrieval*, 2008, section 8.4.
    """
    return _hits(places, k) / np.maximum(_per_query(places, np.ones(len(places.query))), 1)


def ndcg(places: Places, k: int) -> F64:
    """Normalised discounted cumulative gain of the first ``k``.

    ``DCG@k = sum over the answers with rank r <= k of gain / log2(r + 1)``, divided by the DCG@k of
    the best order. Jaervelin and Kekaelaeinen, "Cumulated gain-based evaluation of IR techniques",
    TOIS 2002, with the discount of Burges et al. 2005, as ``trec_eval`` has it.
    """
    _check_k(k)
    longest = int((places.above + places.equal).max(initial=0))
    discounts = np.zeros(longest + 1)
    ranks = np.arange(1, min(k, longest) + 1)
    discounts[ranks] = 1 / np.log2(ranks + 1)
    summed = np.cumsum(discounts)
    expected = (summed[places.above + places.equal] - summed[places.above]) / places.equal
    found = _per_query(places, expected * places.gain)
    best = _per_query(places, _best_discounts(places, k) * places.gain)
    return np.divide(found, best, out=np.zeros(places.n_queries), where=best > 0)


def mrr(places: Places) -> F64:
    """One divided by the rank of the first right answer; its mean over queries is the MRR.

    Voorhees, "The TREC-8 question answering track report", 1999. Where the first answer is among
    ``n`` equals of which ``m`` are right, behind ``a`` better candidates, this is the expectation
    ``sum over i of P(first right one is the i-th of the equals) / (a + i)``.
    """
    values = np.zeros(places.n_queries)
    order = np.lexsort((places.above, places.query))
    query, above = places.query[order], places.above[order]
    starts = np.flatnonzero(np.r_[True, (query[1:] != query[:-1]) | (above[1:] != above[:-1])])
    right = np.diff(np.r_[starts, len(query)])
    first = np.flatnonzero(np.r_[True, np.diff(query[starts]) > 0]) if len(starts) else starts
    group = starts[first]
    values[query[group]] = _expected_reciprocal(
        above[group], places.equal[order][group], right[first]
    )
    return values


def metric(name: str) -> Metric:
    """The function of a name such as ``ndcg@10`` or ``mrr``.

    Raises:
        ConfigError: no such metric.
    """
    if name == "mrr":
        return mrr
    kind, _, k = name.partition("@")
    functions = {"precision": precision, "recall": recall, "ndcg": ndcg}
    if kind not in functions or not k.isdigit() or k == "0":
        raise ConfigError(f"no metric {name!r}; expected precision@k, recall@k, ndcg@k or mrr")
    return lambda places: functions[kind](places, int(k))


def only(places: Places, kept: NDArray[np.bool_]) -> Places:
    """The places with some of the answers alone, as if the other answers were no candidates.

    Args:
        places: all of them.
        kept: bool (n,), which answers stay.
    """
    above, equal = places.above.copy(), places.equal.copy()
    _leave_out(places.query, places.above, kept, above, equal)
    return Places(places.n_queries, places.query[kept], above[kept], equal[kept], places.gain[kept])


def _check_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k = {k}: expected 1 or more")


def _hits(places: Places, k: int) -> F64:
    """Expected number of each query's answers among the first ``k``."""
    _check_k(k)
    chance = np.clip((k - places.above.astype(np.int64)) / places.equal, 0, 1)
    return _per_query(places, chance)


def _per_query(places: Places, values: Any) -> F64:
    """Sums over each query's answers."""
    sums: F64 = np.bincount(places.query, values, places.n_queries).astype(np.float64)
    return sums


def _best_discounts(places: Places, k: int) -> F64:
    """The discount of each answer in the best order: its query's answers by falling gain."""
    order = np.lexsort((-places.gain, places.query))
    query = places.query[order]
    rank = np.arange(1, len(query) + 1) - np.searchsorted(query, query)
    discounts = np.zeros(len(query))
    discounts[order] = np.where(rank <= k, 1 / np.log2(rank + 1), 0)
    return discounts


@compiled_allocating
def _expected_reciprocal(above: I32, equal: I32, right: I64) -> F64:
    """Expected 1 / rank of the first of ``right`` answers among ``equal`` in random order."""
    values = np.zeros(above.shape[0])
    for g in range(above.shape[0]):
        n, m = equal[g], right[g]
        none_before = 1.0  # chance that no right one stands before the i-th
        for i in range(n - m + 1):
            here = none_before * m / (n - i)
            values[g] += here / (above[g] + i + 1)
            none_before -= here
    return values


@compiled
def _leave_out(
    query: I32, ranked_above: I32, kept: NDArray[np.bool_], above: I32, equal: I32
) -> None:
    """Take the answers that are not kept out of the counts of their query's other answers."""
    first = 0
    for i in range(query.shape[0]):
        if query[i] != query[first]:
            first = i
        j = first
        while j < query.shape[0] and query[j] == query[i]:
            if not kept[j]:
                if ranked_above[j] < ranked_above[i]:
                    above[i] -= 1
                elif ranked_above[j] == ranked_above[i] and j != i:
                    equal[i] -= 1
            j += 1
