"""The command that says what a size takes."""

from pathlib import Path
from typing import Any

import click

from pintext.cli.options import config_from, setting_options
from pintext.cli.output import as_table, json_option, write_json, write_table
from pintext.scale import PlanConfig, figure
from pintext.scale import plan as planned

__all__ = ["plan"]


@click.command()
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings, as .toml or .json."
)
@json_option
@setting_options(PlanConfig)
def plan(config_file: Path | None, force_json: bool, **typed: Any) -> None:
    """Say what so many pins and pairs take: processor time, machines, memory, disk.

    The arithmetic of docs/scale.md, from constants that were measured on two cores: yours differ.

    \b
    Example:
      pintext plan --pins 1e9 --pairs 1e10 --dim 128
      pintext plan --pins 5e7 --queries 200 --cores 32 --memory-gb 256
    """
    stages = planned(config_from(PlanConfig, config_file, typed))
    rows = [
        {name: _round(getattr(stage, name)) for name in stage.__struct_fields__} for stage in stages
    ]
    if as_table(force_json):
        write_table(({name: _shown(value) for name, value in row.items()} for row in rows), "Plan")
        return
    for row in rows:
        write_json(row)


def _round(value: Any) -> Any:
    return figure(value, 3) if isinstance(value, float) else value


def _shown(value: Any) -> Any:
    return f"{value:,.12g}" if isinstance(value, float) else value
