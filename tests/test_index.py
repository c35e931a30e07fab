"""The index: what is found, against plain loops over all pins."""

import datetime
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from index_data import (
    COLORS,
    DAY,
    FILTER_COLUMNS,
    Plain,
    passes,
    some_pins,
    text_of,
    topic_model,
)
from pintext import IndexConfig, PinIndex, PinTextModel, ShardedIndex
from pintext.cli import commands
from pintext.errors import (
    ConfigError,
    DataError,
    LockedError,
    ModelFormatError,
    ModelMismatchError,
    PinIndexError,
)
from pintext.index.calibration import calibrate
from pintext.index.lock import locked
from some_models import some_model

CONFIG = IndexConfig(filter_columns=FILTER_COLUMNS)
QUERIES = ("w1 w31 w61", "w5", "W7 w37 unknown", "w12 w13 w14", "w3 w3 w33")


@pytest.fixture(scope="module")
def model() -> PinTextModel:
    return topic_model()


@pytest.fixture(scope="module")
def pins(model: PinTextModel) -> pl.DataFrame:
    return some_pins(4000, model)


@pytest.fixture(scope="module")
def index(
    tmp_path_factory: pytest.TempPathFactory, pins: pl.DataFrame, model: PinTextModel
) -> PinIndex:
    """An index of the pins. Tests must not change it."""
    return PinIndex.build(pins, model, tmp_path_factory.mktemp("index") / "index", config=CONFIG)


@pytest.fixture(scope="module")
def plain(model: PinTextModel, pins: pl.DataFrame) -> Plain:
    return Plain(model, pins)


def best(values: dict[str, float], k: int) -> list[float]:
    return sorted(values.values(), reverse=True)[:k]


# --- the three modes ------------------------------------------------------------------------------


@pytest.mark.parametrize("query", QUERIES)
def test_exact_is_exact(index: PinIndex, plain: Plain, model: PinTextModel, query: str) -> None:
    truth = plain.similarities(query)
    hits = index.exact(model.encode(query), 20)
    assert [hit.similarity for hit in hits] == pytest.approx(best(truth, 20), abs=1e-5)
    assert all(hit.similarity == pytest.approx(truth[hit.id], abs=1e-5) for hit in hits)
    assert hits.candidates == 4000


def test_embedding_finds_the_promised_share_with_exact_similarities(
    index: PinIndex, plain: Plain, model: PinTextModel
) -> None:
    found, candidates = 0, 0
    names = [f"w{n} w{n + 30} w{n + 300}" for n in range(0, 300, 3)]
    for query in names:
        vector = model.encode(query)
        least = index.exact(vector, 10)[-1].similarity
        hits = index.search(query, 10, mode="embedding")
        assert hits.mode == "embedding"
        assert [hit.bm25 for hit in hits] == [None] * 10
        found += sum(hit.similarity >= least for hit in hits)
        candidates += hits.candidates
    assert found >= 0.95 * 10 * len(names)
    assert candidates < 0.5 * len(index) * len(names)  # it was not a search through all
    truth = plain.similarities(QUERIES[0])
    for hit in index.search(QUERIES[0], 10, mode="embedding"):
        assert hit.similarity == pytest.approx(truth[hit.id], abs=1e-5)


@pytest.mark.parametrize("query", QUERIES)
def test_text_is_bm25(index: PinIndex, plain: Plain, query: str) -> None:
    truth, near = plain.bm25(query), plain.similarities(query)
    hits = index.search(query, 30, mode="text")
    assert [hit.bm25 for hit in hits] == pytest.approx(best(truth, 30), rel=1e-5)
    for hit in hits:
        assert hit.bm25 == pytest.approx(truth[hit.id], rel=1e-5)
        assert hit.similarity == pytest.approx(near[hit.id], abs=1e-5)


@pytest.mark.parametrize("query", QUERIES)
def test_hybrid_joins_both_orders(index: PinIndex, plain: Plain, query: str) -> None:
    words, near = plain.bm25(query), plain.similarities(query)
    hits = index.search(query, 10)
    assert hits.mode == "hybrid"
    for hit in hits:
        assert hit.similarity == pytest.approx(near[hit.id], abs=1e-5)
        assert hit.bm25 == pytest.approx(words.get(hit.id, 0.0), rel=1e-5)
    # Nobody is better than the first in both ways.
    first = hits[0]
    assert not any(
        near[name] > first.similarity + 1e-5 and words.get(name, 0) > (first.bm25 or 0) + 1e-5
        for name in near
    )


