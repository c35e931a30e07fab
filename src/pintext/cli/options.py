"""Options: those that several commands share, and those made from the declared settings."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import click

from pintext.config import Config, Setting, settings
from pintext.errors import ConfigError

__all__ = [
    "bootstrap_option",
    "config_from",
    "engine_option",
    "k_option",
    "kafka_properties",
    "model_argument",
    "overwrite_option",
    "quiet_option",
    "setting_options",
    "shard_option",
    "standard_input",
    "texts_from",
    "threads_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])
ConfigType = TypeVar("ConfigType", bound=Config)

model_argument = click.argument("model", type=click.Path(path_type=Path))
k_option = click.option(
    "-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many results."
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    default="local",
    show_default=True,
    help="What does the work: this process, or Spark (docs/spark.md).",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is already there.")


def _shard(_context: click.Context, _option: click.Parameter, typed: str | None) -> Any:
    if typed is None:
        return None
    from pintext.shards import shard_of

    try:
        return shard_of(typed)
    except ConfigError as error:
        raise click.BadParameter(str(error)) from None


shard_option = click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Only part I of N of the rows, chosen by their ids.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Threads; 0 is all cores.",
)

bootstrap_option = click.option(
    "--bootstrap-servers",
    metavar="HOST:PORT",
    help="Kafka brokers to begin with, separated by commas; the settings may name them as well.",
)


def kafka_properties(bootstrap_servers: str | None) -> dict[str, str] | None:
    """What ``--bootstrap-servers`` adds to the setting ``kafka``."""
    return {"bootstrap.servers": bootstrap_servers} if bootstrap_servers else None


def standard_input() -> Iterator[str]:
    """The lines of standard input, as UTF-8 whatever the locale; damaged bytes are replaced."""
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def texts_from(source: Path) -> Path | Iterator[str]:
    """What ``--input`` names: a file, or the lines of standard input for ``-``."""
    return standard_input() if str(source) == "-" else source


def setting_options(config: type[Config]) -> Callable[[Command], Command]:
    """Give a command one option for each setting; an option that is not typed is ``None``.

    Tables of anything but weights are left to the configuration file.
    """

    def decorate(command: Command) -> Command:
        for setting in reversed(list(settings(config))):
            if _typable(setting):
                command = _option(config, setting)(command)
        return command

    return decorate


def _typable(setting: Setting) -> bool:
    if get_origin(setting.kind) is dict:
        return get_origin(get_args(setting.kind)[1]) is Annotated
    return not (isinstance(setting.kind, type) and issubclass(setting.kind, Config))


def _repeated(setting: Setting) -> str | None:
    """What a setting is a few of, where each is typed as an option of its own."""
    if setting.name.endswith("_columns"):
        return "COLUMN"
    return "URL" if setting.name == "shards" else None


def _option(config: type[Config], setting: Setting) -> Callable[[Command], Command]:
    kind, origin = setting.kind, get_origin(setting.kind)
    facts = [setting.symbol, "" if origin is Literal else setting.limits]
    dashes = "-" if len(setting.name) == 1 else "--"
    name = f"{dashes}{setting.name.replace('_', '-')}"
    extra: dict[str, Any] = {}
    if origin is Literal:
        extra["type"] = click.Choice(get_args(kind))
    elif origin is dict:
        name, extra = "--task-weight", {"metavar": "NAME=WEIGHT", "multiple": True}
    elif metavar := _repeated(setting):
        name, extra = name.removesuffix("s"), {"metavar": metavar, "multiple": True}
    elif origin is tuple:
        extra = {"type": click.Path(allow_dash=True, path_type=Path), "metavar": "FILE"}
        facts.append("one a line; - is standard input")
    else:
        extra["type"] = kind
    if isinstance(setting.default, int | float | str):
        facts.append(f"default {setting.default}")

    def check(_context: click.Context, _option: click.Parameter, value: Any) -> Any:
        if value is None or value == ():
            return None
        try:
            return getattr(config.from_dict({setting.name: _read(setting, value)}), setting.name)
        except ConfigError as error:
            raise click.BadParameter(str(error)) from None

    help_text = f"{setting.description} ({'; '.join(filter(None, facts))})".replace(" ()", "")
    return click.option(name, setting.name, help=help_text, callback=check, **extra)


def _read(setting: Setting, value: Any) -> Any:
    """The value of a setting from what was typed."""
    if get_origin(setting.kind) is dict:
        return dict(map(_task_weight, value))
    if get_origin(setting.kind) is tuple and not _repeated(setting):
        return tuple(_words(value))
    return value


def _task_weight(typed: str) -> tuple[str, float]:
    task, _, weight = typed.rpartition("=")
    try:
        number = float(weight)
    except ValueError:
        task = ""
    if not task:
        raise click.BadParameter(f"{typed!r} is not NAME=WEIGHT, as in search=2")
    return task, number


def _words(path: Path) -> Iterator[str]:
    if str(path) == "-":
        lines = standard_input()
    else:
        try:
            lines = iter(path.read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"{path}: cannot read the words: {error}") from None
    return (line.strip() for line in lines if line.strip())


def config_from(config: type[ConfigType], path: Path | None, typed: dict[str, Any]) -> ConfigType:
    """The settings of a command: what was typed beats the file, which beats the defaults."""
    values = config.from_file(path).to_dict() if path else {}
    for name, value in typed.items():
        if isinstance(value, dict):
            values[name] = {**values.get(name, {}), **value}
        elif value is not None:
            values[name] = value
    return config.from_dict(values)
