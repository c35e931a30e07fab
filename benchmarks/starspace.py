"""StarSpace and PinText on the same pairs: speed of whole trainings, and held-out recall@10.

Build StarSpace from https://github.com/facebookresearch/StarSpace and name the program with
``--starspace``, more than once to compare builds. Its makefile leaves Boost's checks on, which cost
more than the arithmetic: with ``-march=native -DNDEBUG`` it is several times faster
(``doneTraining`` in ``src/model.cpp`` must then be made ``volatile``, else training never ends).

Both train the same pairs for one epoch with the same dim and margin, two workers (StarSpace gets
its norm thread on top), cosine, hinge, shared embeddings; everything else is each one's default.
Each margin is tried and the better recall counts.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from harness import (
    Finished,
    folder_recall,
    mean_vectors,
    recall_at_10,
    run,
    skip,
    table,
    train_process,
)
from synthetic import Recipe, held_out, write_dataset, write_tsv


class Result(NamedTuple):
    """One training: seconds of the process, of its threads, of training alone, and the rest."""

    process: float
    cpu: float
    training: float
    recall: float
    others: float


def train_starspace(
    program: Path, pairs: Path, model: Path, margin: float, workers: int
) -> Finished:
    command = f"-fileFormat labelDoc -trainMode 0 -dim 128 -epoch 1 -thread {workers + 1}"
    command += f" -similarity cosine -loss hinge -margin {margin}"
    done = run(
        ["stdbuf", "-oL", program, "train", "-trainFile", pairs, "-model", model, *command.split()]
    )
    if done.code:
        raise SystemExit("\n".join(line for _, line in done.lines[-5:]))
    return done


def starspace_result(
    program: Path, pairs: Path, model: Path, margin: float, workers: int, asked: pl.DataFrame
) -> Result:
    done = train_starspace(program, pairs, model, margin, workers)
    start = next(when for when, line in done.lines if line.startswith("Training epoch 0"))
    stop = next(when for when, line in done.lines if "Saving model to file" in line)
    saved = pl.read_csv(
        f"{model}.tsv",
        separator="\t",
        has_header=False,
        quote_char=None,
        schema={"word": pl.String} | {str(i): pl.Float32 for i in range(128)},
    )
    names, rows = saved["word"].to_list(), np.ascontiguousarray(saved.drop("word").to_numpy())
    queries, pins = (mean_vectors(asked[side].to_list(), names, rows) for side in asked.columns)
    recall = recall_at_10(queries, pins)
    return Result(done.seconds, done.cpu_seconds, stop - start, recall, done.others)


def pintext_result(
    pairs: Path, model: Path, margin: float, workers: int, asked: pl.DataFrame
) -> Result:
    settings = {"dim": 128, "epochs": 1, "loss": "hinge", "margin": margin}
    settings |= {"min_count": 1, "validation": 0.0}
    done = train_process(pairs, settings, workers, model)
    training = done.answer["pairs"] / done.answer["rate"]
    recall = folder_recall(model, asked)
    return Result(done.seconds, done.cpu_seconds, training, recall, done.others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--starspace", type=Path, action="append", default=[], metavar="PROGRAM")
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--margins", type=float, nargs="+", default=[0.05, 0.2])
    given = parser.parse_args()
    if not given.starspace:
        skip("name the StarSpace program with --starspace PROGRAM")
    for program in given.starspace:
        if not os.access(program, os.X_OK):
            skip(f"{program} is not a program")

    recipe = replace(Recipe(), pairs=given.pairs)
    asked = held_out(recipe)
    results: dict[str, dict[float, Result]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, lines, model = Path(name, "pairs"), Path(name, "pairs.tsv"), Path(name, "model")
        write_dataset(recipe, folder)
        write_tsv(recipe, lines)
        pintext_result(folder, model, 0.2, given.workers, asked)  # compiles the kernels
        for margin in given.margins:
            for number, program in enumerate(given.starspace):
                theirs = f"StarSpace {number + 1}: {program}"
                results.setdefault(theirs, {})[margin] = starspace_result(
                    program, lines, Path(name, "starspace"), margin, given.workers, asked
                )
            results.setdefault("PinText", {})[margin] = pintext_result(
                folder, model, margin, given.workers, asked
            )
    header = "trainer;margin;process s;CPU s;others' cores;training s;"
    header += "pairs/s process;pairs/s training;recall@10"
    table(
        f"{given.pairs:,} pairs, dim 128, 1 epoch, {given.workers} workers",
        header,
        [
            _row(trainer, margin, result, given.pairs)
            for trainer, of in results.items()
            for margin, result in of.items()
        ],
    )
    table(
        "PinText against each, both at their own best margin",
        "trainer;times as fast, process;by CPU s;training alone;recall@10 gained",
        [
            _against(trainer, list(of.values()), list(results["PinText"].values()))
            for trainer, of in results.items()
            if trainer != "PinText"
        ],
        "recall@10 among 5,000 held-out pins.",
    )


def _row(name: str, margin: float, result: Result, pairs: int) -> Sequence[str]:
    return (
        name,
        f"{margin:g}",
        f"{result.process:.1f}",
        f"{result.cpu:.1f}",
        f"{result.others:.1f}",
        f"{result.training:.2f}",
        f"{pairs / result.process:,.0f}",
        f"{pairs / result.training:,.0f}",
        f"{result.recall:.3f}",
    )


def _against(name: str, theirs: list[Result], ours: list[Result]) -> Sequence[str]:
    """Each one's run at its own best margin: speed and recall come from the same training."""
    they, we = (max(runs, key=lambda one: one.recall) for runs in (theirs, ours))
    return (
        name,
        f"{they.process / we.process:.1f}",
        f"{they.cpu / we.cpu:.1f}",
        f"{they.training / we.training:.1f}",
        f"{we.recall - they.recall:+.3f}",
    )


if __name__ == "__main__":
    main()
