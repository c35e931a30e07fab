"""From events and catalogues to a folder of pairs: the steps in their order."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from pintext.errors import BadEventsError, DataError
from pintext.events.folder import FileIngester
from pintext.events.settings import IngestConfig
from pintext.events.store import MANIFEST as STORE_MANIFEST
from pintext.events.store import EventStore
from pintext.events.writer import StoreWriter
from pintext.files import escaped, new_folder
from pintext.pairing.catalogue import CatalogueEntry, find_files, open_catalogue
from pintext.pairing.engine import DuckDB, Engine, EngineMaker, duckdb_engine
from pintext.pairing.folder import (
    MANIFEST,
    NEGATIVES,
    SUMMARY,
    WORK,
    Date,
    Manifest,
    TallyEntry,
    dates_of,
    link,
    locked,
    names_in,
    put_once,
    sync_all,
    tally_folder,
)
from pintext.pairing.progress import Callback, PairsProgress
from pintext.pairing.rules import NEGATIVES_OF_TASK, PAIRS_OF_TASK, apply_rules
from pintext.pairing.settings import CatalogueConfig, PairsConfig
from pintext.pairing.summary import Summary, TaskSummary, summarize_events, summarize_task, warnings
from pintext.pairing.tally import TALLY_SETTINGS, tally_dates
from pintext.text import TEXT_RULES

__all__ = ["make_pairs"]

_BATCH_EVENTS = 5_000_000


def make_pairs(
    events: str | Path | Sequence[str | Path],
    out: str | Path,
    config: PairsConfig | None = None,
    *,
    pins: str | Path,
    interests: str | Path | None = None,
    update: bool = False,
    overwrite: bool = False,
    memory_gb: float = 2.0,
    threads: int = 0,
    engine: EngineMaker | None = None,
    callback: Callback | None = None,
) -> Summary:
    """Make positive pairs and known negatives of engagement events.

    Args:
        events: an event store, or files of events in the event form, which are stored first.
        out: the folder to make; it appears complete or not at all.
        config: the rules.
        pins: the catalogue of pins, a file or a folder.
        interests: the catalogue of interests, where a task's ``query_id`` names one.
        update: ``out`` may be there already; of events that it was made of only the tallies are
            read. The result is that of making it anew.
        overwrite: replace pairs that are there.
        memory_gb: memory for the joins; what does not fit goes to the disk beside ``out``.
        threads: 0 is all cores.
        engine: what does the joins; DuckDB in this process, within the memory and threads above,
            where none is given.
        callback: told of the progress.

    Returns:
        The figures, which are in ``out`` as well.

    Raises:
        DataError: events or a catalogue cannot be used, or the disk refuses.
        LockedError: another process makes the same pairs.
        MissingExtraError: DuckDB is not installed.
    """
    return _Making(Path(out), config or PairsConfig(), callback or (lambda _: None)).run(
        [Path(one) for one in ([events] if isinstance(events, str | Path) else events)],
        {"pins": Path(pins)} | ({"interests": Path(interests)} if interests else {}),
        update=update,
        overwrite=overwrite,
        engine=engine or partial(duckdb_engine, memory_gb=memory_gb, threads=threads),
    )


class _Making:
    """One run of :func:`make_pairs`."""

    def __init__(self, out: Path, config: PairsConfig, tell: Callback) -> None:
        self._out = out
        self._config = config
        self._tell = tell

    def run(
        self,
        events: list[Path],
        catalogues: dict[str, Path],
        *,
        update: bool,
        overwrite: bool,
        engine: EngineMaker,
    ) -> Summary:
        replace = update or overwrite
        files = {name: find_files(path) for name, path in catalogues.items()}
        with ExitStack() as stack:
            stack.enter_context(locked(self._out, replace=replace))
            old = Manifest.read(self._out) if update else None
            made = stack.enter_context(
                new_folder(self._out, DataError, names_in(self._out), overwrite=replace)
            )
            work = made / WORK
            work.mkdir()
            store, refused = self._store(events, work, update=update)
            with engine(work / "spill") as joins:
                tallies = self._tally(joins, store, made, old, events)
                entries = self._catalogues(joins, files, work)
                tasks = self._tasks(joins, tallies, entries, made)
            summary = Summary(tasks, entries, warnings(tasks, entries, store.simulated), refused)
            manifest = Manifest(
                text_rules=TEXT_RULES,
                settings=self._config.to_dict(),
                events_format=store.manifest.format_version,
                generation=store.generation,
                tallies=tallies,
                catalogues=entries,
            )
            for name, content in ((SUMMARY, summary), (MANIFEST, manifest)):
                encoded = msgspec.json.format(msgspec.json.encode(content), indent=1)
                (made / name).write_bytes(encoded + b"\n")
            shutil.rmtree(work)
            sync_all(made)
        return summary

    def _store(
        self, events: list[Path], work: Path, *, update: bool
    ) -> tuple[EventStore, dict[str, int]]:
        """The store to read, and dead letters by reason where it was made of files just now."""
        if len(events) == 1 and (events[0] / STORE_MANIFEST).exists():
            return EventStore(events[0]), {}
        if update:
            raise DataError(
                f"{events[0]}: no event store, which an update needs; pintext ingest makes one"
            )
        if (events[0] / "model.safetensors").exists():
            raise DataError(
                f"{events[0]}: a model; expected a store of events, which pintext ingest makes, "
                "or files of events"
            )
        folder = work / "events"
        ingest = IngestConfig(tasks=self._config.tasks) if self._config.tasks else IngestConfig()
        ingester = FileIngester(
            StoreWriter(folder, ingest),
            ingest,
            events,
            callback=lambda p: self._tell(PairsProgress("files", p.taken, 0, "")),
        )
        try:
            counts = ingester.run()
        except BadEventsError as error:
            raise BadEventsError(
                error.found,
                "Mend them; or store them with pintext ingest, whose settings say how events are "
                "read and how many may be bad, and give that store",
            ) from None
        dead = {
            name.removeprefix("dead_"): number
            for name, number in sorted(counts.items())
            if name.startswith("dead_") and number
        }
        return EventStore(folder), dead

    def _tally(
        self,
        joins: Engine,
        store: EventStore,
        made: Path,
        old: Manifest | None,
        events: list[Path],
    ) -> list[TallyEntry]:
        """Tally the dates that are new or have changed; take over the others."""
        dates = dates_of(store, self._config.tasks)
        if not dates:
            raise DataError(f"{events[0]}: no events{self._of_tasks()}; nothing to make pairs of")
        usable = self._usable(old, store)
        entries: list[TallyEntry] = []
        new: list[Date] = []
        for date in dates:
            place = (date.task, date.date)
            entry, tally = usable.get(place), tally_folder(self._out, *place)
            if entry and entry.holds(date) and tally.exists():
                entries.append(entry.renamed(date))
                link(tally, tally_folder(made, *place))
            else:
                new.append(date)
        done, total = 0, sum(date.rows for date in new)
        batches = list(_batches(new))
        for batch, tallied in zip(
            batches, joins.each(partial(_tally_batch, made, self._config), batches), strict=True
        ):
            entries += tallied
            done += sum(date.rows for date in batch)
            self._tell(PairsProgress("events", done, total, f"{batch[-1].task} {batch[-1].date}"))
        return sorted(entries, key=lambda entry: (entry.task, entry.date))

    def _of_tasks(self) -> str:
        return f" of {', '.join(self._config.tasks)}" if self._config.tasks else ""

    def _usable(self, old: Manifest | None, store: EventStore) -> dict[tuple[str, str], TallyEntry]:
        """The tallies of an earlier run, if they were made by the same rules of the same store."""
        if old is None or old.text_rules != TEXT_RULES or old.generation > store.generation:
            return {}
        now = self._config.to_dict()
        if any(old.settings.get(name) != now[name] for name in TALLY_SETTINGS):
            return {}
        return {(entry.task, entry.date): entry for entry in old.tallies}

    def _catalogues(
        self, joins: Engine, files: dict[str, list[Path]], work: Path
    ) -> dict[str, CatalogueEntry]:
        """Make the texts of the catalogues; each is then a view of its name."""
        entries = {}
        for number, (name, found) in enumerate(files.items()):
            self._tell(PairsProgress("catalogues", number, len(files), name))
            config: CatalogueConfig = getattr(self._config, name)
            entries[name] = open_catalogue(joins, name, found, work / name, config)
        return entries

    def _tasks(
        self,
        joins: Engine,
        tallies: list[TallyEntry],
        catalogues: dict[str, CatalogueEntry],
        made: Path,
    ) -> dict[str, TaskSummary]:
        """Apply the rules to each task; write its pairs and negatives."""
        names = sorted({entry.task for entry in tallies})
        joins.view("pin_text", "SELECT * FROM pins")
        summaries = {}
        for number, task in enumerate(names):
            self._tell(PairsProgress("tasks", number, len(names), task))
            mine = [entry for entry in tallies if entry.task == task]
            source = self._config.query_from.get(task, "pins")
            paths = [
                file
                for entry in mine
                for file in sorted(tally_folder(made, task, entry.date).glob("*.parquet"))
            ]
            counts = [entry.counts for entry in mine]
            if not paths:
                summaries[task] = summarize_events(counts)
                continue
            self._know_queries(joins, task, paths, source if source in catalogues else "")
            apply_rules(joins, task, paths, self._config)
            summaries[task] = found = summarize_task(joins, counts, catalogues["pins"].entries)
            for rows, query, folder in (
                (found.pairs, PAIRS_OF_TASK, made),
                (found.negatives, NEGATIVES_OF_TASK, made / NEGATIVES),
            ):
                if rows:  # a task without pairs is none to train on
                    joins.write(query, folder / f"task={escaped(task)}")
        return summaries

    def _know_queries(self, joins: Engine, task: str, paths: list[Path], source: str) -> None:
        """Let ``query_text`` be the catalogue that queries name; nothing where none names one.

        Raises:
            DataError: some do, and the catalogue was not given.
        """
        joins.files("tally", paths)
        if not joins.rows("SELECT 1 FROM tally WHERE NOT typed LIMIT 1"):
            joins.view("query_text", "SELECT * FROM pins WHERE false")
        elif source:
            joins.view("query_text", f"SELECT * FROM {source}")  # noqa: S608 - a name of ours
        else:
            raise DataError(
                f"task {task!r} has events with a query_id, which names an entry of the interests; "
                f"give that catalogue (--interests), or set query_from.{task} = 'pins'"
            )


def _batches(dates: list[Date]) -> Iterator[list[Date]]:
    """Dates of one task that are tallied together, so that many small ones cost little."""
    batch: list[Date] = []
    for date in dates:
        rows = sum(one.rows for one in batch)
        if batch and (batch[0].task != date.task or rows + date.rows > _BATCH_EVENTS):
            yield batch
            batch = []
        batch.append(date)
    if batch:
        yield batch


def _tally_batch(
    made: Path, config: PairsConfig, engine: DuckDB, batch: list[Date]
) -> list[TallyEntry]:
    """Tally some dates; where it was done before, or is being done, nothing else comes out."""
    files = [file for date in batch for file in date.files]
    with TemporaryDirectory(dir=made / WORK) as temporary:
        counts = tally_dates(engine, files, Path(temporary), config)
        for date in batch:
            tallied = Path(temporary, "tallies", f"date={date.date}")
            place = tally_folder(made, date.task, date.date)
            place.parent.mkdir(parents=True, exist_ok=True)
            if tallied.exists():
                put_once(tallied, place)
    return [
        TallyEntry(d.task, d.date, d.rows, d.latest, d.names, d.digest, counts.get(d.date, {}))
        for d in batch
    ]
