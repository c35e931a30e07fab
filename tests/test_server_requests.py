"""Requests of every form get the same answer, whichever way they take through the service."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pytest

from pintext.errors import DataError
from pintext.index import PinIndex
from serving import Served
from some_models import some_model
from test_server_pins import TOKEN, WRITER, build, some_pins

CHANGES = ("--write-token", "env:PIN_TOKEN")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("requests") / "index"
    build(folder)
    with Served(folder) as service:
        yield service


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/search", {"query": "oak kitchen", "explain": True}),
        ("/v1/feed", {"interests": "oak kitchen", "k": 3}),
        ("/v1/embeddings", {"model": "pintext", "input": ["oak", "alaska train"]}),
        ("/v1/embeddings", {"model": "pintext", "input": [[17, 4]]}),
        ("/v1/embeddings", {"model": "other", "input": "oak"}),
        ("/v1/explain", {"query": "oak", "pin_id": "p3"}),
        ("/v1/expand", {"text": "oak", "k": 100_000}),
        ("/v1/classify", {"text": "oak"}),
        ("/v1/search", {"query": "oak", "filters": {"colour": "red"}}),
        ("/v1/search", {"query": 5}),
        ("/v1/search", {"query": "oak", "q": 1}),
        ("/v1/search", None),
    ],
)
def test_the_framework_and_the_short_way_around_it_answer_alike(
    served: Served, path: str, body: Any
) -> None:
    content = b"" if body is None else json.dumps(body).encode()
    short, long = (served.client.post(path + end, content=content) for end in ("", "/"))
    changing = ("took_ms", "request_id")
    first, second = (
        {name: value for name, value in answer.json().items() if name not in changing}
        for answer in (short, long)
    )
    assert first == second
    assert short.status_code == long.status_code
    assert short.headers["content-type"] == long.headers["content-type"]
    assert short.headers.keys() == long.headers.keys()


def test_pins_may_have_any_id(tmp_path: Path) -> None:
    ids = ["a/b", "/a", "a/", "a//b", "../a", "a b", "a?k=1#x", "a%2Fb", "białe&<i>", "p%"]
    pins = some_pins(40).with_columns(id=pl.Series([*ids, *map(str, range(30))]))
    PinIndex.build(pins, some_model(), tmp_path / "index")
    with Served(tmp_path / "index", *CHANGES, env={"PIN_TOKEN": TOKEN}) as service:
        for name in ids:
            path = quote(name, safe="")
            answer = service.client.get(f"/v1/related/{path}?k=3").json()
            assert answer["pin"]["id"] == name
            assert name not in [hit["id"] for hit in answer["hits"]]
            assert service.client.get(f"/v1/words/{path}").json()["word"] == name
        for name in ids:
            answer = service.client.delete(f"/v1/pins/{quote(name, safe='')}", headers=WRITER)
            assert answer.json()["pins"] == 1
    with pytest.raises(DataError):
        PinIndex.open(tmp_path / "index").documents(ids)
    assert len(PinIndex.open(tmp_path / "index")) == 30


# --- whatever is sent -----------------------------------------------------------------------------


def test_no_request_that_a_machine_thinks_of_breaks_it(tmp_path: Path) -> None:
    """Schemathesis over the OpenAPI document: examples, boundaries, random and damaged requests."""
    build(tmp_path / "index", 100)
    (tmp_path / "labels.txt").write_text("oak\nglacier\n", encoding="utf-8")
    nightly = os.environ.get("PINTEXT_NIGHTLY") == "1"
    options = ("--labels", tmp_path / "labels.txt", "--write-token", "env:PIN_TOKEN")
    with Served(tmp_path / "index", *options, env={"PIN_TOKEN": TOKEN}) as service:
        command = [sys.executable, "-m", "schemathesis.cli"]
        command += ["--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
        command += ["run", f"{service.url}/openapi.json", "--seed", "7", "--no-color"]
        command += ["--max-examples", "400" if nightly else "5"]
        command += ["--header", f"Authorization: Bearer {TOKEN}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=3600)
        assert done.returncode == 0, done.stdout[-20_000:]
        cases = int(re.findall(r"(\d+) generated", done.stdout)[0])
        assert cases > (5000 if nightly else 300)
        statuses = {line["status"] for line in service.log() if line["event"] == "request"}
        assert {200, 400} <= statuses
        assert not {status for status in statuses if status >= 500 and status != 503}
        assert service.client.post("/v1/search", json={"query": "oak"}).status_code == 200
