"""Dead letters tried again, after the settings or the letters themselves were mended.

The fields that a letter has kept are judged first, for a person may have mended them there. Where
they still will not do, the event is fetched once more from where it came from, if it is still
there: a field that goes by another name than the settings said is not in the letter.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec
import polars as pl

from pintext.errors import DataError
from pintext.events.decode import Raw, ValueDecoder
from pintext.events.form import EVENT_SCHEMA
from pintext.events.judging import sort_out
from pintext.events.letters import Letter, read_letters
from pintext.events.progress import Callback, Reporter
from pintext.events.reader import read_events
from pintext.events.refetch import fetch_messages
from pintext.events.settings import IngestConfig
from pintext.events.writer import Batch, StoreWriter

__all__ = ["replay_letters"]


def replay_letters(
    writer: StoreWriter, config: IngestConfig, *, callback: Callback | None = None
) -> Counter[str]:
    """Try every dead letter of a store again.

    Those that are good now become events; the others stay, with the reason of today.

    Args:
        writer: the store.
        config: the settings of today; with a broker, messages are fetched from there.
        callback: told of the progress.

    Returns:
        ``replayed`` letters, and what became of the good ones.

    Raises:
        DataError: a file of letters was mended into something that is none.
        IngestError: the store cannot be written.
    """
    totals: Counter[str] = Counter()
    reporter = Reporter(callback, totals)
    for entry in list(writer.manifest.dead_letters):
        letters = read_letters(writer.folder / entry.name)
        batch = _answer(letters, config, reporter)
        batch.answered = entry.name
        totals += writer.commit(batch).counts
        totals["replayed"] += len(letters)
        reporter.taken += len(letters)
        reporter.report(lambda: None)
    return totals


def _answer(letters: list[Letter], config: IngestConfig, reporter: Reporter) -> Batch:
    """Judge letters by what they have kept, then by what their source has."""
    answers = _Answers(letters, config)
    kept = {n: letter.event for n, letter in answers.left.items() if letter.event is not None}
    for topic, numbers in answers.by_topic(kept).items():
        values = [msgspec.json.encode(kept[number]) for number in numbers]
        answers.settle(dict(enumerate(numbers)), _decoder(config, topic).decode(values))
    found = _from_kafka(answers.left, config, reporter)
    for topic, numbers in answers.by_topic(found).items():
        messages = [found[number] for number in numbers]
        answers.settle(dict(enumerate(numbers)), _decoder(config, topic).decode(messages))
    for path, records in answers.by_file().items():
        try:
            for events in read_events(Path(path), config.mapping):
                wanted = {
                    index: records[record]
                    for index, record in enumerate(events.records.tolist())
                    if record in records
                }
                answers.settle(wanted, _only(events.raw, wanted))
        except DataError as error:
            reporter.note(f"{error}; its dead letters stay")
    empty = pl.DataFrame(schema={**EVENT_SCHEMA, "task": pl.String, "advance": pl.UInt32})
    return Batch(
        pl.concat([empty, *answers.good]), [(0, letter) for letter in answers.left.values()]
    )


class _Answers:
    """Letters by number, as long as they are not answered, and the events that answer others."""

    def __init__(self, letters: list[Letter], config: IngestConfig) -> None:
        self.left = dict(enumerate(letters))
        self.good: list[pl.DataFrame] = []
        self._config = config

    def settle(self, numbers: Mapping[int, int], raw: Raw) -> None:
        """Judge events; ``numbers`` gives the letter that the event of an index stands for."""
        judged = sort_out(raw, self._config)
        self.good.append(judged.good.drop("index").with_columns(advance=pl.lit(0, pl.UInt32)))
        refused = {numbers[reject.row]: reject for reject in judged.bad}
        for number in numbers.values():
            if number in refused:
                letter = self.left[number]
                letter.reason, letter.what = refused[number].reason, refused[number].what
            else:
                del self.left[number]

    def by_topic(self, numbers: Iterable[int]) -> dict[str, list[int]]:
        """Numbers of letters by their topic; those about files have none."""
        groups: dict[str, list[int]] = defaultdict(list)
        for number in numbers:
            groups[self.left[number].topic].append(number)
        return groups

    def by_file(self) -> dict[str, dict[int, int]]:
        """Of each file, the numbers of the letters by the records that they are about."""
        groups: dict[str, dict[int, int]] = defaultdict(dict)
        for number, letter in self.left.items():
            if letter.file and letter.record is not None:
                groups[letter.file][letter.record] = number
        return groups


def _from_kafka(
    left: Mapping[int, Letter], config: IngestConfig, reporter: Reporter
) -> dict[int, bytes | None]:
    """The messages that letters are about, by the letters' numbers, as far as they are found."""
    places = {
        (letter.topic, letter.partition, letter.offset): number
        for number, letter in left.items()
        if letter.partition is not None and letter.offset is not None
    }
    if not places or not config.kafka:
        return {}
    found = fetch_messages(config, sorted(places))
    if missing := len(places) - len(found):
        reporter.note(f"{missing:,} messages are not at the broker any more; their letters stay")
    return {places[place]: value for place, value in found.items()}


def _decoder(config: IngestConfig, topic: str) -> ValueDecoder:
    return ValueDecoder(config.topics.get(topic, config.mapping))


def _only(raw: Raw, wanted: Collection[int]) -> Raw:
    """The events with certain indices."""
    return raw._replace(
        frame=raw.frame.filter(pl.col("index").is_in(list(wanted))),
        rejects=[reject for reject in raw.rejects if reject.row in wanted],
    )
