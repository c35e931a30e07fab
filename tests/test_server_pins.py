"""The service with an index: searches, changes, new versions, and what it survives."""

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pintext.embed import FINGERPRINT_KEY
from pintext.index import IndexConfig, PinIndex
from pintext.text import split
from serving import Load, Served, until
from some_models import WORDS, some_model
from test_server import problem

TOKEN = "open sesame"
WRITER = {"authorization": f"Bearer {TOKEN}"}


def some_pins(rows: int, seed: int = 0) -> pl.DataFrame:
    draw = random.Random(seed)
    return pl.DataFrame(
        {
            "id": [f"p{row}" for row in range(rows)],
            "title": [" ".join(draw.sample(WORDS, 3)) for _ in range(rows)],
            "text": [" ".join(draw.sample(WORDS, 4)) for _ in range(rows)],
            "board": [draw.choice(["homes", "travel"]) for _ in range(rows)],
            "price": [float(row) for row in range(rows)],
        }
    )


def build(folder: Path, rows: int = 400, *, seed: int = 0, overwrite: bool = False) -> PinIndex:
    config = IndexConfig(filter_columns=("board", "price"))
    pins, model = some_pins(rows, seed), some_model(seed=seed)
    return PinIndex.build(pins, model, folder, config=config, overwrite=overwrite)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> PinIndex:
    return build(tmp_path_factory.mktemp("pins") / "index")


@pytest.fixture(scope="module")
def served(index: PinIndex) -> Iterator[Served]:
    options = ("--recall-share", 1, "--write-token", "env:PIN_TOKEN", "--workers", 2)
    with Served(index.folder, *options, env={"PIN_TOKEN": TOKEN}) as service:
        yield service


def test_examples_are_the_first_words_of_pins(client: httpx.Client) -> None:
    examples = client.get("/info").json()["examples"]
    starts = set()
    for title, text in some_pins(400).select("title", "text").iter_rows():
        words = split(f"{title} {text}")
        starts.add(" ".join([word for word in words if len(word) > 2][:3]))
    assert 2 < len(examples) <= 8
    assert len(set(examples)) == len(examples)
    assert starts.issuperset(examples)


@pytest.fixture
def client(served: Served) -> httpx.Client:
    return served.client


def hits_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["hits"]
    return found


# --- searches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hybrid", "embedding", "text"])
@pytest.mark.parametrize("filters", [None, {"board": "homes", "price": {"gte": 50, "lt": 300}}])
def test_a_search_gives_what_the_library_gives(
    client: httpx.Client, index: PinIndex, mode: Any, filters: Any
) -> None:
    query = "oak kitchen zebra"
    body = {"query": query, "k": 7, "mode": mode, "filters": filters, "explain": True}
    answer = client.post("/v1/search", json=body)
    expected = index.search(query, 7, mode=mode, filters=filters)
    documents = index.documents(hit.id for hit in expected)
    found = hits_of(answer)
    assert [hit["id"] for hit in found] == [hit.id for hit in expected]
    for hit, wanted, document in zip(found, expected, documents, strict=True):
        assert hit["similarity"] == wanted.similarity
        assert hit["bm25"] == wanted.bm25
        assert hit["matched_tokens"] == list(wanted.matched_tokens)
        assert {"id": hit["id"], **hit["fields"]} == document
        explanation = hit["explanation"]
        total = sum(part["contribution"] for part in explanation["contributions"])
        assert explanation["similarity"] == pytest.approx(wanted.similarity, abs=1e-5)
        assert total == pytest.approx(explanation["similarity"], abs=1e-9)
    told = answer.json()
    assert told["unknown_words"] == ["zebra"]
    assert (told["mode"], told["notice"], told["candidates"]) == (mode, None, expected.candidates)


def test_a_query_without_a_known_word_says_how_it_was_searched(client: httpx.Client) -> None:
    answer = client.post("/v1/search", json={"query": "zebra"}).json()
    assert answer["mode"] == "text"
    assert "searched by words" in answer["notice"]
    assert answer["hits"] == []


def test_related_pins_are_the_nearest_others(client: httpx.Client, index: PinIndex) -> None:
    for _ in range(2):  # the second time from the cache
        answer = client.get("/v1/related/p3", params={"k": 5})
        expected = index.search_vector(index.vector("p3"), 5, exclude=("p3",))
        assert [hit["id"] for hit in hits_of(answer)] == [hit.id for hit in expected]
        assert answer.json()["pin"]["fields"]["price"] == 3.0
    assert "'p999'" in problem(client.get("/v1/related/p999"), 404)["detail"]


def test_a_feed_is_searched_by_meaning(client: httpx.Client, index: PinIndex) -> None:
    interests = "alaska train, glacier"
    body = {"interests": interests, "k": 5, "min_similarity": 0.5}
    expected = index.search(interests, 5, mode="embedding", min_similarity=0.5)
    assert [hit["id"] for hit in hits_of(client.post("/v1/feed", json=body))] == [
        hit.id for hit in expected
    ]


