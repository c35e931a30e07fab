"""The service under load, beside a bare route of the same framework in the same run.

    python benchmarks/server_load.py --pins 100000      # builds an index of synthetic pins first
    python benchmarks/server_load.py --index index/ --queries queries.txt

The load comes from a process of its own (``load_client.py``). Beside requests a second stands the
processor time of the worker for a request, which the rest of the machine changes least.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from pintext.index import PinIndex
from pintext.model import PinTextModel
from pintext.vocabulary import Vocabulary

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
TOPICS, WORDS = 400, 100


def synthetic(pins: int, out: Path) -> list[str]:
    """Build an index of pins about topics; queries about the same topics."""
    draw = np.random.default_rng(0)
    words = [f"w{topic}x{word}" for topic in range(TOPICS) for word in range(WORDS)]
    rows = draw.standard_normal((TOPICS, 128)).repeat(WORDS, 0)
    rows += 0.7 * draw.standard_normal(rows.shape)
    shares = 1 / np.arange(1, WORDS + 1)

    def texts(n: int, own: int, others: int) -> pl.Series:
        topics = draw.integers(TOPICS, size=n) * WORDS
        numbers = [topics + draw.choice(WORDS, size=n, p=shares / shares.sum()) for _ in range(own)]
        numbers += [draw.integers(len(words), size=n) for _ in range(others)]
        names = pl.Series(words)
        columns = [pl.Series(str(i), names.gather(column)) for i, column in enumerate(numbers)]
        return pl.DataFrame(columns).select(pl.concat_str(pl.all(), separator=" ")).to_series()

    model = PinTextModel(Vocabulary.from_words(words), rows.astype(np.float32))
    frame = pl.DataFrame({"id": pl.Series(range(pins)).cast(pl.String), "title": texts(pins, 6, 2)})
    PinIndex.build(frame, model, out)
    return texts(2000, 3, 0).to_list()


class Process:
    """A server in a process of its own."""

    def __init__(self, command: list[str], path: str, cwd: Path) -> None:
        self.started = time.perf_counter()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        filled = [part.replace("PORT", str(self.port)) for part in command]
        self.process = subprocess.Popen(
            filled, cwd=cwd, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        while not self._answers(path):
            if self.process.poll() is not None:
                raise SystemExit(f"did not start: {' '.join(filled)}")
            time.sleep(0.02)
        self.ready_seconds = time.perf_counter() - self.started

    def _answers(self, path: str) -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{self.port}{path}")
        except httpx.TransportError:
            return False
        return True

    def worker(self) -> int:
        """The process below that answers."""
        pids: list[int] = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            pids += map(int, (task / "children").read_text().split())
        return next(
            pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )

    def cpu_seconds(self) -> float:
        """Processor time of the worker so far."""
        fields = Path(f"/proc/{self.worker()}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def own_mb(self) -> float:
        """Memory beyond mapped files."""
        text = Path(f"/proc/{self.worker()}/smaps_rollup").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if "Anonymous:" in line) / 1e3

    def load(
        self, path: str, bodies: list[Any], seconds: float, connections: int, rate: float = 0.0
    ) -> dict[str, Any]:
        """What the load generator found; a rate of 0 is a closed loop."""
        wanted = {"port": self.port, "path": path, "bodies": bodies, "seconds": seconds}
        wanted |= {"connections": connections, "rate": rate}
        before = self.cpu_seconds()
        done = subprocess.run(
            [sys.executable, HERE / "load_client.py"],
            input=json.dumps(wanted),
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        served = found["answers"].get("200", 0)
        found["per_second"] = served / found["seconds"]
        found["cpu_ms"] = (self.cpu_seconds() - before) * 1000 / max(1, served)
        return found

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def row(table: Table, name: str, found: dict[str, Any]) -> None:
    answers = ", ".join(f"{status or 'broken'}: {n:,}" for status, n in found["answers"].items())
    table.add_row(
        name,
        f"{found['per_second']:,.0f}",
        f"{found['cpu_ms']:.3f}",
        f"{found.get('p50_ms', 0):,.1f}",
        f"{found.get('p99_ms', 0):,.1f}",
        answers,
    )


@click.command()
@click.option(
    "--index", "folder", type=click.Path(path_type=Path), help="An index; else one is made."
)
@click.option("--queries", type=click.Path(path_type=Path), help="Queries for it, one a line.")
@click.option("--pins", default=100_000, show_default=True, help="Pins of the index that is made.")
@click.option("--seconds", default=5.0, show_default=True, help="Time for each line of the table.")
@click.option("--overload", default=10.0, show_default=True, help="Time for the overload.")
def main(
    folder: Path | None, queries: Path | None, pins: int, seconds: float, overload: float
) -> None:
    """Measure and print."""
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if folder is None:
            texts = synthetic(pins, folder := work / "index")
        elif queries is None:
            raise click.UsageError("--index needs --queries")
        else:
            texts = queries.read_text(encoding="utf-8").splitlines()
        measure(console, folder, texts, seconds, overload, work)


def measure(
    console: Console,
    folder: Path,
    texts: list[str],
    seconds: float,
    overload: float,
    work: Path,
) -> None:
    copy = work / "served"
    shutil.copytree(folder, copy)
    command = [sys.executable, "-m", "pintext", "serve", str(copy), "--port", "PORT"]
    served = Process(command, "/ready", work)
    bare = Process([sys.executable, "bare_route.py", "PORT"], "/bare", HERE)
    console.print(
        f"ready after {served.ready_seconds:.1f} s; processor time of the worker until then "
        f"{served.cpu_seconds():.1f} s; {served.own_mb():,.0f} MB beyond mapped files"
    )
    table = Table(*("", "served/s", "cpu ms each", "p50 ms", "p99 ms", "answers"))
    searches = [{"query": text, "k": 10} for text in texts]
    short = [{"model": "pintext", "input": text} for text in texts]
    served.load("/v1/search", searches, 2, 4)
    capacity = served.load("/v1/search", searches, seconds, 4)
    row(table, "search, 4 connections", capacity)
    half = served.load("/v1/search", searches, seconds, 64, capacity["per_second"] / 2)
    row(table, "search, half load", half)
    over = served.load("/v1/search", searches, overload, 400, capacity["per_second"] * 5)
    row(table, "search, 5 x capacity", over)
    time.sleep(5)
    again = served.load("/v1/search", searches, seconds, 64, capacity["per_second"] / 2)
    row(table, "search, half load again", again)
    rounds: dict[str, list[dict[str, Any]]] = {"bare": [], "new": [], "kept": []}
    for number in range(3):  # in turns, so that the rest of the machine bears on both alike
        fresh = [{"model": "pintext", "input": f"{text} n{number}"} for text in texts]
        rounds["bare"].append(bare.load("/bare", short, seconds / 3, 16))
        rounds["new"].append(served.load("/v1/embeddings", fresh, seconds / 3, 16))
        rounds["kept"].append(served.load("/v1/embeddings", short[:100], seconds / 3, 16))
    for key, name in (
        ("bare", "bare route"),
        ("new", "embed one text"),
        ("kept", "embed one of 100 texts"),
    ):
        row(table, name, middle(rounds[key]))
    swap(served, searches, folder, copy, seconds, table)
    console.print(table)
    console.print(
        f"slowest hundredth of the served at 5 x capacity: {over['p99_ms'] / half['p99_ms']:.1f} "
        "times that at half load"
    )
    base = middle(rounds["bare"])
    for key in ("new", "kept"):
        found = middle(rounds[key])
        console.print(
            f"embeddings ({key}): {found['per_second'] / base['per_second']:.0%} of the bare "
            f"route's requests a second; by processor time {base['cpu_ms'] / found['cpu_ms']:.0%}"
        )
    console.print(f"memory at the end: {served.own_mb():,.0f} MB beyond mapped files")
    served.stop()
    bare.stop()


def middle(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The round in the middle, by processor time."""
    return sorted(rounds, key=lambda found: found["cpu_ms"])[len(rounds) // 2]


def swap(
    served: Process, searches: list[Any], folder: Path, copy: Path, seconds: float, table: Table
) -> None:
    """Put another version in place, twice, while it is asked."""

    def exchange() -> None:
        for number in range(2):
            time.sleep(seconds / 4)
            new = copy.with_name(f"new-{number}")
            shutil.copytree(folder, new)
            copy.rename(copy.with_name(f"old-{number}"))
            new.rename(copy)

    thread = threading.Thread(target=exchange)
    thread.start()
    row(table, "search, 2 reloads meanwhile", served.load("/v1/search", searches, seconds * 2, 2))
    thread.join()


if __name__ == "__main__":
    main()
