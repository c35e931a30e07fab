"""The settings of ``pintext ingest``."""

from typing import Annotated, Literal

from msgspec import Meta, field

from pintext.config import Config
from pintext.errors import ConfigError

__all__ = ["ACTIONS", "FIELDS", "IGNORE", "EventMapping", "IngestConfig"]

ACTIONS = ("save", "click", "hide", "impression")
"""What a person can have done with a pin."""

FIELDS = (
    "event_id",
    "timestamp",
    "task",
    "query",
    "query_id",
    "pin_id",
    "action",
    "dwell_ms",
    "position",
)
"""The fields of an event, and the only ones that are ever stored."""

IGNORE = "ignore"
"""What an action is mapped to when its events are none of PinText's business."""

_TaskName = Annotated[str, Meta(min_length=1, max_length=64)]


class EventMapping(Config, frozen=True):
    """How events of a team's own form are read: what its fields, actions and tasks are called."""

    fields: Annotated[
        dict[str, str],
        Meta(description="field of the event form -> its name in your events, where that differs"),
    ] = field(default_factory=dict)
    actions: Annotated[
        dict[str, str],
        Meta(description="your action -> save, click, hide, impression, or ignore"),
    ] = field(default_factory=dict)
    tasks: Annotated[dict[str, str], Meta(description="your name of a task -> the task")] = field(
        default_factory=dict
    )
    task: Annotated[
        str, Meta(max_length=64, description="the task of events that have no field for it")
    ] = ""
    epoch: Annotated[
        Literal["s", "ms", "us", "ns"],
        Meta(description="unit of times that are numbers (since 1970, UTC)"),
    ] = "ms"

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        super().__post_init__()
        if unknown := sorted(set(self.fields) - set(FIELDS)):
            raise ConfigError(
                f"fields: an event has no field {', '.join(map(repr, unknown))}; "
                f"it has {', '.join(FIELDS)}"
            )
        if wrong := sorted(set(self.actions.values()) - {*ACTIONS, IGNORE}):
            raise ConfigError(
                f"actions: {', '.join(map(repr, wrong))} is not an action; "
                f"expected {', '.join(ACTIONS)} or {IGNORE}"
            )
        names = [self.fields.get(name, name) for name in FIELDS]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"fields: {', '.join(map(repr, twice))} stands for two fields")


class IngestConfig(Config, frozen=True):
    """How events are fetched, checked and stored."""

    tasks: Annotated[
        tuple[_TaskName, ...],
        Meta(min_length=1, description="the tasks there are; events of others are refused"),
    ] = ("search", "related_pins", "home_feed")
    group: Annotated[
        str, Meta(min_length=1, description="consumer group at the broker; one for each store")
    ] = "pintext"
    commit_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="longest time until an event is on the disk"),
    ] = 10.0
    commit_events: Annotated[
        int, Meta(ge=1, le=10_000_000, description="or after this many events; bounds the memory")
    ] = 500_000
    duplicate_window: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000_000,
            description="an event whose event_id is among those of this many latest stored events "
            "is dropped; 0: of one commit only",
        ),
    ] = 5_000_000
    future_minutes: Annotated[
        float, Meta(ge=0, description="how far a timestamp may be ahead of this machine's clock")
    ] = 10.0
    max_id_bytes: Annotated[int, Meta(ge=1, le=65_536, description="longest id")] = 256
    max_query_bytes: Annotated[int, Meta(ge=1, le=1_048_576, description="longest query")] = 4096
    max_bad_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="stop when more than this share of the latest events is bad",
        ),
    ] = 0.1
    retention_days: Annotated[
        int, Meta(ge=0, description="days for which events are kept, by event date; 0: for ever")
    ] = 0
    file_mb: Annotated[
        int, Meta(ge=1, le=4096, description="files grow to about this size by compaction")
    ] = 64
    mapping: Annotated[
        EventMapping, Meta(description="how your events are read, where they have another form")
    ] = EventMapping()
    topics: Annotated[
        dict[str, EventMapping], Meta(description="the same for one topic, by its name")
    ] = field(default_factory=dict)
    kafka: Annotated[
        dict[str, str | int | float | bool],
        Meta(description="properties of the Kafka client (librdkafka), passed through"),
    ] = field(default_factory=dict)
