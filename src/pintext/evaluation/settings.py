"""How a dictionary is evaluated."""

from typing import Annotated

from msgspec import Meta

from pintext.config import Config

__all__ = ["EvaluateConfig"]


class EvaluateConfig(Config, frozen=True):
    """Settings of ``pintext evaluate``."""

    k: Annotated[
        int,
        Meta(ge=1, le=10_000, description="results of a query that precision, recall and nDCG see"),
    ] = 10
    max_queries: Annotated[
        int,
        Meta(ge=1, description="queries of a task at most; more are sampled, always the same ones"),
    ] = 10_000
    resamples: Annotated[
        int, Meta(ge=100, le=100_000, description="bootstrap samples behind every interval")
    ] = 1_000
    confidence: Annotated[
        float, Meta(gt=0.5, lt=1, description="share of the bootstrap samples inside an interval")
    ] = 0.95
    seed: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="the same seed gives the same report")
    ] = 0
