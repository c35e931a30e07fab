"""Look-ups against a plain dict, counts against collections.Counter, ids against tokenizers."""

import json
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pintext.errors import DataError, ModelFormatError
from pintext.text import split, tokenizer_definition
from pintext.vocabulary import TokenRows, Vocabulary, VocabularyBuilder
from pintext.word_table import WordTable, find_rows, insert_words, n_slots

# Few letters, so that words collide, share their first eight bytes, and are prefixes of others.
word = st.text("ab", max_size=20) | st.text("aé漢", min_size=1, max_size=6)
words_lists = st.lists(word, max_size=40, unique=True)
sentence = st.lists(
    st.sampled_from(["a", "B", "ab", "abcdefgh", "abcdefghi", "É", "漢", "x\x00y", "…", "ς", "1"]),
    max_size=8,
).map(" ".join)
texts_lists = st.lists(st.text(max_size=12) | sentence, max_size=8)


def listed(found: TokenRows) -> list[list[int]]:
    offsets = found.offsets.tolist()
    return [found.rows[a:b].tolist() for a, b in pairwise(offsets)]


# ------------------------------------------------------------------------------- look-up


@given(words_lists, st.lists(word, max_size=20))
@settings(max_examples=200, deadline=None)
def test_look_up_is_that_of_a_dict(words: list[str], others: list[str]) -> None:
    vocabulary = Vocabulary.from_words(words)
    expected = {word: row for row, word in enumerate(words)}
    for probe in words + others:
        assert vocabulary.row(probe) == expected.get(probe)
        assert (probe in vocabulary) == (probe in expected)
    assert len(vocabulary) == len(words)
    assert vocabulary.words() == list(vocabulary) == words
    assert [vocabulary.word(row) for row in range(len(words))] == words


@given(words_lists, st.lists(word, max_size=60))
@settings(max_examples=200, deadline=None)
def test_kernels_find_and_insert_like_a_dict(words: list[str], stream: list[str]) -> None:
    """Words are looked up in a text without gaps, so they may end where the bytes end."""
    encoded = [word.encode() for word in stream]
    data = np.frombuffer(b"".join(encoded), np.uint8)
    ends = np.cumsum([0, *map(len, encoded)])
    bounds = np.repeat(ends, 2)[1:-1]
    numbers = {word: row for row, word in enumerate(words)}
    vocabulary = Vocabulary.from_words(words)
    rows = find_rows(vocabulary._table, data, bounds)
    assert rows.tolist() == [numbers.get(word, -1) for word in stream]

    old = vocabulary.arrays()
    size = len(words) + len(stream)
    table = WordTable(
        np.zeros(n_slots(size), np.uint64),
        np.zeros(len(old["word_bytes"]) + len(data), np.uint8),
        np.zeros(size + 1, np.int64),
    )
    old_bounds = np.repeat(old["word_offsets"], 2)[1:-1]
    rows, count = insert_words(table, 0, old["word_bytes"], old_bounds)
    assert rows.tolist() == list(range(len(words)))
    assert count == len(words)
    rows, count = insert_words(table, count, data, bounds)
    for new in stream:
        numbers.setdefault(new, len(numbers))
    assert rows.tolist() == [numbers[word] for word in stream]
    assert count == len(numbers)


def hash_by_definition(word: bytes) -> int:
    """The hash as the file format states it, with Python's integers."""

    def mix(value: int) -> int:
        product = value * 0x9E3779B97F4A7C15 % 2**64
        return product ^ product >> 32

    value = 0x243F6A8885A308D3
    for start in range(0, len(word), 8):
        value = mix(value ^ int.from_bytes(word[start : start + 8], "big"))
    return mix(value)


@given(words_lists)
@settings(max_examples=200, deadline=None)
def test_slots_are_those_of_the_file_format(words: list[str]) -> None:
    """Old files must be found right for ever, and new ones by old versions."""
    slots = Vocabulary.from_words(words).arrays()["slots"]
    expected = [0] * len(slots)
    for row, word in enumerate(words):
        hashed = hash_by_definition(word.encode())
        slot = hashed % len(slots)
        while expected[slot]:
            slot = (slot + 1) % len(slots)
        expected[slot] = hashed >> 32 << 32 | row + 1
    assert slots.tolist() == expected
    assert len(slots) >= 2 * len(words)


