"""The export for a cluster finds the candidates that the embedded index compares."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from index_data import DAY, FILTER_COLUMNS, passes, some_pins, text_of, topic_model
from pintext import IndexConfig, PinIndex, PinTextModel
from pintext.errors import DataError, PinIndexError
from pintext.index.opensearch import cluster_query, export_opensearch
from pintext.text import split
from pintext.tokens import Probes
from pintext.tokens.kernels import normalized

Documents = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def model() -> PinTextModel:
    return topic_model()


@pytest.fixture(scope="module")
def pins(model: PinTextModel) -> pl.DataFrame:
    return some_pins(1200, model)


@pytest.fixture(scope="module")
def index(
    tmp_path_factory: pytest.TempPathFactory, pins: pl.DataFrame, model: PinTextModel
) -> PinIndex:
    config = IndexConfig(filter_columns=FILTER_COLUMNS)
    folder = tmp_path_factory.mktemp("index") / "index"
    made = PinIndex.build(pins, model, folder, config=config)
    made.delete(["pin-3", "pin-1100"])
    return made


@pytest.fixture(scope="module")
def exported(index: PinIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster") / "cluster"
    assert export_opensearch(index, folder, query="w1 w31") == 1198
    return folder


def documents(folder: Path) -> Documents:
    text = (folder / "documents.ndjson").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return {head["index"]["_id"]: body for head, body in zip(lines[::2], lines[1::2], strict=True)}


def values_at(document: dict[str, Any], path: str) -> list[Any]:
    value: Any = document
    for name in path.split("."):
        value = value[name]
    return [] if value is None else value if isinstance(value, list) else [value]


_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
}


def matches(document: dict[str, Any], clause: dict[str, Any]) -> float | None:
    """The score that the query language gives, ``None`` where a document does not match."""
    ((kind, body),) = clause.items()
    if kind == "match_none":
        return None
    if kind == "constant_score":
        return body["boost"] if matches(document, body["filter"]) is not None else None
    if kind == "bool":
        if any(matches(document, inner) is None for inner in body["filter"]):
            return None
        scores = [matches(document, inner) for inner in body["should"]]
        there = [score for score in scores if score is not None]
        return sum(there) if len(there) >= body["minimum_should_match"] else None
    ((path, wanted),) = body.items()
    values = values_at(document, path)
    if kind == "range":
        found = any(all(_HOLDS[b](v, bound) for b, bound in wanted.items()) for v in values)
    else:
        found = any(value in (wanted if kind == "terms" else [wanted]) for value in values)
    return 1.0 if found else None


def answer(body: dict[str, Any], cluster: Documents) -> dict[str, float]:
    scores = {name: matches(document, body["query"]) for name, document in cluster.items()}
    there = {name: score for name, score in scores.items() if score is not None}
    return dict(sorted(there.items(), key=lambda item: -item[1])[: body["size"]])


FILTERS = [
    None,
    {"color": "red"},
    {"tags": ["t1", "t5"], "sold": True},
    {"price": {"gte": -10, "lt": 25.5}},
    {"day": {"gte": DAY.isoformat()}},
]


@pytest.mark.parametrize("filters", FILTERS[1:])
def test_behind_a_filter_of_few_pins_all_of_them(
    index: PinIndex, exported: Path, filters: dict[str, Any]
) -> None:
    """Which the index compares."""
    cluster = documents(exported)
    found = answer(cluster_query(index, "w1 w31 w61", filters=filters), cluster)
    passing = {name for name, pin in cluster.items() if passes(pin["document"], filters)}
    assert set(found) == passing
    assert index.search("w1 w31 w61", mode="embedding", filters=filters).candidates == len(passing)


def test_a_filter_that_does_not_fit_is_refused(index: PinIndex) -> None:
    with pytest.raises(DataError, match="no field 'nosuch'"):
        cluster_query(index, "w1", filters={"nosuch": 1})


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("query", ["w1 w31 w61", "w5", "unknown"])
def test_the_same_candidates(
    index: PinIndex,
    exported: Path,
    pins: pl.DataFrame,
    query: str,
    filters: dict[str, Any] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the index finds, and as every pin's tokens and fields say one by one."""
    monkeypatch.setattr("pintext.index.snapshot.EXACT_PINS", 10)  # all filters leave more
    index = PinIndex.open(index.folder, index.model)
    cluster = documents(exported)
    body = cluster_query(index, query, filters=filters)
    found = answer(body, cluster)
    probes = index.tokens.probe(index.model.encode([query]), index.retrieval.probes)
    asked = Probes(probes.tokens[probes.tokens >= 0], probes.weights[probes.tokens >= 0])
    snapshot = index.snapshot
    rows = snapshot.lists.holders(asked.tokens)
    if (filtered := snapshot.filtered(filters)) is not None:
        rows = snapshot.token_rows(asked, index.retrieval.candidates, filtered)
    assert set(found) == set(snapshot.rows.ids(rows))
    texts = [text_of(pin) for pin in pins.iter_rows(named=True)]
    carried = index.tokens.assign(normalized(index.model.encode(texts)))
    shared = np.isin(carried, asked.tokens).sum(axis=1).tolist()
    shares = dict(zip(pins["id"], shared, strict=True))
    expected = {
        name
        for name, exported_pin in cluster.items()
        if shares[name] and passes(exported_pin["document"], filters or {})
    }
    assert len(expected) < body["size"]  # so none is left out
    assert set(found) == expected
    assert bool(found) == (query != "unknown")


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("query", ["w1 w31 w61", "w5 UNKNOWN", "none of them"])
def test_the_same_matches_of_words(
    index: PinIndex, exported: Path, query: str, filters: dict[str, Any] | None
) -> None:
    """A match of the field ``words`` finds what the index finds by BM25."""
    words = {"terms": {"words": split(query)}}
    within = cluster_query(index, "w1", filters=filters)["query"]["bool"]["filter"]
    asked = {"bool": {"should": [words], "minimum_should_match": 1, "filter": within}}
    cluster = documents(exported)
    analysed = {
        name: {**document, "words": document["words"].split()} for name, document in cluster.items()
    }
    found = answer({"size": len(cluster), "query": asked}, analysed)
    hits = index.search(query, len(cluster), mode="text", filters=filters)
    assert set(found) == {hit.id for hit in hits}
    assert bool(found) == (query != "none of them")


def test_what_is_exported(index: PinIndex, exported: Path, pins: pl.DataFrame) -> None:
    cluster = documents(exported)
    assert set(cluster) == set(pins["id"]) - {"pin-3", "pin-1100"}
    for name in ("pin-0", "pin-5", "pin-700"):
        document = cluster[name]
        assert document["document"] == index.documents([name])[0]
        pin = document["document"]
        text = " ".join([pin["title"] or "", *pin["description"]])
        assert document["words"].split() == split(text)
        assert passes(pin, {"color": pin["color"]}) == (pin["color"] is not None)
    mapping = json.loads((exported / "mapping.json").read_text())["mappings"]["properties"]
    assert mapping["fields"]["properties"] == {
        "color": {"type": "keyword"},
        "tags": {"type": "keyword"},
        "price": {"type": "double"},
        "sold": {"type": "boolean"},
        "day": {"type": "date"},
    }
    assert mapping["words"]["analyzer"] == "whitespace"
    example = json.loads((exported / "query.json").read_text())
    assert example == cluster_query(index, "w1 w31")
    boosts = [part["constant_score"]["boost"] for part in example["query"]["bool"]["should"]]
    assert min(boosts) >= 0  # Lucene refuses a negative boost
    with pytest.raises(PinIndexError, match="overwrite"):
        export_opensearch(index, exported)
