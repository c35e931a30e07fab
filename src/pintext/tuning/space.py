"""Which settings a search may change, and within which range."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from pintext.config import TrainConfig
from pintext.errors import ConfigError

if TYPE_CHECKING:
    from optuna.trial import Trial as OptunaTrial

__all__ = ["SETTINGS", "check_searched", "starting_point", "suggest"]

_CHOICES: dict[str, tuple[str | int, ...]] = {
    "loss": ("hinge", "softmax"),
    "negatives": (8, 16, 32, 64, 128),
    "background": ("uniform", "engagement"),
    "batch_size": (256, 512, 1024, 2048, 4096),
    "epochs": (3, 5, 10, 20, 40),
}
_RANGES: dict[str, tuple[float, float]] = {
    "margin": (0.05, 1.0),
    "temperature": (0.03, 0.5),
    "max_norm": (0.2, 10.0),
    "learning_rate": (0.01, 1.0),
    "task_weights": (0.25, 4.0),
}
_ONLY_WITH = {"margin": "hinge", "temperature": "softmax"}

SETTINGS = (*_CHOICES, *_RANGES)
"""The names of all settings that can be searched."""


def suggest(
    trial: "OptunaTrial", base: TrainConfig, searched: Collection[str], tasks: Sequence[str]
) -> TrainConfig:
    """Ask a trial of Optuna for a value of each searched setting.

    Ranges are searched by the logarithm. The weight of the first task stays 1, because multiplying
    all weights by one number changes next to nothing under AdaGrad. A setting of the loss that is
    not in use is left alone.
    """
    values = base.to_dict()
    for name, choices in _CHOICES.items():
        if name in searched:
            values[name] = trial.suggest_categorical(name, choices)
    for name, (low, high) in _RANGES.items():
        if name in searched and _ONLY_WITH.get(name, values["loss"]) == values["loss"]:
            if name == "task_weights":
                values[name] = {
                    task: _rounded(trial.suggest_float(f"weight of {task}", low, high, log=True))
                    for task in tasks[1:]
                }
            else:
                values[name] = _rounded(trial.suggest_float(name, low, high, log=True))
    return TrainConfig.from_dict(values)


def _rounded(value: float) -> float:
    """Three digits: more would claim a precision that no search has, and clutter the file."""
    return float(f"{value:.3g}")


def starting_point(
    base: TrainConfig, searched: Collection[str], tasks: Sequence[str]
) -> dict[str, Any]:
    """What Optuna is told to try first: the given settings themselves, where they are in range."""
    values = base.to_dict()
    start: dict[str, Any] = {}
    for name, choices in _CHOICES.items():
        if name in searched and values[name] in choices:
            start[name] = values[name]
    for name, (low, high) in _RANGES.items():
        if name not in searched or _ONLY_WITH.get(name, values["loss"]) != values["loss"]:
            continue
        if name == "task_weights":
            given = {f"weight of {task}": values[name].get(task, 1.0) for task in tasks[1:]}
        else:
            given = {name: values[name]}
        start |= {key: min(max(value, low), high) for key, value in given.items()}
    return start


def check_searched(searched: Collection[str]) -> None:
    """Refuse names that cannot be searched.

    Raises:
        ConfigError: a name is unknown, or there is none.
    """
    unknown = sorted(set(searched) - set(SETTINGS))
    if unknown or not searched:
        found = ", ".join(map(repr, unknown)) or "nothing"
        raise ConfigError(f"cannot search {found}; choose from {', '.join(SETTINGS)}")
