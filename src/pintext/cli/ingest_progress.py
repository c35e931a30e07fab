"""Ingestion as it goes: one living line on a terminal, plain lines anywhere else, and metrics."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pintext.events.progress import IngestProgress

__all__ = ["ingest_line", "ingest_progress", "metrics"]

_SECONDS_BETWEEN_LINES = 5.0

Callback = Callable[["IngestProgress"], None]


def ingest_line(progress: "IngestProgress") -> str:
    """One line: speed, lag, what became of the events."""
    counts = progress.counts
    parts = [f"{progress.taken:,} read", f"{progress.per_second:,.0f} events/s"]
    if progress.lag is not None:
        parts.append(f"lag {progress.lag:,}")
    parts.append(f"{counts['stored']:,} stored")
    others = sorted(counts.keys() - {"stored"})
    parts += [f"{counts[name]:,} {name.replace('_', ': ', 1)}" for name in others if counts[name]]
    return "  |  ".join(parts)


@contextmanager
def ingest_progress(quiet: bool) -> Iterator[Callback]:
    """A context whose value shows progress on standard error; notes are shown even if quiet."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    live = Live(console=console, refresh_per_second=4, transient=True)
    shown = -math.inf

    def show(progress: "IngestProgress") -> None:
        nonlocal shown
        if progress.note:
            click.echo(progress.note, err=True)
        elif quiet:
            return
        elif sys.stderr.isatty():
            live.start()
            live.update(Text(ingest_line(progress)))
        elif time.monotonic() - shown >= _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            click.echo(ingest_line(progress), err=True)

    try:
        yield show
    finally:
        live.stop()


@contextmanager
def metrics(port: int | None, host: str, callback: Callback) -> Iterator[Callback]:
    """A context whose value also keeps the metrics that Prometheus fetches from a port."""
    if port is None:
        yield callback
        return
    from pintext.events.metrics import Metrics

    with Metrics(port, host) as kept:

        def both(progress: "IngestProgress") -> None:
            kept.update(progress)
            callback(progress)

        yield both
