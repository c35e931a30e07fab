"""What the benchmarks share: timing whole processes, tables, held-out recall, optional contenders.

No figure here is meant to be compared with one from another run or machine: every table states the
ratio of contenders that ran one after the other in the same run.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Finished:
    """A process that ran to its end.

    Attributes:
        seconds: wall clock.
        cpu_seconds: processor time of all its threads: what others on the machine change least.
        others: cores that the rest of the machine kept busy meanwhile (Linux; else not a number).
            A run during which this is not near 0 does not show the speed of an idle machine.
        peak_bytes: largest resident set.
        answer: the JSON value on the last line of its output, None if that is not JSON.
        lines: (seconds since the start, line) of everything it wrote, both streams.
        code: exit status.
    """

    seconds: float
    cpu_seconds: float
    others: float
    peak_bytes: int
    answer: Any
    lines: list[tuple[float, str]]
    code: int


def run(command: Sequence[str | Path], *, prepare: Callable[[], None] | None = None) -> Finished:
    """Run a program, stamping each line that it writes, and measure its peak memory.

    Args:
        command: program and arguments.
        prepare: called in the child before the program starts (memory limits).
    """
    busy, began = _busy_seconds(), time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=prepare,
    )
    lines: list[tuple[float, str]] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            lines.append((time.perf_counter() - began, text))

    reader = threading.Thread(target=read)
    reader.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    busy = _busy_seconds() - busy
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    scale = 1 if sys.platform == "darwin" else 1024
    try:
        answer = json.loads(lines[-1][1])
    except (IndexError, ValueError):
        answer = None
    cpu_seconds = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss * scale
    others = max((busy - cpu_seconds) / seconds, 0.0)
    return Finished(seconds, cpu_seconds, others, peak, answer, lines, process.returncode)


def _busy_seconds() -> float:
    """Processor seconds, of all cores, that the machine has been busy for."""
    try:
        fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    except OSError:
        return float("nan")
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run_python(code: str, *arguments: Any, **options: Any) -> Finished:
    """Run Python code in a fresh interpreter; ``arguments`` are its ``sys.argv[1:]``.

    Raises:
        SystemExit: the program failed; its output is shown.
    """
    done = run([sys.executable, "-c", code, *map(str, arguments)], **options)
    if done.code:
        print("\n".join(line for _, line in done.lines[-15:]), file=sys.stderr)
        raise SystemExit(f"a measured process ended with status {done.code}")
    return done


# Trains on argv[1] with the settings in argv[2] on argv[3] threads; saves to argv[4] unless it is
# "". The rate leaves out reading, compiling and saving: it is taken from the first report of
# training to the last.
TRAIN = """
import json, sys, time
born = time.perf_counter()
from pintext import TrainConfig, train

marks, last = [], None
def report(progress):
    global last
    last = progress
    if progress.phase == "training":
        marks.append((time.perf_counter(), progress.pairs_done, time.process_time()))

began = time.perf_counter()
settings = TrainConfig.from_dict(json.loads(sys.argv[2]))
model = train(sys.argv[1], settings, threads=int(sys.argv[3]), callback=report)
ended = time.perf_counter()
if sys.argv[4]:
    model.save_pretrained(sys.argv[4], overwrite=True)
(first, before, cpu), (final, after, cpu_after) = marks[0], marks[-1]
print(json.dumps({
    "imports": began - born, "reading": first - began, "seconds": ended - began,
    "rate": (after - before) / max(final - first, 1e-9), "pairs": after,
    "cpu": (cpu_after - cpu) * after / max(after - before, 1), "words": len(model),
    "gathered": last.rows_gathered, "changed": last.rows_changed,
}))
"""


def train_process(
    pairs: Path, settings: dict[str, Any], threads: int, out: Path | str = "", **options: Any
) -> Finished:
    """Train in a fresh process.

    ``answer`` has the seconds of the ``imports``, of ``reading`` until the first step, and of the
    whole call (``seconds``); ``pairs`` trained on over all epochs and ``rate``, pairs a second of
    the training phase alone, with its processor seconds ``cpu``; ``words`` of the model; rows
    ``gathered`` and ``changed``.
    """
    return run_python(TRAIN, pairs, json.dumps(settings), threads, out, **options)


def table(title: str, header: str, rows: Sequence[Sequence[Any]], note: str = "") -> None:
    """Print a table; ``header`` has its columns' names, with semicolons between them."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    shown = Table(title=title, title_justify="left")
    for column, name in enumerate(header.split(";")):
        numeric = all(_is_number(row[column]) for row in rows)
        shown.add_column(name, justify="right" if numeric else "left")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    console.print(shown)
    if note:
        console.print(note, highlight=False)


def _is_number(cell: Any) -> bool:
    return str(cell)[:1] in "0123456789-+" or str(cell) == ""


def skip(reason: str) -> NoReturn:
    """End the benchmark, saying what it needs; not an error."""
    print(f"skipped: {reason}")
    raise SystemExit(0)


def megabytes(size: float) -> str:
    """Bytes as MB."""
    return f"{size / 1e6:,.0f} MB"


def mean_vectors(texts: Sequence[str], words: Sequence[str], rows: Vectors) -> Vectors:
    """Mean of the rows of each text's known words: an encoder for other libraries' word vectors."""
    number = {word: i for i, word in enumerate(words)}
    out = np.zeros((len(texts), rows.shape[1]), np.float32)
    for i, text in enumerate(texts):
        known = [number[word] for word in text.split(" ") if word in number]
        if known:
            out[i] = rows[known].mean(axis=0)
    return out


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; zero rows stay zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = vectors / np.maximum(length, 1e-12)
    return scaled


def recall_at_10(queries: Vectors, pins: Vectors) -> float:
    """Share of queries ``i`` with pin ``i`` among their 10 nearest; ties count against."""
    similarity = unit(queries) @ unit(pins).T
    rank = (similarity >= np.diag(similarity)[:, None]).sum(axis=1)
    return float((rank <= 10).mean())


def folder_recall(model: Path, held_out: pl.DataFrame) -> float:
    """Held-out recall@10 of a saved PinText model."""
    from pintext import PinTextModel

    loaded = PinTextModel.from_pretrained(model)
    return recall_at_10(loaded.encode(held_out["query"]), loaded.encode(held_out["pin"]))


def copy_bandwidth(threads: int, *, size: int = 1 << 28, seconds: float = 1.0) -> float:
    """Bytes a second that ``threads`` threads read and write together when they copy memory.

    Each copies a block of its own of ``size`` bytes, larger than a core's caches, over and over.
    """
    blocks = [(np.ones(size, np.uint8), np.ones(size, np.uint8)) for _ in range(threads)]
    done = [0] * threads
    stop = time.perf_counter() + seconds

    def copy(thread: int) -> None:
        source, target = blocks[thread]
        while time.perf_counter() < stop:
            np.copyto(target, source)  # releases the GIL
            done[thread] += 2 * size

    workers = [threading.Thread(target=copy, args=(t,)) for t in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / (time.perf_counter() - began)
