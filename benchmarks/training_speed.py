"""Pairs a second by number of threads; traffic of rows against the machine's copy bandwidth.

Row traffic counts the bytes of dictionary rows alone: a row gathered to embed an entity is read, a
row changed is read and written. The rest that a step moves (gradients, tokens) comes on top.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import copy_bandwidth, table, train_process
from synthetic import Recipe, write_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--vocabulary", type=int, default=Recipe.vocabulary)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3, help="the best one counts")
    given = parser.parse_args()
    recipe = replace(Recipe(), pairs=given.pairs, vocabulary=given.vocabulary)
    settings = {"dim": 128, "epochs": 1, "min_count": 1, "validation": 0.0}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        write_dataset(recipe, Path(name, "pairs"))
        train_process(Path(name, "pairs"), settings, 1)  # compiles the kernels
        best: dict[int, dict[str, Any]] = {}
        bandwidth = dict.fromkeys(given.threads, 0.0)
        for _ in range(given.repeats):
            for threads in given.threads:
                bandwidth[threads] = max(bandwidth[threads], copy_bandwidth(threads))
                ran = train_process(Path(name, "pairs"), settings, threads)
                done = ran.answer | {"others": ran.others}
                if threads not in best or done["rate"] > best[threads]["rate"]:
                    best[threads] = done
    for threads, done in best.items():
        row_bytes = (done["gathered"] + 2 * done["changed"]) * 128 * 4
        traffic = row_bytes / done["pairs"] * done["rate"]
        rows.append(
            (
                threads,
                f"{done['rate']:,.0f}",
                f"{done['rate'] / best[given.threads[0]]['rate']:.2f}",
                f"{done['pairs'] / done['cpu']:,.0f}",
                f"{done['others']:.1f}",
                f"{done['gathered'] / done['pairs']:.1f}",
                f"{done['changed'] / done['pairs']:.1f}",
                f"{traffic / 1e9:.1f} GB/s",
                f"{bandwidth[threads] / 1e9:.1f} GB/s",
                f"{traffic / bandwidth[threads]:.2f}",
            )
        )
    header = (
        "threads;pairs/s;to the first;pairs/CPU s;others' cores;gathered rows/pair;changed/pair;"
    )
    header += "row traffic;copy;ratio"
    table(f"Training speed, {given.pairs:,} pairs, dim 128", header, rows)


if __name__ == "__main__":
    main()