def test_a_hit_tells_the_tokens_that_collided(index: PinIndex, model: PinTextModel) -> None:
    hits = index.search("w1 w31 w61", 10, mode="embedding")
    probes = index.tokens.probe(model.encode(["w1 w31 w61"]), index.retrieval.probes).tokens[0]
    for hit in hits:
        own = index.tokens.assign(index.vector(hit.id)[None, :])[0].tolist()
        assert hit.matched_tokens == tuple(t for t in probes.tolist() if t in own)
        assert hit.matched_tokens


def test_more_hits_than_pins(tmp_path: Path, model: PinTextModel) -> None:
    pins = some_pins(30, model)
    index = PinIndex.build(pins, model, tmp_path / "index", config=CONFIG)
    assert len(index.search("w1 w2", 1000, mode="embedding")) <= 30
    assert len(index.exact(model.encode("w1 w2"), 1000)) == 30


def test_many_hits(index: PinIndex) -> None:
    hits = index.search("w1 w31", 500, mode="embedding")
    assert len({hit.id for hit in hits}) == 500
    found = [hit.similarity for hit in hits]
    assert found == sorted(found, reverse=True)


def test_the_same_query_gives_the_same_hits(index: PinIndex) -> None:
    assert list(index.search("w1 w31", 50)) == list(index.search("w1 w31", 50))


def test_a_query_without_known_words_is_searched_by_words(index: PinIndex) -> None:
    for mode in ("hybrid", "embedding"):
        hits = index.search("unknown zebra", 5, mode=mode)
        assert hits.mode == "text"
        assert hits.notice is not None
        assert "no word" in hits.notice
        assert len(hits) == 5
        assert all(hit.similarity == 0 and hit.bm25 for hit in hits)
    hits = index.search("unknown", 5, mode="text")
    assert hits.notice is None
    assert len(index.search("zebra", 5)) == 0
    assert len(index.search("", 5)) == 0


def test_min_similarity_cuts_off(index: PinIndex, model: PinTextModel) -> None:
    for mode in ("hybrid", "embedding", "text"):
        hits = index.search("w1 w31 w61", 100, mode=mode, min_similarity=0.9)
        assert 0 < len(hits) < 100
        assert all(hit.similarity >= 0.9 for hit in hits)
    assert len(index.search("w1 w31", 10, min_similarity=1.0)) == 0
    exact = index.search_vector(model.encode("w1 w31 w61"), 100, min_similarity=0.9)
    assert all(hit.similarity >= 0.9 for hit in exact)


def test_related_pins_without_the_pin_itself(index: PinIndex) -> None:
    vector = index.vector("pin-17")
    assert index.search_vector(vector, 1)[0].similarity == pytest.approx(1, abs=1e-6)
    hits = index.search_vector(vector * 7, 20, exclude=("pin-17", "pin-18", "no-such-pin"))
    assert not {"pin-17", "pin-18"} & {hit.id for hit in hits}
    assert len(hits) == 20


# --- filters --------------------------------------------------------------------------------------

PRICES = st.integers(-60, 60).map(float)
DAYS = st.integers(-10, 410).map(lambda days: DAY + datetime.timedelta(days=days))


def bounds(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    lower = st.tuples(st.sampled_from(["gt", "gte"]), values).map(lambda pair: dict([pair]))
    upper = st.tuples(st.sampled_from(["lt", "lte"]), values).map(lambda pair: dict([pair]))
    return lower | upper | st.tuples(lower, upper).map(lambda both: {**both[0], **both[1]})


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "color": st.sampled_from(COLORS) | st.lists(st.sampled_from([*COLORS, "no"]), min_size=1),
        "tags": st.sampled_from([f"t{n}" for n in range(8)]),
        "price": PRICES | st.lists(PRICES, min_size=1, max_size=3) | bounds(PRICES),
        "sold": st.booleans(),
        "day": DAYS | bounds(DAYS),
    },
)


