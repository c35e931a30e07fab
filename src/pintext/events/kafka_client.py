"""The Kafka client: made of the settings, with their secrets, and of properties that are ours."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pintext.errors import ConfigError, IngestError, MissingExtraError
from pintext.events.settings import IngestConfig
from pintext.files import reason

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

__all__ = ["REACH_SECONDS", "check_topics", "connect", "place"]

REACH_SECONDS = 10.0
"""How long a broker may take to answer a question."""


_OURS = {
    "auto.offset.reset": "the store says where to begin",
    "enable.auto.commit": "offsets are committed when their events are on the disk",
    "enable.auto.offset.store": "offsets are committed when their events are on the disk",
    "enable.partition.eof": "PinText has to know of it",
    "group.id": "use the setting group",
    "partition.assignment.strategy": "PinText needs all partitions revoked before new ones come",
}
_DEFAULTS: dict[str, Any] = {
    # By themselves the client's queues fill in half a second, and then it rests for a whole one.
    "fetch.queue.backoff.ms": 100,
    "queued.max.messages.kbytes": 131_072,
}
_SECRETS = ("password", "secret", "key.pem", "private", "sasl.jaas", "oauthbearer.config")


def connect(
    config: IngestConfig, group: str, hear: Callable[["KafkaError"], None], *, tell_ends: bool
) -> "Consumer":
    """Make a consumer; it connects by itself, and again whenever it has to.

    In the properties of the settings a value ``env:NAME`` is taken from the environment and
    ``file:PATH`` from a file (without the line end), so that a settings file holds no secret.

    Args:
        config: the settings.
        group: its consumer group.
        hear: told of errors that belong to no partition.
        tell_ends: whether the ends of partitions come among the messages.

    Raises:
        ConfigError: no broker is named; a secret stands in the settings or cannot be found; a
            property is unknown or PinText's own business. No message quotes a value.
        MissingExtraError: the package confluent-kafka is not installed.
    """
    try:
        from confluent_kafka import Consumer, KafkaException
    except ImportError:
        raise MissingExtraError("confluent-kafka", "kafka") from None
    ours = {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": tell_ends,
        "partition.assignment.strategy": "range",
        "error_cb": hear,
    }
    log = logging.getLogger("pintext.kafka")
    log.addHandler(logging.NullHandler())
    try:
        return Consumer(_properties(config) | ours, logger=log)
    except KafkaException as error:
        raise ConfigError(f"kafka: {error.args[0].str()}") from None


def check_topics(consumer: "Consumer", topics: Sequence[str]) -> str | None:
    """Refuse topics that do not exist.

    Returns:
        What kept the broker from answering, which may pass; None if it did answer.

    Raises:
        IngestError: a topic does not exist.
    """
    from confluent_kafka import KafkaException

    try:
        found = consumer.list_topics(timeout=REACH_SECONDS).topics
    except KafkaException as error:
        return str(error.args[0].str())
    if missing := [topic for topic in topics if topic not in found]:
        there = ", ".join(sorted(name for name in found if not name.startswith("__"))[:10])
        raise IngestError(
            f"no topic {', '.join(map(repr, missing))}; topics of the broker: {there or 'none'}"
        )
    return None


def place(partition: tuple[str, int], offset: int | None = None) -> "TopicPartition":
    """A place in a partition; its beginning where there is no offset."""
    from confluent_kafka import OFFSET_BEGINNING, TopicPartition

    return TopicPartition(*partition, offset or OFFSET_BEGINNING)


def _properties(config: IngestConfig) -> dict[str, Any]:
    if not config.kafka.get("bootstrap.servers"):
        raise ConfigError(
            "no broker: set bootstrap.servers under [kafka] in the settings, or give --broker"
        )
    properties = _DEFAULTS.copy()
    for name, value in config.kafka.items():
        if name in _OURS:
            raise ConfigError(f"kafka: {name!r} cannot be set: {_OURS[name]}")
        properties[name] = _resolved(name, value)
    return properties


def _resolved(name: str, value: Any) -> Any:
    if isinstance(value, str):
        kind, _, where = value.partition(":")
        if kind == "env":
            if where not in os.environ:
                raise ConfigError(f"kafka: {name!r}: no variable {where!r} in the environment")
            return os.environ[where]
        if kind == "file":
            try:
                return Path(where).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"kafka: {name!r}: {where}: {reason(error)}") from None
    if any(part in name for part in _SECRETS):
        raise ConfigError(
            f"kafka: {name!r} is a secret, which does not belong into the settings; "
            "write env:NAME or file:PATH"
        )
    return value
