import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pintext.arrays import I32
from pintext.training.corpus import Corpus, HeldOut
from pintext.training.threads import ThreadTeam
from pintext.training.validation import RECALL_AT, Validation
from pintext.vocabulary import Vocabulary
from training_data import Pair, corpus_arrays

Held = list[tuple[int, int]]


def one_word_corpus(words: int, tasks: list[list[Pair]], held: list[Held]) -> Corpus:
    """Entity e is the word in row e."""
    queries: I32 = np.array([q for pairs in held for q, _ in pairs], np.int32)
    pins: I32 = np.array([p for pairs in held for _, p in pairs], np.int32)
    return Corpus(
        arrays=corpus_arrays([[row] for row in range(words)], tasks),
        held_out=HeldOut(queries, pins, np.cumsum([0, *map(len, held)], dtype=np.int64)),
        vocabulary=Vocabulary.from_words([f"w{row}" for row in range(words)]),
        tasks=tuple(f"task{t}" for t in range(len(tasks))),
        counts={},
        fingerprint="",
    )


def slow_recall(rows: NDArray[np.float32], pins: list[int], held: Held) -> float:
    """By sorting, averaged over the two orders of candidates that are equally similar."""
    candidates = sorted({*pins, *(pin for _, pin in held)})
    lengths = np.maximum(np.sqrt((rows.astype(float) ** 2).sum(axis=1)), 1e-30)
    units = rows / lengths[:, None]
    shares = []
    for query in sorted({q for q, _ in held}):
        answers = {p for q, p in held if q == query}
        cosines = (units[candidates] @ units[query]).tolist()
        chances = []
        for answer in answers:
            mine = cosines[candidates.index(answer)]
            above = sum(cosine > mine + 1e-6 for cosine in cosines)
            equal = sum(abs(cosine - mine) <= 1e-6 for cosine in cosines)
            chances.append(sum(above + place < RECALL_AT for place in range(equal)) / equal)
        shares.append(sum(chances) / len(answers))
    return float(np.mean(shares))


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_recall_is_that_of_sorting_all_candidates(seed: int, threads: int, coarse: bool) -> None:
    random = np.random.default_rng(seed)
    words = 60
    rows = random.normal(size=(words, 6)).astype(np.float32)
    if coarse:  # many equal cosines, without rounding errors; entities of length 0 among them
        nonzero = np.argsort(rows) < random.choice([0, 1, 4], (words, 1))
        rows = np.where(nonzero, np.sign(rows), 0).astype(np.float32)
    tasks: list[list[Pair]] = []
    held: list[Held] = []
    for size in (120, 7):
        ends = random.integers(0, words, (size, 2)).tolist()
        tasks.append([(q, p, 1.0) for q, p in ends[::2]])
        held.append([(q, p) for q, p in ends[1::2]])
    validation = Validation(one_word_corpus(words, tasks, held), 0)
    with ThreadTeam(threads) as team:
        recall = validation.recall(rows, team)
    expected = {
        f"task{t}": slow_recall(rows, [p for _, p, _ in tasks[t]], held[t]) for t in range(2)
    }
    assert recall == pytest.approx(expected, abs=1e-6)


def test_a_dictionary_that_makes_everything_equal_is_no_better_than_chance() -> None:
    pairs: list[Pair] = [(row, row, 1.0) for row in range(100)]
    corpus = one_word_corpus(101, [pairs], [[(100, pin) for pin in range(5)]])
    with ThreadTeam(1) as team:
        recall = Validation(corpus, 0).recall(np.ones((101, 3), np.float32), team)
    assert recall == {"task0": pytest.approx(10 / 100)}


def test_tasks_without_held_out_pairs_are_left_out() -> None:
    pairs: list[Pair] = [(0, 1, 1.0), (1, 2, 1.0)]
    corpus = one_word_corpus(4, [pairs, pairs], [[], [(3, 1)]])
    rows = np.eye(4, dtype=np.float32)
    with ThreadTeam(2) as team:
        assert Validation(corpus, 0).queries == {"task1": 1}
        assert list(Validation(corpus, 0).recall(rows, team)) == ["task1"]
        nothing = Validation(one_word_corpus(4, [pairs], [[]]), 0)
        assert nothing.queries == {}
        assert nothing.recall(rows, team) == {}


@pytest.mark.parametrize("seed", range(4))
def test_large_tasks_are_sampled(seed: int) -> None:
    """30,000 pins and 3,000 held-out queries: 10,000 pins and 2,000 queries are compared.

    Rows on a circle, a query where its one answer is: the answer is among the first ten exactly if
    the dictionary says so, whatever was sampled beside it.
    """
    angle = np.linspace(0, np.pi, 30_000, endpoint=False)
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    rows = np.concatenate([rows, rows[:3000] * 2])
    tasks: list[list[Pair]] = [[(0, pin, 1.0) for pin in range(30_000)]] * 2
    held = [[(30_000 + i, i) for i in range(3000)]] * 2
    validation = Validation(one_word_corpus(33_000, tasks, held), seed)
    with ThreadTeam(2) as team:
        right = validation.recall(rows, team)
        rows[30_000:] *= -1
        wrong = validation.recall(rows, team)
    assert right == {"task0": 1.0, "task1": 1.0}
    assert max(wrong.values()) < 0.01
