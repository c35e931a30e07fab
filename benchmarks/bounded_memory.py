"""Train on many pairs under a memory limit that the operating system enforces.

The limit is a memory cgroup (version 2 or 1) where one can be made: it counts every page that the
process uses, page cache of the files it reads and writes included. Elsewhere it is RLIMIT_AS, which
counts address space, mapped files as well, and so is stricter.
"""

import argparse
import os
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness import megabytes, table, train_process
from synthetic import Recipe, write_dataset


@dataclass(frozen=True)
class Limit:
    """A memory limit: what enforces it, how a child enters it, and its own record of the peak."""

    kind: str
    enter: Callable[[], None]
    peak: Callable[[], str]


@contextmanager
def memory_limit(size: int) -> Iterator[Limit]:
    """Make a limit of ``size`` bytes; the control group goes away at the end."""
    for parent, limit, peak in (
        (Path("/sys/fs/cgroup"), "memory.max", "memory.peak"),
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    ):
        group = parent / f"pintext-benchmark-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / limit).exists():  # not a control group: version 1 has a plain parent
                raise FileNotFoundError
            (group / limit).write_text(str(size))
        except OSError:
            group.rmdir()
            continue
        enter = _enter(group / "cgroup.procs")
        try:
            yield Limit(f"cgroup, {limit}", enter, lambda: _peak(group / peak))  # noqa: B023
        finally:
            group.rmdir()
        return
    yield Limit(
        "RLIMIT_AS", lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)), lambda: ""
    )


def _enter(procs: Path) -> Callable[[], None]:
    return lambda: (procs.write_text(str(os.getpid())), None)[1]


def _peak(path: Path) -> str:
    return megabytes(int(path.read_text())) if path.exists() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--limit", type=float, default=2.0, help="GB")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    settings = {"dim": 128, "epochs": given.epochs, "min_count": 1}
    with tempfile.TemporaryDirectory() as name, memory_limit(int(given.limit * 1e9)) as limit:
        size = write_dataset(replace(Recipe(), pairs=given.pairs), Path(name, "pairs"))
        done = train_process(
            Path(name, "pairs"),
            settings,
            given.threads,
            Path(name, "model"),
            prepare=limit.enter,
        )
        peak = limit.peak()
    table(
        f"{given.pairs:,} pairs ({megabytes(size)} Parquet) under {given.limit:g} GB: {limit.kind}",
        "seconds;pairs trained on;pairs/s process;peak RSS;peak of the limit",
        [
            (
                f"{done.seconds:.0f}",
                f"{done.answer['pairs']:,}",
                f"{given.pairs * given.epochs / done.seconds:,.0f}",
                megabytes(done.peak_bytes),
                peak,
            )
        ],
    )


if __name__ == "__main__":
    main()
