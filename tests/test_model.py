"""Encoding, near words and explanations against plain NumPy."""

import math
import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pintext.errors import ConfigError, DataError, ModelError
from pintext.model import Explanation, PinTextModel
from pintext.vocabulary import Vocabulary
from some_models import WORDS, plain_vector, some_model

MODEL = some_model()

texts = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.sampled_from(WORDS).map(str.upper),
        st.text(max_size=6),
        st.sampled_from([" ", ", ", "\n", "-", "unknown", "ＯＡＫ"]),
    ),
    max_size=12,
).flatmap(lambda parts: st.sampled_from(["".join(parts), " ".join(parts)]))


# ---------------------------------------------------------------------------------- encode


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=12))
def test_encode_is_the_mean_of_the_known_rows(many: list[str]) -> None:
    expected = np.array([plain_vector(MODEL, text) for text in many]).reshape(len(many), 8)
    vectors = MODEL.encode(many)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert np.array_equal(MODEL.encode(pl.Series(many, dtype=pl.String)), vectors)
    for text, vector in zip(many, vectors, strict=True):
        assert np.array_equal(MODEL.encode(text), vector)


def test_encode_shapes() -> None:
    assert MODEL.encode("wood cabinets").shape == (8,)
    assert MODEL.encode([]).shape == (0, 8)
    assert MODEL.encode(["wood"]).shape == (1, 8)
    assert MODEL.encode(pl.Series(["wood", None, ""])).shape == (3, 8)
    assert MODEL.encode(pl.Series([], dtype=pl.String)).shape == (0, 8)
    assert MODEL.encode(("wood", "oak")).shape == (2, 8)


def test_a_text_without_a_known_word_is_zero() -> None:
    for text in ("", " ", "unknown words", "\x00", "\ud800"):
        assert not MODEL.encode(text).any()
    vectors = MODEL.encode(pl.Series(["nothing here", None, "oak"]))
    assert not vectors[:2].any()
    assert np.array_equal(vectors[2], MODEL.embeddings[3])


def test_repeated_words_count_as_often_as_they_occur() -> None:
    rows = MODEL.embeddings
    expected = (2 * rows[0] + rows[1]) / 3
    np.testing.assert_allclose(MODEL.encode("wood, Wood kitchen"), expected, atol=1e-6)


def test_long_texts_are_read_to_the_end() -> None:
    text = "wood " * 3000 + "oak " * 1000
    # 4,000 additions in float32
    np.testing.assert_allclose(MODEL.encode(text), plain_vector(MODEL, text), atol=2e-4)
    assert np.array_equal(MODEL.encode([text, "x"])[0], MODEL.encode(text))


def test_the_number_of_threads_changes_no_bit() -> None:
    draw = np.random.default_rng(1)
    many = [
        " ".join(draw.choice([*WORDS, "unknown"], size=size))
        for size in draw.integers(0, 30, 40_000)
    ]
    assert sum(map(len, many)) > 2 << 20  # several pieces
    one = MODEL.encode(many, threads=1)
    for threads in (0, 2, 5):
        assert np.array_equal(MODEL.encode(many, threads=threads), one)
    assert np.array_equal(MODEL.encode(pl.Series(many)), one)
    np.testing.assert_allclose(one[77], plain_vector(MODEL, many[77]), atol=1e-6)


@pytest.mark.parametrize("wrong", [[1, 2], ["a", b"b"], pl.Series([1, 2]), b"wood"])
def test_encode_refuses_what_is_not_text(wrong: Any) -> None:
    with pytest.raises(DataError, match="text"):
        MODEL.encode(wrong)


def test_a_vocabulary_without_words_encodes_to_zero() -> None:
    empty = PinTextModel(Vocabulary.from_words([]), np.zeros((0, 3), np.float32))
    assert not empty.encode("wood").any()
    assert empty.encode(["a", "b"]).shape == (2, 3)
    assert empty.most_similar("wood") == []
    assert len(empty) == 0


# ---------------------------------------------------------------------------------- near words


