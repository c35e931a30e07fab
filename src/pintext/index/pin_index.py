"""The index of pins: build, open, search, change."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Self

import msgspec
import numpy as np

from pintext import model_folder
from pintext.arrays import F32, I32
from pintext.errors import ModelMismatchError, PinIndexError
from pintext.files import new_folder
from pintext.index import searching, writing
from pintext.index.asking import Asked, Searchable
from pintext.index.building import Callback, Source, nobody
from pintext.index.hits import Explanation, Hits
from pintext.index.lock import locked
from pintext.index.making import frames_for, make_generation, renew_generation, shard_frames
from pintext.index.manifest import MODEL, Manifest, Retrieval, replaceable
from pintext.index.opening import open_latest
from pintext.index.pins import Columns, Pins, find_columns, listed, name_of, pin_frames
from pintext.index.queries import Queries
from pintext.index.searching import EVERYTHING, unit
from pintext.index.settings import IndexConfig
from pintext.index.snapshot import Snapshot
from pintext.index.stored import document, text_of
from pintext.model import PinTextModel
from pintext.text import split
from pintext.tokens import TokenScheme

__all__ = ["PinIndex"]


class PinIndex(Searchable):
    """Pins that are found by what they mean, by their words, or by both.

    An object shows the state after one commit until :meth:`reload`. Any number of threads may
    search at once, and any number of processes have it open; one at a time may write.

    Attributes:
        folder: of the index.
        model: whose vectors are in it.
    """

    def __init__(self, folder: Path, model: PinTextModel | None, verify: bool) -> None:
        """For :meth:`build` and :meth:`open`."""
        self.folder = folder
        self._verify = verify
        self._given = model
        self._opened = open_latest(folder, None, verify=verify)
        self.model = self._model(self._opened.snapshot.manifest)
        self._writing = Lock()

    @classmethod
    def build(
        cls,
        pins: Pins,
        model: PinTextModel,
        out: str | Path,
        *,
        config: IndexConfig | None = None,
        overwrite: bool = False,
        shard: tuple[int, int] | None = None,
        tokens: "PinIndex | None" = None,
        queries: Queries | None = None,
        callback: Callback | None = None,
    ) -> Self:
        """Make an index of pins.

        Args:
            pins: a Parquet, CSV, TSV or JSON-lines file, or a Polars frame. Each pin has its id
                once; texts may be null. A file is read twice.
            model: embeds the pins; a copy of it becomes part of the index.
            out: the folder; it appears complete or not at all.
            config: the settings.
            overwrite: replace an index that is there.
            shard: ``(i, n)``: only the pins of part ``i`` of ``n``, from 1, which the id decides.
            tokens: an index of the same model whose tokens are used, instead of planning some for
                these pins; shards with the same tokens answer like one index.
            queries: typed by people, to plan the tokens with and to measure the recall: texts or a
                file with one a line; a thousand are enough. None: words of the pins stand for them.
            callback: told how far it is.

        Raises:
            ConfigError: a setting or the shard is out of range.
            DataError: the pins cannot be used; the message names the row.
            ModelMismatchError: the tokens belong to another model.
            PinIndexError: the folder exists or cannot be written.
            MissingExtraError: the extra ``index`` is not installed.
        """
        config, out, tell = config or IndexConfig(), Path(out), callback or nobody

        def frames() -> Iterator[Any]:
            return shard_frames(pin_frames(pins), config.id_column, shard)

        columns = find_columns(next(pin_frames(pins)).schema, config, name_of(pins))
        source = Source(frames, columns, name_of(pins), queries)
        with new_folder(out, PinIndexError, replaceable(out), overwrite=overwrite) as made:
            model.save_pretrained(made / MODEL)
            first = Manifest(
                fingerprint=model.fingerprint,
                dim=model.dim,
                per_pin=1,
                generation=1,
                commits=0,
                columns=columns,
                config=config,
                retrieval=Retrieval(1, 1, 0.0),
                tokens_sha256="",
                shard=shard,
            )
            taken = None if tokens is None else tokens.snapshot
            make_generation(made, first, source, model, tell, taken)
        return cls(out, model, True)

    @classmethod
    def open(
        cls, folder: str | Path, model: PinTextModel | None = None, *, verify: bool = True
    ) -> Self:
        """Open an index.

        Args:
            folder: of the index.
            model: to use instead of the copy in the folder, if it is loaded already.
            verify: compare every file but the rows with its checksum first: some 0.1 s for each
                million pins. A row is compared whenever it is read, in any case.

        Raises:
            PinIndexError: there is no such index.
            IndexFormatError: it is foreign, damaged or from a newer PinText; names the file.
            ModelMismatchError: the given model is not the one of the index.
            MissingExtraError: the extra ``index`` is not installed.
        """
        return cls(Path(folder), model, verify)

    def _model(self, manifest: Manifest) -> PinTextModel:
        model, path = self._given, self.folder / MODEL
        if model is None:
            if self._verify:
                model_folder.verify(path)
            model = PinTextModel.from_pretrained(path)
        if model.fingerprint != manifest.fingerprint:
            raise ModelMismatchError(
                f"{self.folder}: made with the model {manifest.fingerprint}, but the model "
                f"{'given' if self._given else 'in it'} is {model.fingerprint}; "
                "build the index again with this model, or open it with its own"
            )
        return model

    # ------------------------------------------------------------------------ what it holds

    @property
    def snapshot(self) -> Snapshot:
        """The committed state that is shown."""
        return self._opened.snapshot

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the model."""
        return self.snapshot.manifest.fingerprint

    @property
    def generation(self) -> int:
        """The number of the commit that is shown; it grows with each."""
        return self.snapshot.commit

    @property
    def columns(self) -> Columns:
        """The columns of the pins that the index has, with the filter fields."""
        return self.snapshot.manifest.columns

    @property
    def config(self) -> IndexConfig:
        """The settings that the index was built with."""
        return self.snapshot.manifest.config

    @property
    def retrieval(self) -> Retrieval:
        """How pins are found by tokens, and what recall was expected and measured."""
        return self.snapshot.manifest.retrieval

    @property
    def tokens(self) -> TokenScheme:
        """The scheme of the tokens."""
        return self.snapshot.scheme

    @property
    def bytes(self) -> int:
        """The size of the folder, without the model."""
        folder = self.snapshot.folder
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def __len__(self) -> int:
        """The number of pins."""
        return len(self.snapshot)

    def __contains__(self, pin_id: object) -> bool:
        return isinstance(pin_id, str) and pin_id in self.snapshot

    def __repr__(self) -> str:
        return f"PinIndex({str(self.folder)!r}, {len(self):,} pins, generation={self.generation})"

    def vector(self, pin_id: str) -> F32:
        """The unit vector of a pin, shape ``(dim,)``; zeros where its text has no known word.

        Raises:
            DataError: there is no such pin.
        """
        snapshot = self.snapshot
        return snapshot.rows.vector(snapshot.row(pin_id))

    def documents(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """The stored columns of pins: id, text columns and filter fields; times as ISO 8601.

        Raises:
            DataError: an id is unknown.
        """
        snapshot = self.snapshot
        return [document(snapshot, name) for name in ids]

    def verify(self) -> None:
        """Compare all that there is, rows included, with its checksums.

        Raises:
            IndexFormatError: a bit is not as it was written; the message names the file.
            ModelFormatError: the same of the model.
        """
        model_folder.verify(self.folder / MODEL)
        snapshot = open_latest(self.folder, None, verify=True).snapshot
        snapshot.rows.verify(snapshot.all_rows)

    def stored(self, batch_rows: int = 65_536) -> Iterator[tuple[list[dict[str, Any]], I32]]:
        """Every pin as :meth:`documents` gives it, and its tokens; batch by batch, by rows."""
        snapshot = self.snapshot
        for rows, documents in snapshot.all_documents(batch_rows):
            yield [msgspec.json.decode(found) for found in documents], snapshot.rows.tokens(rows)

    # ------------------------------------------------------------------------ searching

    def _find(self, asked: Asked, notice: str | None = None) -> Hits:
        snapshot = self.snapshot
        wanted = asked.of(snapshot)
        if asked.widening == EVERYTHING:
            return searching.exact(snapshot, wanted._replace(widening=0))
        return searching.search(snapshot, wanted, asked.mode, notice)

    def explain(self, query: str, pin_id: str) -> Explanation:
        """Take the match of a text and a pin apart.

        Raises:
            DataError: there is no such pin.
        """
        snapshot = self.snapshot
        text = text_of(snapshot.manifest.columns, document(snapshot, pin_id))
        words = self.model.explain(query, text)
        row = snapshot.row(pin_id)
        probes = snapshot.scheme.probe(
            unit(self.model.encode(query))[None, :], snapshot.manifest.retrieval.probes
        )
        own = set(snapshot.rows.tokens(np.array([row]))[0].tolist())
        matched = tuple(t for t in probes.tokens[0].tolist() if t >= 0 and t in own)
        bm25 = float(snapshot.words.bm25(np.array([row]), split(query))[0])
        return Explanation(pin_id, words.similarity, bm25, matched, words.contributions, text)

    # ------------------------------------------------------------------------ changing

    def reload(self) -> bool:
        """Show the state after the last commit, of whichever process; whether there was a new one.

        Searches that are under way end in the state that they began in.

        Raises:
            IndexFormatError: the new state is damaged; the old one stays.
            ModelMismatchError: another index is in the folder now, of another model than the given.
        """
        before = self._opened
        latest = open_latest(self.folder, before, verify=self._verify)
        if latest is before:
            return False
        if latest.snapshot.manifest.fingerprint != self.model.fingerprint:
            self.model = self._model(latest.snapshot.manifest)
        self._opened = latest
        return True

    def upsert(self, pins: Pins, *, pass_over: bool = False) -> int:
        """Put pins into the index, each in place of the one with its id; how many.

        They are on the disk when this returns, all of them, or after an error none.

        Args:
            pins: as for :meth:`build`, with the same columns.
            pass_over: those that belong to another shard, instead of refusing them.

        Raises:
            DataError: the pins cannot be used, or belong elsewhere; the message names the row.
            LockedError: another process is writing.
            PinIndexError: the disk refuses.
        """
        with self._writing, locked(self.folder):
            self.reload()
            frames = partial(frames_for, pins, self.snapshot.manifest, pass_over)
            source = Source(frames, self.columns, name_of(pins))
            count = writing.upsert(self.snapshot, source, self.model)
            self.reload()
        return count

    def delete(self, ids: Iterable[str]) -> int:
        """Take pins out of the index; how many of the ids it had.

        They are gone from the disk when this returns, all of them, or after an error none.

        Raises:
            DataError: an id is no text, or one text was given for a list of them.
            LockedError: another process is writing.
            PinIndexError: the disk refuses.
        """
        with self._writing, locked(self.folder):
            self.reload()
            before = len(self)
            writing.delete(self.snapshot, listed(ids))
            self.reload()
            return before - len(self)

    def compact(
        self,
        *,
        tokens: "PinIndex | None" = None,
        queries: Queries | None = None,
        callback: Callback | None = None,
    ) -> None:
        """Build the index anew from its own pins, without stopping readers.

        Rows of pins that were replaced or deleted are given back, and the tokens are planned again:
        worth while after many changes, or when the number of pins has doubled.

        Args:
            tokens: as for :meth:`build`; a shard that keeps its own goes on answering, with the
                others, like one index.
            queries: as for :meth:`build`.
            callback: told how far it is.

        Raises:
            ModelMismatchError: the tokens belong to another model.
            LockedError: another process is writing.
            PinIndexError: the disk refuses; the index is as it was.
        """
        with self._writing, locked(self.folder):
            self.reload()
            taken, tell = None if tokens is None else tokens.snapshot, callback or nobody
            renew_generation(self.folder, self.snapshot, self.model, queries, tell, taken)
            self.reload()
