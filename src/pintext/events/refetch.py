"""Single messages of Kafka, fetched again by their offsets."""

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pintext.errors import IngestError
from pintext.events.kafka_client import connect, place
from pintext.events.settings import IngestConfig

if TYPE_CHECKING:
    from confluent_kafka import Consumer

__all__ = ["fetch_messages"]

_PATIENCE_SECONDS = 20.0
_FAR = 20_000
_WAIT = 0.5

Place = tuple[str, int, int]


def fetch_messages(config: IngestConfig, places: Iterable[Place]) -> dict[Place, bytes | None]:
    """Fetch messages by topic, partition and offset, one partition after the other.

    Neighbours are read in one go, across gaps of up to 20,000 messages.

    Args:
        config: names the broker.
        places: what to fetch.

    Returns:
        The values of those that are still there; None is an empty message.

    Raises:
        IngestError: the broker does not answer for twenty seconds.
    """
    offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
    for topic, partition, offset in places:
        offsets[topic, partition].append(offset)
    consumer = connect(config, f"{config.group}-replay", lambda _: None, tell_ends=True)
    found: dict[Place, bytes | None] = {}
    try:
        for (topic, partition), wanted in offsets.items():
            for run in _runs(sorted(wanted)):
                values = _read(consumer, topic, partition, run)
                found |= {(topic, partition, at): values[at] for at in run if at in values}
    finally:
        consumer.close()
    return found


def _runs(offsets: list[int]) -> Iterable[list[int]]:
    """Sorted offsets in runs without large gaps."""
    run = offsets[:1]
    for offset in offsets[1:]:
        if offset - run[-1] > _FAR:
            yield run
            run = []
        run.append(offset)
    yield run


def _read(
    consumer: "Consumer", topic: str, partition: int, run: list[int]
) -> dict[int, bytes | None]:
    """The values of one stretch of a partition by offset, as far as the broker has it."""
    from confluent_kafka import KafkaError

    consumer.assign([place((topic, partition), run[0])])
    wanted = set(run)
    values: dict[int, bytes | None] = {}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for message in consumer.consume(_FAR, _WAIT):
            deadline = time.monotonic() + _PATIENCE_SECONDS
            error, offset = message.error(), message.offset()
            if error is None and offset is not None:
                if offset in wanted:
                    values[offset] = message.value()
                if offset >= run[-1]:
                    return values
            elif error is not None and error.code() == KafkaError._AUTO_OFFSET_RESET:
                low, high = consumer.get_watermark_offsets(place((topic, partition)))
                if not run[0] < low <= run[-1] < high:
                    return values
                consumer.assign([place((topic, partition), low)])
            elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                return values
    raise IngestError(f"the broker sent nothing of topic {topic!r} for {_PATIENCE_SECONDS:.0f} s")
