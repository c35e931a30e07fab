"""The settings of ``pintext pairs``."""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, field

from pintext.config import Config
from pintext.errors import ConfigError

__all__ = ["CatalogueConfig", "PairsConfig"]

_LONGEST_MINUTES = 1440
_CATALOGUES = ("pins", "interests")


class CatalogueConfig(Config, frozen=True):
    """What makes the text of an entry of a catalogue."""

    id: Annotated[str, Meta(min_length=1, description="column that names the entries")] = "id"
    text: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="columns whose texts are put together, in this order; those that a "
            "catalogue lacks are left out",
        ),
    ] = ("title", "description", "annotations")
    annotations: Annotated[
        str,
        Meta(
            description="the one of them that the thresholds below hold for: a list of texts, or "
            "of objects with a `text`"
        ),
    ] = "annotations"
    confidence: Annotated[
        str,
        Meta(description="field of such an object, or list as long beside it: how sure each is"),
    ] = "confidence"
    min_confidence: Annotated[
        float, Meta(ge=0, description="annotations that are less sure are left out; 0: none")
    ] = 0.0
    language: Annotated[
        str, Meta(description="field, or list as long, with the language of each annotation")
    ] = "language"
    languages: Annotated[
        tuple[str, ...],
        Meta(description="annotations in other languages are left out; where empty: none"),
    ] = ()
    max_annotations: Annotated[
        int, Meta(ge=0, description="annotations of an entry, the first ones; 0: all")
    ] = 50
    list_separator: Annotated[
        str, Meta(min_length=1, description="between the annotations where they are one text (CSV)")
    ] = "|"
    max_chars: Annotated[
        int, Meta(ge=0, description="longer texts are cut at the white space before; 0: no limit")
    ] = 2000


class PairsConfig(Config, frozen=True):
    """Which events become positive pairs, and how much each counts."""

    tasks: Annotated[
        tuple[str, ...], Meta(description="tasks to make pairs of; all where empty")
    ] = ()
    save_weight: Annotated[float, Meta(ge=0, le=1e6, description="what a save counts")] = 1.0
    click_weight: Annotated[float, Meta(ge=0, le=1e6, description="what a click counts")] = 1.0
    min_dwell_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=2**31 - 1,
            description="a click after which somebody stayed for less does not count; one that "
            "does not say it does",
        ),
    ] = 0
    window_minutes: Annotated[
        float,
        Meta(
            ge=0.001,
            le=_LONGEST_MINUTES,
            description="events of one query and pin within such a window, counted from midnight "
            "(UTC), are one vote",
        ),
    ] = 30.0
    hide_minutes: Annotated[
        float,
        Meta(
            ge=0,
            le=_LONGEST_MINUTES,
            description="a hide withdraws the clicks on the pin under the query up to this long "
            "before; 0: none",
        ),
    ] = 30.0
    max_repeats: Annotated[
        int, Meta(ge=1, le=2**31 - 1, description="votes of one pair that count, the weightiest")
    ] = 10
    max_pins_per_query: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="pairs of a query in a task and split; 0: all")
    ] = 500
    max_queries_per_pin: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="pairs of a pin in a task and split; 0: all")
    ] = 500
    max_negatives_per_query: Annotated[
        int,
        Meta(ge=0, le=2**31 - 1, description="known negatives of a query in a task and split"),
    ] = 100
    split: Annotated[
        Literal["query", "time", "none"],
        Meta(description="what divides training from held-out pairs"),
    ] = "query"
    validation: Annotated[
        float, Meta(ge=0, le=1, description="share of the queries that choose the epoch (query)")
    ] = 0.05
    test: Annotated[
        float, Meta(ge=0, le=1, description="share of the queries kept for evaluation (query)")
    ] = 0.05
    validation_from: Annotated[
        str, Meta(description="first date (UTC) of validation, as 2026-03-20 (time)")
    ] = ""
    test_from: Annotated[str, Meta(description="first date (UTC) of test (time)")] = ""
    seed: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="of the hashes that choose; the same, the same")
    ] = 0
    query_from: Annotated[
        dict[str, str],
        Meta(
            description="task -> the catalogue that its query_id names: `pins` or `interests`; "
            "pins where not given"
        ),
    ] = field(default_factory=lambda: {"related_pins": "pins", "home_feed": "interests"})
    pins: Annotated[CatalogueConfig, Meta(description="what makes a pin's text")] = (
        CatalogueConfig()
    )
    interests: Annotated[CatalogueConfig, Meta(description="what makes the text of interests")] = (
        CatalogueConfig(text=("text",))
    )

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        super().__post_init__()
        if self.validation + self.test > 1:
            raise ConfigError(
                f"validation = {self.validation:g} and test = {self.test:g} are more than all"
            )
        for task, catalogue in self.query_from.items():
            if catalogue not in _CATALOGUES:
                raise ConfigError(
                    f"query_from: {task} = {catalogue!r}; expected {' or '.join(_CATALOGUES)}"
                )
        for name in ("validation_from", "test_from"):
            value = getattr(self, name)
            if value and not _is_date(value):
                raise ConfigError(f"{name} = {value!r}: expected a date, as 2026-03-20")
        if self.split == "time" and not (self.validation_from or self.test_from):
            raise ConfigError("split = 'time' needs validation_from or test_from, or both")
        if self.validation_from and self.test_from and self.validation_from >= self.test_from:
            raise ConfigError(
                f"test_from = {self.test_from!r} is not after "
                f"validation_from = {self.validation_from!r}"
            )


def _is_date(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
