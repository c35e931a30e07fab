"""The service as its clients see it: a real process, real HTTP clients."""

import base64
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pintext import PinTextModel
from pintext.vocabulary import Vocabulary
from serving import Served, until
from some_models import WORDS

SECRET = "unspeakable"
"""A word of queries that must never be seen in the log or in a metric."""
LABELS = ["kitchen wood", "alaska train", "zebra", "белый"]


def counted_model(seed: int = 0) -> PinTextModel:
    """A model with two tasks; the first words belong to one of them, the others to the other."""
    n = len(WORDS)
    counts = np.array([np.arange(n, 0, -1) * 10, np.arange(1, n + 1)])
    vocabulary = Vocabulary.from_words(WORDS, counts, ("search", "home_feed"))
    rows = np.random.default_rng(seed).standard_normal((n, 8)).astype(np.float32)
    return PinTextModel(vocabulary, rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("served")
    counted_model().save_pretrained(made / "model")
    (made / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    (made / "keywords.jsonl").write_text(
        "".join(json.dumps({"keyword": word}) + "\n" for word in ("oak wood", "glacier ride")),
        encoding="utf-8",
    )
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> PinTextModel:
    return PinTextModel.from_pretrained(folder / "model")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    options = ("--labels", folder / "labels.txt", "--max-k", 20, "--max-batch", 100)
    limits = ("--max-text-chars", 5000, "--max-body-kb", 64, "--read-seconds", 2)
    with Served(folder / "model", *options, *limits) as service:
        yield service


@pytest.fixture
def client(served: Served) -> httpx.Client:
    return served.client


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer, which must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


# --- embeddings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_the_client_of_openai_gets_what_the_library_gives(
    served: Served, model: PinTextModel, encoding: Any
) -> None:
    texts = [
        "wood kitchen",
        "Алaska TRAIN 木の台",
        "nothing known",
        *("oak ride " * n for n in range(1, 99, 7)),
    ]
    extra = {"encoding_format": encoding} if encoding else {}
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        for _ in range(2):  # the second time single texts come from the cache
            many = client.embeddings.create(model="pintext", input=texts, **extra)
            one = client.embeddings.create(model=model.fingerprint, input=texts[0], **extra)
            assert [item.index for item in many.data] == list(range(len(texts)))
            vectors = [_vector(item.embedding) for item in many.data]
            np.testing.assert_array_equal(vectors, model.encode(texts))
            np.testing.assert_array_equal(_vector(one.data[0].embedding), model.encode(texts[0]))
            assert one.usage.prompt_tokens == one.usage.total_tokens == 2
        assert {entry.id for entry in client.models.list()} == {"pintext", model.fingerprint}


def _vector(embedding: Any) -> Any:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), "<f4")
    return np.array(embedding, np.float32)


@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]]])
def test_token_ids_are_refused_with_what_to_change(served: Served, ids: Any) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        with pytest.raises(openai.BadRequestError, match="send the texts themselves"):
            client.embeddings.create(model="pintext", input=ids)
        with pytest.raises(openai.NotFoundError, match="'pintext' or"):
            client.embeddings.create(model="text-embedding-3-small", input="wood")
        with pytest.raises(openai.BadRequestError, match="8 dimensions"):
            client.embeddings.create(model="pintext", input="wood", dimensions=4)
        assert client.embeddings.create(model="pintext", input="wood", dimensions=8).data


# --- words and texts ------------------------------------------------------------------------------


def test_words_texts_and_keywords_are_those_of_the_library(
    client: httpx.Client, model: PinTextModel
) -> None:
    answer = client.get("/v1/words/Wood", params={"k": 5}).json()
    near = [{"word": word, "similarity": cosine} for word, cosine in model.most_similar("wood", 5)]
    assert answer == {"word": "Wood", "known": True, "neighbors": near}
    assert client.get("/v1/words/xyzzy").json() == {
        "word": "xyzzy",
        "known": False,
        "neighbors": [],
    }
    assert client.get("/v1/words/木").json()["known"]

    body = {"query": "wood kitchen", "pin_text": "xyzzy white oak Xyzzy"}
    answer = client.post("/v1/explain", json=body).json()
    expected = model.explain("wood kitchen", "white oak")
    assert (answer["unknown_query_words"], answer["unknown_pin_words"]) == ([], ["xyzzy"])
    assert answer["similarity"] == expected.similarity
    assert answer["contributions"] == [part._asdict() for part in expected.contributions]

    answer = client.post("/v1/expand", json={"text": "wood", "k": 3}).json()
    assert answer["keywords"] == [
        {"keyword": word, "similarity": cosine} for word, cosine in model.most_similar("wood", 3)
    ]