def test_texts_may_be_those_of_pins(client: httpx.Client, index: PinIndex) -> None:
    answer = client.post("/v1/explain", json={"query": "oak", "pin_id": "p3"}).json()
    assert answer["similarity"] == pytest.approx(index.explain("oak", "p3").similarity)
    text = index.explain("oak", "p3").text
    answer = client.post("/v1/expand", json={"pin_id": "p3", "k": 2}).json()
    assert [row["keyword"] for row in answer["keywords"]] == [
        near.word for near in index.model.most_similar(text, 2)
    ]
    problem(client.post("/v1/explain", json={"query": "oak", "pin_id": "nobody"}), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": "oak", "filters": {"colour": "red"}}, "$.filters"),
        ({"query": "oak", "filters": {"price": {"gte": "cheap"}}}, "$.filters"),
        ({"query": "oak", "filters": {"price": {"above": 3}}}, "$.filters[...]"),
        ({"query": "oak", "mode": "fuzzy"}, "$.mode"),
        ({"query": "oak", "k": 201}, "$.k"),
    ],
)
def test_a_search_that_cannot_be_done_names_the_field(
    client: httpx.Client, body: Any, field: str
) -> None:
    assert problem(client.post("/v1/search", json=body), 400)["errors"][0]["field"] == field


def test_recall_is_measured_live(served: Served) -> None:
    for query in ("oak", "alaska train", "white kitchen"):
        served.client.post("/v1/search", json={"query": query, "mode": "embedding"})
    until(lambda: served.metric("pintext_live_recall_at_10_count") >= 3)
    total = served.metric("pintext_live_recall_at_10_sum")  # others may be measured meanwhile
    assert total <= served.metric("pintext_live_recall_at_10_count")
    assert served.metric("pintext_live_recall_at_10_sum") > 0.5 * 3
    assert served.metric("pintext_search_candidates_count") >= 3


def test_info_tells_of_the_index(client: httpx.Client, index: PinIndex) -> None:
    info = client.get("/info").json()["index"]
    assert info["fingerprint"] == index.model.fingerprint
    assert info["text_columns"] == ["title", "text"]
    assert info["filter_fields"] == ["board", "price"]


# --- changes --------------------------------------------------------------------------------------


def test_pins_are_written_durably_and_every_worker_shows_them(
    served: Served, index: PinIndex
) -> None:
    client = served.client
    pin = {"id": "new pin", "title": "glacier glacier", "board": "travel", "price": 7}
    answer = client.put("/v1/pins", json={"pins": [pin, {"id": "other"}]}, headers=WRITER)
    assert answer.status_code == 200, answer.text
    assert answer.json()["pins"] == 2
    assert index.reload()  # another process sees it as soon as it is answered
    assert index.documents(["new pin"]) == [{**pin, "text": None, "price": 7.0}]
    assert answer.json()["generation"] == index.generation

    def first() -> set[str]:
        """The best pin, asked often enough over new connections to meet both workers."""
        body = {"query": "glacier", "mode": "embedding", "k": 1}
        answers = [httpx.post(f"{served.url}/v1/search", json=body) for _ in range(12)]
        return {hits_of(answer)[0]["id"] for answer in answers}

    until(lambda: first() == {"new pin"}, 20)
    assert client.delete("/v1/pins/new%20pin", headers=WRITER).json()["pins"] == 1
    assert "new pin" in problem(client.delete("/v1/pins/new%20pin", headers=WRITER), 404)["detail"]
    until(lambda: "new pin" not in first(), 20)
    ids = {"ids": ["other", "never there"]}
    answer = client.post("/v1/pins/delete", json=ids, headers=WRITER).json()
    assert (answer["pins"], answer["unknown"]) == (1, ["never there"])


@pytest.mark.parametrize(
    ("pins", "field"),
    [
        ([{"id": "a"}, {"title": "no id"}], "$.pins[1]"),
        ([{"id": ""}], "$.pins[0].id"),
        ([{"id": "a", "title": 5}], "$.pins[0].title"),
        ([{"id": "a", "price": "cheap"}], "$.pins[0].price"),
        ([{"id": "a", "colour": "red"}], "$.pins[0]"),
        ([{"id": "a"}, {"id": "a"}], "$.pins"),
        ([], "$.pins"),
    ],
)
def test_pins_of_another_form_are_refused_and_none_is_written(
    client: httpx.Client, index: PinIndex, pins: Any, field: str
) -> None:
    before = client.get("/info").json()["index"]["pins"]
    answer = client.put("/v1/pins", json={"pins": pins}, headers=WRITER)
    assert problem(answer, 400)["errors"][0]["field"] == field
    index.reload()
    assert len(index) == before


def test_only_who_knows_the_token_may_write(client: httpx.Client, tmp_path: Path) -> None:
    for sent, said in (
        ("", "send the token"),
        ("Bearer wrong", "token is wrong"),
        (f"Basic {TOKEN}", "send the token"),
    ):
        headers = {"authorization": sent} if sent else {}
        answer = client.delete("/v1/pins/p1", headers=headers)
        assert said in problem(answer, 401)["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/v1/related/p1").status_code == 200
    build(tmp_path / "index", 50)
    with Served(tmp_path / "index") as service:
        answer = service.client.put("/v1/pins", json={"pins": [{"id": "a"}]}, headers=WRITER)
        assert "write_token" in problem(answer, 403)["detail"]


