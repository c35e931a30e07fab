"""Commands that search an index of pins, and measure a cut-off."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pintext.cli.indexing import index_argument, open_index
from pintext.cli.options import (
    k_option,
    standard_input,
)
from pintext.cli.output import (
    as_table,
    json_option,
    note,
    readable,
    write_json,
    write_table,
)

if TYPE_CHECKING:
    from pintext.index import Hit, Hits
    from pintext.index.fields import Field
    from pintext.index.sharded import AnyIndex

__all__ = ["calibrate", "search"]

_FILTER = re.compile(r"(.+?)(>=|<=|>|<|=)(.*)", re.DOTALL)
_BOUNDS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}
_SHOWN_TEXT = 60


@click.command()
@click.argument(
    "index", metavar="INDEX...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.argument("query")
@k_option
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "embedding", "text"]),
    default="hybrid",
    show_default=True,
    help="By nearest vectors, by words, or both: in the order of the two ranks together.",
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only pins with this value, or FIELD>=VALUE, <=, >, <; of several values of one field one "
    "must be there.",
)
@click.option(
    "--min-similarity", type=click.FloatRange(-1, 1), help="Only pins at least this similar."
)
@json_option
def search(
    index: tuple[Path, ...],
    query: str,
    k: int,
    mode: Any,
    filters: tuple[str, ...],
    min_similarity: float | None,
    force_json: bool,
) -> None:
    """Find the pins of INDEX for QUERY; - reads one query a line from standard input.

    Several folders are shards, searched like one index.

    \b
    Example:
      pintext search index/ "wood cabinets" -k 5
      pintext search index/ "wood cabinets" --mode text --filter topic=kitchen
      pintext search index-1/ index-2/ "wood cabinets"
      cat queries.txt | pintext search index/ - --min-similarity 0.3
    """
    from pintext.index import ShardedIndex

    opened = open_index(index[0]) if len(index) == 1 else ShardedIndex.open(index)
    queries = standard_input() if query == "-" else iter([query])
    chosen = _filters(opened, filters)
    table = as_table(force_json)
    for text in readable(queries):
        hits = opened.search(text, k, mode=mode, filters=chosen, min_similarity=min_similarity)
        if hits.notice:
            note(f"{text!r}: {hits.notice}")
        _show_hits(opened, text, hits, table)


def _show_hits(opened: "AnyIndex", query: str, hits: "Hits", table: bool) -> None:
    documents = opened.documents(hit.id for hit in hits)
    if not hits:
        note(f"{query!r}: no pin found")
    elif table:
        names = opened.columns.texts
        write_table(
            (_row(hit, found, names) for hit, found in zip(hits, documents, strict=True)),
            title=query,
        )
        if hits.mode == "hybrid":
            note("ordered by both ranks, by similarity and by bm25 (reciprocal rank fusion)")
    else:
        for hit, found in zip(hits, documents, strict=True):
            write_json({"query": query, **_plain(hit), "document": found})


def _plain(hit: "Hit") -> dict[str, Any]:
    bm25 = None if hit.bm25 is None else round(hit.bm25, 6)
    return hit._asdict() | {"similarity": round(hit.similarity, 6), "bm25": bm25}


def _row(hit: "Hit", found: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    text = " · ".join(str(found[name]) for name in names if found[name])
    short = text if len(text) <= _SHOWN_TEXT else text[: _SHOWN_TEXT - 1] + "…"
    return {
        "id": hit.id,
        "similarity": hit.similarity,
        "bm25": hit.bm25,
        "tokens": len(hit.matched_tokens),
        "pin": short,
    }


def _filters(opened: "AnyIndex", typed: tuple[str, ...]) -> dict[str, Any]:
    """What ``--filter`` says, as :meth:`PinIndex.search` takes it."""
    filters: dict[str, Any] = {}
    for text in typed:
        found = _FILTER.fullmatch(text)
        if not found:
            raise click.UsageError(f"--filter {text}: expected FIELD=VALUE or FIELD>=VALUE")
        name, sign, written = found.groups()
        value = _typed(opened.columns.field(name)[1], written)
        if sign == "=":
            if isinstance(filters.get(name, []), dict):
                raise click.UsageError(f"--filter {text}: {name} has a bound already")
            filters.setdefault(name, []).append(value)
        elif isinstance(filters.get(name, {}), list):
            raise click.UsageError(f"--filter {text}: {name} has a value already")
        else:
            filters.setdefault(name, {})[_BOUNDS[sign]] = value
    return filters


def _typed(field: "Field", written: str) -> str | float | bool:
    if field.kind == "number":
        try:
            return float(written)
        except ValueError:
            raise click.UsageError(f"--filter {field.name}: {written!r} is no number") from None
    if field.kind == "boolean" and written in ("true", "false"):
        return written == "true"
    return written


@click.command()
@index_argument
@click.argument("pairs", type=click.Path(path_type=Path))
@k_option
@json_option
def calibrate(index: Path, pairs: Path, k: int, force_json: bool) -> None:
    """Measure with held-out PAIRS what precision and recall a --min-similarity in INDEX gives.

    PAIRS has the columns query and pin_id; of a split, only rows of 'test' count. What is right but
    in no pair counts as wrong, so the precision is at least what is said.

    \b
    Example:
      pintext calibrate index/ held-out.csv -k 5
    """
    from pintext.index.calibration import calibrate as measure
    from pintext.index.calibration import held_out

    cutoffs = measure(open_index(index), held_out(pairs), k=k)
    rows = [
        {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in cutoff._asdict().items()
        }
        for cutoff in cutoffs
    ]
    if as_table(force_json):
        write_table(rows, "What a cut-off gives")
    else:
        for row in rows:
            write_json(row)