def test_words_whose_hashes_agree_in_part_are_told_apart() -> None:
    """Slots hold 32 bits of the hash: find words that agree in them and fall into the same slot."""
    numbers = np.arange(400_000, dtype=np.uint64)
    chunks = np.zeros_like(numbers)
    for power in range(5, -1, -1):
        digit = numbers // np.uint64(10**power) % np.uint64(10)
        chunks = chunks << np.uint64(8) | digit + np.uint64(ord("0"))
    hashes = np.uint64(0x243F6A8885A308D3) ^ chunks
    for _ in range(2):
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(32)
    assert hashes[123_456] == hash_by_definition(b"123456")
    keys = (hashes >> np.uint64(32)) << np.uint64(1) | hashes & np.uint64(1)
    order = np.argsort(keys)
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    assert len(same) > 3
    for index in same.tolist():
        one, other = f"{order[index]:06}", f"{order[index + 1]:06}"
        alone = Vocabulary.from_words([one])
        assert alone.row(one) == 0
        assert alone.row(other) is None
        assert alone.rows_of(f"{other} {one} {other}").tolist() == [0]
        both = Vocabulary.from_words([one, other])
        assert both.rows_of(f"{other} {one}").tolist() == [1, 0]


def test_a_million_words_can_be_found() -> None:
    words = [f"word{number}" for number in range(1_000_000)]
    vocabulary = Vocabulary.from_words(words)
    found = vocabulary.rows_of_column([" ".join(words[:500_000]), " ".join(words[500_000:]), "x"])
    np.testing.assert_array_equal(found.rows, np.arange(1_000_000))
    assert found.offsets.tolist() == [0, 500_000, 1_000_000, 1_000_000]


def test_rows_and_words_that_are_not_there() -> None:
    vocabulary = Vocabulary.from_words(["a", "b"])
    assert vocabulary.row("\ud800") is None
    assert vocabulary.row("") is None
    assert 1 not in vocabulary
    assert None not in vocabulary
    for row in (-1, 2):
        with pytest.raises(IndexError, match="2 words"):
            vocabulary.word(row)
    assert len(Vocabulary.from_words([])) == 0
    assert Vocabulary.from_words([]).rows_of("a b").tolist() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", "b", "a"],), "word 2 is 'a', which is also word 0"),
        ((["a", "\ud800"],), "word 1 is '\\ud800'"),
        ((["a", 5],), "word 1 is 5"),
        ((["a"], np.zeros((2, 1)), ["x"]), "(1, 1)"),
        ((["a"], np.zeros((1, 2)), ["x"]), "(1, 1)"),
    ],
)
def test_words_that_make_no_vocabulary(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        Vocabulary.from_words(*arguments)


# ------------------------------------------------------------------------------- rows of texts


@given(texts_lists, st.data(), st.none() | st.integers(0, 10))
@settings(max_examples=200, deadline=None)
def test_rows_are_the_same_in_every_form(
    texts: list[str], data: st.DataObject, max_tokens: int | None
) -> None:
    seen = list(dict.fromkeys(word for text in texts for word in split(text)))
    words = [word for word in seen if data.draw(st.booleans())]
    vocabulary = Vocabulary.from_words(words)
    unknown = len(words)
    definition = tokenizer_definition([*words, "[UNK]"], "[UNK]", 10**6)
    definition["truncation"]["max_length"] = 10**6 if max_tokens is None else max_tokens
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    expected = [[row for row in one.ids if row != unknown] for one in encodings]
    assert [vocabulary.rows_of(text, max_tokens).tolist() for text in texts] == expected
    assert listed(vocabulary.rows_of_column(texts, max_tokens)) == expected


def test_the_limit_counts_unknown_words_too() -> None:
    vocabulary = Vocabulary.from_words(["b", "c"])
    assert vocabulary.rows_of("a b c", max_tokens=2).tolist() == [0]
    assert listed(vocabulary.rows_of_column(["a b c", "c c c", "a"], max_tokens=2)) == [
        [0],
        [1, 1],
        [],
    ]


def test_odd_texts() -> None:
    vocabulary = Vocabulary.from_words(["a", "b", "é"])
    texts = ["", "A\x00B", None, " \n", "e\u0301", "a\ud800b", "!?", "b"]
    expected: list[list[int]] = [[], [0, 1], [], [], [2], [0, 1], [], [1]]
    assert listed(vocabulary.rows_of_column(texts)) == expected
    assert [vocabulary.rows_of(text or "").tolist() for text in texts] == expected
    assert listed(vocabulary.rows_of_column([])) == []
    assert listed(vocabulary.rows_of_column(pl.Series([None, "a"]))) == [[], [0]]
    long = "a zzz b " * 50_000
    assert len(vocabulary.rows_of(long)) == 100_000
    assert listed(vocabulary.rows_of_column([long, "é"], 5)) == [[0, 1, 0], [2]]


def test_the_number_of_threads_does_not_matter() -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in ids) for ids in random.integers(0, 900, (60_000, 12))]
    texts[10_000] = "É" * 400_000 + " w1"
    vocabulary = Vocabulary.from_words([f"w{number}" for number in range(0, 900, 2)])
    one = vocabulary.rows_of_column(texts, threads=1)
    assert len(one.offsets) == 60_001
    assert one.offsets[-1] == len(one.rows)
    for index in (0, 9_999, 10_000, 10_001, 59_999):
        found = one.rows[one.offsets[index] : one.offsets[index + 1]]
        assert found.tolist() == vocabulary.rows_of(texts[index]).tolist()
    for threads in (0, 2, 5):
        other = vocabulary.rows_of_column(texts, threads=threads)
        np.testing.assert_array_equal(other.rows, one.rows)
        np.testing.assert_array_equal(other.offsets, one.offsets)


