"""The queries that tokens are planned with."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_data import FILTER_COLUMNS, some_pins, text_of, topic_model
from pintext.errors import DataError, IndexFormatError
from pintext.index import IndexConfig, PinIndex
from pintext.index.queries import PinWords, given_queries, trial
from pintext.model import PinTextModel
from pintext.text import split

CONFIG = IndexConfig(filter_columns=FILTER_COLUMNS, text_columns=("title", "description"))


@pytest.fixture(scope="module")
def model() -> PinTextModel:
    return topic_model()


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 700), max_size=6), seed=st.integers(0, 5))
def test_words_of_pins_do_not_depend_on_batches(sizes: list[int], seed: int) -> None:
    texts = [None if n % 9 == 4 else f"a{n} b{n} B{n} c{n} d{n} e{n}" for n in range(sum(sizes))]
    whole, parts, start = PinWords(seed), PinWords(seed), 0
    whole.add(pl.Series(texts, dtype=pl.String))
    for size in sizes:
        parts.add(pl.Series(texts[start : start + size], dtype=pl.String))
        start += size
    made = whole.queries()
    assert made == parts.queries()
    assert len(made) == min(1100, sum(text is not None for text in texts))
    for query in made:
        words = query.split()
        assert 1 <= len(words) == len(set(words)) <= 4
        assert len({word[1:] for word in words}) == 1  # all of one pin


def test_pins_are_drawn_evenly() -> None:
    words = PinWords(0)
    for start in range(0, 20_000, 500):
        words.add(pl.Series([f"w{n}" for n in range(start, start + 500)]))
    drawn = np.array([int(query[1:]) for query in words.queries()])
    assert len(set(drawn.tolist())) == 1100
    assert abs(drawn.mean() - 10_000) < 4 * 20_000 / np.sqrt(12 * 1100)
    assert abs(np.corrcoef(np.arange(1100), drawn)[0, 1]) < 0.12  # in random order


@pytest.mark.parametrize(("count", "planned", "measured"), [(0, 0, 0), (1, 1, 1), (5, 3, 2),
                                                            (1100, 1000, 100)])  # fmt: skip
def test_the_measuring_queries_are_others(count: int, planned: int, measured: int) -> None:
    vectors = np.eye(max(count, 1), dtype=np.float32)[:count]
    with_zeros = np.concatenate([vectors, np.zeros((7, max(count, 1)), np.float32)])
    divided = trial(with_zeros)
    assert (len(divided.planned), len(divided.measured)) == (planned, measured)
    if count > 1:
        assert not (divided.planned @ divided.measured.T).any()


def test_queries_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("alpha\n\n  \nbéta gamma\n", encoding="utf-8")
    assert sorted(given_queries(file, 0)) == ["alpha", "béta gamma"]
    assert sorted(given_queries(str(file), 0)) == sorted(given_queries(["alpha", "béta gamma"], 1))
    file.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"queries\.txt.*UTF-8"):
        given_queries(file, 0)
    with pytest.raises(DataError, match=r"none\.txt.*No such file"):
        given_queries(tmp_path / "none.txt", 0)
    with pytest.raises(DataError, match="no query"):
        given_queries([" "] * 0, 0)


@pytest.mark.parametrize("typed", [True, False])
def test_the_promise_holds_for_queries_that_nobody_planned_with(
    tmp_path: Path, model: PinTextModel, typed: bool
) -> None:
    """Recall for fresh queries by brute force, which knows nothing of tokens."""
    pins = some_pins(4000, model)
    draw = np.random.default_rng(11)

    def some_queries(count: int) -> list[str]:
        if not typed:  # like what the index makes of its own words
            texts = [text_of(pin) for pin in pins.sample(count, seed=5).iter_rows(named=True)]
            return [" ".join(draw.permutation(split(text))[:2].tolist()) for text in texts]
        topics = draw.integers(0, 30, count)[:, None]
        words = topics + 30 * draw.integers(0, 20, (count, 2))
        return [f"w{a} w{b}" for a, b in words.tolist()]

    queries = some_queries(1000) if typed else None
    index = PinIndex.build(pins, model, tmp_path / "index", config=CONFIG, queries=queries)
    vectors = np.stack([index.vector(name) for name in pins["id"]])
    found = there = 0
    for query in some_queries(300):
        vector = model.encode(query)
        if not vector.any():
            continue
        there += 10
        cosines = vectors @ vector / np.linalg.norm(vector)
        least = np.sort(cosines)[-10] - 1e-6
        hits = index.search(query, 10, mode="embedding")
        found += sum(hit.similarity >= least for hit in hits)
    assert found / there >= 0.95 - 0.02  # 300 queries: two standard errors


def test_compaction_takes_queries(tmp_path: Path, model: PinTextModel) -> None:
    index = PinIndex.build(some_pins(500, model), model, tmp_path / "index", config=CONFIG)
    with pytest.raises(DataError, match="no query"):
        index.compact(queries=[])
    index.compact(queries=["w1 w31", "w2 w32", "w3 w33"])
    assert len(index.search("w1 w31")) == 10


def test_a_manifest_that_lacks_a_later_figure_is_read(tmp_path: Path, model: PinTextModel) -> None:
    """What is written into the manifest later must not make an older index look damaged."""
    import hashlib

    PinIndex.build(some_pins(50, model), model, tmp_path / "index", config=CONFIG)
    file = tmp_path / "index" / "manifest.json"
    values = json.loads(file.read_text())
    assert values["retrieval"].pop("expected_share") > 0
    file.write_text(json.dumps(values))
    with pytest.raises(IndexFormatError, match="digest"):
        PinIndex.open(tmp_path / "index")
    values["digest"] = ""
    plain = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    values["digest"] = hashlib.sha256(plain).hexdigest()
    file.write_text(json.dumps(values))
    assert PinIndex.open(tmp_path / "index").retrieval.expected_share == 0
