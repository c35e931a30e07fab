from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pintext.training.entities import EntityTable, GrowableArray, map_array
from pintext.vocabulary import TokenRows

texts = st.lists(st.lists(st.integers(0, 4), max_size=4).map(tuple), max_size=30)


def token_rows(batch: Sequence[Sequence[int]]) -> TokenRows:
    rows = np.array([row for text in batch for row in text], np.int32)
    return TokenRows(rows, np.cumsum([0, *map(len, batch)], dtype=np.int64))


@given(st.lists(texts, max_size=5))
@settings(max_examples=60, deadline=None)
def test_equal_texts_get_the_same_id_in_order_of_appearance(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, ...]]]
) -> None:
    table = EntityTable(tmp_path_factory.mktemp("table"), "e")
    expected: dict[tuple[int, ...], int] = {}
    for batch in batches:
        ids = table.add(*token_rows(batch))
        assert ids.tolist() == [expected.setdefault(text, len(expected)) for text in batch]
    assert len(table) == len(expected)
    for text, entity in expected.items():
        start, stop = table.starts[entity : entity + 2]
        assert tuple(table.tokens[start:stop].tolist()) == text
    table.close()


def test_ids_survive_growth_of_the_table_and_its_files(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = EntityTable(tmp_path, "e")
    expected: dict[tuple[int, ...], int] = {}
    for size in (10, 50_000, 1, 120_000):  # from 65,536 slots to 1,048,576
        batch = [tuple(text) for text in random.integers(0, 60, (size, 3)).tolist()]
        ids = table.add(*token_rows(batch))
        assert ids.tolist() == [expected.setdefault(text, len(expected)) for text in batch]
    starts, tokens = table.starts.copy(), table.tokens.copy()
    table.close()
    assert len(expected) > 100_000
    assert starts.tolist() == list(range(0, 3 * len(expected) + 1, 3))
    assert (tmp_path / "e-starts.i64").stat().st_size == starts.nbytes  # no spare room is left
    np.testing.assert_array_equal(map_array(tmp_path / "e-tokens.i32", np.int32), tokens)
    np.testing.assert_array_equal(map_array(tmp_path / "e-starts.i64", np.int64), starts)


def test_texts_with_the_same_words_in_another_order_are_different_here(tmp_path: Path) -> None:
    table = EntityTable(tmp_path, "e")
    assert table.add(*token_rows([(1, 2), (2, 1), (1, 2, 2), (), (1, 2), ()])).tolist() == [
        0,
        1,
        2,
        3,
        0,
        3,
    ]


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9), max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_growable_array_holds_what_was_appended(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("array") / "a"
    array = GrowableArray(path, np.int32)
    for part in parts:
        array.append(np.array(part, np.int32))
    together = [value for part in parts for value in part]
    assert array.values.tolist() == together
    array.close()
    assert map_array(path, np.int32).tolist() == together


def test_a_growable_array_grows_past_its_first_room(tmp_path: Path) -> None:
    array = GrowableArray(tmp_path / "a", np.int64)
    for first in range(0, 300_000, 50_000):
        array.append(np.arange(first, first + 50_000))
    np.testing.assert_array_equal(array.values, np.arange(300_000))
    array.close()
    assert (tmp_path / "a").stat().st_size == 8 * 300_000


def test_a_new_array_forgets_what_its_file_held(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"left by a training that was killed")
    array = GrowableArray(tmp_path / "a", np.uint8)
    array.append(np.array([7], np.uint8))
    array.close()
    assert (tmp_path / "a").read_bytes() == b"\7"


def test_writing_to_a_mapped_array_does_not_reach_its_file(tmp_path: Path) -> None:
    np.arange(4, dtype=np.int32).tofile(tmp_path / "a")
    mapped = map_array(tmp_path / "a", np.int32)
    mapped[:] = -1
    assert map_array(tmp_path / "a", np.int32).tolist() == [0, 1, 2, 3]