def test_a_text_is_classified_by_its_cosine_with_the_labels(
    client: httpx.Client, model: PinTextModel
) -> None:
    answer = client.post("/v1/classify", json={"text": "oak", "k": 9}).json()
    expected = {label: model.similarity("oak", label) for label in LABELS[:2]}  # known ones only
    found = {row["label"]: row["similarity"] for row in answer["labels"]}
    assert found == pytest.approx(expected, abs=1e-6)
    assert list(found) == sorted(expected, key=lambda label: -expected[label])
    assert client.post("/v1/classify", json={"text": "zebra"}).json() == {"labels": []}


def test_the_map_shows_each_word_with_the_task_that_it_belongs_to(
    client: httpx.Client, model: PinTextModel
) -> None:
    answer = client.get("/v1/map").json()["words"]
    assert {row["word"] for row in answer} == set(WORDS)
    shares = model.vocabulary.counts / model.vocabulary.counts.sum(axis=1, keepdims=True)
    for row in answer:
        place = WORDS.index(row["word"])
        assert row["task"] == model.vocabulary.tasks[int(np.argmax(shares[:, place]))]
        assert row["count"] == model.vocabulary.counts[:, place].sum()
    # Principal components: the plane keeps as much of the variance as any plane can.
    units = model.embeddings / np.linalg.norm(model.embeddings, axis=1, keepdims=True)
    largest = np.linalg.eigvalsh(np.cov(units.T, bias=True))[-2:].sum()
    places = np.array([[row["x"], row["y"]] for row in answer])
    assert places.var(axis=0).sum() == pytest.approx(largest, rel=1e-3)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "field", "limit"),
    [
        ("/v1/classify", {"text": "wood", "k": 21}, "$.k", 20),
        ("/v1/classify", {"text": "x" * 5001}, "$.text", 5000),
        ("/v1/embeddings", {"model": "pintext", "input": ["a"] * 101}, "$.input", 100),
        ("/v1/embeddings", {"model": "pintext", "input": ["a", "b" * 5001]}, "$.input[1]", 5000),
        ("/v1/expand", {"text": "wood", "k": 0}, "$.k", None),
        ("/v1/expand", {"text": "wood", "pin_id": "p1"}, "$.text", None),
        ("/v1/expand", {}, "$.text", None),
        ("/v1/explain", {"query": 5, "pin_text": "a"}, "$.query", None),
        ("/v1/explain", {"query": "a", "pin_text": "a", "topk": 1}, "$", None),
        ("/v1/explain", [], "$", None),
    ],
)
def test_a_problem_names_the_field_and_the_limit(
    client: httpx.Client, path: str, body: Any, field: str, limit: int | None
) -> None:
    document = problem(client.post(path, json=body), 400)
    (error,) = document["errors"]
    assert error["field"] == field
    assert error.get("limit") == limit
    assert error["message"] in document["detail"]


def test_other_refusals_are_problems_too(client: httpx.Client) -> None:
    assert "20" in problem(client.get("/v1/words/wood", params={"k": 21}), 400)["detail"]
    assert problem(client.get("/v1/words/wood?k=many"), 400)["errors"][0]["field"] == "k"
    assert "not JSON" in problem(client.post("/v1/classify", content=b'{"text": '), 400)["detail"]
    assert "not JSON" in problem(client.post("/v1/classify", content=b"\xff\xfe"), 400)["detail"]
    problem(client.get("/nowhere"), 404)
    assert problem(client.put("/info"), 405)
    assert (
        "index"
        in problem(client.post("/v1/explain", json={"query": "a", "pin_id": "p"}), 404)["detail"]
    )
    assert "64 KB" in problem(client.post("/v1/classify", content=b"x" * 65_537), 413)["detail"]


def test_a_body_without_a_length_is_limited_as_well(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", content=(b"x" * 1000 for _ in range(100)))
    assert problem(answer, 413)["type"] == "urn:pintext:problem:too-large"


# --- what operators see ---------------------------------------------------------------------------


def test_info_says_what_is_served(client: httpx.Client, model: PinTextModel) -> None:
    info = client.get("/info").json()
    assert info["model"] == {
        "fingerprint": model.fingerprint,
        "words": len(model),
        "dim": 8,
        "tasks": ["search", "home_feed"],
    }
    assert info["labels"] == 2
    assert info["examples"][0] == "wood"  # the most frequent word
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"ready": True, "draining": False, "warning": None}


