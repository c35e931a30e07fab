"""Training as it goes: a live display on a terminal, plain lines anywhere else."""

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pintext.training.progress import Progress

__all__ = ["progress_line", "training_progress"]

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_EPOCHS = 0.5  # lines of short epochs are left out

Callback = Callable[["Progress"], None]


def training_progress(quiet: bool) -> AbstractContextManager[Callback | None]:
    """A context whose value, a callback for ``train``, shows progress on standard error."""
    if quiet:
        return nullcontext()
    return _Display() if sys.stderr.isatty() else _Lines()


def progress_line(progress: "Progress") -> str:
    """One line of a log."""
    if progress.phase == "reading":
        return f"reading: {progress.rows_read:,} rows"
    share = progress.pairs_done / max(1, progress.pairs_total)
    parts = [
        f"epoch {progress.epoch}/{progress.epochs}  {share:4.0%}  "
        f"{progress.pairs_per_second:,.0f} pairs/s  {_clock(progress.seconds_left)} left"
    ]
    for task, loss in progress.loss.items():
        part = f"{task}: loss {loss:.4f}, violated {progress.violated[task]:.1%}"
        if task in progress.recall:
            part += f", recall@10 {progress.recall[task]:.3f}"
        parts.append(part)
    return "  |  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class _Lines:
    """A line every few seconds, and one at the end of an epoch."""

    def __init__(self) -> None:
        self._shown = -math.inf
        self._phase = ""

    def __enter__(self) -> Callback:
        return self._show

    def __exit__(self, *_exception: object) -> None:
        return None

    def _show(self, progress: "Progress") -> None:
        if progress.phase == "finished":
            return  # what comes out is the result, not progress
        if progress.phase == "training" and self._phase == "reading":
            self._shown = -math.inf
            click.echo(f"read {progress.rows_read:,} rows", err=True)
        self._phase = progress.phase
        wait = SECONDS_BETWEEN_EPOCHS if progress.phase == "epoch" else SECONDS_BETWEEN_LINES
        now = time.monotonic()
        if now - self._shown >= wait:
            self._shown = now
            click.echo(progress_line(progress), err=True)


class _Display:
    """A bar with speed and time left, above a table of the tasks."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=8, transient=True)
        self._recall: dict[str, float] = {}

    def __enter__(self) -> Callback:
        return self._show

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def _show(self, progress: "Progress") -> None:
        if progress.phase == "finished":
            self._live.stop()  # what comes out is the result, not progress
            self._recall = {}
            return
        self._live.start()
        self._recall = progress.recall or self._recall
        self._live.update(self._picture(progress))

    def _picture(self, progress: "Progress") -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if progress.phase == "reading":
            return Text(progress_line(progress))
        head = Table.grid(padding=(0, 2))
        head.add_row(
            f"epoch {progress.epoch}/{progress.epochs}",
            ProgressBar(
                total=max(1, progress.pairs_total), completed=progress.pairs_done, width=30
            ),
            f"{progress.pairs_per_second:,.0f} pairs/s",
            f"{_clock(progress.seconds_left)} left",
        )
        tasks = Table(box=None, padding=(0, 2))
        for name in ("task", "loss", "violated", "recall@10"):
            tasks.add_column(name, justify="left" if name == "task" else "right")
        for task, loss in progress.loss.items():
            recall = f"{self._recall[task]:.3f}" if task in self._recall else ""
            tasks.add_row(Text(task), f"{loss:.4f}", f"{progress.violated[task]:.1%}", recall)
        return Group(head, tasks)