@budget(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters=FILTERS, mode=st.sampled_from(["hybrid", "embedding", "text"]))
def test_filters(index: PinIndex, pins: pl.DataFrame, filters: dict[str, Any], mode: Any) -> None:
    passing = {pin["id"] for pin in pins.iter_rows(named=True) if passes(pin, filters)}
    hits = index.exact(index.vector("pin-1"), len(pins), filters)
    assert {hit.id for hit in hits} == passing
    found = {hit.id for hit in index.search("w1 w31 w5", 10, mode=mode, filters=filters)}
    assert found <= passing
    if mode != "text":
        assert len(found) == min(10, len(passing))


def test_a_narrow_filter_is_exact(index: PinIndex, model: PinTextModel) -> None:
    filters = {"color": "red", "price": {"gte": 10, "lt": 16}}
    hits = index.search("w1 w31", 10, mode="embedding", filters=filters)
    expected = index.exact(model.encode("w1 w31"), 10, filters)
    assert [hit.id for hit in hits] == [hit.id for hit in expected]


def test_a_wide_filter_in_a_large_index(tmp_path: Path, model: PinTextModel) -> None:
    """More pins pass than are compared one by one, so tokens must find them."""
    pins = some_pins(45_000, model)
    index = PinIndex.build(pins, model, tmp_path / "index", config=CONFIG)
    found = 0
    for query in QUERIES:
        hits = index.search(query, 10, mode="embedding", filters={"sold": True})
        assert 10 < hits.candidates < 20_000
        least = index.exact(model.encode(query), 10, {"sold": True})[-1].similarity
        found += sum(hit.similarity >= least for hit in hits)
        passing = index.documents(hit.id for hit in hits)
        assert all(pin["sold"] for pin in passing)
    assert found >= 0.95 * 10 * len(QUERIES)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"colour": "red"}, "no field 'colour'.*'color', 'tags', 'price', 'sold', 'day'"),
        (
            {"color": {"gte": "a"}},
            "keyword has no bounds; give values, or index it as color:number",
        ),
        ({"sold": {"gte": True}}, "boolean has no bounds; give values$"),
        ({"color": []}, "empty list"),
        ({"color": 1.5}, "1.5 is not a keyword"),
        ({"price": "cheap"}, "'cheap' is not a number"),
        ({"price": True}, "True is not a number"),
        ({"price": float("nan")}, "nan is not a number"),
        ({"price": {"above": 3}}, "unknown bound 'above'; expected gt, gte, lt, lte"),
        ({"price": {}}, "no bound"),
        ({"price": {"gt": 1, "gte": 1}}, "gt or gte, not both"),
        ({"price": None}, "None is not a number"),
        ({"sold": "yes"}, "'yes' is not a boolean"),
        ({"day": "yesterday"}, "'yesterday' is not a time"),
    ],
)
def test_filters_that_do_not_fit(index: PinIndex, filters: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        index.search("w1", filters=filters)


# --- what it holds --------------------------------------------------------------------------------


def test_documents_come_back(index: PinIndex, pins: pl.DataFrame) -> None:
    rows = [0, 5, 11, 13, 17, 3999]
    for found, pin in zip(
        index.documents(f"pin-{row}" for row in rows), pins[rows].iter_rows(named=True), strict=True
    ):
        day = pin.pop("day")
        assert found.pop("day") == (day and day.isoformat())
        assert found == pin
    with pytest.raises(DataError, match="no pin 'pin-4000'"):
        index.documents(["pin-4000"])


def test_size_membership_and_vectors(
    index: PinIndex, pins: pl.DataFrame, model: PinTextModel
) -> None:
    assert len(index) == 4000
    assert "pin-3999" in index
    assert "pin-4000" not in index
    assert 7 not in index
    assert index.fingerprint == model.fingerprint
    assert "4,000 pins" in repr(index)
    pin = pins.row(12, named=True)
    own = model.encode(text_of(pin))
    assert index.vector("pin-12") == pytest.approx(own / np.linalg.norm(own), abs=1e-6)
    with pytest.raises(DataError, match="no pin 'zebra'"):
        index.vector("zebra")


def test_explain(index: PinIndex, pins: pl.DataFrame, model: PinTextModel) -> None:
    query = "w1 w31 w5"
    for hit in index.search(query, 5):
        explanation = index.explain(query, hit.id)
        assert explanation.similarity == pytest.approx(hit.similarity, abs=1e-5)
        assert explanation.bm25 == pytest.approx(hit.bm25)
        assert explanation.matched_tokens == hit.matched_tokens
        total = sum(part.contribution for part in explanation.contributions)
        assert total == pytest.approx(explanation.similarity, abs=1e-6)
        assert explanation.text == text_of(pins.row(int(hit.id[4:]), named=True))
    with pytest.raises(DataError, match="no pin"):
        index.explain(query, "zebra")


def test_recall_was_expected_and_measured(index: PinIndex) -> None:
    assert index.retrieval.expected_recall >= 0.95
    assert index.retrieval.measured_recall >= 0.95
    assert index.config == CONFIG


def test_calibration_counts_hits_above_each_cut_off(index: PinIndex) -> None:
    queries = [f"w{n} w{n + 30} w{n + 300}" for n in range(20)]
    hits = {query: index.search(query, 10, mode="embedding") for query in queries}
    pairs = [(query, hit.id) for query in queries for hit in list(hits[query])[:6:2]]
    pairs += [(queries[0], "nothing"), ("zebra", "pin-1")]
    frame = pl.DataFrame(pairs, ["query", "pin_id"], orient="row")
    for cutoff in calibrate(index, frame, thresholds=(0.0, 0.9, 0.96, 1.1)):
        least = cutoff.min_similarity
        kept = [(q, h.id) for q in queries for h in hits[q] if h.similarity >= least]
        right = len(set(kept) & set(pairs))
        assert cutoff.hits == len(kept)
        assert cutoff.precision == pytest.approx(right / len(kept) if kept else 0)
        assert cutoff.recall == pytest.approx(right / len(pairs))
        assert cutoff.answered == pytest.approx(len({q for q, _ in kept}) / 21)
    with pytest.raises(DataError, match="no column 'pin_id'"):
        calibrate(index, frame.drop("pin_id"))
    with pytest.raises(DataError, match="no pair"):
        calibrate(index, frame.head(0))


# --- opening --------------------------------------------------------------------------------------


def test_opened_again_it_finds_the_same(index: PinIndex, model: PinTextModel) -> None:
    for again in (PinIndex.open(index.folder), PinIndex.open(index.folder, model, verify=False)):
        assert list(again.search("w1 w31 w5", 20)) == list(index.search("w1 w31 w5", 20))
        assert again.generation == index.generation
    index.verify()


def test_another_model_is_refused(index: PinIndex) -> None:
    with pytest.raises(ModelMismatchError, match="build the index again with this model"):
        PinIndex.open(index.folder, some_model(dim=16))


def test_an_index_is_no_model_but_has_one(index: PinIndex) -> None:
    inner = index.folder / "model"
    with pytest.raises(ModelFormatError, match=re.escape(f"an index, whose model is {inner};")):
        PinTextModel.from_pretrained(index.folder)
    assert PinTextModel.from_pretrained(inner).fingerprint == index.fingerprint


def test_what_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(PinIndexError, match="no such folder"):
        PinIndex.open(tmp_path / "nothing")
    with pytest.raises(PinIndexError, match=r"manifest\.json: missing"):
        PinIndex.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "pintext-events"}')
    with pytest.raises(PinIndexError, match="not an index"):
        PinIndex.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "pintext-index", "format_version": 99}')
    with pytest.raises(PinIndexError, match="newer PinText"):
        PinIndex.open(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "pintext-index", "format_version": 1}')
    with pytest.raises(PinIndexError, match=r"older PinText .* build the index again"):
        PinIndex.open(tmp_path)


