"""Commands that make and change an index of pins."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pintext.cli.options import (
    config_from,
    model_argument,
    overwrite_option,
    quiet_option,
    setting_options,
    shard_option,
    standard_input,
)
from pintext.cli.output import (
    json_option,
    note,
    show_facts,
)
from pintext.index.settings import IndexConfig

if TYPE_CHECKING:
    from pintext.index import PinIndex, Progress

__all__ = [
    "compact",
    "delete",
    "index",
    "index_facts",
    "is_index",
    "open_index",
    "upsert",
]


_CHANCE = 0.01  # the measured recall is of a hundred queries

index_argument = click.argument("index", type=click.Path(path_type=Path))
tokens_option = click.option(
    "--tokens",
    type=click.Path(path_type=Path),
    help="An index to take the tokens of, so that shards answer like one index; recall, scheme and "
    "seed are then its own.",
)
queries_option = click.option(
    "--queries",
    type=click.Path(path_type=Path),
    help="Typed queries, one a line, to plan and measure the recall with; without: words of pins.",
)


@click.command()
@model_argument
@click.argument("pins", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the index.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings, as .toml or .json."
)
@shard_option
@tokens_option
@queries_option
@overwrite_option
@quiet_option
@json_option
@setting_options(IndexConfig)
def index(
    model: Path,
    pins: Path,
    out: Path,
    config_file: Path | None,
    shard: tuple[int, int] | None,
    tokens: Path | None,
    queries: Path | None,
    overwrite: bool,
    quiet: bool,
    force_json: bool,
    **typed: Any,
) -> None:
    """Make an index of PINS, a Parquet, CSV, TSV or JSON-lines file, to search with MODEL.

    Tokens are planned for the recall that is asked for, at the least cost; what they then find of
    the exactly nearest pins is measured.

    \b
    Example:
      pintext index model/ pins.parquet --out index/ --overwrite
      pintext index model/ pins.parquet --out index/ --overwrite --filter-column topic --recall 0.9
      pintext index model/ pins.csv --out index-1/ --text-column title --shard 1/2
      pintext index model/ pins.csv --out index-2/ --text-column title --shard 2/2 --tokens index-1/
      pintext index model/ pins.parquet --out index/ --overwrite --queries queries.txt
    """
    from pintext.index import PinIndex
    from pintext.model import PinTextModel

    config = config_from(IndexConfig, config_file, typed)
    with _progress(quiet) as callback:
        made = PinIndex.build(
            pins,
            PinTextModel.from_pretrained(model),
            out,
            config=config,
            overwrite=overwrite,
            shard=shard,
            tokens=None if tokens is None else open_index(tokens),
            queries=queries,
            callback=callback,
        )
    if not len(made):
        note(f"note: there are no pins in {pins}; the index is empty until pintext upsert")
    _tell_of_recall(made)
    show_facts(index_facts(made), force_json)


@click.command()
@index_argument
@click.argument("pins", type=click.Path(path_type=Path))
@json_option
def upsert(index: Path, pins: Path, force_json: bool) -> None:
    """Put PINS into INDEX, each in place of the one with its id. Readers see all of them or none.

    A shard takes those that belong to it, and says how many did not.

    \b
    Example:
      pintext upsert index/ pins.jsonl
    """
    from pintext.index.pins import pin_frames

    opened = open_index(index)
    count = opened.upsert(pins, pass_over=True)
    facts = {"index": str(index), "upserted": count, "pins": len(opened)}
    if opened.snapshot.manifest.shard:
        facts["of_other_shards"] = sum(map(len, pin_frames(pins))) - count
    show_facts(facts, force_json)


@click.command()
@index_argument
@click.argument("ids", nargs=-1, required=True)
@json_option
def delete(index: Path, ids: tuple[str, ...], force_json: bool) -> None:
    """Take the pins with IDS out of INDEX; - reads one id a line from standard input.

    Tells how many were deleted, and how many of the ids are unknown: no pin has them.

    \b
    Example:
      pintext delete index/ 17 18
      cat gone.txt | pintext delete index/ -
    """
    opened = open_index(index)
    named = dict.fromkeys(standard_input() if ids == ("-",) else ids)
    count = opened.delete(named)
    facts = {"deleted": count, "unknown": len(named) - count, "pins": len(opened)}
    show_facts({"index": str(index)} | facts, force_json)


@click.command()
@index_argument
@tokens_option
@queries_option
@quiet_option
@json_option
def compact(
    index: Path, tokens: Path | None, queries: Path | None, quiet: bool, force_json: bool
) -> None:
    """Build INDEX anew from its own pins, without stopping those who search.

    Gives back the space of replaced and deleted pins, and plans the tokens for the pins there are.
    A shard should keep the tokens that it shares with the others.

    \b
    Example:
      pintext compact index/
      pintext compact index-2/ --tokens index-2/
    """
    opened = open_index(index)
    taken = open_index(tokens) if tokens else None
    with _progress(quiet) as callback:
        opened.compact(tokens=taken, queries=queries, callback=callback)
    _tell_of_recall(opened)
    show_facts(index_facts(opened), force_json)


def _tell_of_recall(made: "PinIndex") -> None:
    """Say so where tokens find less than was asked for, by more than chance."""
    wanted, found = made.config.recall, made.retrieval
    if found.expected_recall < wanted or found.measured_recall < wanted - _CHANCE:
        note(
            f"note: recall {wanted:g} was asked for, {found.expected_recall:.3f} is expected and "
            f"{found.measured_recall:.3f} was measured"
        )


# -------------------------------------------------------------------------------- for others


def open_index(folder: Path) -> "PinIndex":
    """Open an index."""
    from pintext.index import PinIndex

    return PinIndex.open(folder)


def is_index(folder: Path) -> bool:
    """Whether a folder holds an index."""
    return (folder / "manifest.json").is_file()


def index_facts(opened: "PinIndex") -> dict[str, Any]:
    """What an index is, as JSON values."""
    retrieval = opened.retrieval
    return {
        "index": str(opened.folder),
        "fingerprint": opened.fingerprint,
        "pins": len(opened),
        "bytes": opened.bytes,
        "scheme": opened.tokens.kind,
        "tokens": opened.tokens.n_tokens,
        "probes": retrieval.probes,
        "candidates": retrieval.candidates,
        "expected_recall": round(retrieval.expected_recall, 4),
        "expected_share": round(retrieval.expected_share, 6),
        "measured_recall": round(retrieval.measured_recall, 4),
        "text_columns": list(opened.columns.texts),
        "filters": {field.name: field.kind for field in opened.columns.fields},
    }


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """A callback that shows on a terminal's standard error how far a build is."""
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(progress: "Progress") -> None:
            bar.update(
                task,
                description=progress.phase,
                completed=progress.pins,
                total=progress.total or None,
            )

        yield show
