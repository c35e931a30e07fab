"""Embedding tokens: vectors as terms for an inverted index.

=================  ==========================================================
``scheme``         what both kinds have in common: assign, probe, save, load
``learned``        the nearest of centroids that k-means finds in the pins
``hyperplane``     sign bits of random projections, with multi-probe
``clustering``     the k-means
``kernels``        nearest centroids, compiled
``inverted``       for each token the rows that carry it
``planner``        from a promise of recall to a scheme and probes
``curve``          what a scheme finds and costs, for every number of probes
``exact``          the truth: nearest vectors by looking at all
``settings``       the settings, declared once
=================  ==========================================================
"""

from pintext.arrays import F32
from pintext.tokens.hyperplane import HyperplaneTokens
from pintext.tokens.learned import LearnedTokens, default_centroids
from pintext.tokens.planner import TokenPlan, plan_tokens
from pintext.tokens.scheme import Probes, TokenScheme
from pintext.tokens.settings import TokensConfig

__all__ = [
    "HyperplaneTokens",
    "LearnedTokens",
    "Probes",
    "TokenPlan",
    "TokenScheme",
    "TokensConfig",
    "default_centroids",
    "make_tokens",
    "plan_tokens",
]


def make_tokens(
    vectors: F32, config: TokensConfig, *, fingerprint: str = "", threads: int = 0
) -> TokenScheme:
    """Make the scheme that the settings describe.

    Args:
        vectors: of the pins, ``(n, dim)``; what is learned is learned from them.
        config: the settings.
        fingerprint: of the model that the vectors are from.
        threads: 0 means all cores; the scheme does not depend on it.
    """
    if config.kind == "hyperplane":
        return HyperplaneTokens(
            vectors.shape[1],
            tables=config.tables,
            bits=config.bits,
            seed=config.seed,
            fingerprint=fingerprint,
        )
    return LearnedTokens.train(
        vectors,
        centroids=config.centroids,
        per_pin=config.per_pin,
        reach=config.reach,
        seed=config.seed,
        fingerprint=fingerprint,
        threads=threads,
    )
