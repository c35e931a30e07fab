"""From pairs of text in Parquet to a saved model: one epoch in a process of its own."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from harness import megabytes, table, train_process
from synthetic import Recipe, write_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    settings = {"dim": 128, "epochs": 1, "min_count": 1, "validation": 0.0}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        pairs, small = Path(name, "pairs"), Path(name, "small")
        size = write_dataset(replace(Recipe(), pairs=given.pairs), pairs)
        write_dataset(replace(Recipe(), pairs=2_000), small)
        train_process(small, settings, 1, Path(name, "model"))  # compiles the kernels
        for threads in given.threads:
            done = train_process(pairs, settings, threads, Path(name, "model"))
            rows.append(
                (
                    threads,
                    f"{done.seconds:.1f}",
                    f"{done.cpu_seconds:.1f}",
                    f"{done.others:.1f}",
                    f"{done.answer['imports']:.1f}",
                    f"{done.answer['reading']:.1f}",
                    f"{given.pairs / done.seconds:,.0f}",
                    f"{done.answer['rate']:,.0f}",
                    megabytes(done.peak_bytes),
                )
            )
    table(
        f"Whole process, {given.pairs:,} pairs ({megabytes(size)} Parquet), dim 128, 1 epoch",
        "threads;seconds;CPU s;others' cores;imports;reading;"
        "pairs/s whole;pairs/s training;peak RSS",
        rows,
        "Peak RSS counts mapped files that the system may drop; see bounded_memory.py.",
    )


if __name__ == "__main__":
    main()
