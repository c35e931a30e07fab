"""Which settings to make the defaults: one changed at a time, on real held-out engagement.

Every training learns from the ``train`` pairs alone and is asked two sets of questions that no
training saw: those of the ``validation`` pairs, by which to choose, and those of the ``test``
pairs, which tell what the choice is worth. The three are apart in time or by user (see
``real_data.py``), so that remembering does not pay. Figures are recall@10, the mean over tasks.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import table
from pintext import TrainConfig, train
from pintext.evaluation.baselines import dictionary
from pintext.evaluation.questions import Question
from pintext.evaluation.rankers import BM25, Popularity
from pintext.evaluation.recall import Recall, recall_of
from real_data import Dataset, add_options, load

MAX_QUERIES = 4_000
NOTE = "recall@10 of all answers / of the answers that share no word with their query"
VALUES: dict[str, list[Any]] = {
    "loss": ["hinge"],
    "negatives": [16, 64, 128],
    "temperature": [0.05, 0.1, 0.15],
    "initial_norm": [0.01, 0.1],
    "learning_rate": [0.05, 0.2],
    "batch_size": [256, 4096],
    "background": ["engagement"],
    "max_norm": [0.3, 3.0],
    "min_count": [1, 2],
    "epochs": [5, 20],
    "dim": [64, 256],
}

Asked = dict[str, Question]
Recalls = dict[str, Recall]


def quality(
    data: Path, settings: dict[str, Any], *asked: Asked
) -> tuple[tuple[Recalls, ...], float]:
    """Train and ask; returns each task's recall@10 for each set of questions, and the seconds."""
    began = time.perf_counter()
    model = train(data, TrainConfig(**settings))
    seconds = time.perf_counter() - began
    recalls = tuple(
        {task: recall_of(dictionary("PinText", model), q) for task, q in one.items()}
        for one in asked
    )
    return recalls, seconds


def mean(recalls: Recalls) -> float:
    """Mean over the tasks."""
    return sum(recall.overall for recall in recalls.values()) / len(recalls)


def row(label: str, recalls: Recalls, seconds: str = "") -> list[str]:
    """A row of a table: mean recall over tasks, then each task's two figures."""
    each = [f"{r.overall:.3f} / {r.no_shared_word:.3f}" for r in recalls.values()]
    return [label, f"{mean(recalls):.4f}", *each, seconds]


def baselines(asked: Asked) -> list[tuple[str, Recalls]]:
    """What needs no training."""
    return [
        (f"({ranker.name})", {task: recall_of(ranker, q) for task, q in asked.items()})
        for ranker in (Popularity(), BM25())
    ]


def sweep(
    data: Dataset, base: dict[str, Any], names: list[str], seeds: int, queries: int
) -> list[list[str]]:
    """The rows of one dataset's table: setting, validation, its spread over seeds, test, change."""
    asked = [data.questions(split, queries) for split in ("validation", "test")]
    rows = []
    for (label, chosen), (_, tested) in zip(*map(baselines, asked), strict=True):
        rows.append([label, f"{mean(chosen):.4f}", "", f"{mean(tested):.4f}", "", "", ""])
    trials: list[dict[str, Any]] = [{}, *({n: v} for n in names for v in VALUES[n])]
    first: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder, "pairs")
        data.write(pairs)
        for changed in trials:
            done, seconds = [], 0.0
            for seed in range(seeds):
                both, took = quality(pairs, {**base, **changed, "seed": seed}, *asked)
                done.append([mean(recalls) for recalls in both])
                seconds += took
            validation, test = np.mean(done, axis=0).tolist()
            spread = float(np.ptp([one[0] for one in done]))
            first = first or [validation, test]
            rows.append(
                [
                    ", ".join(f"{name} = {value}" for name, value in changed.items()) or "base",
                    f"{validation:.4f}",
                    f"{spread:.4f}",
                    f"{test:.4f}",
                    f"{100 * (validation / first[0] - 1):+.1f} %",
                    f"{100 * (test / first[1] - 1):+.1f} %",
                    f"{seconds:.0f}",
                ]
            )
            print(f"{data.name}: " + "  ".join(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    parser.add_argument("--only", nargs="+", choices=list(VALUES), default=list(VALUES))
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="the base")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pairs", type=int, help="training pairs a task at most, drawn at random")
    parser.add_argument("--queries", type=int, default=MAX_QUERIES, help="a task and split at most")
    given = parser.parse_args()
    base: dict[str, Any] = {"validation": 0.0}
    for name, _, value in (one.partition("=") for one in given.set):
        base[name] = type(getattr(TrainConfig(), name))(value)
    header = "setting;validation;between seeds;test;validation to base;test to base;seconds"
    for data in load(given.datasets, given.data):
        some = data.sample(given.pairs) if given.pairs else data
        table(str(some), header, sweep(some, base, given.only, given.seeds, given.queries))


if __name__ == "__main__":
    main()
