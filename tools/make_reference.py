"""Write the generated parts of ``docs/``: the command line's help and the table of settings.

    python tools/make_reference.py           # write
    python tools/make_reference.py --check   # exit with 1 if a page is stale

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the rest of the
page is written by hand.
"""

import re
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import click

from pintext.cli import commands
from pintext.config import Config, TrainConfig, settings
from pintext.evaluation import EvaluateConfig
from pintext.events import EventMapping, IngestConfig
from pintext.index.settings import IndexConfig
from pintext.pairing import CatalogueConfig, PairsConfig
from pintext.scale import PlanConfig, figure, measured, plan
from pintext.server import ServeConfig
from pintext.simulation import SimulationConfig

DOCS = Path(__file__).resolve().parent.parent / "docs"
WIDTH = 100
MARKED = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def help_pages() -> str:
    """The help of every command."""
    parts = []
    for name, command in sorted(commands.commands.items()):
        context = click.Context(command, info_name=f"pintext {name}", terminal_width=WIDTH)
        parts.append(f"## pintext {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def setting_table(config: type[Config]) -> str:
    """The settings of one stage as a Markdown table."""
    rows = ["| setting | symbol | type | range | default | meaning |", "|---|---|---|---|---|---|"]
    for setting in settings(config):
        cells = (
            f"`{setting.name}`",
            setting.symbol,
            type_name(setting.kind),
            setting.limits.replace("|", "\\|"),
            f"`{toml(setting.default)}`",
            setting.description,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def type_name(kind: Any) -> str:
    """The type of a setting, in words."""
    origin = get_origin(kind)
    if origin is Literal:
        return "string"
    if isinstance(kind, type) and issubclass(kind, Config):
        return "table"
    if origin is dict:
        inner = get_args(kind)[1]
        return "table of numbers" if get_origin(inner) is Annotated else f"table of {INNER[inner]}"
    if origin is tuple:
        return "list of strings"
    if origin is UnionType or kind not in (int, float, str, bool):
        raise TypeError(f"no words for the type {kind}")
    return {int: "integer", float: "number", str: "string", bool: "boolean"}[kind]


INNER = {str: "strings", EventMapping: "tables", str | int | float | bool: "values"}


def toml(value: Any) -> str:
    """A default as it would stand in a configuration file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Config):
        return "{}"
    return str(value)


def scale_table(by: str, first: int, last: int) -> str:
    """What ``pintext plan`` says for each decade of pins or of pairs."""
    lines = [
        f"| {by} | stage | core hours | machines | hours | memory GB | disk GB | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for decade in range(first, last + 1):
        for stage in plan(PlanConfig(**{by: 10.0**decade})):
            if (stage.stage in ("pairs", "train")) == (by == "pairs"):
                hours = "" if stage.hours is None else shown(stage.hours)
                cells = [f"10^{decade}", f"`{stage.stage}`", shown(stage.core_hours),
                         f"{stage.machines:,}", hours, shown(stage.memory_gb),
                         shown(stage.disk_gb), stage.note]  # fmt: skip
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def constants_table() -> str:
    """What ``benchmarks/scale.py`` measured."""
    lines = [
        "| stage | of a million | fixed, s | unit, core-seconds | exponent | share by dim |",
        "|---|---|---|---|---|---|",
    ]
    for name, what in (
        ("pairs", "events"),
        ("train", "pairs, an epoch"),
        ("embed", "texts"),
        ("index", "pins"),
        ("query", "searches in an index of a million pins"),
    ):
        cost = getattr(measured, name.upper())
        cells = [f"`{name}`", what, f"{cost.fixed:g}", f"{cost.unit:g}", f"{cost.exponent:g}",
                 f"{cost.by_dim:g}"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown(value: float) -> str:
    """A figure of a plan in two digits."""
    return f"{figure(value, 2):,.12g}"


def generated() -> dict[str, str]:
    """The text of each generated part by its name."""
    return {
        "cli": help_pages(),
        "train": setting_table(TrainConfig),
        "evaluate": setting_table(EvaluateConfig),
        "index": setting_table(IndexConfig),
        "ingest": setting_table(IngestConfig),
        "serve": setting_table(ServeConfig),
        "mapping": setting_table(EventMapping),
        "pairs": setting_table(PairsConfig),
        "catalogue": setting_table(CatalogueConfig),
        "simulate": setting_table(SimulationConfig),
        "scale_pins": scale_table("pins", 6, 10),
        "scale_pairs": scale_table("pairs", 8, 11),
        "scale_constants": constants_table(),
    }


def renewed(page: str) -> str:
    """A page with its generated parts made anew."""
    parts = generated()
    return MARKED.sub(lambda found: f"{found[1]}{parts[found[2]]}{found[3]}", page)


def main(arguments: list[str]) -> int:
    """Write or check every page."""
    stale = []
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (new := renewed(page)) != page:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(new, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"stale: {', '.join(stale)}; run  make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
