"""The compiled objective and training step against slow, plain NumPy."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pintext.arrays import I32, U8, Floats
from pintext.training.losses import Loss
from pintext.training.objective import GROUP, GroupBuffers, group_gradient
from pintext.training.schedule import CorpusArrays, GroupDraw, Groups, count_groups, draw_group
from pintext.training.steps import Rules, Shared, Workspace, run_steps
from training_data import Pair, corpus_arrays

F64 = NDArray[np.float64]
KINK = 1e-4  # finite differences are no oracle where a margin is only just met or missed


def cosine(a: F64, b: F64) -> float:
    lengths = float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return float(a @ b) / lengths if lengths > 0 else 0.0


class Group(NamedTuple):
    """A group of pairs in terms of entity vectors (sums of rows)."""

    vectors: F64  # (slots, dim), laid out as in GroupBuffers
    pairs: int
    weights: F64
    masked: U8
    margin: float
    temperature: float = 0.0  # of the softmax loss; 0 for hinge

    def __repr__(self) -> str:
        shape, losses = self.vectors.shape, (self.margin, self.temperature)
        return f"Group{shape, self.pairs, losses, self.masked.mean()}"

    def of_loss(self, dtype: type) -> Loss:
        return Loss(self.temperature > 0, dtype(self.margin), dtype(self.temperature or 1))

    def edges(self) -> dict[tuple[int, int], float]:
        """What counts as violated where it is above 0, for each pair i and unmasked background j.

        Hinge: mu - cos(q, p+) + cos(q, p-). Softmax: the same without mu.
        """
        v = self.vectors
        mu = 0.0 if self.temperature else self.margin
        return {
            (i, j): mu - cosine(v[i], v[GROUP + i]) + cosine(v[i], v[2 * GROUP + j])
            for i in range(self.pairs)
            for j in range(v.shape[0] - 2 * GROUP)
            if not self.masked[i, j]
        }

    def odds(self) -> list[dict[int, float]]:
        """How much likelier than p+ the softmax takes each background entity of each pair to be."""
        odds: list[dict[int, float]] = [{} for _ in range(self.pairs)]
        for (i, j), ahead in self.edges().items():
            odds[i][j] = float(np.exp(ahead / self.temperature))
        return odds

    def slopes(self) -> dict[tuple[int, int], float]:
        """d loss / d cos(q, p-) of each pair i and background entity j, without the weight."""
        if self.temperature:
            scales = [1 / self.temperature / (1 + sum(of.values())) for of in self.odds()]
            odds = enumerate(self.odds())
            return {(i, j): x * scales[i] for i, of in odds for j, x in of.items()}
        return {at: float(excess > 0) for at, excess in self.edges().items()}

    def loss(self) -> float:
        if self.temperature:
            losses = [np.log1p(sum(of.values())) for of in self.odds()]
            return float(self.weights[: self.pairs] @ losses)
        return sum(float(self.weights[i]) * max(0.0, e) for (i, _), e in self.edges().items())

    def gradient(self) -> F64:
        """d loss / d vectors, one background entity of one pair at a time."""
        result = np.zeros_like(self.vectors)
        for (i, j), slope in self.slopes().items():
            if slope > 0:
                for other, sign in ((GROUP + i, -slope), (2 * GROUP + j, slope)):
                    at_query, at_other = cosine_gradient(self.vectors[i], self.vectors[other])
                    result[i] += sign * self.weights[i] * at_query
                    result[other] += sign * self.weights[i] * at_other
        return result


def cosine_gradient(a: F64, b: F64) -> tuple[F64, F64]:
    """d cos(a, b) / d a, and / d b; an entity of length 0 gets none."""
    norm_a, norm_b, c = np.sqrt(a @ a), np.sqrt(b @ b), cosine(a, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit_a, unit_b = (np.nan_to_num(v / np.sqrt(v @ v)) for v in (a, b))
        at_a = np.nan_to_num((unit_b - c * unit_a) / norm_a, posinf=0, neginf=0)
        at_b = np.nan_to_num((unit_a - c * unit_b) / norm_b, posinf=0, neginf=0)
    return at_a, at_b


def compiled_gradient(group: Group, dtype: type) -> tuple[tuple[float, int, int], F64]:
    """What ``group_gradient`` says, where each slot's entity is one word with the wanted vector."""
    slots, dim = group.vectors.shape
    buffers = GroupBuffers.allocate(slots - 2 * GROUP, dim, dtype)
    buffers.masked[:] = group.masked
    gradients: Floats = np.full((slots, dim), np.nan, dtype)
    active = np.full(slots, 7, np.uint8)
    figures = group_gradient(
        group.vectors.astype(dtype),
        np.arange(slots, dtype=np.int32),
        np.arange(slots + 1, dtype=np.int64),
        group.pairs,
        group.weights.astype(dtype),
        group.of_loss(dtype),
        buffers,
        gradients,
        active,
    )
    assert set(active.tolist()) <= {0, 1}
    return figures, np.where(active[:, None] == 1, gradients, 0).astype(np.float64)


