"""The command that searches for settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pintext.cli.options import (
    config_from,
    overwrite_option,
    quiet_option,
    setting_options,
    threads_option,
)
from pintext.cli.output import as_table, json_option, note, write_facts, write_json, write_table
from pintext.config import TrainConfig
from pintext.errors import ConfigError, MissingExtraError
from pintext.files import new_file

if TYPE_CHECKING:
    from pintext.tuning import Trial, Tuning, TuningProgress

__all__ = ["tune"]

_SHOWN = 10  # trials in the table


@click.command()
@click.argument("pairs", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="File for the settings, .toml."
)
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings to start from."
)
@overwrite_option
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Time for the search; trying each dim comes on top.",
)
@click.option("--trials", type=click.IntRange(min=1), help="Stop after so many trainings.")
@click.option(
    "--search",
    "searched",
    multiple=True,
    metavar="SETTING",
    help="Search this setting only; may be given again.  [default: all that can be searched]",
)
@click.option(
    "--try-dim",
    "dims",
    type=click.IntRange(1, 4096),
    multiple=True,
    help="Train the best settings with this dim too; may be given again.",
)
@threads_option
@quiet_option
@json_option
@setting_options(TrainConfig)
def tune(
    pairs: Path,
    out: Path,
    config_file: Path | None,
    overwrite: bool,
    minutes: float,
    trials: int | None,
    searched: tuple[str, ...],
    dims: tuple[int, ...],
    threads: int,
    quiet: bool,
    force_json: bool,
    **typed: Any,
) -> None:
    """Search for the settings that suit PAIRS, and write them to a file for --config.

    Many trainings are judged by recall@10 of held-out queries; rows of the split 'test' are never
    looked at. The first training has the settings that you give, or the defaults. Ctrl-C ends the
    search and keeps the best so far.

    \b
    Example:
      pintext tune pairs/ --out tuned.toml --trials 2 --epochs 3
      pintext tune pairs/ --out tuned.toml --trials 2 --epochs 3 --search loss --try-dim 32
    """
    from pintext.tuning import tune as search
    from pintext.tuning.space import SETTINGS

    if out.suffix != ".toml":
        raise click.UsageError(f"--out {out}: name a file that ends in .toml")
    try:
        import tomli_w
    except ImportError:
        raise MissingExtraError("tomli-w", "tune") from None
    with new_file(out, ConfigError, overwrite=overwrite) as made:
        found = search(
            pairs,
            config_from(TrainConfig, config_file, typed),
            minutes=minutes,
            max_trials=trials,
            searched=searched or SETTINGS,
            dims=dims,
            threads=threads,
            callback=None if quiet else _show_progress,
        )
        settings = tomli_w.dumps(found.best.config.to_dict())
        made.write_text(_heading(found, pairs) + settings, encoding="utf-8")
    if found.interrupted and not quiet:
        note(f"interrupted; the best of {len(found.trials)} trials is kept")
    if as_table(force_json):
        _show(found, out)
    else:
        for trial in found.trials:
            write_json({"kind": "trial"} | trial.to_dict())
        for trial in found.by_dim:
            write_json({"kind": "dim"} | trial.to_dict())
        write_json(
            {"kind": "best", "importance": found.importance, "file": str(out)}
            | found.best.to_dict()
        )


def _show_progress(progress: "TuningProgress") -> None:
    trial, best = progress.trial, progress.best
    end = f"stopped in epoch {trial.epochs}" if trial.stopped else f"{trial.epochs} epochs"
    note(
        f"trial {trial.number}: recall@10 {trial.mean_recall:.4f}, {end}; "
        f"best {best.mean_recall:.4f} in trial {best.number}; {progress.seconds_left:,.0f} s left"
    )


def _heading(found: "Tuning", pairs: Path) -> str:
    best, given = found.best.mean_recall, found.given.mean_recall
    return (
        f"# Found by pintext tune in {len(found.trials)} trials on {pairs.name or pairs}\n"
        f"# mean validation recall@10 {best:.4f}, {given:.4f} at the start\n"
    )


def _show(found: "Tuning", out: Path) -> None:
    best, start = found.best, found.given.config.to_dict()
    finished = [trial for trial in found.trials if not trial.stopped]
    finished.sort(key=lambda trial: (-trial.mean_recall, trial.number))
    write_table((_row(trial, start) for trial in finished[:_SHOWN]), "Best trials")
    if found.by_dim:
        rows = (
            {"dim": trial.config.dim, "recall@10": trial.mean_recall}
            | {"MB": trial.dictionary_bytes / 1e6}
            for trial in found.by_dim
        )
        write_table(rows, "The best settings with each dim")
    if found.importance:
        write_table(
            ({"setting": name, "share": share} for name, share in found.importance.items()),
            "How much each setting mattered",
        )
    write_facts({"settings": str(out), "recall@10": best.mean_recall, "trial": best.number})


def _row(trial: "Trial", start: dict[str, Any]) -> dict[str, Any]:
    changed = {k: v for k, v in trial.config.to_dict().items() if v != start[k]}
    return {
        "trial": trial.number,
        "recall@10": trial.mean_recall,
        **trial.recall,
        "changed": ", ".join(f"{name} {value}" for name, value in changed.items()) or "nothing",
    }
