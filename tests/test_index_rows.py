"""Which rows count, and which carry a token, beside plain sets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pintext.arrays import I32
from pintext.compiled import compiled, trailing_zeros
from pintext.errors import IndexFormatError
from pintext.index.bm25 import PinWords
from pintext.index.live import LiveRows
from pintext.index.row_writer import RowWriter
from pintext.index.rows import Rows
from pintext.index.token_lists import RowLists
from pintext.tokens.inverted import InvertedLists

DIM, N_TOKENS, PER_PIN = 4, 12, 3


@compiled
def zeros_of(number: Any) -> Any:
    return trailing_zeros(np.uint64(number))


def test_trailing_zeros() -> None:
    numbers = [1 << bit for bit in range(64)] + [0b1011000, 2**64 - 1, 3 << 62]
    expected = [(number & -number).bit_length() - 1 for number in numbers]
    assert [zeros_of(np.uint64(number)) for number in numbers] == expected


def test_any_changes_of_the_rows_that_count() -> None:
    draw = np.random.default_rng(0)
    live, truth, rows = LiveRows.of(np.ones(70, np.bool_)), set(range(70)), 70
    for step in range(60):
        dead = draw.choice(sorted(truth), min(len(truth), int(draw.integers(0, 9))), replace=False)
        first = rows + int(draw.integers(0, 3))  # rows between belong to nobody
        end = first + int(draw.integers(0, 70)) * (step % 4 != 3)
        live = live.after(dead.astype(np.int64), first, end)
        truth = (truth - set(dead.tolist())) | set(range(first, end))
        rows = max(rows, end)
        assert live.rows == rows
        assert np.flatnonzero(live.flags()).tolist() == sorted(truth)
        assert (live.count, live.row_sum) == (len(truth), sum(truth))
        start = int(draw.integers(0, rows + 1))
        assert live.flags(start).tolist() == live.flags().tolist()[start:]


def test_the_state_at_a_commit_is_what_was_written_before_it(tmp_path: Path) -> None:
    states = [LiveRows.of(np.arange(100) % step > 0) for step in (2, 3, 5, 7)]
    states[0].write(tmp_path, 0)
    assert LiveRows.read(tmp_path, 4).marks.tolist() == states[0].marks.tolist()
    states[1].write(tmp_path, 4)  # of a writer that was killed before its commit
    assert LiveRows.read(tmp_path, 4).marks.tolist() == states[0].marks.tolist()
    (tmp_path / ".pintext-0123456789ab").write_bytes(b"half of a list")
    states[2].write(tmp_path, 4)
    assert LiveRows.read(tmp_path, 4).marks.tolist() == states[0].marks.tolist()
    assert LiveRows.read(tmp_path, 9).marks.tolist() == states[2].marks.tolist()
    states[3].write(tmp_path, 9)
    assert {path.name for path in tmp_path.iterdir()} == {"live-4.u64", "live-9.u64"}
    assert LiveRows.read(tmp_path, 9).marks.tolist() == states[2].marks.tolist()
    assert LiveRows.read(tmp_path, 11).marks.tolist() == states[3].marks.tolist()
    with pytest.raises(IndexFormatError, match=r"live-0\.u64: missing"):
        LiveRows.read(tmp_path, 3)


def written(folder: Path, tokens: I32) -> None:
    """Append rows whose ids are their numbers."""
    vectors = np.zeros((len(tokens), DIM), np.float32)
    words = PinWords(np.zeros(0, np.uint32), np.zeros(len(tokens) + 1, np.int64))
    with RowWriter(folder, DIM, PER_PIN) as writer:
        ids = [f"{writer.next + row}" for row in range(len(tokens))]
        writer.append(vectors, tokens, ids, words)
        writer.sync()


def random_tokens(draw: np.random.Generator, rows: int) -> I32:
    """Distinct tokens in each row, -1 behind the last; some rows have none."""
    tokens = draw.permuted(np.tile(np.arange(N_TOKENS), (rows, 1)), axis=1)[:, :PER_PIN]
    held = draw.integers(0, PER_PIN + 1, rows)
    return np.where(np.arange(PER_PIN) < held[:, None], tokens, -1).astype(np.int32)


def test_the_holders_of_tokens_through_many_commits(tmp_path: Path) -> None:
    """Some rows are appended but not committed; lists of the commit before are used again."""
    draw = np.random.default_rng(1)
    carried, truth = np.zeros((0, PER_PIN), np.int32), set[int]()
    live, before = LiveRows.of(np.zeros(0, np.bool_)), None
    merges = 0
    for step in range(40):
        added = random_tokens(draw, int(draw.integers(0, 30)) if step else 300)
        written(tmp_path, added)
        first, carried = len(carried), np.concatenate((carried, added))
        if step % 5 == 4:
            continue  # a killed writer
        dead = draw.choice(sorted(truth), min(len(truth), 5), replace=False).astype(np.int64)
        live = live.after(dead, first, len(carried))
        truth = (truth - set(dead.tolist())) | set(range(first, len(carried)))
        lists = RowLists(Rows(tmp_path, DIM, PER_PIN, live.rows), live, N_TOKENS, before)
        merges += before is not None and lists.old_rows > before.old_rows
        before = lists
        asked = draw.permutation(N_TOKENS)[: draw.integers(0, 5)].astype(np.int32)
        holders = np.flatnonzero(np.isin(carried, asked).any(axis=1)).tolist()
        assert lists.holders(asked).tolist() == [row for row in holders if row in truth]
    assert 0 < merges < 10


def test_a_damaged_record_is_not_put_into_a_list(tmp_path: Path) -> None:
    tokens = random_tokens(np.random.default_rng(2), 50)
    written(tmp_path, tokens)
    live = LiveRows.of(np.arange(50) != 7)
    records = tmp_path / "records.bin"
    data = bytearray(records.read_bytes())
    size = len(data) // 50
    data[8 * size - 2] ^= 1  # in a token of row 7, which does not count
    records.write_bytes(data)
    RowLists(Rows(tmp_path, DIM, PER_PIN, 50), live, N_TOKENS)
    data[9 * size - 2] ^= 1
    records.write_bytes(data)
    with pytest.raises(IndexFormatError, match=r"records\.bin or ids\.txt: damaged: row 8 "):
        RowLists(Rows(tmp_path, DIM, PER_PIN, 50), live, N_TOKENS)
    with pytest.raises(IndexFormatError, match=r"cut short: 51 rows are committed but 50 are"):
        Rows(tmp_path, DIM, PER_PIN, 51)


@given(st.lists(st.lists(st.integers(0, 6), unique=True, max_size=3), max_size=30))
def test_inverted_lists_hold_each_row_under_each_of_its_tokens(rows: list[list[int]]) -> None:
    padded = [row + [-1] * (3 - len(row)) for row in rows]
    lists = InvertedLists(np.array(padded, np.int32).reshape(-1, 3), 7)
    for token in range(7):
        held = lists.rows[lists.starts[token] : lists.starts[token + 1]]
        assert held.tolist() == [row for row, tokens in enumerate(rows) if token in tokens]
