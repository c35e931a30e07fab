"""The settings of ``pintext index``."""

from typing import Annotated, Literal

from msgspec import Meta

from pintext.config import Config

__all__ = ["IndexConfig"]


class IndexConfig(Config, frozen=True):
    """What of the pins is indexed, and how near the token search must come to the exact one."""

    id_column: Annotated[
        str, Meta(min_length=1, description="column that names the pins, each name once")
    ] = "id"
    text_columns: Annotated[
        tuple[str, ...],
        Meta(
            description="columns whose texts are embedded and searched for words, joined in this "
            "order; none: those of title, description, text that the pins have"
        ),
    ] = ()
    filter_columns: Annotated[
        tuple[str, ...],
        Meta(
            description="columns to filter by: NAME, or NAME:KIND with the kind keyword, number, "
            "date or boolean where the column's type does not say it"
        ),
    ] = ()
    recall: Annotated[
        float,
        Meta(gt=0, lt=1, description="share of the exact ten nearest pins that tokens must find"),
    ] = 0.95
    scheme: Annotated[
        Literal["learned", "hyperplane"],
        Meta(
            description="tokens are the nearest of k-means centroids, or the signs of random "
            "hyperplanes"
        ),
    ] = "learned"
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="of the tokens and of the measured sample")
    ] = 0
