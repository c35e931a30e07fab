"""How the time of a training grows with the number of pairs: the exponent of a log-log fit."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import megabytes, table, train_process
from synthetic import Recipe, write_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--pairs", type=int, nargs="+", default=[100_000, 316_000, 1_000_000, 3_160_000, 10_000_000]
    )
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    settings = {"dim": 128, "epochs": 1, "min_count": 1, "validation": 0.0}
    rows: list[tuple[str, ...]] = []
    times: list[tuple[float, ...]] = []
    for count in given.pairs:
        with tempfile.TemporaryDirectory() as name:
            if not times:
                write_dataset(replace(Recipe(), pairs=2_000), Path(name, "small"))
                train_process(Path(name, "small"), settings, given.threads)  # compiles
            write_dataset(replace(Recipe(), pairs=count), Path(name, "pairs"))
            done = train_process(Path(name, "pairs"), settings, given.threads)
        training = done.answer["pairs"] / done.answer["rate"]
        times.append((done.seconds, done.cpu_seconds, done.answer["seconds"], training))
        rows.append(
            (
                f"{count:,}",
                f"{done.seconds:.2f}",
                f"{done.cpu_seconds:.2f}",
                f"{done.others:.1f}",
                f"{done.answer['seconds']:.2f}",
                f"{training:.2f}",
                f"{count / done.seconds:,.0f}",
                megabytes(done.peak_bytes),
            )
        )
    exponents = np.polyfit(np.log(given.pairs), np.log(np.array(times)), 1)[0]
    shown = [f"{one:.3f}" for one in exponents]
    rows.append(("exponent", *shown[:2], "", *shown[2:], "", ""))
    table(
        f"Growth, 1 epoch, dim 128, {given.threads} threads",
        "pairs;process s;CPU s;others' cores;train() s;training phase s;pairs/s process;peak RSS",
        rows,
    )


if __name__ == "__main__":
    main()