# --- building -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pins.parquet", "pins.csv", "pins.tsv", "pins.jsonl"])
def test_files(tmp_path: Path, model: PinTextModel, name: str) -> None:
    pins = some_pins(200, model).select("id", "title", "color", "price", "sold", "day")
    path = tmp_path / name
    if name.endswith("parquet"):
        pins.write_parquet(path)
    elif name.endswith("jsonl"):
        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in pins.to_dicts()))
    else:
        pins.write_csv(path, separator="\t" if name.endswith("tsv") else ",")
    fields = ("color", "price:number", "sold:boolean", "day:date")
    config = IndexConfig(filter_columns=fields)
    index = PinIndex.build(path, model, tmp_path / "index", config=config)
    assert len(index) == 200
    for filters in ({"color": "red"}, {"price": {"gt": 3}}, {"sold": True}, {"day": {"lt": DAY}}):
        hits = index.exact(index.vector("pin-1"), 200, filters)
        passing = {pin["id"] for pin in pins.iter_rows(named=True) if passes(pin, filters)}
        assert {hit.id for hit in hits} == passing


def test_shards_share_out_the_pins(tmp_path: Path, model: PinTextModel) -> None:
    pins = some_pins(300, model)
    parts = [
        PinIndex.build(pins, model, tmp_path / f"{part}", config=CONFIG, shard=(part, 3))
        for part in (1, 2, 3)
    ]
    names = [{hit.id for hit in part.exact(part.vector(pin), 300)}
             for part in parts for pin in [next(n for n in pins["id"] if n in part)]]  # fmt: skip
    assert set.union(*names) == set(pins["id"])
    assert sum(map(len, names)) == 300
    assert min(map(len, names)) > 60


