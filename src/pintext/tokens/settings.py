"""The settings of embedding tokens."""

from typing import Annotated, Literal

from msgspec import Meta

from pintext.config import Config
from pintext.errors import ConfigError

__all__ = ["LARGEST_TOKEN", "TokensConfig"]

LARGEST_TOKEN = 2**31 - 1
"""Tokens are numbers below this, so that they fit an int32."""


class TokensConfig(Config, frozen=True):
    """How vectors become tokens, and how many of them a query asks for."""

    kind: Annotated[
        Literal["learned", "hyperplane"],
        Meta(
            description="learned: the nearest of centroids that k-means finds in the pins; "
            "hyperplane: sign bits of random projections (the article's LSH)"
        ),
    ] = "learned"
    centroids: Annotated[
        int,
        Meta(ge=0, le=2**20, title="K", description="learned: centroids; 0: as suits the pins"),
    ] = 0
    per_pin: Annotated[
        int, Meta(ge=1, le=16, title="r", description="learned: nearest centroids that a pin gets")
    ] = 2
    reach: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="learned: a query asks for the centroids whose cosine is at least this "
            "share of the nearest one's",
        ),
    ] = 0.6
    tables: Annotated[
        int, Meta(ge=1, le=1024, title="T", description="hyperplane: tables, each a token of a pin")
    ] = 32
    bits: Annotated[
        int, Meta(ge=1, le=28, title="b", description="hyperplane: sign bits of a token")
    ] = 16
    probes: Annotated[
        int, Meta(ge=1, le=4096, title="n", description="tokens that a query asks for, at most")
    ] = 128
    seed: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="the same seed gives the same tokens")
    ] = 0

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        super().__post_init__()
        if self.tables << self.bits > LARGEST_TOKEN:
            raise ConfigError(
                f"tables = {self.tables} and bits = {self.bits} make "
                f"{self.tables << self.bits:,} tokens; expected at most {LARGEST_TOKEN:,}"
            )