@given(texts_lists, texts_lists)
@settings(max_examples=100, deadline=None)
def test_coverage_counts_distinct_and_running_words(known: list[str], texts: list[str]) -> None:
    words = list(dict.fromkeys(word for text in known for word in split(text)))
    counts = Counter(word for text in texts for word in split(text))
    found = Vocabulary.from_words(words).coverage(texts)
    both = {word: count for word, count in counts.items() if word in set(words)}
    assert found == (len(counts), len(both), counts.total(), sum(both.values()))
    assert found.word_coverage == (len(both) / len(counts) if counts else 0.0)
    assert found.token_coverage == (sum(both.values()) / counts.total() if counts else 0.0)


# ------------------------------------------------------------------------------- building

batches = st.lists(st.tuples(st.integers(0, 2), texts_lists), max_size=6)


@given(batches, st.integers(1, 9), st.integers(1, 4), st.integers(1, 30), st.lists(sentence))
@settings(max_examples=200, deadline=None)
def test_building_is_counting(
    batches: list[tuple[int, list[str]]],
    max_tokens: int,
    min_count: int,
    max_words: int,
    stop_words: list[str],
) -> None:
    tasks = ("home", "related", "search")
    builder = VocabularyBuilder(tasks, max_tokens)
    numbers: dict[str, int] = {}
    counts = [Counter[str]() for _ in tasks]
    for task, texts in batches:
        read = [split(text)[:max_tokens] for text in texts]
        for text in read:
            counts[task].update(text)
        expected = [[numbers.setdefault(word, len(numbers)) for word in text] for text in read]
        assert listed(builder.add(task, texts)) == expected
    assert len(builder) == len(numbers)

    vocabulary, row_of_raw = builder.build(min_count, max_words, stop_words)
    totals = sum(counts, Counter[str]())
    stopped = {word for text in stop_words for word in split(text)}
    kept = [word for word in totals if totals[word] >= min_count and word not in stopped]
    kept.sort(key=lambda word: (-totals[word], word.encode()))
    kept = kept[:max_words]
    assert vocabulary.words() == kept
    assert vocabulary.tasks == tasks
    assert vocabulary.counts.tolist() == [[one[word] for word in kept] for one in counts]
    rows = {word: row for row, word in enumerate(kept)}
    assert row_of_raw.tolist() == [rows.get(word, -1) for word in numbers]
    assert row_of_raw.dtype == np.int32
    by_task = vocabulary.words_by_task()
    for name, one in zip(tasks, counts, strict=True):
        assert by_task[name].tolist() == [one[word] > 0 for word in kept]


def test_a_builder_grows() -> None:
    builder = VocabularyBuilder(("a", "b"), 10**6)
    words = [f"{'long' * (number % 7)}{number}" for number in range(70_000)]
    for start in range(0, 70_000, 10_000):
        batch = words[start : start + 10_000]
        found = builder.add(1, [" ".join(batch[:9_000]), *batch[9_000:]])
        assert found.rows.tolist() == list(range(start, start + 10_000))
    again = builder.add(0, [" ".join(words)])
    assert again.rows.tolist() == list(range(70_000))
    vocabulary, row_of_raw = builder.build(1, 10**6)
    assert vocabulary.words() == sorted(words)
    assert (vocabulary.counts == 1).all()
    assert [vocabulary.row(word) for word in words] == row_of_raw.tolist()


def test_a_builder_that_read_nothing() -> None:
    builder = VocabularyBuilder(("a",), 5)
    assert listed(builder.add(0, [])) == []
    assert listed(builder.add(0, ["", None])) == [[], []]
    vocabulary, row_of_raw = builder.build(1, 10)
    assert len(vocabulary) == len(row_of_raw) == 0
    assert vocabulary.counts.shape == (1, 0)


def test_only_texts_are_counted() -> None:
    with pytest.raises(DataError, match="item 1 is 7"):
        VocabularyBuilder(("a",), 5).add(0, ["a", 7])  # type: ignore[list-item]


