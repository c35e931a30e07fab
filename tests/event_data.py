"""Events for the tests, with what must never reach a disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingest_process import run
from pintext.events import EventStore

SECRETS = ("jane.doe", "example.com", "user-4711", "4711", "10.1.2.3")
"""Parts of ids and addresses that are in every event of :func:`event`, outside of the form."""

START = 1_772_366_400_000
"""2026-03-01 12:00 in milliseconds."""


def event(number: int, **changed: Any) -> dict[str, Any]:
    """A good event with things in it that nobody may store."""
    day = 86_400_000 * (number % 3)
    return {
        "event_id": f"e{number:07}",
        "timestamp": START + day + number,
        "task": ("search", "related_pins")[number % 2],
        "query": f"wood cabinets {number % 50}",
        "pin_id": f"pin-{number % 1000}",
        "action": ("save", "click", "hide", "impression")[number % 4],
        "user_id": "user-4711",
        "email": "jane.doe@example.com",
        "context": {"ip": "10.1.2.3", "event_id": "user-4711"},
        **changed,
    }


def encoded(events: Iterable[Mapping[str, Any]]) -> list[bytes]:
    return [json.dumps(one).encode() for one in events]


def write_lines(path: Path, values: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(value + b"\n" for value in values))
    return path


def stored(folder: Path) -> pl.DataFrame:
    """Every committed event, with its task and date."""
    frames = [
        pl.read_parquet(file.path, hive_partitioning=False).with_columns(
            task=pl.lit(file.task), date=pl.lit(file.date)
        )
        for file in EventStore(folder).files()
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema={"event_id": pl.String})


def letters(folder: Path) -> list[dict[str, Any]]:
    """Every committed dead letter."""
    return [
        json.loads(line)
        for entry in EventStore(folder).manifest.dead_letters
        for line in (folder / entry.name).read_text().splitlines()
    ]


@cache
def fork_server() -> ForkServerContext:
    """Forks processes that have imported everything."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", "ingest_process"])
    with pytest.MonkeyPatch.context() as patch:
        # It does not take over sys.path, and passes over what it cannot import.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        forkserver.ensure_running()
    return context


class Ingester:
    """A ``pintext ingest`` that runs until it ends, is stopped or killed."""

    def __init__(self, *arguments: object) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ingester-"))
        files = (self._folder / "output", self._folder / "errors")
        self.process = fork_server().Process(
            target=run,
            args=([*map(str, arguments), "--quiet"], dict(os.environ), *files),
            daemon=True,  # a test that fails leaves nothing running
        )
        self.process.start()

    @property
    def running(self) -> bool:
        return self.process.is_alive()

    def holds_lock(self) -> bool:
        """Whether it is in the middle of a commit (or opens the store)."""
        return f" {self.process.pid} " in Path("/proc/locks").read_text()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Ask it to end; returns exit code and both outputs."""
        with suppress(ProcessLookupError):  # it has ended by itself; its outputs say why
            os.kill(self.process.pid or 0, number)
        return self.wait()

    def wait(self) -> tuple[int, str, str]:
        """Wait for its end; returns exit code and both outputs."""
        self.process.join(120)
        code = self.process.exitcode
        assert code is not None, "it does not end"
        output, errors = ((self._folder / name) for name in ("output", "errors"))
        said = [path.read_text() if path.exists() else "" for path in (output, errors)]
        shutil.rmtree(self._folder)
        return code, said[0], said[1]


def ingest(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``pintext ingest`` to its end; with options of subprocess, as a process from scratch."""
    words = [*map(str, arguments)]
    if not options:
        return subprocess.CompletedProcess(words, *Ingester(*words).wait())
    command = [sys.executable, "-m", "pintext", "ingest", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