def test_a_request_has_an_id_its_own_or_a_new_one(client: httpx.Client) -> None:
    ids = {client.get("/health").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
    for given, taken in (("trace-7.a_b", True), ("a b", False), ("x" * 65, False), ("é", False)):
        answer = client.get("/health", headers=[(b"x-request-id", given.encode())])
        assert (answer.headers["x-request-id"] == given) is taken


def test_no_text_of_a_query_reaches_log_or_metrics(served: Served) -> None:
    client = served.client
    for path, body in (
        ("/v1/classify", {"text": f"wood {SECRET}"}),
        ("/v1/embeddings", {"model": "pintext", "input": SECRET}),
        ("/v1/explain", {"query": SECRET, "pin_text": SECRET}),
        ("/v1/embeddings", {"model": "pintext", "input": [SECRET, 3]}),
    ):
        client.post(path, json=body)
    client.get(f"/v1/words/{SECRET}?k=1")
    client.get(f"/{SECRET}?q={SECRET}")
    metrics = client.get("/metrics").text
    marker = client.get("/health").headers["x-request-id"]
    _wait_for_line(served, marker)
    assert SECRET not in metrics
    assert SECRET not in served.log_file.read_text()


def _wait_for_line(served: Served, request_id: str) -> dict[str, Any]:
    def lines() -> list[dict[str, Any]]:
        return [line for line in served.log() if line.get("request_id") == request_id]

    until(lines)
    return lines()[0]


def test_a_request_is_a_line_of_the_log(served: Served) -> None:
    answer = served.client.get("/v1/words/wood", headers={"x-request-id": "look-for-me"})
    line = _wait_for_line(served, "look-for-me")
    assert line["event"] == "request"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/words/{word}", 200)
    assert line["bytes"] == len(answer.content)
    assert line["ms"] > 0
    assert line["time"].endswith("+00:00")


def test_metrics_are_prometheus_and_count_what_happened(served: Served) -> None:
    client = served.client

    def figures() -> tuple[float, ...]:
        return (
            served.metric(
                "pintext_http_requests_total", route="/v1/words/{word}", method="GET", status="200"
            ),
            served.metric("pintext_http_request_duration_seconds_count", route="/v1/words/{word}"),
            served.metric("pintext_query_words_total", known="yes"),
            served.metric("pintext_query_words_total", known="no"),
            served.metric("pintext_cache_requests_total", cache="neighbors", outcome="hit"),
        )

    before = figures()
    for _ in range(3):
        client.get("/v1/words/glacier?k=7")
        client.post("/v1/embeddings", json={"model": "pintext", "input": "oak oak quux"})
    change = [b - a for a, b in zip(before, figures(), strict=True)]
    assert change == [3, 3, 2, 1, 2]  # an embedding from the cache is not looked up again
    families = {
        family.name for family in text_string_to_metric_families(client.get("/metrics").text)
    }
    assert {"pintext_http_requests", "pintext_model_info", "pintext_search_candidates"} <= families
    assert all(name.startswith("pintext_") for name in families)


def test_the_openapi_document_has_examples_and_the_limits_everywhere(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    operations = [
        (path, operation) for path, item in document["paths"].items() for operation in item.values()
    ]
    assert len(operations) >= 10
    for path, operation in operations:
        assert operation["summary"], path
        for status, answer in operation["responses"].items():
            (content,) = answer["content"].values()
            assert content["examples"], (path, status)
        if "requestBody" in operation:
            assert "examples" in json.dumps(operation["requestBody"]), path
    schemas = document["components"]["schemas"]
    assert schemas["Classify"]["properties"]["k"]["maximum"] == 20
    assert schemas["Classify"]["properties"]["text"]["maxLength"] == 5000
    lists = schemas["EmbeddingRequest"]["properties"]["input"]["oneOf"]
    assert {"maxItems": 100} in [{"maxItems": one.get("maxItems")} for one in lists]


# --- beginning and ending -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal_after_what_has_begun(folder: Path, number: int) -> None:
    with Served(folder / "model", "--keywords", folder / "keywords.jsonl") as service:
        words = service.client.post("/v1/expand", json={"text": "oak"}).json()["keywords"]
        assert {row["keyword"] for row in words} == {"oak wood", "glacier ride"}
        with httpx.stream(
            "POST", f"{service.url}/v1/expand", content=_slowly(service, number)
        ) as answer:
            assert answer.read()
            assert answer.status_code == 200
        assert service.process.wait(timeout=60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{service.url}/health")


def _slowly(service: Served, number: int) -> Iterator[bytes]:
    """A body in the middle of which the service is asked to end."""
    yield b'{"text": '
    time.sleep(0.3)
    service.process.send_signal(number)
    time.sleep(0.7)
    yield b'"wood"}'
