"""Between sources and store: keep judged events until a commit is due, watch for floods.

A source hands over stretches of events in the order of its positions. What was not committed can be
dropped at any time; the source then goes on from the position that the manifest records.
"""

import gc
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import polars as pl

from pintext.arrays import I64
from pintext.errors import BadEventsError
from pintext.events.form import EVENT_SCHEMA
from pintext.events.judging import Judged
from pintext.events.letters import Letter
from pintext.events.settings import IngestConfig
from pintext.events.store import Source
from pintext.events.writer import Advance, Batch, Committed, StoreWriter

__all__ = ["Intake", "Origin", "few_collections"]

_FULL_BYTES = 256 * 2**20
"""Memory of events and letters that makes a commit due, however few they are."""
_ALARM_FROM = 1_000
"""Events that must have been seen before their bad share can stop a run."""
_ALARM_OVER = 20_000
"""About how many of the latest events the bad share is taken over."""
_REASONS_TOLD = 3
_OBJECTS_A_COLLECTION = 1_000_000


@contextmanager
def few_collections() -> Iterator[None]:
    """Have Python look for unreachable cycles of objects seldom, in the whole process.

    Messages come by the ten thousand and go when their last reference does. To look, for every 700
    of them, whether they point at each other takes a fifth of the time of ingestion.
    """
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS_A_COLLECTION, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Origin(NamedTuple):
    """A source as dead letters name it: a partition of a topic, or a file."""

    topic: str = ""
    partition: int | None = None
    file: str = ""

    @property
    def source(self) -> str:
        """The source's name in the manifest."""
        return f"file:{self.file}" if self.file else f"kafka:{self.topic}:{self.partition}"

    def letter(self, place: int, reason: str, what: str) -> Letter:
        """A letter about what stands at an offset, or is a record, of this source."""
        letter = Letter(reason, what, topic=self.topic, partition=self.partition, file=self.file)
        if self.file:
            letter.record = place
        else:
            letter.offset = place
        return letter


