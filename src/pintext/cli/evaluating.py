"""The command that measures a model and writes a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pintext.cli.options import (
    config_from,
    model_argument,
    overwrite_option,
    quiet_option,
    setting_options,
)
from pintext.cli.output import as_table, json_option, note, write_json, write_table
from pintext.errors import DataError
from pintext.evaluation.settings import EvaluateConfig

if TYPE_CHECKING:
    import polars as pl

__all__ = ["evaluate"]


@click.command()
@model_argument
@click.option(
    "--pairs", type=click.Path(path_type=Path), help="Pairs; those of the split 'test' are asked."
)
@click.option(
    "--pins",
    type=click.Path(path_type=Path),
    help="Further pins that compete: Parquet, CSV, TSV, JSON lines, or plain text, one a line.",
)
@click.option(
    "--text-column", default="text", show_default=True, help="Column of --pins with texts."
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Texts with interests: Parquet, JSON lines or fastText lines; may be given again.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="NAME|PATH",
    help="Compare with this too; may be given again. A model folder of PinText, model2vec or "
    "sentence-transformers, a file of word vectors; glove or minilm; word2vec or fasttext, which "
    "are trained on the texts of PAIRS.",
)
@click.option(
    "--about-queries",
    type=click.Path(path_type=Path),
    help="A table (Parquet, CSV, JSON lines) with a column query and others, such as language: "
    "each of their values is looked at apart.",
)
@click.option(
    "--hide-label-words",
    is_flag=True,
    help="Take the words of a text's own labels out of the text.",
)
@click.option(
    "--retrain",
    is_flag=True,
    help="Train on each task alone and on all but each too, with the settings of MODEL.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings, as .toml or .json."
)
@overwrite_option
@quiet_option
@json_option
@setting_options(EvaluateConfig)
def evaluate(
    model: Path,
    pairs: Path | None,
    pins: Path | None,
    text_column: str,
    labels: tuple[Path, ...],
    against: tuple[str, ...],
    about_queries: Path | None,
    hide_label_words: bool,
    retrain: bool,
    out: Path | None,
    config_file: Path | None,
    overwrite: bool,
    quiet: bool,
    force_json: bool,
    **typed: Any,
) -> None:
    """Measure MODEL on held-out pairs or labelled texts, beside what else could be used.

    Popularity, guessing, BM25 and TF-IDF are always in the tables. With --out the report is also
    written as a page (report.html), as report.json and as report.md.

    \b
    Example:
      pintext evaluate model/ --pairs split-pairs/ --out report/
      pintext evaluate model/ --pairs split-pairs/ --pins pins.parquet --text-column title
      pintext evaluate model/ --labels interests.txt --hide-label-words
      pintext evaluate model/ --pairs split-pairs/ --against words.vec --resamples 200
    """
    from pintext.evaluation import evaluate as measure
    from pintext.evaluation.report import heading, mark, table_rows
    from pintext.evaluation.writing import FILES, write_report
    from pintext.files import check_replaceable
    from pintext.model import PinTextModel

    if pairs is None and not labels:
        raise click.UsageError("give --pairs, --labels or both")
    if out is not None:
        check_replaceable(out, DataError, FILES, overwrite=overwrite)
    report = measure(
        PinTextModel.from_pretrained(model),
        pairs,
        labels,
        pins=texts_of(pins, text_column) if pins else None,
        against=against,
        retrain=retrain,
        about_queries=table_of(about_queries) if about_queries else None,
        config=config_from(EvaluateConfig, config_file, typed),
        hide_label_words=hide_label_words,
        callback=None if quiet else note,
    )
    if out is not None:
        write_report(report, out, overwrite=overwrite)
        if not quiet:
            note(f"written: {out}")
    if as_table(force_json):
        for result in report.results:
            if result.slice in ("all", "no shared word"):
                write_table(table_rows(result), heading(result))
    else:
        for result in report.results:
            about = {"protocol": result.protocol, "task": result.task, "slice": result.slice}
            for row in result.rows:
                means = {name: round(found.mean, 6) for name, found in row.metrics.items()}
                marks = {name: mark(found) for name, found in row.compared.items()}
                write_json(about | {"ranker": row.ranker} | means | {"model_is": marks})


def texts_of(file: Path, text_column: str) -> "pl.Series":
    """One column of texts of a file."""
    import polars as pl

    from pintext.embed import text_batches

    return pl.concat([batch.texts for batch in text_batches(file, text_column)])


def table_of(file: Path) -> "pl.DataFrame":
    """A whole table."""
    import polars as pl

    try:
        if file.suffix == ".parquet":
            return pl.read_parquet(file)
        if file.suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(file)
        return pl.read_csv(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from None