@st.composite
def groups(draw: st.DrawFn) -> Group:
    """Groups of every small shape, with masks, unequal weights and equal or zero vectors."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    negatives, dim = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    pairs = draw(st.sampled_from([1, 2, 3, GROUP - 1, GROUP]))
    slots = 2 * GROUP + negatives
    vectors = random.normal(size=(slots, dim)) * draw(st.sampled_from([0.05, 1.0]))
    for _ in range(draw(st.integers(0, 4))):  # the same entity in two places
        a, b = random.integers(0, slots, 2)
        vectors[a] = vectors[b]
    vectors[random.integers(0, slots, draw(st.integers(0, 3)))] = 0
    return Group(
        vectors,
        pairs,
        random.uniform(0.1, 3, GROUP),
        (random.random((GROUP, negatives)) < draw(st.sampled_from([0, 0.3, 1]))).astype(np.uint8),
        draw(st.sampled_from([0.05, 0.2, 1.0, 2.0])),
        draw(st.sampled_from([0.0, 0.02, 0.1, 1.0])),
    )


def used_slots(group: Group) -> list[int]:
    slots = group.vectors.shape[0]
    return [i for i in range(slots) if i >= 2 * GROUP or i % GROUP < group.pairs]


def rounding(group: Group, dtype: type) -> float:
    """What is left of numbers that should cancel, as all do in one dimension: d loss / d sum is the
    difference of two numbers that may be as large as the sum of all slopes over the length."""
    slopes = np.zeros(group.vectors.shape[0])
    for (i, j), slope in group.slopes().items():
        slopes[[i, GROUP + i, 2 * GROUP + j]] += group.weights[i] * slope
    lengths = np.sqrt((group.vectors**2).sum(axis=1))
    whole = lengths > 0
    return 8 * float(np.finfo(dtype).eps * (slopes[whole] / lengths[whole]).max())


@given(groups())
@settings(max_examples=60, deadline=None)
def test_loss_and_gradient_are_those_of_the_formula(group: Group) -> None:
    edges = group.edges()
    assume(all(abs(edge) > 1e-9 for edge in edges.values()))
    figures, gradient = compiled_gradient(group, np.float64)
    assert figures[0] == pytest.approx(group.loss(), rel=1e-9, abs=1e-12)
    assert figures[1] == sum(edge > 0 for edge in edges.values())
    assert figures[2] == len(edges)
    expected = group.gradient()
    atol = 1e-9 * (1 + np.abs(expected).max()) + rounding(group, np.float64)
    np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=atol)


@given(groups(), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_gradient_is_the_slope_of_the_loss(group: Group, seed: int) -> None:
    assume(all(abs(edge) > KINK for edge in group.edges().values()))
    random = np.random.default_rng(seed)
    _, gradient = compiled_gradient(group, np.float64)
    lengths = np.sqrt((group.vectors**2).sum(axis=1))
    whole = [slot for slot in used_slots(group) if lengths[slot] > 0.01]
    for slot in random.permutation(whole)[:6]:
        for k in range(group.vectors.shape[1]):
            step = 1e-6 * lengths[slot]
            losses = []
            for sign in (1, -1):
                moved = group.vectors.copy()
                moved[slot, k] += sign * step
                losses.append(group._replace(vectors=moved).loss())
            slope = (losses[0] - losses[1]) / (2 * step)
            scale = group.loss() / lengths[slot]
            assert gradient[slot, k] == pytest.approx(slope, rel=1e-4, abs=1e-6 * scale + 1e-9)


@given(groups())
@settings(max_examples=40, deadline=None)
def test_float32_agrees_with_float64(group: Group) -> None:
    assume(all(abs(edge) > 1e-5 for edge in group.edges().values()))
    exact, exact_gradient = compiled_gradient(group, np.float64)
    figures, gradient = compiled_gradient(group, np.float32)
    assert figures[0] == pytest.approx(exact[0], rel=1e-4, abs=1e-5)
    assert figures[1:] == exact[1:]
    lengths = np.sqrt((group.vectors**2).sum(axis=1))
    rounding = 1e-6 * float(group.weights.sum()) * figures[1] / lengths[lengths > 0].min()
    atol = 1e-4 * np.abs(exact_gradient).max() + rounding + 1e-30  # float32 ends there
    np.testing.assert_allclose(gradient, exact_gradient, rtol=1e-3, atol=atol)


def test_a_group_where_all_is_masked_or_of_length_zero_has_no_gradient() -> None:
    vectors = np.random.default_rng(0).normal(size=(2 * GROUP + 5, 4))
    nothing = Group(vectors, 3, np.ones(GROUP), np.ones((GROUP, 5), np.uint8), 0.2)
    figures, gradient = compiled_gradient(nothing, np.float64)
    assert figures == (0.0, 0, 0)
    assert not gradient.any()
    zero = Group(0 * vectors, 3, np.ones(GROUP), np.zeros((GROUP, 5), np.uint8), 0.25)
    figures, gradient = compiled_gradient(zero, np.float64)
    assert figures == (3 * 5 * 0.25, 15, 15)
    assert not gradient.any()


def test_nan_in_the_dictionary_reaches_the_loss() -> None:
    vectors = np.random.default_rng(0).normal(size=(2 * GROUP + 5, 4))
    vectors[1] = np.nan
    group = Group(vectors, 3, np.ones(GROUP), np.zeros((GROUP, 5), np.uint8), 0.2)
    assert np.isnan(compiled_gradient(group, np.float32)[0][0])


WORDS, NEGATIVES, GROUP_SIZE, GROUPS_PER_STEP, SEED = 60, 12, 48, 3, 11
TASK_WEIGHTS = (0.5, 2.0)


def entangled_corpus() -> tuple[CorpusArrays, list[list[int]]]:
    """Two tasks of 150 and 70 pairs over few entities, so that everything rare happens often.

    Repeated words in an entity; an entity that is query and pin, even of one pair; the same
    background entity twice in a block; an entity of length 0, its only word being row 0, which is
    zero; another whose rows 1 and 2 cancel out; short last groups of 6 and 22 pairs.
    """
    random = np.random.default_rng(5)
    entities = [[0], [1, 2], [7, 7, 7], [8, 9, 8]]
    entities += [
        sorted(random.integers(3, WORDS, random.integers(1, 9)).tolist()) for _ in range(26)
    ]
    tasks: list[list[Pair]] = []
    for count in (150, 70):
        ends = random.integers(0, len(entities), (count, 2)).tolist()
        tasks.append([(q, p, float(random.uniform(0.2, 2))) for q, p in ends])
    tasks[0][:3] = [(0, 5, 1.0), (6, 0, 1.0), (2, 2, 1.0)]
    return corpus_arrays(entities, tasks), entities


def starting_rows(dim: int) -> F64:
    rows = np.random.default_rng(1).normal(size=(WORDS, dim)) * 0.1
    rows[0], rows[2] = 0, -rows[1]
    return rows


class Expected(NamedTuple):
    """What some steps should do, and whether the interesting cases came up."""

    rows: F64
    squares: F64
    statistics: F64
    seen: set[str]


def groups_of(corpus: CorpusArrays) -> Groups:
    return count_groups(corpus.pair_starts, GROUP_SIZE)


def drawn(corpus: CorpusArrays, epoch: int, position: int, engaged: bool) -> tuple[Any, ...]:
    entities: I32 = np.zeros(2 * GROUP + NEGATIVES, np.int32)
    draw = GroupDraw.allocate(NEGATIVES, np.float64)
    masked = np.zeros((GROUP, NEGATIVES), np.uint8)
    task, pairs = draw_group(
        corpus, groups_of(corpus), SEED, epoch, position, engaged, entities, draw, masked
    )
    return task, pairs, entities, draw.weights.copy(), masked


def slow_steps(
    corpus: CorpusArrays, bags: list[list[int]], rules: Rules, epochs: int, rows: F64
) -> Expected:
    """Whole epochs by the book."""
    rows, squares = rows.copy(), np.zeros(len(rows))
    statistics = np.zeros((2, 3))
    seen: set[str] = set()
    groups = int(groups_of(corpus).starts[-1])
    done = 0
    for epoch in range(epochs):
        for first in range(0, groups, GROUPS_PER_STEP):
            gradient = np.zeros_like(rows)
            for position in range(first, min(first + GROUPS_PER_STEP, groups)):
                task, pairs, entities, weights, masked = drawn(
                    corpus, epoch, position, rules.by_engagement
                )
                if len(set(entities[2 * GROUP :].tolist())) < NEGATIVES:
                    seen.add("twice in the background")
                if pairs < GROUP_SIZE:
                    seen.add("tail")
                vectors = np.array([rows[bags[e]].sum(axis=0) for e in entities])
                margin, temperature = float(rules.loss.margin), float(rules.loss.temperature)
                group = Group(
                    vectors,
                    pairs,
                    weights * TASK_WEIGHTS[task],
                    masked,
                    margin,
                    temperature if rules.loss.softmax else 0.0,
                )
                edges = group.edges()
                statistics[task] += (
                    group.loss(),
                    sum(edge > 0 for edge in edges.values()),
                    len(edges),
                )
                for slot, slope in enumerate(group.gradient()):
                    for row in bags[entities[slot]]:
                        gradient[row] += slope
            rate = rules.learning_rate * (1 - done / rules.total_steps)
            done += 1
            for row in np.flatnonzero(gradient.any(axis=1)):
                squares[row] += gradient[row] @ gradient[row]
                rows[row] -= rate * gradient[row] / np.sqrt(squares[row])
                norm = np.sqrt(rows[row] @ rows[row])
                seen.add("clipped" if norm > rules.max_norm else "not clipped")
                rows[row] *= min(1.0, rules.max_norm / norm)
    return Expected(rows, squares, statistics, seen)


def make_rules(
    corpus: CorpusArrays, epochs: int, dtype: type, engaged: bool, softmax: bool = False
) -> Rules:
    steps = -(-int(groups_of(corpus).starts[-1]) // GROUPS_PER_STEP)
    return Rules(
        seed=SEED,
        loss=Loss(softmax, dtype(0.3), dtype(0.1)),
        max_norm=dtype(0.25),
        learning_rate=0.1,
        by_engagement=engaged,
        task_weights=np.array(TASK_WEIGHTS, dtype),
        groups_per_step=GROUPS_PER_STEP,
        steps_per_epoch=steps,
        total_steps=steps * epochs,
    )


def fast_steps(
    corpus: CorpusArrays, rules: Rules, epochs: int, start: F64, dtype: type
) -> tuple[F64, F64, F64]:
    """The same by ``run_steps``; rows, AdaGrad squares and statistics."""
    width, dim = 2 * GROUP + NEGATIVES, start.shape[1]
    words = width * int(np.diff(corpus.starts).max())
    rows: Floats = start.astype(dtype)
    shared = Shared(
        embeddings=rows,
        squares=np.zeros((1, WORDS), dtype),
        tokens=np.zeros((GROUPS_PER_STEP, words), np.int32),
        starts=np.zeros((GROUPS_PER_STEP, width + 1), np.int64),
        gradients=np.zeros((GROUPS_PER_STEP * width, dim), dtype),
        active=np.zeros((GROUPS_PER_STEP, width), np.uint8),
        tasks=np.zeros(GROUPS_PER_STEP, np.int32),
        group_statistics=np.zeros((GROUPS_PER_STEP, 3)),
        statistics=np.zeros((2, 3)),
        traffic=np.zeros((1, 16), np.int64),
        arrivals=np.zeros(16, np.int64),
    )
    mine = Workspace.allocate(WORDS, GROUPS_PER_STEP * words, NEGATIVES, dim, dtype)
    groups = groups_of(corpus)
    for epoch in range(epochs):
        run_steps(0, 1, epoch, 0, rules.steps_per_epoch, corpus, groups, rules, shared, mine)
    return (
        rows.astype(np.float64),
        shared.squares[0].astype(np.float64),
        shared.statistics.astype(np.float64),
    )


@pytest.mark.parametrize("softmax", [False, True], ids=["hinge", "softmax"])
@pytest.mark.parametrize("engaged", [False, True], ids=["uniform", "engagement"])
def test_training_steps_do_what_the_formulas_say(engaged: bool, softmax: bool) -> None:
    corpus, bags = entangled_corpus()
    rules = make_rules(corpus, 3, np.float64, engaged, softmax)
    start = starting_rows(5)
    expected = slow_steps(corpus, bags, rules, 3, start)
    assert expected.seen == {"twice in the background", "tail", "clipped", "not clipped"}
    rows, squares, statistics = fast_steps(corpus, rules, 3, start, np.float64)
    np.testing.assert_allclose(statistics, expected.statistics, rtol=1e-9)
    np.testing.assert_allclose(squares, expected.squares, rtol=1e-6)
    np.testing.assert_allclose(rows, expected.rows, rtol=1e-6, atol=1e-9)
    assert not rows[0].any()  # an entity of length 0 has no direction to learn


def test_one_float32_step_is_the_float64_step_rounded() -> None:
    corpus, _ = entangled_corpus()
    start = starting_rows(16).astype(np.float32).astype(np.float64)
    start[2] = -start[1]
    single = make_rules(corpus, 1, np.float32, False)._replace(steps_per_epoch=1)
    double = make_rules(corpus, 1, np.float64, False)._replace(steps_per_epoch=1)
    rows, squares, _ = fast_steps(corpus, single, 1, start, np.float32)
    exact = fast_steps(corpus, double, 1, start, np.float64)
    assert np.abs(exact[0] - start).max() > 0.01
    np.testing.assert_allclose(rows, exact[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(squares, exact[1], rtol=1e-3)