def cosine(a: Any, b: Any) -> float:
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), texts, st.booleans())
def test_most_similar_is_the_first_of_all(seed: int, k: int, text: str, ties: bool) -> None:
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((len(WORDS), 5)).astype(np.float32)
    if ties:  # rows that point the same way, or nowhere
        rows = np.repeat(rows[: len(WORDS) // 4 + 1], 4, axis=0)[: len(WORDS)]
        rows *= 2.0 ** draw.integers(-3, 3, (len(rows), 1))
        rows[draw.integers(0, len(rows), 3)] = 0
    rows = rows.astype(np.float32)
    model = PinTextModel(Vocabulary.from_words(WORDS), rows)
    vector = model.encode(text).astype(np.float64)
    own = set(model.vocabulary.rows_of(text).tolist())
    expected = [
        (-cosine(row.astype(np.float64), vector), index)
        for index, row in enumerate(rows)
        if index not in own
    ]
    found = model.most_similar(text, k)
    if not vector.any():
        assert found == []
        return
    assert len(found) == min(k, len(expected))
    assert len({near.word for near in found}) == len(found)
    assert not {near.word for near in found} & {WORDS[row] for row in own}
    similarities = {WORDS[index]: -negative for negative, index in expected}
    best = sorted(similarities.values(), reverse=True)[:k]
    np.testing.assert_allclose([near.similarity for near in found], best, atol=1e-9)
    for near in found:
        assert near.similarity == pytest.approx(similarities[near.word], abs=1e-9)


def test_equally_near_words_come_in_the_order_of_the_rows() -> None:
    rows = np.tile(np.array([[1, 2]], np.float32), (6, 1))
    model = PinTextModel(Vocabulary.from_words(list("abcdef")), rows)
    assert [near.word for near in model.most_similar("c", k=4)] == ["a", "b", "d", "e"]


def test_rows_of_any_size_are_compared() -> None:
    rows = np.array([[1e30, 0], [1e-30, 1e-30], [-1e30, 1e30], [3e37, 3e37]], np.float32)
    model = PinTextModel(Vocabulary.from_words(list("abcd")), rows)
    near = model.most_similar("a")
    assert [neighbor.word for neighbor in near] == ["b", "d", "c"]
    half = math.sqrt(0.5)
    np.testing.assert_allclose([n.similarity for n in near], [half, half, -half], atol=1e-6)


def test_most_similar_wants_a_positive_k() -> None:
    with pytest.raises(ConfigError, match="k = 0"):
        MODEL.most_similar("wood", k=0)


@settings(max_examples=100, deadline=None)
@given(texts, texts)
def test_similarity_is_the_cosine(a: str, b: str) -> None:
    expected = cosine(plain_vector(MODEL, a), plain_vector(MODEL, b))
    assert MODEL.similarity(a, b) == pytest.approx(expected, abs=1e-6)
    assert -1 <= MODEL.similarity(a, b) <= 1
    assert MODEL.similarity(a, b) == MODEL.similarity(b, a)


# ---------------------------------------------------------------------------------- explain


@settings(max_examples=100, deadline=None)
@given(texts, texts)
def test_contributions_add_up_to_the_cosine(query: str, pin: str) -> None:
    similarity, contributions = MODEL.explain(query, pin)
    expected = cosine(plain_vector(MODEL, query), plain_vector(MODEL, pin))
    assert similarity == pytest.approx(expected, abs=1e-9)
    assert sum(part.contribution for part in contributions) == pytest.approx(expected, abs=1e-9)
    pairs = [(part.query_word, part.pin_word) for part in contributions]
    assert len(set(pairs)) == len(pairs)
    sizes = [abs(part.contribution) for part in contributions]
    assert sizes == sorted(sizes, reverse=True)


def test_each_contribution_is_that_of_its_two_words() -> None:
    rows = {word: MODEL[word].astype(np.float64) for word in ("wood", "oak", "train")}
    query = 2 * rows["wood"] + rows["oak"]
    pin = rows["oak"] + rows["train"]
    lengths = np.linalg.norm(query) * np.linalg.norm(pin)
    expected = {
        ("wood", "oak"): 2 * rows["wood"] @ rows["oak"] / lengths,
        ("wood", "train"): 2 * rows["wood"] @ rows["train"] / lengths,
        ("oak", "oak"): rows["oak"] @ rows["oak"] / lengths,
        ("oak", "train"): rows["oak"] @ rows["train"] / lengths,
    }
    found = MODEL.explain("Wood oak, unknown WOOD", "oak train!").contributions
    assert {(q, p): c for q, p, c in found} == pytest.approx(expected)


def test_nothing_known_explains_nothing() -> None:
    assert MODEL.explain("unknown", "wood") == Explanation(0.0, [])
    assert MODEL.explain("wood", "") == Explanation(0.0, [])
    similarity, (only,) = MODEL.explain("wood", "wood")
    assert (only.query_word, only.pin_word) == ("wood", "wood")
    assert (similarity, only.contribution) == pytest.approx((1, 1))


# ---------------------------------------------------------------------------------- what it holds


def test_words_may_be_written_in_any_way() -> None:
    assert "Wood" in MODEL
    assert "ＫÜＣＨＥ" in MODEL
    assert np.array_equal(MODEL["ΣΟΦΟΣ"], MODEL.embeddings[WORDS.index("σοφοσ")])
    for word in ("zebra", "wood kitchen", "", ",", 3):
        assert word not in MODEL
    with pytest.raises(KeyError, match="zebra"):
        MODEL["zebra"]
    with pytest.raises(KeyError):
        MODEL["wood kitchen"]


def test_coverage_counts_words_and_tokens() -> None:
    found = MODEL.coverage(["wood wood zebra", "oak lion"])
    assert (found.words, found.known_words, found.tokens, found.known_tokens) == (4, 2, 5, 3)
    assert MODEL.coverage("wood zebra").word_coverage == 0.5


def test_the_embeddings_cannot_be_changed_by_accident() -> None:
    rows = np.ones((1, 2), np.float32)
    model = PinTextModel(Vocabulary.from_words(["a"]), rows)
    with pytest.raises(ValueError, match="read-only"):
        model.embeddings[0, 0] = 5
    with pytest.raises(ValueError, match="read-only"):
        model["a"][0] = 5
    assert rows.flags.writeable
    assert repr(MODEL) == "PinTextModel(23 words, dim=8)"
    assert (len(MODEL), MODEL.dim) == (23, 8)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((2, 3), np.float64),
        np.zeros((3, 3), np.float32),
        np.zeros((2, 0), np.float32),
        np.zeros(2, np.float32),
    ],
)
def test_rows_must_fit_the_words(rows: Any) -> None:
    with pytest.raises(ModelError, match="expected"):
        PinTextModel(Vocabulary.from_words(["a", "b"]), rows)


def test_the_fingerprint_names_words_and_rows() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    model = PinTextModel(Vocabulary.from_words(["a", "b", "é"]), rows)
    # The same on every machine, for ever.
    assert model.fingerprint == "fef0da4d922d438c"
    again = PinTextModel(
        Vocabulary.from_words(["a", "b", "é"], np.ones((1, 3)), ["search"]), rows, card={"x": 1}
    )
    assert again.fingerprint == model.fingerprint
    others = [
        PinTextModel(Vocabulary.from_words(["b", "a", "é"]), rows),
        PinTextModel(Vocabulary.from_words(["a", "b", "e"]), rows),
        PinTextModel(model.vocabulary, np.nextafter(rows, np.float32(9))),
        PinTextModel(Vocabulary.from_words(["ab", "é", ""]), rows),
        PinTextModel(model.vocabulary, np.ascontiguousarray(rows[:, :1])),
    ]
    fingerprints = {other.fingerprint for other in others}
    assert len(fingerprints) == 5
    assert model.fingerprint not in fingerprints


def test_a_model_travels_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(MODEL))
    assert np.array_equal(copy.encode(["wood oak", "träin"]), MODEL.encode(["wood oak", "träin"]))
    assert copy.fingerprint == MODEL.fingerprint
