"""Messages to a topic of Kafka, each acknowledged by the broker."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pintext.errors import ConfigError, IngestError, MissingExtraError
from pintext.events.kafka_client import REACH_SECONDS, partitions_of, properties, quiet_log

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

__all__ = ["Sender"]

_FLUSH_SECONDS = 60.0
_DEFAULTS: dict[str, Any] = {
    "linger.ms": 50,
    "message.timeout.ms": 60_000,
    "queue.buffering.max.messages": 200_000,
}


class Sender:
    """Sends messages; leaving the context waits until the broker has all of them.

    Args:
        kafka: properties of the client, as in the settings.
        topic: must exist.

    Attributes:
        sent: how many were handed to the client.

    Raises:
        ConfigError: no broker is named, or a property cannot be used.
        IngestError: the broker does not answer or has no such topic.
        MissingExtraError: the package confluent-kafka is not installed.
    """

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        try:
            from confluent_kafka import KafkaException, Producer
        except ImportError:
            raise MissingExtraError("confluent-kafka", "kafka") from None
        self.sent = 0
        self._topic = topic
        self._failed: str = ""
        ours = {"delivery.report.only.error": True, "on_delivery": self._refused}
        try:
            self._producer = Producer(_DEFAULTS | properties(kafka) | ours, logger=quiet_log())
        except KafkaException as error:
            raise ConfigError(f"kafka: {error.args[0].str()}") from None
        self._partitions = partitions_of(self._producer, topic)

    def send(self, values: Sequence[bytes]) -> None:
        """Hand messages to the client; waits while its queue is full.

        Raises:
            IngestError: the broker did not take a message.
        """
        for value in values:
            while True:
                try:
                    self._producer.produce(
                        self._topic, value, partition=self.sent % self._partitions
                    )
                    break
                except BufferError:
                    self._producer.poll(0.1)
                    self._check()
            self.sent += 1
        self._producer.poll(0)
        self._check()

    def _refused(self, error: "KafkaError | None", _message: "Message") -> None:
        if error is not None:
            self._failed = error.str()

    def _check(self) -> None:
        if self._failed:
            raise IngestError(f"topic {self._topic!r}: a message was not taken: {self._failed}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        left = self._producer.flush(_FLUSH_SECONDS if kind is None else REACH_SECONDS)
        del self._producer  # it refers to this object, and would go on living
        if kind is None:
            self._check()
            if left:
                raise IngestError(
                    f"topic {self._topic!r}: the broker did not take the last {left:,} messages"
                )