class Intake:
    """Collects judged events for the next commit.

    Args:
        writer: the store.
        config: the settings.

    Attributes:
        pending: events taken since the latest commit began, whatever became of them.
        totals: events by what became of them, committed by this intake.
    """

    def __init__(self, writer: StoreWriter, config: IngestConfig) -> None:
        self.totals: Counter[str] = Counter()
        self._writer = writer
        self._config = config
        self._seen = self._bad = 0.0
        self._thread = ThreadPoolExecutor(1, "pintext-commit")
        self._running: Future[Committed] | None = None
        self.clear()

    def clear(self) -> None:
        """Drop everything of which no commit has begun."""
        self.pending = 0
        self._bytes = 0
        self._since = 0.0
        self._origins: list[Origin] = []
        self._advances: list[Advance] = []
        self._events: list[pl.DataFrame] = []
        self._letters: list[tuple[int, Letter]] = []
        self._ignored: Counter[int] = Counter()

    def stretch(self, origin: Origin, start: int | None) -> int:
        """Begin a stretch of a source; returns its number until the next commit.

        Args:
            origin: the source.
            start: where the store stands; None where the store does not know the source.
        """
        self._origins.append(origin)
        self._advances.append(Advance(origin.source, start, Source(start or 0)))
        return len(self._advances) - 1

    def reached(self, stretch: int, after: Source) -> None:
        """Say where a stretch ends by now."""
        self._advances[stretch] = self._advances[stretch]._replace(after=after)

    def take(self, judged: Judged, stretches: I64, places: I64) -> None:
        """Keep the good events and letters about the bad ones.

        Args:
            judged: the events.
            stretches: (n,) the stretch of each of the n values that they were decoded from.
            places: (n,) their offsets, or numbers of their records.

        Raises:
            BadEventsError: too many of the latest events are bad.
        """
        if not self.pending:
            self._since = time.monotonic()
        self.pending += len(places)
        advance = pl.Series("advance", stretches[judged.good["index"].to_numpy()], pl.UInt32)
        self._events.append(judged.good.drop("index").with_columns(advance))
        self._bytes += int(judged.good.estimated_size()) + sum(map(_size, judged.kept))
        self._ignored.update(stretches[judged.ignored].tolist())
        for reject, event in zip(judged.bad, judged.kept, strict=True):
            stretch, place = int(stretches[reject.row]), int(places[reject.row])
            letter = self._origins[stretch].letter(place, reject.reason, reject.what)
            letter.event = event
            self._letters.append((stretch, letter))
        self._watch(len(places), len(judged.bad))

    @property
    def due(self) -> bool:
        """Whether enough events, or the oldest for long enough, wait for a commit."""
        waited = time.monotonic() - self._since
        return self.full or (self.pending > 0 and waited >= self._config.commit_seconds)

    @property
    def full(self) -> bool:
        """Whether enough events, or large ones, wait for a commit."""
        return self.pending >= self._config.commit_events or self._bytes >= _FULL_BYTES

    def begin_commit(self) -> frozenset[str]:
        """Have what was taken stored in a thread, after what is being stored already.

        Returns:
            What :meth:`settle` returns of the commit before.

        Raises:
            IngestError: the commit before has failed.
        """
        stale = self.settle()
        if self._advances:
            empty = pl.DataFrame(schema={**EVENT_SCHEMA, "task": pl.String, "advance": pl.UInt32})
            events = pl.concat([empty, *self._events])
            batch = Batch(events, self._letters, self._advances, self._ignored)
            self._running = self._thread.submit(self._writer.commit, batch)
            self.clear()
        return stale

    def settle(self) -> frozenset[str]:
        """Wait until nothing is being stored any more.

        Returns:
            Sources whose stretch somebody else had stored; nothing of it was taken.

        Raises:
            IngestError: it could not be stored.
        """
        if self._running is None:
            return frozenset()
        running, self._running = self._running, None
        committed = running.result()
        self.totals += committed.counts
        return committed.stale

    @property
    def settled(self) -> bool:
        """Whether :meth:`settle` would not have to wait."""
        return self._running is None or self._running.done()

    def close(self) -> None:
        """Wait for what is being stored, and forget the rest."""
        self.clear()
        self._thread.shutdown()
        self._running = None

    def refuse_all_bad(self) -> None:
        """Raise if the store never had a good event: the settings are wrong, not the events."""
        stored = self._writer.manifest.counts.get("stored", 0)
        if not stored and self._seen and self._seen == self._bad:
            seen = round(self._seen)
            which = (
                "the only event so far is"
                if seen == 1
                else f"all of the latest {seen:,} events are"
            )
            raise self._alarm(which, "")

    def _watch(self, seen: int, bad: int) -> None:
        """Raise when too many of the latest events are bad."""
        self._seen += seen
        self._bad += bad
        share = self._bad / max(self._seen, 1)
        if self._seen >= _ALARM_FROM and share > self._config.max_bad_share:
            which = f"{share:.0%} of the latest {self._seen:,.0f} events are"
            raise self._alarm(which, "; or allow more (--max-bad-share)")
        if self._seen > _ALARM_OVER:
            self._seen, self._bad = self._seen / 2, self._bad / 2

    def _alarm(self, which: str, instead: str) -> BadEventsError:
        reasons = Counter(f"{it.reason} {it.what}".strip() for _, it in self._letters)
        most = reasons.most_common(_REASONS_TOLD)
        told = [f"{count:,} x {reason}" for reason, count in most]
        if others := reasons.total() - sum(count for _, count in most):
            told.append(f"{others:,} x other reasons")
        if self._letters:
            told.append(f"the first in {self._letters[0][1].place}")
        return BadEventsError(
            f"{which} bad ({'; '.join(told)})",
            f"Nothing was stored of the {self.pending:,} since the latest commit. "
            f"Mend the settings or the source and start again{instead}",
        )


def _size(event: Mapping[str, Any] | None) -> int:
    """About the memory that what a letter keeps of an event takes."""
    return 1_000 + sum(len(str(value)) for value in (event or {}).values())
