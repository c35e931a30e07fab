"""The command that makes positive pairs of events and catalogues."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pintext.cli.options import (
    config_from,
    engine_option,
    overwrite_option,
    quiet_option,
    setting_options,
)
from pintext.cli.options import threads_option as cores_option
from pintext.cli.output import Interrupted, as_table, json_option, note, write_facts, write_json
from pintext.pairing.settings import PairsConfig

if TYPE_CHECKING:
    from pintext.pairing import PairsProgress, Summary

__all__ = ["pairs"]

_SECONDS_BETWEEN_LINES = 5.0


@click.command()
@click.argument("events", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the pairs.")
@click.option(
    "--pins",
    "pins_file",
    type=click.Path(path_type=Path),
    required=True,
    help="Catalogue of pins: Parquet, CSV, TSV or JSON lines, or a folder of such.",
)
@click.option(
    "--interests",
    "interests_file",
    type=click.Path(path_type=Path),
    help="Catalogue of interests, which the query_id of home_feed names.",
)
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings, as .toml or .json."
)
@overwrite_option
@click.option(
    "--update", is_flag=True, help="Take in what is new since the pairs were made, and no more."
)
@click.option(
    "--memory-gb",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Memory for the joins (on Spark, of each task that tallies); the rest goes to the disk.",
)
@cores_option
@engine_option
@quiet_option
@json_option
@setting_options(PairsConfig)
def pairs(
    events: tuple[Path, ...],
    out: Path,
    pins_file: Path,
    interests_file: Path | None,
    config_file: Path | None,
    overwrite: bool,
    update: bool,
    memory_gb: float,
    threads: int,
    engine: str,
    quiet: bool,
    force_json: bool,
    **typed: Any,
) -> None:
    """Make positive pairs of EVENTS and catalogues: what train reads.

    EVENTS is the store that ingest writes, or files of events, which are stored first. Every
    rule is in docs/pairs.md. The pairs also hold known negatives and a summary.

    \b
    Example:
      pintext pairs events/ --pins pins.parquet --out pairs/ --overwrite
      pintext pairs events/ --pins pins.parquet --out made/ --update
      pintext pairs events/ --pins pins/ --out pairs/ --engine spark
      pintext pairs january.jsonl.gz --pins pins.csv --out made/ --save-weight 2 --split none
    """
    config = config_from(PairsConfig, config_file, typed)
    make = _maker(engine, memory_gb, threads)
    try:
        with _progress(quiet) as tell:
            summary = make(
                events,
                out,
                config,
                pins=pins_file,
                interests=interests_file,
                update=update,
                overwrite=overwrite,
                callback=tell,
            )
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was changed") from None
    _show(summary, out, table=as_table(force_json))


def _maker(engine: str, memory_gb: float, threads: int) -> Callable[..., "Summary"]:
    """What makes the pairs, in this process or on Spark."""
    if engine == "spark":
        from pintext.spark import make_pairs, spark_session

        return partial(make_pairs, spark_session(), memory_gb=memory_gb)
    from pintext.pairing import make_pairs as make_here

    return partial(make_here, memory_gb=memory_gb, threads=threads)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[["PairsProgress"], None]]:
    """A context whose value shows the progress on standard error."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
    shown = -math.inf

    def show(progress: "PairsProgress") -> None:
        nonlocal shown
        if quiet:
            return
        if sys.stderr.isatty():
            live.start()
            live.update(Text(_line(progress)))
        elif time.monotonic() - shown >= _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            click.echo(_line(progress), err=True)

    try:
        yield show
    finally:
        live.stop()


def _line(progress: "PairsProgress") -> str:
    if progress.stage == "files":
        return f"storing events: {progress.done:,} read"
    if progress.stage == "events":
        return f"events: {progress.done:,} of {progress.total:,} ({progress.what})"
    doing = {"catalogues": "reading", "tasks": "pairs of"}[progress.stage]
    return f"{doing} {progress.what} ({progress.done + 1} of {progress.total})"


def _show(summary: "Summary", out: Path, *, table: bool) -> None:
    """The figures, with warnings last, where they are seen."""
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(summary)
    if table:
        _show_tables(found)
    else:
        write_json({"pairs": str(out), **found})
    for warned in summary.warnings:
        note(f"warning: {warned.task}: {warned.message}".replace(": : ", ": "))


def _show_tables(found: dict[str, Any]) -> None:
    """The figures of tasks side by side, then those of catalogues."""
    from pintext.cli.output import write_table

    columns = {task: dict(_flat(figures)) for task, figures in found["tasks"].items()}
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    write_table(
        {"": name, **{task: figures.get(name) for task, figures in columns.items()}}
        for name in names
    )
    write_facts(
        {
            f"{name}:": {k: v for k, v in catalogue.items() if k != "digest"}
            for name, catalogue in found["catalogues"].items()
        }
        | ({"refused events:": found["refused_events"]} if found["refused_events"] else {})
    )


def _flat(figures: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and numbers, those of a table within under both names."""
    for name, value in figures.items():
        plain = name.replace("_", " ")
        if isinstance(value, dict):
            for inner, number in value.items():
                yield f"{plain}: {inner.replace('_', ' ')}", number
        else:
            yield plain, value
