"""The command that makes traffic up."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pintext.cli.options import (
    bootstrap_option,
    config_from,
    kafka_properties,
    overwrite_option,
    quiet_option,
    setting_options,
)
from pintext.cli.output import as_table, json_option, write_facts, write_json
from pintext.simulation.settings import SimulationConfig

__all__ = ["simulate"]


@click.command()
@click.argument("pins", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File of events: .jsonl, .jsonl.gz, .jsonl.zst or .parquet.",
)
@click.option("--topic", help="Topic of Kafka to send the events to, instead of a file.")
@bootstrap_option
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Messages a second to the topic.  [default: as many as the broker takes]",
)
@click.option(
    "--interests",
    type=click.Path(path_type=Path),
    help="Catalogue of interest profiles, for the task home_feed.",
)
@click.option(
    "--text-column",
    "columns",
    multiple=True,
    help="Column with text; may be given again; none: those of title, description, text that there "
    "are, or else all.",
)
@click.option("--id-column", default="id", show_default=True, help="Column that names the rows.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings, as .toml or .json."
)
@overwrite_option
@quiet_option
@json_option
@setting_options(SimulationConfig)
def simulate(
    pins: Path,
    out: Path | None,
    topic: str | None,
    bootstrap_servers: str | None,
    rate: float | None,
    interests: Path | None,
    columns: tuple[str, ...],
    id_column: str,
    config_file: Path | None,
    overwrite: bool,
    quiet: bool,
    force_json: bool,
    **typed: Any,
) -> None:
    """Make engagement events up, with the pins of a catalogue, for load tests and demonstrations.

    PINS is Parquet, CSV, TSV or JSON lines (text also .gz or .zst) with an id and columns of text.
    The same seed gives the same events. Each event_id begins with "simulated-", and pintext ingest
    counts such events: what is learned from them says nothing about people.

    \b
    Example:
      pintext simulate pins.parquet --out traffic.jsonl.gz --events 10000
      pintext simulate pins.csv --text-column title --out traffic.parquet --events 10000 --seed 7
      pintext simulate pins.parquet --topic engagement --bootstrap-servers localhost:9092 --rate 500
    """
    if (out is None) == (topic is None):
        raise click.UsageError("give either --out or --topic")
    if topic is None and (rate or bootstrap_servers):
        raise click.UsageError("--rate and --bootstrap-servers go with --topic")
    typed["kafka"] = kafka_properties(bootstrap_servers)
    config = config_from(SimulationConfig, config_file, typed)

    from pintext.simulation import Simulation, send_messages, write_messages

    made = Simulation(pins, config, interests=interests, id_column=id_column, columns=columns)
    with _progress(quiet, config.events) as progress:
        if out is not None:
            write_messages(made, out, overwrite=overwrite, progress=progress)
        else:
            send_messages(made, topic or "", rate=rate or 0.0, progress=progress)
    _show(str(out or topic), made.counts, table=as_table(force_json))


@contextmanager
def _progress(quiet: bool, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing anywhere else."""
    from rich.console import Console
    from rich.progress import Progress

    hidden = quiet or not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task("messages", total=total)
        yield lambda done: bar.update(task, completed=done)


def _show(where: str, counts: Counter[str], *, table: bool) -> None:
    tasks: dict[str, dict[str, int]] = {}
    for name, count in sorted(counts.items()):
        task, _, action = name.partition("/")
        if action:
            tasks.setdefault(task, {})[action] = count
    names = ("messages", "duplicates", "late", "malformed")
    facts = {"simulated": True, "out": where, **{name: counts[name] for name in names}}
    if table:
        write_facts({**facts, **{f"{task}:": actions for task, actions in tasks.items()}})
    else:
        write_json({**facts, "tasks": tasks})
