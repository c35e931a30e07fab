"""How results leave the command line: a table for people, JSON lines for programs."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
import msgspec

__all__ = [
    "Failure",
    "Interrupted",
    "Terminated",
    "as_table",
    "json_option",
    "note",
    "readable",
    "show_facts",
    "write_facts",
    "write_json",
    "write_table",
]

json_option = click.option(
    "--json", "force_json", is_flag=True, help="JSON lines even on a terminal."
)


class Failure(click.ClickException):
    """What stops a command and needs no traceback: one line on standard error, exit code 1."""

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(self.message, file=file, err=True)


class Interrupted(Failure):
    """Ctrl-C."""

    exit_code = 130  # 128 + SIGINT


class Terminated(Failure):
    """Another process asked this one to end, before its work was done."""

    exit_code = 143  # 128 + SIGTERM


def as_table(force_json: bool) -> bool:
    """Whether results are to be read by a person."""
    return not force_json and sys.stdout.isatty()


def write_json(row: Mapping[str, Any]) -> None:
    """Write one line of JSON; the reader of a pipe sees it at once."""
    sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
    sys.stdout.buffer.flush()


def write_table(rows: Iterable[Mapping[str, Any]], title: str = "") -> None:
    """Print a table with one column for each key of the first row."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heading = Text(title, style="bold") if title else None
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD)
    for index, row in enumerate(rows):
        if index == 0:
            for name, value in row.items():
                numeric = isinstance(value, int | float) and not isinstance(value, bool)
                table.add_column(Text(name), justify="right" if numeric else "left")
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Console().print(table)


def write_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one a line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        shown = value.items() if isinstance(value, Mapping) else [("", value)]
        for inner, item in shown:
            table.add_row(Text(f"{name} {inner}".strip(), style="bold"), Text(_cell(item)))
    Console().print(table)


def show_facts(facts: Mapping[str, Any], force_json: bool) -> None:
    """Write names and values: for people on a terminal, as one JSON object anywhere else."""
    if as_table(force_json):
        write_facts(facts)
    else:
        write_json(facts)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def note(message: str) -> None:
    """Tell the person something that is not part of the result."""
    click.echo(message, err=True)


def readable(texts: Iterable[str]) -> Iterator[str]:
    """The texts with bytes that were not UTF-8 replaced, so that they can be written again."""
    for text in texts:
        yield text.encode("utf-8", "replace").decode("utf-8")
