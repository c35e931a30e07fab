"""fastText's unsupervised models and PinText on the same text: words a second, held-out recall@10.

fastText (``pip install fasttext``) reads one line for each pair, query then pin, so that its
window can learn that they belong together; without subwords (``maxn=0``), as PinText has none. Dim,
epochs, threads and minimum count are the same for all; the rest is each one's default, but PinText
is trained at each of ``--temperatures``. All are timed from the call to its return, with reading.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import folder_recall, mean_vectors, recall_at_10, skip, table, train_process
from pintext.config import TrainConfig
from synthetic import Recipe, frames, held_out, write_dataset, write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=5, help="fastText's default is 5")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--temperatures", type=float, nargs="+", default=[TrainConfig().temperature, 0.1, 0.15]
    )
    given = parser.parse_args()
    try:
        import fasttext
    except ImportError:
        skip("needs fasttext: pip install fasttext")
    recipe = replace(Recipe(), pairs=given.pairs)
    asked = held_out(recipe)
    running = sum(
        int(frame[side].str.count_matches(" ").sum()) + frame.height
        for frame in frames(recipe)
        for side in frame.columns
    )
    results: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, text, model = Path(name, "pairs"), Path(name, "pairs.txt"), Path(name, "model")
        write_dataset(recipe, folder)
        write_text(recipe, text)
        settings = {"dim": 128, "epochs": given.epochs, "min_count": 5, "validation": 0.0}
        train_process(folder, settings | {"epochs": 1}, given.threads)  # compiles the kernels
        for temperature in given.temperatures:
            chosen = settings | {"temperature": temperature}
            done = train_process(folder, chosen, given.threads, model)
            seconds = done.answer["seconds"]
            results[f"PinText, temperature {temperature:g}"] = seconds, folder_recall(model, asked)
        for kind in ("skipgram", "cbow"):
            began = time.perf_counter()
            theirs = fasttext.train_unsupervised(
                str(text),
                model=kind,
                dim=128,
                epoch=given.epochs,
                thread=given.threads,
                minCount=5,
                maxn=0,
                verbose=0,
            )
            seconds = time.perf_counter() - began
            words = theirs.get_words()
            rows = np.stack([theirs.get_word_vector(word) for word in words]).astype(np.float32)
            queries, pins = (
                mean_vectors(asked[side].to_list(), words, rows) for side in asked.columns
            )
            results[f"fastText {kind}"] = seconds, recall_at_10(queries, pins)
    ours = next(iter(results.values()))[0]
    table(
        f"{given.pairs:,} pairs, {running:,} words, dim 128, {given.epochs} epochs, "
        f"{given.threads} threads",
        "trainer;seconds;words/s;the first is times as fast;recall@10",
        [
            (
                name,
                f"{seconds:.1f}",
                f"{running * given.epochs / seconds:,.0f}",
                f"{seconds / ours:.1f}",
                f"{recall:.3f}",
            )
            for name, (seconds, recall) in results.items()
        ],
    )


if __name__ == "__main__":
    main()