# --- neighbours found beforehand ------------------------------------------------------------------


def knn_file(path: Path, fingerprint: str) -> None:
    frame = pl.DataFrame(
        {
            "id": ["p1", "p1", "p1", "p2"],
            "neighbor_id": ["p7", "gone", "p5", "p1"],
            "rank": [1, 2, 3, 1],
            "similarity": pl.Series([0.5, 0.25, 0.125, 0.5], dtype=pl.Float32),
        }
    )
    frame.write_parquet(path, metadata={FINGERPRINT_KEY: fingerprint})


def test_a_file_of_neighbours_answers_first(tmp_path: Path) -> None:
    index = build(tmp_path / "index", 50)
    knn_file(tmp_path / "knn.parquet", index.model.fingerprint)
    with Served(index.folder, "--neighbors", tmp_path / "knn.parquet") as service:
        related = hits_of(service.client.get("/v1/related/p1?k=3"))
        assert [(hit["id"], hit["similarity"]) for hit in related] == [("p7", 0.5), ("p5", 0.125)]
        for path in ("/v1/related/p1?k=4", "/v1/related/p3?k=4"):  # more than the file has
            assert len(hits_of(service.client.get(path))) == 4
        # A file of another model is refused; what is served stays, and says why.
        knn_file(tmp_path / "knn.parquet", "0123456789abcdef")
        until(lambda: service.client.get("/ready").json()["warning"])
        assert "0123456789abcdef" in service.client.get("/ready").json()["warning"]
        assert service.metric("pintext_reload_refused") == 1
        assert len(hits_of(service.client.get("/v1/related/p1?k=3"))) == 2


# --- new versions ---------------------------------------------------------------------------------


def served_model(service: Served) -> str:
    fingerprint: str = service.client.get("/info").json()["model"]["fingerprint"]
    return fingerprint


def test_a_new_version_is_served_without_a_failed_request(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    first = build(folder).model.fingerprint
    generous = ("--max-wait-ms", 60_000, "--timeout-seconds", 60)
    body = {"query": "oak kitchen", "k": 3}
    with (
        Served(folder, "--watch-seconds", 0.1, *generous) as service,
        Load(service, body) as load,
    ):
        seen = {first}
        for seed in (1, 2, 3):
            until(lambda: len(load.answers) > 20)
            fingerprint = build(folder, 300, seed=seed, overwrite=True).model.fingerprint
            until(lambda wanted=fingerprint: served_model(service) == wanted)
            seen.add(fingerprint)
            load.answers = load.answers[:0] if not load.failures() else load.answers
        assert len(seen) == 4
        # Damaged: the one before goes on, and the service says why.
        broken = tmp_path / "broken"
        shutil.copytree(folder, broken)
        config = json.loads((broken / "manifest.json").read_text())
        (broken / "manifest.json").write_text(json.dumps(config | {"dim": 9}))
        folder.rename(tmp_path / "before")
        broken.rename(folder)
        until(lambda: service.client.get("/ready").json()["warning"])
        assert "manifest.json" in service.client.get("/ready").json()["warning"]
        assert service.client.get("/ready").status_code == 200
        assert served_model(service) == fingerprint
        refused = [line for line in service.log() if line["event"] == "reload refused"]
        assert "manifest.json" in refused[-1]["reason"]
        # Whole again, and told by the signal.
        folder.rename(tmp_path / "damaged")
        (tmp_path / "before").rename(folder)
        service.process.send_signal(signal.SIGHUP)
        until(lambda: service.client.get("/ready").json()["warning"] is None)
        until(lambda: len(load.answers) > 5)
    assert load.failures() == []


def test_a_model_of_its_own_is_replaced_too(tmp_path: Path) -> None:
    some_model().save_pretrained(tmp_path / "model")
    with Served(tmp_path / "model", "--watch-seconds", 0.1) as service:
        before = service.client.get("/v1/words/wood?k=3").json()
        other = some_model(seed=5)
        other.save_pretrained(tmp_path / "model", overwrite=True)
        until(lambda: served_model(service) == other.fingerprint)
        after = service.client.get("/v1/words/wood?k=3").json()  # not from the cache
        assert before != after
        assert after["neighbors"][0]["word"] == other.most_similar("wood", 1)[0].word


# --- what it survives -----------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    build(tmp_path / "index", 50)
    with Served(tmp_path / "index", "--workers", 2) as service:
        until(lambda: len(service.worker_pids()) == 2)
        victim = service.worker_pids()[0]
        asked = service.metric("pintext_http_requests_total")
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(pids := service.worker_pids()) == 2 and victim not in pids)
        assert service.process.poll() is None

        def both_answer() -> bool:
            try:
                return all(httpx.get(f"{service.url}/health").is_success for _ in range(10))
            except httpx.TransportError:
                return False

        until(both_answer)
        service.client.close()
        service.client = httpx.Client(base_url=service.url, timeout=60)
        assert service.metric("pintext_http_requests_total") > asked  # what it counted is kept
        assert service.stop() == 0