@pytest.mark.parametrize(
    ("frame", "config", "message"),
    [
        ({"id": ["a", "b", "a"], "title": ["x"] * 3}, {}, "the id 'a' is there twice, in rows 1"),
        ({"id": ["a", None], "title": ["x"] * 2}, {}, "row 2: id is empty"),
        ({"id": ["a", ""], "title": ["x"] * 2}, {}, "row 2: id is empty"),
        ({"pin": ["a"], "title": ["x"]}, {}, "no column 'id'"),
        ({"id": ["a"], "words": ["x"]}, {}, "no column of text.*'id', 'words'"),
        ({"id": ["a"], "title": [3]}, {}, "'title' is Int64; expected texts"),
        ({"id": ["a"], "title": ["x"]}, {"filter_columns": ("b",)}, "no column 'b' to filter by"),
        (
            {"id": ["a"], "title": ["x"], "b": [1.5]},
            {"filter_columns": ("b:date",)},
            "'b' is Float64; it can be number",
        ),
        (
            {"id": ["a"], "title": ["x"], "b": ["1x"]},
            {"filter_columns": ("b:number",)},
            "row 1: b is '1x', which is not a number",
        ),
        (
            {"id": ["a"], "title": ["x"], "b": [2**60]},
            {"filter_columns": ("b",)},
            "is not a number",
        ),
    ],
)
def test_pins_that_cannot_be_used(
    tmp_path: Path, model: PinTextModel, frame: Any, config: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        PinIndex.build(pl.DataFrame(frame), model, tmp_path / "index", config=IndexConfig(**config))
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings(index: PinIndex, pins: pl.DataFrame, model: PinTextModel) -> None:
    with pytest.raises(ConfigError, match="no kind 'colour'"):
        PinIndex.build(pins, model, "x", config=IndexConfig(filter_columns=("color:colour",)))
    with pytest.raises(ConfigError, match="shard 4/3"):
        PinIndex.build(pins, model, "x", shard=(4, 3))
    with pytest.raises(ConfigError, match="k = 0"):
        index.search("w1", 0)
    with pytest.raises(ConfigError, match="mode = 'both'"):
        index.search("w1", mode="both")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one text"):
        index.search(["w1"])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="16 finite numbers"):
        index.search_vector(np.ones(3, np.float32))


def test_an_index_is_not_overwritten_unless_told(
    tmp_path: Path, pins: pl.DataFrame, model: PinTextModel
) -> None:
    first = PinIndex.build(pins.head(50), model, tmp_path / "index", config=CONFIG)
    with pytest.raises(PinIndexError, match="overwrite"):
        PinIndex.build(pins.head(60), model, tmp_path / "index", config=CONFIG)
    second = PinIndex.build(pins.head(60), model, tmp_path / "index", config=CONFIG, overwrite=True)
    assert len(second) == 60
    assert len(first) == len(first.exact(first.vector("pin-1"), 100)) == 50  # still whole
    assert first.reload()
    assert len(first) == 60
    (tmp_path / "index" / "mine.txt").touch()
    with pytest.raises(PinIndexError, match=r"mine\.txt, which would be lost"):
        PinIndex.build(pins.head(60), model, tmp_path / "index", config=CONFIG, overwrite=True)


@pytest.mark.parametrize("shard", [None, (1, 2)])
@pytest.mark.parametrize("option", ["id_column", "text_columns", "filter_columns"])
def test_a_wrong_column_is_told_with_file_and_option(
    tmp_path: Path, model: PinTextModel, option: str, shard: tuple[int, int] | None
) -> None:
    path = tmp_path / "pins.csv"
    path.write_text("id,title\na,w1\n")
    config = IndexConfig.from_dict({option: "name" if option == "id_column" else ["name"]})
    flag = option.replace("_", "-").removesuffix("s")
    with pytest.raises(DataError, match=rf"pins\.csv: no column 'name'.*'title'.*\(--{flag}\)"):
        PinIndex.build(path, model, tmp_path / "index", config=config, shard=shard)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["pins.jsonl", "pins.csv", "pins.parquet"])
