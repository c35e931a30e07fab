"""``pintext knn``: neighbours in bulk."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pintext.cli.options import (
    engine_option,
    k_option,
    model_argument,
    overwrite_option,
    quiet_option,
    threads_option,
)
from pintext.cli.output import Interrupted, json_option, note, write_json

if TYPE_CHECKING:
    from pintext.knn import Progress, Texts

__all__ = ["knn"]

_SECONDS_BETWEEN_NOTES = 2.0


@click.command()
@model_argument
@click.option(
    "--pins",
    type=click.Path(path_type=Path),
    required=True,
    help="Texts to find: Parquet, CSV, TSV, JSON lines, or plain text, one a line.",
)
@click.option(
    "--queries",
    type=click.Path(path_type=Path),
    help="Texts to look for, in any of these formats; without them every pin looks for others.",
)
@k_option
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Parquet file for the neighbours."
)
@click.option(
    "--expand",
    is_flag=True,
    help="The other way round: each pin looks for its k nearest queries, and the file has for each "
    "query the pins that it matches.",
)
@click.option("--exact", is_flag=True, help="Compare all with all, instead of what shares tokens.")
@click.option(
    "--recall",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Share of the exact neighbours that tokens must find.",
)
@click.option(
    "--text-column", default="text", show_default=True, help="Column of --pins with texts."
)
@click.option("--id-column", default="id", show_default=True, help="Column that names the pins.")
@click.option(
    "--query-column", default="text", show_default=True, help="Column of --queries with texts."
)
@click.option(
    "--query-id-column", default="id", show_default=True, help="Column that names the queries."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of tokens.")
@engine_option
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@overwrite_option
@threads_option
@quiet_option
@json_option
def knn(
    model: Path,
    pins: Path,
    queries: Path | None,
    k: int,
    out: Path,
    expand: bool,
    exact: bool,
    recall: float,
    text_column: str,
    id_column: str,
    query_column: str,
    query_id_column: str,
    seed: int,
    engine: str,
    resume: bool,
    overwrite: bool,
    threads: int,
    quiet: bool,
    force_json: bool,
) -> None:
    """Find the k nearest pins of every query, or of every pin, and write them to a Parquet file.

    Columns: id, neighbor_id, rank, similarity. With --expand: keyword (the query's id), pin_id,
    rank, similarity.

    On Spark OUT is a folder of Parquet parts, and input is Parquet.

    A run that was stopped leaves OUT.parts beside the file. Go on with --resume, or start again
    with --overwrite.

    \b
    Example:
      pintext knn model/ --pins pins.parquet -k 5 --out related.parquet
      pintext knn model/ --pins pins.parquet --queries queries.txt --out knn.parquet
      pintext knn model/ --pins pins.parquet --queries queries.txt --expand --out keywords.parquet
      pintext knn model/ --pins pins/ --queries queries/ --out neighbors/ --engine spark
    """
    from pintext.knn import Texts

    if expand and not queries:
        raise click.UsageError("--expand needs --queries: the keywords that pins are matched with")
    found = Texts(pins, text_column, id_column)
    asked = Texts(queries, query_column, query_id_column) if queries else None
    settings = {"k": k, "recall": recall, "seed": seed, "overwrite": overwrite}
    if engine == "spark":
        if exact or resume:
            raise click.UsageError("--engine spark knows no --exact and no --resume; leave it out")
        facts = _on_spark(model, found, asked, out, expand=expand, **settings)
    else:
        here = {"exact": exact, "resume": resume, "threads": threads, "callback": _noted(quiet)}
        facts = {"rows": _here(model, found, asked, out, expand=expand, **settings, **here)}
    if force_json or not sys.stdout.isatty():
        write_json({"out": str(out), **facts})
    else:
        note(f"{facts['rows']:,} rows written to {out}")


def _here(
    folder: Path,
    pins: "Texts",
    queries: "Texts | None",
    out: Path,
    *,
    expand: bool,
    **settings: Any,
) -> int:
    """Find neighbours in this process; the rows written."""
    from pintext.knn import expand_keywords, find_neighbors
    from pintext.model import PinTextModel

    model = PinTextModel.from_pretrained(folder)
    try:
        if expand and queries:
            return expand_keywords(model, queries, pins, out, **settings)
        return find_neighbors(model, pins, out, queries=queries, **settings)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; to go on, give the same command with --resume") from None


def _on_spark(
    folder: Path, pins: "Texts", queries: "Texts | None", out: Path, **settings: Any
) -> dict[str, int]:
    """Find neighbours on Spark; what is told of it."""
    from pintext.spark import find_neighbors, spark_session

    made = find_neighbors(spark_session(), folder, pins, out, queries=queries, **settings)
    return made._asdict()


def _noted(quiet: bool) -> "Callable[[Progress], None]":
    """A callback that says on standard error, every few seconds, how far a run is."""
    shown = time.monotonic()

    def tell(progress: "Progress") -> None:
        nonlocal shown
        if not quiet and time.monotonic() - shown > _SECONDS_BETWEEN_NOTES:
            shown = time.monotonic()
            note(f"{progress.phase}: {progress.done:,}")

    return tell
