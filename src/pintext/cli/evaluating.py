"""The command that measures a model and writes a report."""

from pathlib import Path
from typing import Any

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

__all__ = ["evaluate"]


@click.command()
@model_argument
@click.option(
    "--pairs", type=click.Path(path_type=Path), help="Pairs; those of the split 'test' are asked."
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
    "sentence-transformers, a file of word vectors, or glove or minilm.",
)
@click.option(
    "--hide-label-words",
    is_flag=True,
    help="Take the words of a text's own labels out of the text.",
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
    labels: tuple[Path, ...],
    against: tuple[str, ...],
    hide_label_words: bool,
    out: Path | None,
    config_file: Path | None,
    overwrite: bool,
    quiet: bool,
    force_json: bool,
    **typed: Any,
) -> None:
    """Measure MODEL on held-out pairs or labelled texts, beside what else could be used.

    Popularity, guessing, BM25 and TF-IDF are always in the tables. With --out the report is also
    written as report.json and report.md.

    \b
    Example:
      pintext evaluate model/ --pairs split-pairs/ --out report/
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
        against=against,
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