def test_an_empty_file_is_named(tmp_path: Path, model: PinTextModel, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"{name}: empty; expected pins"):
        PinIndex.build(tmp_path / name, model, tmp_path / "index")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("name", ["pins.jsonl", "pins.ndjson.gz"])
def test_a_broken_line_is_named(tmp_path: Path, index: PinIndex, name: str) -> None:
    lines = b'{"id": "a", "title": "w1"}\n\n{"id": "b", "title": oops}\n'
    path = tmp_path / name
    path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    said = rf"{name}:3: JSON is malformed.*byte 21"
    with pytest.raises(DataError, match=said):
        PinIndex.build(path, index.model, tmp_path / "index")
    with pytest.raises(DataError, match=said):
        index.upsert(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_index_grows(tmp_path: Path, pins: pl.DataFrame, model: PinTextModel) -> None:
    index = PinIndex.build(pins.head(0), model, tmp_path / "index", config=CONFIG)
    assert len(index) == 0
    for mode in ("hybrid", "embedding", "text"):
        assert len(index.search("w1", mode=mode, filters={"color": "red"})) == 0
    assert index.upsert(pins) == 4000
    index.compact()
    assert index.retrieval.measured_recall >= 0.95
    assert len(index.search("w1 w31")) == 10


def test_any_text_can_be_an_id(tmp_path: Path, model: PinTextModel) -> None:
    names = ["a b", "a\nb", "ü", "{}", '"', "\x00", "007", "x" * 1000]
    pins = pl.DataFrame({"id": names, "title": [f"w{n} w{n + 30}" for n in range(len(names))]})
    index = PinIndex.build(pins, model, tmp_path / "index")
    assert {hit.id for hit in index.exact(index.vector("ü"), 10)} == set(names)
    for name in names:
        assert name in index
        assert index.documents([name])[0]["id"] == name
    assert index.delete(names[:3]) == 3
    assert len(index) == len(names) - 3
    index.verify()


def test_one_writer_at_a_time(tmp_path: Path, pins: pl.DataFrame, model: PinTextModel) -> None:
    index = PinIndex.build(pins.head(50), model, tmp_path / "index", config=CONFIG)
    with locked(index.folder):
        for write in (lambda: index.delete(["pin-1"]), index.compact, lambda: index.upsert(pins)):
            with pytest.raises(LockedError, match="another process is writing to this index"):
                write()
        assert len(index.search("w1 w31")) == 10
    assert index.delete(["pin-1"]) == 1


def test_one_text_is_no_list_of_ids(tmp_path: Path, model: PinTextModel) -> None:
    """Else each of its characters would be taken for an id."""
    pins = pl.DataFrame({"id": ["1", "2", "12"], "title": ["w1", "w2", "w3"]})
    index = PinIndex.build(pins, model, tmp_path / "index")
    with pytest.raises(DataError, match="expected ids in a list, found the text '12'"):
        index.delete("12")
    with pytest.raises(DataError, match="expected ids that are texts, found 1"):
        index.delete([1])  # type: ignore[list-item]
    assert len(index) == 3
    assert index.delete(["12"]) == 1
    with pytest.raises(DataError, match="expected a list of folders, found the text"):
        ShardedIndex.open(str(tmp_path / "index"))


def test_a_promise_that_is_not_kept_is_told(tmp_path: Path, model: PinTextModel) -> None:
    some_pins(800, model).drop("tags", "description").write_parquet(tmp_path / "pins.parquet")
    model.save_pretrained(tmp_path / "model")
    for recall, told in (("0.5", False), ("0.99999", True)):
        paths = [str(tmp_path / name) for name in ("model", "pins.parquet", "out")]
        words = [*paths[:2], "--out", paths[2], "--overwrite", "--scheme", "hyperplane"]
        done = CliRunner().invoke(commands, ["index", *words, "--recall", recall])
        assert done.exit_code == 0, done.stderr
        assert (f"note: recall {recall} was asked for, 0." in done.stderr) == told, done.stderr
