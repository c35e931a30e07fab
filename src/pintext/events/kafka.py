"""Kafka into the store, each message once.

The manifest of the store records the offset up to which each partition is stored, in the same step
as the events, and it alone decides: a partition that is assigned is read from there. The offsets
that the group has at the broker follow, for those who watch the lag.

A rebalance takes all partitions away: what was taken of them is committed first, or dropped if they
are lost already. Which of two ingesters a partition belongs to is of no consequence for what is
stored, because a commit must go on where the store stands (:mod:`pintext.events.writer`).
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from pintext.arrays import I64
from pintext.errors import IngestError
from pintext.events.decode import ValueDecoder
from pintext.events.intake import Intake, Origin, few_collections
from pintext.events.judging import sort_out
from pintext.events.kafka_client import REACH_SECONDS, check_topics, connect, place
from pintext.events.progress import Callback, Reporter
from pintext.events.settings import IngestConfig
from pintext.events.store import Manifest, Source
from pintext.events.writer import StoreWriter

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

__all__ = ["KafkaIngester"]

_MESSAGES = 50_000  # columns cost as much for few events as for ten thousand
_WAIT = 0.2
_LATE_SECONDS = 5.0
_QUIET_SECONDS = 10.0
_NOBODYS = np.iinfo(np.int64).max
"""Lowest offset to take of a partition that is not assigned: none is."""

Partition = tuple[str, int]


class KafkaIngester:
    """Reads topics into a store.

    Args:
        writer: the store.
        config: the settings; ``kafka`` names the broker.
        topics: what to read.
        until_end: stop when everything that the broker has is stored.
        from_oldest: where the broker no longer has the message that the store goes on with, go on
            with its oldest one, instead of stopping.
        callback: told of the progress about every second.
        stopping: asked often; true ends the run after a commit.

    Raises:
        ConfigError: a property of the client cannot be used.
        MissingExtraError: the package confluent-kafka is not installed.
    """

    def __init__(
        self,
        writer: StoreWriter,
        config: IngestConfig,
        topics: Sequence[str],
        *,
        until_end: bool = False,
        from_oldest: bool = False,
        callback: Callback | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._writer = writer
        self._config = config
        self._topics = list(topics)
        self._until_end = until_end
        self._from_oldest = from_oldest
        self._stopping = stopping
        self._intake = Intake(writer, config)
        self._reporter = Reporter(callback, self._intake.totals)
        self._decoders = {
            topic: ValueDecoder(config.topics.get(topic, config.mapping)) for topic in topics
        }
        self._assigned: list[Partition] | None = None
        self._stored: dict[Partition, int | None] = {}  # where the store stood when reading began
        self._next: dict[str, I64] = {}  # of a topic, by partition: the lowest offset to take
        self._stretches: dict[Partition, int] = {}  # numbers since the latest commit
        self._promised: dict[Partition, int] = {}  # next offsets, once the commit under way is done
        self._at_end: set[Partition] = set()
        self._from_start: set[Partition] = set()  # whatever the store says
        self._out_of_range: dict[Partition, float] = {}  # since when
        self._moved = False  # partitions came or went in the latest call of the client
        self._overtaken = False  # somebody else has stored what was taken here
        self._failure: IngestError | None = None
        self._complained = -math.inf
        self._consumer = connect(config, config.group, self._hear, tell_ends=until_end)

    @few_collections()
    def run(self) -> Counter[str]:
        """Read until told to stop; returns events by what became of them.

        Raises:
            IngestError: the store cannot be written, the broker refuses, a topic does not exist, or
                messages that were never stored are gone from the broker.
            BadEventsError: too many events are bad.
        """
        try:
            if (trouble := check_topics(self._consumer, self._topics)) is not None:
                self._reporter.note(f"no broker answers yet ({trouble}); still trying")
            self._consumer.subscribe(
                self._topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
            )
            while not self._stopping():
                self._step()
                if self._until_end and self._ended():
                    self._commit(wait=True)
                    if not self._overtaken:
                        break
            self._commit(wait=True)
        finally:
            # Closing revokes the partitions; after a failure nothing more may be committed.
            self._clear()
            self._intake.close()
            self._consumer.close()
        self._reporter.report(lambda: None, now=True)
        return self._intake.totals

    def _step(self) -> None:
        from confluent_kafka import Message

        messages = self._consumer.consume(_MESSAGES, _WAIT)
        if self._failure is not None:
            raise self._failure
        if self._overtaken or (self._moved and messages):
            # Some of these may be from before the move, in front of a gap. Read again.
            self._go_on()
            return
        self._moved = False
        good, others = messages, []
        if any(map(Message.error, messages)):
            good = [message for message in messages if message.error() is None]
            others = [message for message in messages if message.error() is not None]
        topics = set(map(Message.topic, good))
        for topic in topics:
            of_topic = (message for message in good if message.topic() == topic)
            self._take(topic or "", good if len(topics) == 1 else list(of_topic))
        for message in others:
            self._heed(message)
        if self._intake.due:
            self._commit()
        elif self._intake.settled:
            self._settle()
        self._reporter.report(self._lag)

    def _take(self, topic: str, messages: list["Message"]) -> None:
        """Hand messages of one topic to the intake, except those that were taken before."""
        from confluent_kafka import Message

        # Unbound methods: nothing is interpreted for each message.
        lowest = self._next[topic]
        partitions = np.array(list(map(Message.partition, messages)), np.int64)
        offsets = np.array(list(map(Message.offset, messages)), np.int64)
        values = list(map(Message.value, messages))
        new = offsets >= lowest[partitions]
        if not new.all():
            values = [value for value, is_new in zip(values, new, strict=True) if is_new]
            partitions, offsets = partitions[new], offsets[new]
        np.maximum.at(lowest, partitions, offsets + 1)
        number = np.zeros(len(lowest), np.int64)
        present = np.unique(partitions).tolist()
        for partition in present:
            number[partition] = self._stretch((topic, partition))
            self._at_end.discard((topic, partition))
        judged = sort_out(self._decoders[topic].decode(values), self._config)
        self._reporter.taken += len(values)
        self._intake.take(judged, number[partitions], offsets)
        for partition in present:
            self._intake.reached(number[partition], Source(int(lowest[partition])))

    def _stretch(self, partition: Partition) -> int:
        """The number of a partition's stretch; begins it if there is none since the commit.

        Where it starts is what this ingester knows of the store from when it began to read there,
        never what the store says now: in between lie events that somebody else has stored.
        """
        if partition not in self._stretches:
            start = self._stored[partition]
            self._stretches[partition] = self._intake.stretch(Origin(*partition), start)
        return self._stretches[partition]

    def _commit(self, *, wait: bool = False) -> None:
        """Begin to store what was taken."""
        stale = self._intake.begin_commit()
        told = self._promised
        self._promised = {
            (topic, partition): int(self._next[topic][partition])
            for topic, partition in self._stretches
        }
        self._stored.update(self._promised)
        self._from_start -= self._promised.keys()
        self._stretches.clear()
        self._tell_group(told, stale)
        if wait:
            self._settle()

    def _settle(self) -> None:
        """Wait until nothing is being stored any more."""
        told, self._promised = self._promised, {}
        self._tell_group(told, self._intake.settle())

    def _tell_group(self, stored: dict[Partition, int], stale: frozenset[str]) -> None:
        """Let the group's offsets follow the store; nothing depends on it."""
        self._overtaken |= bool(stale)
        offsets = [
            place(partition, offset)
            for partition, offset in stored.items()
            if Origin(*partition).source not in stale
        ]
        if offsets:
            with suppress(Exception):
                self._consumer.commit(offsets=offsets, asynchronous=True)

    def _clear(self) -> None:
        self._intake.clear()
        self._stretches.clear()
        self._promised.clear()

    # --- partitions come and go -------------------------------------------------------------------

    def _assign(self, _consumer: "Consumer", partitions: list["TopicPartition"]) -> None:
        self._assigned = [(at.topic, at.partition) for at in partitions]
        self._go_on()
        self._moved = True

    def _revoke(self, _consumer: "Consumer", _partitions: list["TopicPartition"]) -> None:
        self._commit(wait=True)
        self._lose(_consumer, _partitions)

    def _lose(self, _consumer: "Consumer", _partitions: list["TopicPartition"]) -> None:
        self._clear()
        self._intake.settle()
        self._assigned = []
        self._stored.clear()
        self._next = {}
        self._moved = True
        self._consumer.unassign()

    def _go_on(self) -> None:
        """Read the assigned partitions from where the store stands."""
        self._clear()
        self._intake.settle()
        self._moved = self._overtaken = False
        manifest = Manifest.read(self._writer.folder) or Manifest()
        self._stored = {}
        for partition in self._assigned or []:
            source = manifest.sources.get(Origin(*partition).source)
            self._stored[partition] = None if source is None else source.position
        self._next = {}
        for topic in {topic for topic, _ in self._stored}:
            numbers = [number for name, number in self._stored if name == topic]
            self._next[topic] = np.full(max(numbers) + 1, _NOBODYS)
            for number in numbers:
                known = (topic, number) not in self._from_start
                self._next[topic][number] = (self._stored[topic, number] or 0) if known else 0
        self._at_end.clear()
        self._consumer.assign([place(at, int(self._next[at[0]][at[1]])) for at in self._stored])

    def _ended(self) -> bool:
        """Whether everything that the broker has of the assigned partitions was taken."""
        known = self._assigned is not None and not (self._moved or self._overtaken)
        return known and self._at_end >= set(self._assigned or ())

    def _lag(self) -> int | None:
        lag = 0
        for topic, partition in self._stored:
            marks = self._consumer.get_watermark_offsets(place((topic, partition)), cached=True)
            if marks is None or marks[1] < 0:
                return None
            lag += max(marks[1] - int(self._next[topic][partition]), 0)
        return lag

    # --- the client and its troubles --------------------------------------------------------------

    def _hear(self, error: "KafkaError") -> None:
        """The client's own troubles: most pass, for it tries again for ever."""
        from confluent_kafka import KafkaError

        refused = (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED)
        if error.fatal() or error.code() in refused:
            self._failure = IngestError(f"kafka: {error.str()}")
        else:
            self._complain(error)

    def _complain(self, error: "KafkaError") -> None:
        """Tell of a trouble that passes, but not of each attempt to get over it."""
        if time.monotonic() - self._complained > _QUIET_SECONDS:
            self._complained = time.monotonic()
            self._reporter.note(f"kafka: {error.str()}; still trying")

    def _heed(self, message: "Message") -> None:
        """What the client says of a partition, in place of a message."""
        from confluent_kafka import KafkaError

        error, partition = message.error(), (message.topic() or "", message.partition() or 0)
        if error is None:
            return
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._at_end.add(partition)
        elif code == KafkaError._AUTO_OFFSET_RESET:
            self._gone(partition)
        elif error.retriable() or code == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._complain(error)
        else:
            raise IngestError(f"kafka: {error.str()}")

    def _gone(self, partition: Partition) -> None:
        """The broker does not have the message that a partition goes on with."""
        from confluent_kafka import KafkaException

        self._commit(wait=True)
        at = int(self._next[partition[0]][partition[1]])
        since = self._out_of_range.setdefault(partition, time.monotonic())
        try:
            low, high = self._consumer.get_watermark_offsets(
                place(partition), timeout=REACH_SECONDS
            )
        except KafkaException:
            low, high = 0, at  # the broker went away meanwhile; it will be asked again
        # A broker that has just started may not know yet how far its partitions reach.
        patient = time.monotonic() - since < _LATE_SECONDS
        if not (low <= at <= high or (at > high and patient)):
            if not self._from_oldest:
                raise IngestError(
                    f"topic {partition[0]!r}, partition {partition[1]}: the store goes on at "
                    f"offset {at:,}, but the broker has {low:,} to {high:,}: messages were deleted "
                    "before they were stored, or the topic was made anew. To go on with what is "
                    "there: --from-oldest"
                )
            self._reporter.note(f"{partition[0]}[{partition[1]}]: from offset {low:,}, not {at:,}")
            self._from_start.add(partition)
        else:
            if at <= high:
                del self._out_of_range[partition]
            time.sleep(_WAIT)
        self._go_on()
