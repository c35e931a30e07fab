"""Encoding with PinText and with model2vec from the same model folder: speed, and equal vectors."""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from harness import Vectors, skip, table
from synthetic import Recipe, frames, words


def random_model(folder: Path, count: int, dim: int = 128) -> None:
    """Save a model of ``count`` synthetic words with random rows."""
    from pintext import PinTextModel
    from pintext.vocabulary import Vocabulary

    letters, ends = words(count)
    text = letters.tobytes().decode()
    spelled = [text[a:b] for a, b in pairwise(ends.tolist())]
    rows = np.random.default_rng(0).standard_normal((count, dim), np.float32) / dim**0.5
    PinTextModel(Vocabulary.from_words(spelled), rows).save_pretrained(folder, overwrite=True)


class Timed:
    """Sums the wall and processor seconds of the calls of one contender."""

    def __init__(self, encode: Callable[..., Vectors], **options: Any) -> None:
        self.encode, self.options = encode, options
        self.wall = self.cpu = self.difference = 0.0

    def __call__(self, texts: Any) -> Vectors:
        """Encode, and add the time that it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        vectors = self.encode(texts, **self.options)
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--vocabulary", type=int, default=Recipe.vocabulary)
    given = parser.parse_args()
    try:
        from model2vec import StaticModel
    except ImportError:
        skip("needs model2vec: pip install model2vec")
    from pintext import PinTextModel

    recipe = replace(Recipe(), pairs=given.texts, vocabulary=given.vocabulary, pin_words=10)
    with tempfile.TemporaryDirectory() as name:
        random_model(Path(name, "model"), given.vocabulary)
        ours = PinTextModel.from_pretrained(Path(name, "model"))
        theirs = StaticModel.from_pretrained(Path(name, "model"))
        short = next(frames(replace(recipe, pairs=50_000)))["query"].to_list()
        ours.encode(short[:1000])  # compiles the kernels
        theirs.encode(short[:1000])
        rows = [row(one, given.texts) for one in compete(ours, theirs, recipe)]
        short = [query for query in short if query.count(" ") == 3]
        single = [
            ("PinText", *one_by_one(ours, short)),
            ("model2vec", *one_by_one(theirs, short[:2_000])),
        ]
    table(
        f"{given.texts:,} texts of about 10 words, {given.vocabulary:,} words, dim 128",
        "encoder;seconds;texts/s;times as fast;CPU s;times as fast by CPU s;largest difference",
        rows,
        "All encode one part of the texts before any goes on to the next.",
    )
    table("One query of 4 words at a time", "encoder;median us;99 % us", single)


def compete(ours: Any, theirs: Any, recipe: Recipe) -> list[tuple[str, Timed, Timed]]:
    """Encode all texts with every contender, in turns; (label, contender, model2vec) of each."""
    reference = Timed(theirs.encode)
    contenders = {
        "model2vec, list": reference,
        "PinText, list": Timed(ours.encode),
        "PinText, list, 1 thread": Timed(ours.encode, threads=1),
        "PinText, column": Timed(ours.encode),
        "PinText, column, 1 thread": Timed(ours.encode, threads=1),
    }
    for frame in frames(recipe):
        column, texts = frame["pin"], frame["pin"].to_list()
        expected = reference(texts)
        for label, contender in contenders.items():
            if contender is not reference:
                vectors = contender(column if "column" in label else texts)
                largest = float(np.abs(vectors - expected).max())
                contender.difference = max(contender.difference, largest)
    return [(label, contender, reference) for label, contender in contenders.items()]


def row(result: tuple[str, Timed, Timed], texts: int) -> tuple[str, ...]:
    label, one, reference = result
    return (
        label,
        f"{one.wall:.2f}",
        f"{texts / one.wall:,.0f}",
        f"{reference.wall / one.wall:.1f}",
        f"{one.cpu:.2f}",
        f"{reference.cpu / one.cpu:.1f}",
        f"{one.difference:.1e}",
    )


def one_by_one(model: Any, queries: list[str]) -> tuple[str, str]:
    """Median and 99th percentile of the microseconds that one query takes."""
    took = np.empty(len(queries))
    for i, query in enumerate(queries):
        began = time.perf_counter_ns()
        model.encode(query)
        took[i] = time.perf_counter_ns() - began
    return f"{np.median(took) / 1e3:.1f}", f"{np.percentile(took, 99) / 1e3:.1f}"


if __name__ == "__main__":
    main()
