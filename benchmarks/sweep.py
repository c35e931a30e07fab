"""Quality on real held-out engagement, one setting changed at a time, beside two baselines.

Each row is a training that differs from the first one in the setting it names. ``initial_norm`` is
no setting of a user's: it is the constant that ``pintext.training.run`` holds.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import pintext.training.run as run
from harness import table
from pintext import TrainConfig, train
from pintext.demo.retrieval import Question, Recall, questions
from pintext.errors import MissingExtraError
from real_data import add_options, load

MAX_QUERIES = 4_000
NOTE = "recall@10 of all answers / of the answers that share no word with their query"
VALUES: dict[str, list[Any]] = {
    "loss": ["hinge"],
    "temperature": [0.03, 0.05, 0.1, 0.2],
    "negatives": [16, 32, 128, 256],
    "learning_rate": [0.02, 0.05, 0.2, 0.4],
    "dim": [32, 64, 256],
    "epochs": [3, 20],
    "batch_size": [256, 4096],
    "max_norm": [0.3, 3.0, 10.0],
    "min_count": [1, 2, 10],
    "background": ["engagement"],
    "initial_norm": [0.01, 0.1, 0.3],
}

Recalls = dict[str, Recall]


def quality(
    data: Path, asked: dict[str, Question], settings: dict[str, Any]
) -> tuple[Recalls, float]:
    """Train and ask; returns each task's recall@10 and the seconds that training took."""
    settings = dict(settings)
    before = run.INITIAL_NORM
    run.INITIAL_NORM = settings.pop("initial_norm", before)
    began = time.perf_counter()
    try:
        model = train(data, TrainConfig(**settings))
    finally:
        run.INITIAL_NORM = before
    seconds = time.perf_counter() - began
    return {task: q.recall_of_encoder(model.encode) for task, q in asked.items()}, seconds


def row(label: str, recalls: Recalls, seconds: str = "") -> list[str]:
    """A row of the table: mean recall over tasks, then each task's two figures."""
    mean = sum(recall.overall for recall in recalls.values()) / len(recalls)
    each = [f"{r.overall:.3f} / {r.without_shared_words:.3f}" for r in recalls.values()]
    return [label, f"{mean:.4f}", *each, seconds]


def baselines(asked: dict[str, Question]) -> list[list[str]]:
    """Rows of what needs no training."""
    rows = [row("(popularity)", {task: q.recall_of_popularity() for task, q in asked.items()})]
    try:
        rows.append(row("(BM25)", {task: q.recall_of_bm25() for task, q in asked.items()}))
    except MissingExtraError as error:
        print(f"no BM25: {error}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    parser.add_argument("--only", nargs="+", choices=list(VALUES), default=list(VALUES))
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="the base")
    given = parser.parse_args()
    base = {"validation": 0.0}
    for name, _, value in (one.partition("=") for one in given.set):
        kind = type(getattr(TrainConfig(), name))
        base[name] = kind(value)
    for data in load(given.datasets, given.data):
        asked = questions(data.pairs, MAX_QUERIES)
        rows = baselines(asked)
        with tempfile.TemporaryDirectory() as folder:
            pairs = Path(folder, "pairs")
            data.write(pairs)
            trials = [(name, value) for name in given.only for value in VALUES[name]]
            for label, changed in [("base", {})] + [(f"{n} = {v}", {n: v}) for n, v in trials]:
                recalls, seconds = quality(pairs, asked, base | changed)
                rows.append(row(label, recalls, f"{seconds:.0f}"))
                print("  ".join(rows[-1]), flush=True)
        table(str(data), ";".join(["setting", "mean", *asked, "seconds"]), rows, NOTE)


if __name__ == "__main__":
    main()