# ------------------------------------------------------------------------------- arrays


def example() -> Vocabulary:
    return Vocabulary.from_words(
        ["wood", "crème", "漢", "x"], np.array([[3, 2, 1, 0]]), ("search",)
    )


@given(words_lists)
@settings(max_examples=50, deadline=None)
def test_arrays_make_the_same_vocabulary(words: list[str]) -> None:
    counts = np.arange(2 * len(words)).reshape(2, -1)
    made = Vocabulary.from_words(words, counts, ("a", "b"))
    loaded = Vocabulary.from_arrays(made.arrays(), ("a", "b"))
    assert loaded.words() == words
    assert [loaded.row(word) for word in words] == list(range(len(words)))
    assert loaded.tasks == ("a", "b")
    np.testing.assert_array_equal(loaded.counts, counts)


def test_a_vocabulary_cannot_be_changed() -> None:
    vocabulary = example()
    for array in (*vocabulary.arrays().values(), vocabulary.counts):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_arrays_may_lie_anywhere_in_memory() -> None:
    arrays = {}
    for name, array in example().arrays().items():
        block = np.zeros(array.nbytes + 1, np.uint8)
        block[1:] = array.reshape(-1).view(np.uint8)
        arrays[name] = block[1:].view(array.dtype).reshape(array.shape)
    assert not arrays["slots"].flags.aligned
    loaded = Vocabulary.from_arrays(arrays, ("search",))
    assert loaded.rows_of("x 漢 wood Crème").tolist() == [3, 2, 0, 1]


def changed(name: str, index: int, value: int) -> dict[str, Any]:
    array = example().arrays()[name].copy()
    array.reshape(-1)[index] = value
    return {name: array}


def damages() -> dict[str, dict[str, Any]]:
    arrays = example().arrays()
    slots, offsets, counts = arrays["slots"], arrays["word_offsets"], arrays["counts"]
    filled = int(np.flatnonzero(slots)[0])
    return {
        "slots is missing": {"slots": None},
        "slots of another type": {"slots": slots.astype(np.int64)},
        "slots of another byte order": {"slots": slots.astype(">u8")},
        "slots with two axes": {"slots": slots.reshape(2, -1)},
        "no slots": {"slots": slots[:0]},
        "half the slots": {"slots": slots[: len(slots) // 2]},
        "twice the slots": {"slots": np.tile(slots, 2)},
        "all slots empty": {"slots": np.zeros_like(slots)},
        "all slots full": {"slots": np.where(slots == 0, slots[filled], slots)},
        "a row too high": changed("slots", filled, 5),
        "a row far too high": changed("slots", filled, 0xFFFFFFFF),
        "a slot without row": changed("slots", filled, 7 << 32),
        "offsets of another type": {"word_offsets": offsets.astype(np.int32)},
        "no offsets": {"word_offsets": offsets[:0]},
        "offsets that begin late": changed("word_offsets", 0, 1),
        "a negative offset": changed("word_offsets", 1, -4),
        "an offset beyond the end": changed("word_offsets", 1, 1000),
        "a last offset beyond the end": changed("word_offsets", 4, 1000),
        "offsets that fall": changed("word_offsets", 2, 1),
        "an offset inside a letter": changed("word_offsets", 2, 7),
        "bytes cut short": {"word_bytes": arrays["word_bytes"][:-1]},
        "bytes that are no text": changed("word_bytes", 0, 0xFF),
        "counts of another type": {"counts": counts.astype(np.float64)},
        "counts of fewer words": {"counts": counts[:, 1:]},
        "counts of more tasks": {"counts": np.tile(counts, (2, 1))},
        "a negative count": changed("counts", 1, -1),
    }


@pytest.mark.parametrize("damage", damages())
def test_damaged_arrays_are_refused(damage: str) -> None:
    arrays = {**example().arrays(), **damages()[damage]}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(ModelFormatError, match="vocabulary"):
        Vocabulary.from_arrays(arrays, ("search",))


@given(st.binary(min_size=64, max_size=64), st.sampled_from(["slots", "word_offsets"]))
@settings(max_examples=200, deadline=None)
def test_random_arrays_never_crash(noise: bytes, name: str) -> None:
    arrays: dict[str, Any] = example().arrays()
    array = arrays[name].copy()
    array.view(np.uint8)[: len(noise)] = np.frombuffer(noise, np.uint8)[: array.nbytes]
    try:
        loaded = Vocabulary.from_arrays({**arrays, name: array}, ("search",))
    except ModelFormatError:
        return
    assert all(0 <= row < 4 for row in loaded.rows_of("wood crème 漢 x unknown"))


def test_a_description() -> None:
    assert repr(example()) == "Vocabulary(words=4, tasks=('search',))"
