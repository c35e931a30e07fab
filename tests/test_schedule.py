"""Who meets whom in training: each pair once an epoch, no known positive as background."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pintext.arrays import I32, U8
from pintext.training.objective import GROUP
from pintext.training.randomness import initial_rows, key, permuted, uniform_below
from pintext.training.schedule import CorpusArrays, GroupDraw, count_groups, draw_group
from training_data import Pair, corpus_arrays


class Drawn(NamedTuple):
    """One group as ``draw_group`` fills it in."""

    task: int
    queries: list[int]
    pins: list[int]
    weights: list[float]
    background: list[int]
    masked: U8  # (pairs, negatives)


def draw_epoch(
    corpus: CorpusArrays,
    *,
    seed: int = 0,
    epoch: int = 0,
    negatives: int = 8,
    engaged: bool = False,
    size: int = GROUP,
    positions: Sequence[int] | None = None,
) -> list[Drawn]:
    """All groups of an epoch, or those at some positions, with buffers that are used again."""
    entities: I32 = np.full(2 * GROUP + negatives, -1, np.int32)
    draw = GroupDraw.allocate(negatives)
    masked = np.full((GROUP, negatives), 9, np.uint8)
    split = count_groups(corpus.pair_starts, size)
    groups = []
    for position in positions if positions is not None else range(int(split.starts[-1])):
        task, pairs = draw_group(
            corpus, split, seed, epoch, position, engaged, entities, draw, masked
        )
        groups.append(
            Drawn(
                task,
                entities[:pairs].tolist(),
                entities[GROUP : GROUP + pairs].tolist(),
                draw.weights[:pairs].tolist(),
                entities[2 * GROUP :].tolist(),
                masked[:pairs].copy(),
            )
        )
    return groups


def some_tasks(sizes: Sequence[int], entities: int = 40, seed: int = 0) -> list[list[Pair]]:
    """Random pairs, the number of each task given; weights tell every pair from every other."""
    random = np.random.default_rng(seed)
    tasks: list[list[Pair]] = []
    number = 0
    for size in sizes:
        tasks.append([])
        for query, pin in random.integers(0, entities, (size, 2)).tolist():
            number += 1
            tasks[-1].append((query, pin, float(number)))
    return tasks


def one_word_each(entities: int) -> list[list[int]]:
    return [[row] for row in range(entities)]


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_permuted_is_a_bijection(count: int, stream: int) -> None:
    images = {int(permuted(i, count, np.uint64(stream))) for i in range(count)}
    assert images == set(range(count))


@pytest.mark.parametrize("count", [2**20 - 1, 2**20, 2**20 + 1, 10**9 + 7, 2**40 + 3])
def test_permuted_stays_in_large_ranges_without_collisions(count: int) -> None:
    stream = np.uint64(key(1, 2, 3, 4))
    images = [int(permuted(i, count, stream)) for i in range(2000)]
    assert len(set(images)) == 2000
    assert min(images) >= 0
    assert max(images) < count
    assert np.mean(images) == pytest.approx(count / 2, rel=0.05)


@pytest.mark.parametrize("count", [100, 1000, 5000])
def test_permuted_sends_each_index_everywhere(count: int) -> None:
    """Where the tenths of a range go, under 400 keys: 100 cells, 81 degrees of freedom."""
    tenths = np.zeros((10, 10))
    indices = range(0, count, count // 100)
    for trial in range(400):
        stream = np.uint64(key(7, 1, trial, 0))
        for i in indices:
            tenths[i * 10 // count, permuted(i, count, stream) * 10 // count] += 1
    assert chi_square(tenths.ravel(), np.full(100, 400.0)) < 150


def chi_square(seen: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    return float(((seen - expected) ** 2 / expected).sum())


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**40))
@settings(max_examples=100, deadline=None)
def test_uniform_draws_stay_below_the_count(count: int, seed: int, draw: int) -> None:
    assert 0 <= uniform_below(np.uint64(key(seed, 3, 1, 2)), draw, count) < count


def test_initial_rows_have_the_wanted_length_on_average_and_no_direction() -> None:
    rows = np.zeros((4000, 16), np.float32)
    initial_rows(rows, 0.1, np.uint64(key(3, 6, 0, 0)))
    assert np.sqrt((rows**2).sum(axis=1).mean()) == pytest.approx(0.1, rel=0.01)
    assert np.abs(rows).max() <= np.float32(0.1 * np.sqrt(3 / 16))
    assert np.abs(rows.mean(axis=0)).max() < 4 * rows.std() / np.sqrt(4000)
    assert len(np.unique(rows)) > 0.99 * rows.size


sizes = st.lists(st.integers(0, 3 * GROUP + 2), min_size=1, max_size=6).filter(any)


@given(
    sizes,
    st.sampled_from([1, 16, 32, GROUP]),
    st.integers(0, 2**63 - 1),
    st.integers(0, 10_000),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_an_epoch_visits_every_pair_of_every_task_once(
    counts: list[int], size: int, seed: int, epoch: int, engaged: bool
) -> None:
    tasks = some_tasks(counts)
    corpus = corpus_arrays(one_word_each(40), tasks)
    groups = draw_epoch(corpus, seed=seed, epoch=epoch, engaged=engaged, size=size)
    assert len(groups) == sum(-(-count // size) for count in counts)
    assert max(len(group.queries) for group in groups) <= size
    for number, pairs in enumerate(tasks):
        mine = [group for group in groups if group.task == number]
        visited = [
            pair
            for group in mine
            for pair in zip(group.queries, group.pins, group.weights, strict=True)
        ]
        assert sorted(visited) == sorted(pairs)
        pins = {pin for _, pin, _ in pairs}
        assert all(pins.issuperset(group.background) for group in mine)


def test_epochs_seeds_and_tasks_come_in_different_orders() -> None:
    corpus = corpus_arrays(one_word_each(40), some_tasks([400, 300]))

    def order(seed: int, epoch: int) -> list[tuple[int, list[float]]]:
        return [(g.task, g.weights) for g in draw_epoch(corpus, seed=seed, epoch=epoch, size=64)]

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in range(4)]
    for i, one in enumerate(orders):
        assert one == order(i // 4, i % 4)
        for other in orders[:i]:
            assert [task for task, _ in one] != [task for task, _ in other] or one != other
            assert {tuple(w) for _, w in one}.isdisjoint({tuple(w) for _, w in other})
    task_orders = {tuple(task for task, _ in one) for one in orders}
    assert len(task_orders) > 4  # tasks are interleaved, not one after the other
    backgrounds = [tuple(g.background) for e in range(4) for g in draw_epoch(corpus, epoch=e)]
    assert len(set(backgrounds)) == len(backgrounds)  # no two groups share their draws


def test_a_group_depends_on_its_place_alone() -> None:
    """What makes resuming possible: drawn backwards, with other buffers, a group is the same."""
    corpus = corpus_arrays(one_word_each(40), some_tasks([400, 300]))
    forward = draw_epoch(corpus, seed=5, epoch=2)
    places = range(len(forward) - 1, -1, -1)
    backward = draw_epoch(corpus, seed=5, epoch=2, positions=places)[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert one[:-1] == other[:-1]
        assert (one.masked == other.masked).all()


@pytest.mark.parametrize("engaged", [False, True], ids=["uniform", "engagement"])
def test_background_follows_distinct_pins_or_engagement(engaged: bool) -> None:
    """Task 0 has 20 pins, pin p in p + 1 pairs; task 1 has two others. 19 degrees of freedom."""
    pairs: list[Pair] = [(30, pin, 1.0) for pin in range(20) for _ in range(pin + 1)]
    other: list[Pair] = [(31, pin, 1.0) for pin in (25, 26, 26)]
    corpus = corpus_arrays(one_word_each(40), [pairs, other])
    seen = [Counter[int](), Counter[int]()]
    for epoch in range(50):
        for group in draw_epoch(corpus, seed=9, epoch=epoch, negatives=200, engaged=engaged):
            seen[group.task].update(group.background)
    assert set(seen[0]) == set(range(20))
    assert set(seen[1]) == {25, 26}
    counts = np.array([seen[0][pin] for pin in range(20)], float)
    shares = np.arange(1, 21) / 210 if engaged else np.full(20, 1 / 20)
    assert counts.sum() == 50 * -(-210 // GROUP) * 200
    assert chi_square(counts, counts.sum() * shares) < 46  # p = 0.0005
    assert seen[1][26] / seen[1].total() == pytest.approx(2 / 3 if engaged else 1 / 2, abs=0.02)


def check_masks(tasks: Sequence[Sequence[Pair]], groups: Sequence[Drawn]) -> Counter[int]:
    """Compare with brute force; returns how many cells are 0 and how many 1."""
    known = {(query, pin) for task in tasks for query, pin, _ in task}
    cells = Counter[int]()
    for group in groups:
        for i, (query, pin) in enumerate(zip(group.queries, group.pins, strict=True)):
            expected = [int((query, entity) in known) for entity in group.background]
            assert group.masked[i].tolist() == expected
            assert all(group.masked[i][j] for j, e in enumerate(group.background) if e == pin)
            cells.update(expected)
    return cells


@given(
    sizes,
    st.integers(1, 12),
    st.integers(1, 70),
    st.integers(0, 2**32),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_known_positives_of_any_task_are_masked(
    counts: list[int], entities: int, negatives: int, seed: int, engaged: bool
) -> None:
    tasks = some_tasks(counts, entities, seed)
    corpus = corpus_arrays(one_word_each(entities), tasks)
    groups = draw_epoch(corpus, seed=seed, negatives=negatives, engaged=engaged)
    check_masks(tasks, groups)


def test_known_positives_are_masked_for_queries_with_thousands_of_them() -> None:
    """Queries 0 and 2 have more than 1,024 pins and are searched by bisection, 1 and 3 are not."""
    random = np.random.default_rng(0)
    pins = np.arange(10, 4010)
    tasks: list[list[Pair]] = [[], []]
    for query, count in ((0, 1500), (1, 1024), (2, 1025), (3, 3)):
        chosen = random.choice(pins, count, replace=False).tolist()
        for number, pin in enumerate(chosen):
            tasks[number % 2].append((query, pin, 1.0))
    tasks[0] += [(4, int(pin), 1.0) for pin in (pins[0], pins[-1])]
    corpus = corpus_arrays(one_word_each(4010), tasks)
    cells = check_masks(tasks, draw_epoch(corpus, negatives=300))
    assert min(cells[0], cells[1]) > 10_000


@pytest.mark.parametrize("size", [16, GROUP])
@pytest.mark.parametrize("counts", [[1], [64], [65], [0, 1, 0], [128, 0, 63], [129, 128, 1]])
def test_groups_are_counted_by_task(counts: list[int], size: int) -> None:
    groups = count_groups(np.cumsum([0, *counts], dtype=np.int64), size)
    assert groups.size == size
    assert groups.starts.tolist() == np.cumsum([0, *(-(-c // size) for c in counts)]).tolist()
    assert groups.starts.dtype == np.int64
