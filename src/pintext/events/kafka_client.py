"""The Kafka client: made of the settings, with their secrets, and of properties that are ours."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pintext.config import from_elsewhere
from pintext.errors import ConfigError, IngestError, MissingExtraError
from pintext.events.settings import IngestConfig

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

__all__ = [
    "REACH_SECONDS",
    "check_topics",
    "connect",
    "partitions_of",
    "place",
    "properties",
    "quiet_log",
]

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

    Args:
        config: the settings; their properties as :func:`properties` reads them.
        group: its consumer group.
        hear: told of errors that belong to no partition.
        tell_ends: whether the ends of partitions come among the messages.

    Raises:
        ConfigError: no broker is named, or a property cannot be used.
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
    try:
        return Consumer(_DEFAULTS | properties(config.kafka) | ours, logger=quiet_log())
    except KafkaException as error:
        raise ConfigError(f"kafka: {error.args[0].str()}") from None


def quiet_log() -> logging.Logger:
    """Where the client writes what it would otherwise print; nobody has to listen."""
    log = logging.getLogger("pintext.kafka")
    log.addHandler(logging.NullHandler())
    return log


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
        raise _no_topic(missing, found)
    return None


def partitions_of(producer: "Producer", topic: str) -> int:
    """How many partitions a topic has.

    Raises:
        IngestError: the broker does not answer, or has no such topic.
    """
    from confluent_kafka import KafkaException

    try:
        found = producer.list_topics(timeout=REACH_SECONDS).topics
    except KafkaException as error:
        raise IngestError(f"kafka: {error.args[0].str()}") from None
    if topic not in found:
        raise _no_topic([topic], found)
    return len(found[topic].partitions)


def _no_topic(missing: Sequence[str], found: Collection[str]) -> IngestError:
    there = ", ".join(sorted(name for name in found if not name.startswith("__"))[:10])
    return IngestError(
        f"no topic {', '.join(map(repr, missing))}; topics of the broker: {there or 'none'}"
    )


def place(partition: tuple[str, int], offset: int | None = None) -> "TopicPartition":
    """A place in a partition; its beginning where there is no offset."""
    from confluent_kafka import OFFSET_BEGINNING, TopicPartition

    return TopicPartition(*partition, offset or OFFSET_BEGINNING)


def properties(kafka: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a client as the settings give them, secrets and all.

    A value ``env:NAME`` is taken from the environment and ``file:PATH`` from a file (without the
    line end), so that a settings file holds no secret.

    Raises:
        ConfigError: no broker is named; a secret stands in the settings or cannot be found; a
            property is PinText's own business. No message quotes a value.
    """
    if not kafka.get("bootstrap.servers"):
        raise ConfigError(
            "no broker: set bootstrap.servers under [kafka] in the settings, or give "
            "--bootstrap-servers"
        )
    if ours := sorted(_OURS.keys() & kafka.keys()):
        raise ConfigError(f"kafka: {ours[0]!r} cannot be set: {_OURS[ours[0]]}")
    return {name: _resolved(name, value) for name, value in kafka.items()}


def _resolved(name: str, value: Any) -> Any:
    if isinstance(value, str):
        found = from_elsewhere(f"kafka: {name!r}", value)
        if found is not None:
            return found
    if any(part in name for part in _SECRETS):
        raise ConfigError(
            f"kafka: {name!r} is a secret, which does not belong into the settings; "
            "write env:NAME or file:PATH"
        )
    return value
