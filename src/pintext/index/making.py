"""Making a generation count: build it, measure what its tokens find, write the manifest."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl

from pintext.arrays import F32
from pintext.errors import DataError, ModelMismatchError, PinIndexError
from pintext.files import reason
from pintext.index.building import Callback, Planned, Progress, Source, build_generation
from pintext.index.live import LiveRows
from pintext.index.manifest import Manifest, digest
from pintext.index.pins import Pins, pin_frames
from pintext.index.queries import Queries
from pintext.index.searching import Wanted, exact, search
from pintext.index.settings import IndexConfig
from pintext.index.snapshot import Snapshot
from pintext.index.stored import stored_frames
from pintext.index.terms import FOLDER, commits_of
from pintext.index.terms_view import TermsView
from pintext.model import PinTextModel
from pintext.shards import in_shard, part_of
from pintext.tokens.scheme import FILE as TOKENS

__all__ = ["frames_for", "make_generation", "measured_recall", "renew_generation", "shard_frames"]

_MEASURED_K = 10


def make_generation(
    index: Path,
    base: Manifest,
    source: Source,
    model: PinTextModel,
    callback: Callback,
    tokens: Snapshot | None = None,
) -> Manifest:
    """Build the generation that a manifest names, and write the manifest with what came of it.

    Args:
        index: the folder.
        base: the manifest, with the settings.
        source: the pins.
        model: embeds them.
        callback: told how far it is.
        tokens: of an index of the same model, to use with what was promised of them; without, they
            are planned for these pins.

    Raises:
        DataError: the pins cannot be used.
        ModelMismatchError: the tokens belong to another model.
        OSError: the disk refuses.
        PinIndexError: the same, as Tantivy says it.
    """
    planned = None
    if tokens is not None:
        planned = _taken(tokens, base.fingerprint)
        base = msgspec.structs.replace(base, config=_promised(base.config, tokens.manifest.config))
    folder = base.folder(index)
    folder.mkdir()
    (scheme, retrieval), queries = build_generation(
        folder, source, model, base.config, callback, planned
    )
    manifest = msgspec.structs.replace(
        base,
        per_pin=scheme.per_pin,
        retrieval=retrieval,
        tokens_sha256=digest(folder / TOKENS),
    )
    terms, live = TermsView(folder / FOLDER), LiveRows.read(folder, commits_of(folder / FOLDER))
    snapshot = Snapshot(manifest, folder, terms, scheme, 0, live)
    callback(Progress("measuring", 0, len(snapshot)))
    recall = measured_recall(snapshot, queries)
    retrieval = msgspec.structs.replace(retrieval, measured_recall=recall)
    manifest = msgspec.structs.replace(manifest, retrieval=retrieval)
    manifest.write(index)
    return manifest


def _taken(tokens: Snapshot, fingerprint: str) -> Planned:
    found = tokens.manifest
    if found.fingerprint != fingerprint:
        raise ModelMismatchError(
            f"{tokens.folder.parent}: its tokens belong to the model {found.fingerprint}, not to "
            f"{fingerprint}; take those of an index made with this model"
        )
    return Planned(tokens.scheme, found.retrieval)


def _promised(config: IndexConfig, planned: IndexConfig) -> IndexConfig:
    """The settings, but of the tokens those that they were planned with."""
    return msgspec.structs.replace(
        config, recall=planned.recall, scheme=planned.scheme, seed=planned.seed
    )


def renew_generation(
    index: Path,
    snapshot: Snapshot,
    model: PinTextModel,
    queries: Queries | None,
    callback: Callback,
    tokens: Snapshot | None = None,
) -> None:
    """Build the generation that follows a snapshot from its pins, and let it count.

    ``tokens`` as for :func:`make_generation`.

    Raises:
        ModelMismatchError: the tokens belong to another model.
        PinIndexError: the disk refuses; the index is as it was.
    """
    remove_stale(index)
    old = snapshot.manifest
    following = msgspec.structs.replace(
        old, generation=old.generation + 1, commits=snapshot.commit + 1
    )
    source = Source(lambda: stored_frames(snapshot), old.columns, str(index), queries)
    try:
        make_generation(index, following, source, model, callback, tokens)
    except OSError as error:
        raise PinIndexError(f"{index}: cannot be written: {reason(error)}") from None
    finally:
        remove_stale(index)


def measured_recall(snapshot: Snapshot, queries: F32) -> float:
    """Share of the ten exactly nearest pins that a token search finds, over some queries.

    1.0 where there is nothing to find. Equally near pins are as good as one another.
    """
    found, there = 0, 0
    for vector in queries:
        wanted = Wanted(vector, [], _MEASURED_K)
        best = exact(snapshot, wanted)
        if not len(best):
            continue
        least = best[-1].similarity
        hits = search(snapshot, wanted, "embedding")
        found += sum(hit.similarity >= least for hit in hits)
        there += len(best)
    return min(1.0, found / there) if there else 1.0


def frames_for(pins: Pins, manifest: Manifest, pass_over: bool) -> Iterator[pl.DataFrame]:
    """Pins to be put into an index.

    Args:
        pins: to be read.
        manifest: of the index.
        pass_over: pins of other shards than the index is.

    Raises:
        DataError: a pin belongs to another shard and is not to be passed over.
    """
    shard, name = manifest.shard, manifest.columns.id
    for frame in pin_frames(pins):
        if shard is None or name not in frame:  # the latter is told with the other columns
            yield frame
            continue
        own = in_shard(frame[name], shard)
        if not (pass_over or own.all()):
            stranger = str(frame[name].filter(~own)[0])
            part, parts = shard
            raise DataError(
                f"pin {stranger!r} belongs to shard {part_of(stranger, parts)}/{parts}, and this "
                f"is {part}/{parts}; put it there"
            )
        yield frame.filter(own)


def shard_frames(
    frames: Iterator[pl.DataFrame], id_column: str, shard: tuple[int, int] | None
) -> Iterator[pl.DataFrame]:
    """The pins of one part of several, as :func:`pintext.shards.in_shard` cuts them; or all.

    Raises:
        ConfigError: not ``1 <= i <= n``.
    """
    if shard is None:
        yield from frames
        return
    for frame in frames:
        yield frame.filter(in_shard(frame[id_column], shard))


def remove_stale(index: Path) -> None:
    """Remove every generation but the one that counts; what cannot be removed stays."""
    kept = Manifest.read(index).folder(index)
    for folder in index.glob("generation-*"):
        if folder != kept:
            shutil.rmtree(folder, ignore_errors=True)
