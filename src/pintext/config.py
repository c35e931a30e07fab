"""Every setting, declared once: symbol, range, default and meaning.

The command line, configuration files, the model card and ``docs/config.md`` are all made from the
declarations here (:func:`settings`), so they cannot disagree.
"""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args, get_origin

import msgspec
from msgspec import Meta

from pintext.errors import ConfigError
from pintext.files import reason

__all__ = ["ELSEWHERE", "Config", "Setting", "TrainConfig", "from_elsewhere", "settings"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the settings of one stage: frozen, validated when made, read from TOML or JSON.

    Raises:
        ConfigError: a value has the wrong type or is out of range; the message names the setting.
    """

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            try:
                converted = msgspec.convert(value, field.type)
            except msgspec.ValidationError as error:
                if _is_elsewhere(field.type):  # what was given may be the secret itself
                    raise ConfigError(f"{field.name}: expected env:NAME or file:PATH") from None
                wanted = _wanted(field.type)
                why = f"expected {wanted}" if wanted else error
                raise ConfigError(f"{field.name} = {value!r}: {why}") from None
            msgspec.structs.force_setattr(self, field.name, converted)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a config from plain values, refusing names that do not exist."""
        known = cls.__struct_fields__
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"unknown setting {', '.join(map(repr, unknown))}; "
                f"{cls.__name__} knows {', '.join(known)}"
            )
        return cls(**values)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a ``.toml`` or ``.json`` file; settings that it leaves out keep their default."""
        path = Path(path)
        try:
            text = path.read_bytes()
            if path.suffix == ".json":
                values = msgspec.json.decode(text)
            else:
                values = tomllib.loads(text.decode("utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}") from None
        except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not a valid configuration file: {error}") from None
        if not isinstance(values, dict):
            found = type(values).__name__
            raise ConfigError(f"{path}: expected a table of settings, found {found}")
        try:
            return cls.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class TrainConfig(Config, frozen=True):
    """How a dictionary is learned. The symbols are those of the PinText article."""

    dim: Annotated[
        int,
        Meta(ge=1, le=4096, title="dim", description="length of a word's row in the dictionary"),
    ] = 128
    loss: Annotated[
        Literal["hinge", "softmax"],
        Meta(
            description="hinge: every cos(q, p+) must exceed cos(q, p-) by the margin (the "
            "article's); softmax: p+ must be the likeliest of p+ and all p-"
        ),
    ] = "softmax"
    temperature: Annotated[
        float,
        Meta(ge=0.01, le=10, title="tau", description="of the softmax loss; lower is sharper"),
    ] = 0.07
    margin: Annotated[
        float,
        Meta(gt=0, le=2, title="mu", description="how far cos(q, p+) must exceed cos(q, p-)"),
    ] = 0.2
    negatives: Annotated[
        int,
        Meta(ge=1, le=1024, title="rho", description="random background entities for each pair"),
    ] = 32
    max_norm: Annotated[
        float,
        Meta(gt=0, le=1e6, title="gamma", description="radius of the ball that holds every row"),
    ] = 1.0
    background: Annotated[
        Literal["uniform", "engagement"],
        Meta(
            description="draw background entities uniformly over the task's distinct pins, or as "
            "often as they were engaged with"
        ),
    ] = "uniform"
    initial_norm: Annotated[
        float,
        Meta(gt=0, le=1e6, description="length of a row before training, max_norm at most"),
    ] = 0.03
    epochs: Annotated[int, Meta(ge=1, le=10_000, description="passes over the pairs")] = 10
    learning_rate: Annotated[
        float,
        Meta(gt=0, le=10, title="eta", description="AdaGrad step, falling linearly to zero"),
    ] = 0.1
    batch_size: Annotated[
        int,
        Meta(
            ge=128,
            le=65_536,
            multiple_of=128,
            description="pairs at most between two changes of the dictionary; each 128 of them are "
            "work for one thread",
        ),
    ] = 1024
    task_weights: Annotated[
        dict[str, Annotated[float, Meta(ge=0)]],
        Meta(description="weight of a task's loss in the sum over tasks; 1 where not given"),
    ] = {}
    task_balance: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="a small task weighs more: its weight is multiplied by (pairs of the "
            "largest task / own pairs) to this power; 0: all pairs count alike, 1: all tasks",
        ),
    ] = 0.5
    min_count: Annotated[
        int, Meta(ge=1, description="words seen less often in the pairs get no row")
    ] = 5
    max_words: Annotated[
        int, Meta(ge=1, le=2**31 - 2, description="rows at most; the most frequent words stay")
    ] = 1_000_000
    max_tokens: Annotated[
        int,
        Meta(
            ge=1,
            le=2**31 - 1,
            description="words that training reads from the front of a text; encoding reads all",
        ),
    ] = 512
    stop_words: Annotated[tuple[str, ...], Meta(description="words that never get a row")] = ()
    validation: Annotated[
        float,
        Meta(
            ge=0, le=0.5, description="share of queries held out to choose the best epoch; 0: none"
        ),
    ] = 0.05
    patience: Annotated[
        int, Meta(ge=1, description="epochs without a better validation recall@10 before stopping")
    ] = 3
    seed: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="the same seed gives the same bytes")
    ] = 0


class Setting(NamedTuple):
    """One declared setting, for whoever has to present it."""

    name: str
    symbol: str
    kind: Any
    default: Any
    limits: str
    description: str


def settings(config: type[Config]) -> Iterator[Setting]:
    """Yield every setting of a stage in the order of declaration."""
    for field in msgspec.structs.fields(config):
        kind, meta = field.type, Meta()
        if get_origin(kind) is Annotated:
            kind, meta = get_args(kind)
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        yield Setting(
            name=field.name,
            symbol=meta.title or "",
            kind=kind,
            default=default,
            limits=_limits(kind, meta),
            description=meta.description or "",
        )


_IN_WORDS = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def _wanted(kind: Any) -> str:
    """What a setting may be, in words; nothing for a type that they do not cover."""
    meta = Meta()
    if get_origin(kind) is Annotated:
        kind, meta = get_args(kind)
    origin = get_origin(kind)
    if origin is Literal:
        return _limits(kind, meta)
    if origin is tuple:
        return "a list of strings"
    if origin is dict and get_origin(get_args(kind)[1]) is Annotated:
        number, limits = get_args(get_args(kind)[1])
        return f"a table of numbers {_limits(number, limits)}"
    return " ".join(filter(None, [_IN_WORDS.get(kind, ""), _limits(kind, meta)]))


def _is_elsewhere(kind: Any) -> bool:
    return any(meta.pattern == ELSEWHERE for meta in getattr(kind, "__metadata__", ()))


def _limits(kind: Any, meta: Meta) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    bounds = ((">", meta.gt), (">=", meta.ge), ("<", meta.lt), ("<=", meta.le))
    limits = [f"{sign} {_number(bound)}" for sign, bound in bounds if bound is not None]
    if meta.multiple_of is not None:
        limits.append(f"multiple of {_number(meta.multiple_of)}")
    return ", ".join(limits)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


ELSEWHERE = "^((env|file):.+)?$"
"""The pattern of a setting that says where a secret is, for :func:`from_elsewhere`."""


def from_elsewhere(name: str, value: str) -> str | None:
    """What a value ``env:NAME`` or ``file:PATH`` stands for; ``None`` where it is neither.

    So a file of settings holds no secret. A line end after what is in a file is left out.

    Args:
        name: of the setting, for messages; none quotes what was found.
        value: as it stands in the settings.

    Raises:
        ConfigError: there is no such variable, or the file cannot be read.
    """
    kind, _, where = value.partition(":")
    if kind == "env":
        if where not in os.environ:
            raise ConfigError(f"{name}: no variable {where!r} in the environment")
        return os.environ[where]
    if kind == "file":
        try:
            return Path(where).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}: {where}: {reason(error)}") from None
    return None
