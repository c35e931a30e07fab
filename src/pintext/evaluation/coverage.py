"""Which words a dictionary knows, and which task it has them from."""

from collections.abc import Mapping

import msgspec
import polars as pl

from pintext.text import Texts
from pintext.vocabulary import Vocabulary

__all__ = ["Combination", "Contribution", "Covered", "contributions", "coverage", "task_overlaps"]


class Covered(msgspec.Struct, frozen=True):
    """How much of some texts one dictionary knows; shares are in [0, 1]."""

    texts: str
    dictionary: str
    words: int
    word_coverage: float
    tokens: int
    token_coverage: float


class Contribution(msgspec.Struct, frozen=True):
    """What one task brought to the dictionary.

    Attributes:
        task: its name.
        words: rows whose word occurs in the task's training texts.
        own_words: those that occur in no other task's; they go if the task is dropped.
        lost: for each held-out text column, the share of its running words that would lose their
            row with the task.
    """

    task: str
    words: int
    own_words: int
    lost: dict[str, float]


class Combination(msgspec.Struct, frozen=True):
    """Rows whose words occur in exactly these tasks."""

    tasks: list[str]
    words: int


def coverage(columns: Mapping[str, Texts], dictionaries: Mapping[str, Vocabulary]) -> list[Covered]:
    """The coverage of each column of texts by each dictionary."""
    made = []
    for texts, column in columns.items():
        for name, vocabulary in dictionaries.items():
            found = vocabulary.coverage(column)
            made.append(
                Covered(
                    texts=texts,
                    dictionary=name,
                    words=found.words,
                    word_coverage=found.word_coverage,
                    tokens=found.tokens,
                    token_coverage=found.token_coverage,
                )
            )
    return made


def task_overlaps(vocabulary: Vocabulary) -> list[Combination]:
    """How many words come from exactly which tasks, the largest part first (Lex et al., "UpSet:
    visualization of intersecting sets", 2014); the article's figure 4 as numbers.
    """  # noqa: D205
    if not vocabulary.tasks or not len(vocabulary):
        return []
    tasks = pl.DataFrame(
        {str(i): mask for i, mask in enumerate(vocabulary.words_by_task().values())}
    )
    counted = tasks.group_by(tasks.columns).len().sort("len", *tasks.columns, descending=True)
    return [
        Combination(
            [t for t, inside in zip(vocabulary.tasks, row, strict=False) if inside], row[-1]
        )
        for row in counted.rows()
        if any(row[:-1])
    ]


def contributions(vocabulary: Vocabulary, columns: Mapping[str, Texts]) -> list[Contribution]:
    """What each task brought; empty where the dictionary does not know its tasks."""
    masks = vocabulary.words_by_task()
    if len(masks) < 1 or not vocabulary.counts.any():
        return []
    used_by = sum(mask.astype(int) for mask in masks.values())
    made = []
    rows = {name: vocabulary.rows_of_column(column).rows for name, column in columns.items()}
    tokens = {name: max(1, vocabulary.coverage(column).tokens) for name, column in columns.items()}
    for task, mask in masks.items():
        own = mask & (used_by == 1)
        made.append(
            Contribution(
                task=task,
                words=int(mask.sum()),
                own_words=int(own.sum()),
                lost={name: float(own[rows[name]].sum()) / tokens[name] for name in columns},
            )
        )
    return made
