"""The settings of ``pintext simulate``."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, field

from pintext.config import Config
from pintext.errors import ConfigError

__all__ = ["TASKS", "SimulationConfig"]

TASKS = ("search", "related_pins", "home_feed")
"""Tasks that can be simulated; ``home_feed`` needs a catalogue of interests."""


class SimulationConfig(Config, frozen=True):
    """What simulated engagement looks like."""

    events: Annotated[
        int, Meta(ge=1, description="messages in the stream, repeated and malformed ones too")
    ] = 1_000_000
    start: Annotated[str, Meta(description="date of the first event, as 2026-01-31 (UTC)")] = (
        "2026-01-01"
    )
    days: Annotated[
        float, Meta(gt=0, le=3660, description="days that the events are spread over")
    ] = 7.0
    task_weights: Annotated[
        dict[str, Annotated[float, Meta(ge=0)]],
        Meta(
            description="share of the sessions of each task: search, related_pins, home_feed "
            "(which needs interests)"
        ),
    ] = field(default_factory=lambda: {"search": 2.0, "related_pins": 1.0})
    queries: Annotated[
        int, Meta(ge=1, le=10_000_000, description="distinct queries of a task, at most")
    ] = 10_000
    zipf: Annotated[
        float,
        Meta(ge=0, le=3, title="s", description="the r-th most frequent query has weight r^-s"),
    ] = 1.0
    session_queries: Annotated[
        float,
        Meta(ge=1, le=100, description="queries of a session on average, which share a word"),
    ] = 2.0
    results: Annotated[int, Meta(ge=1, le=100, description="pins shown for a query")] = 10
    noise: Annotated[
        float, Meta(ge=0, le=1, description="share of the shown pins that were drawn at random")
    ] = 0.05
    position_bias: Annotated[
        float,
        Meta(
            ge=0,
            le=5,
            title="eta",
            description="the r-th shown pin is looked at with probability r^-eta",
        ),
    ] = 1.0
    click_rate: Annotated[
        float,
        Meta(ge=0, le=0.5, description="a pin that is looked at is clicked this often, on average"),
    ] = 0.3
    save_rate: Annotated[float, Meta(ge=0, le=1, description="share of clicks with a save")] = 0.2
    hide_rate: Annotated[
        float, Meta(ge=0, le=1, description="share of shown pins that are hidden")
    ] = 0.003
    impressions: Annotated[
        float, Meta(ge=0, le=1, description="share of the shown pins whose impression is logged")
    ] = 1.0
    dwell_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="median time that a click stays on its pin")
    ] = 15.0
    duplicates: Annotated[
        float, Meta(ge=0, le=1, description="share of events that are sent twice")
    ] = 0.01
    late: Annotated[float, Meta(ge=0, le=1, description="share of events that come late")] = 0.01
    late_hours: Annotated[float, Meta(gt=0, le=8760, description="mean delay of those")] = 6.0
    malformed: Annotated[
        float, Meta(ge=0, le=1, description="share of messages that are no event")
    ] = 0.001
    seed: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="the same seed gives the same bytes")
    ] = 0
    kafka: Annotated[
        dict[str, str | int | float | bool],
        Meta(description="properties of the Kafka client (librdkafka), passed through"),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        super().__post_init__()
        if unknown := sorted(set(self.task_weights) - set(TASKS)):
            raise ConfigError(
                f"task_weights: cannot simulate {', '.join(map(repr, unknown))}; "
                f"expected {', '.join(TASKS)}"
            )
        if not sum(self.task_weights.values()) > 0:
            raise ConfigError("task_weights: no task has a weight")
        self.first_moment()

    def first_moment(self) -> int:
        """The start in milliseconds since 1970."""
        try:
            day = datetime.strptime(self.start, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise ConfigError(f"start = {self.start!r}: expected a date, as 2026-01-31") from None
        return int(day.timestamp()) * 1000
