"""Memory of a loaded model of a million words, alone and beside a second process that loads it too.

RSS counts shared pages in every process, PSS divides them by the number of processes that map them.
What the imports and the compiled code take is measured with a model of ten words and taken off.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from encode_speed import random_model
from harness import megabytes, skip, table

# Loads the models named by the lines of its input; answers each with what memory it takes then.
CHILD = """
import json, sys, time
import numpy as np
from pintext import PinTextModel

def memory():
    lines = open("/proc/self/smaps_rollup").read().splitlines()[1:]
    kept = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return {"rss": kept["Rss"], "pss": kept["Pss"], "own": kept["Private_Dirty"]}

for line in sys.stdin:
    folder, what = line.split()
    if what == "load":
        began = time.perf_counter()
        model = PinTextModel.from_pretrained(folder)
        took = time.perf_counter() - began
    elif what == "encode":
        model.encode("ba be bi bo")
        model.encode(["ba be bi bo"] * 10)
    elif what == "all":
        float(np.sum(np.asarray(model.embeddings)[:, 0]))
        model.encode("ba be bi bo")
    print(json.dumps({**memory(), "seconds": took}), flush=True)
"""


class Child:
    """A process that loads models on demand."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, folder: Path, what: str) -> dict[str, float]:
        """Do something (load, encode, all) and return the memory taken afterwards."""
        to, back = _streams(self.process)
        to.write(f"{folder} {what}\n")
        to.flush()
        answer: dict[str, float] = json.loads(back.readline())
        return answer

    def end(self) -> None:
        """Let the process end."""
        _streams(self.process)[0].close()
        self.process.wait()


def _streams(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--words", type=int, default=1_000_000)
    given = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        skip("needs /proc/self/smaps_rollup (Linux)")
    rows: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        tiny, large = Path(name, "tiny"), Path(name, "large")
        random_model(tiny, 10)
        random_model(large, given.words)
        size = sum(path.stat().st_size for path in large.iterdir())
        first, second = Child(), Child()
        for child in (first, second):  # the first one also compiles the kernels, if need be
            child.ask(tiny, "load")
        base = {child: child.ask(tiny, "encode") for child in (first, second)}

        def row(label: str, child: Child, folder: Path, what: str) -> None:
            now = child.ask(folder, what)
            grown = [now[kind] - base[child][kind] for kind in ("rss", "pss", "own")]
            seconds = f"{now['seconds'] * 1e3:.0f} ms" if what == "load" else ""
            rows.append((label, seconds, *map(megabytes, grown), f"{grown[0] / size:.2f}"))

        row("loaded", first, large, "load")
        row("and one query encoded", first, large, "encode")
        row("and every row read", first, large, "all")
        row("second process: loaded", second, large, "load")
        row("second process: every row read", second, large, "all")
        row("first process, beside the second", first, large, "encode")
        first.end()
        second.end()
    table(
        f"{given.words:,} words x 128: {megabytes(size)} of files; memory beyond the imports",
        "state;took;RSS;PSS;written pages;RSS / files",
        rows,
    )


if __name__ == "__main__":
    main()
