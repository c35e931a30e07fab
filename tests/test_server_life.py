"""How the service begins and ends, and what it says when it cannot begin."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from pintext.errors import ConfigError
from pintext.events import FileIngester, IngestConfig, StoreWriter
from pintext.server.service import Service
from pintext.server.settings import ServeConfig
from serving import Served, until
from some_models import some_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("life") / "model"
    some_model().save_pretrained(made)
    (made.parent / "labels.txt").write_text("zebra\n", encoding="utf-8")
    (made.parent / "empty").write_text("\n", encoding="utf-8")
    return made


def refused(*arguments: Any) -> str:
    """What a service that cannot begin says."""
    command = [sys.executable, "-m", "pintext", "serve", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "serving" not in done.stdout
    return done.stderr


# --- beginning ------------------------------------------------------------------------------------


def test_an_address_that_is_taken_is_refused(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(folder, "--port", taken.getsockname()[1])
    assert "cannot listen at 127.0.0.1" in said
    assert "--port" in said


def test_an_address_of_another_machine_is_refused(folder: Path) -> None:
    assert "cannot listen at 192.0.2.1" in refused(folder, "--host", "192.0.2.1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--labels", "labels.txt"), "no label in it holds a word"),
        (("--neighbors", "labels.txt"), "cannot be read as neighbours"),
    ],
)
def test_what_a_worker_cannot_open_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(folder.parent)
    told = refused(folder, *options)
    assert told.count(said) == 1


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    expected = "expected the folder of an index or of a model"
    said = refused(tmp_path / "nothing")
    assert said == f"error: {tmp_path / 'nothing'}: no such folder; {expected}\n"
    (tmp_path / "pairs" / "task=search").mkdir(parents=True)
    assert f"pairs: pairs, of which pintext train makes a model; {expected}" in refused(
        tmp_path / "pairs"
    )


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("file:none", "write_token: none: No such file or directory"),
        ("file:empty", "write_token: file:empty: nothing is there"),
        ("file:labels.txt", "a model, without pins that a write_token would let change"),
    ],
)
def test_a_token_for_nothing_is_refused_before_anything_begins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, token: str, said: str
) -> None:
    monkeypatch.chdir(folder.parent)
    told = refused(folder, "--write-token", token)
    assert said in told
    assert told.count("\n") == 1  # no log before it


def test_a_file_is_refused_before_anything_listens(tmp_path: Path) -> None:
    (tmp_path / "pins.jsonl").write_text('{"id": "1"}')
    said = refused(tmp_path / "pins.jsonl")
    assert "pins.jsonl" in said
    assert "Listening" not in said


def test_a_store_of_events_is_refused_before_anything_listens(tmp_path: Path) -> None:
    event = {"event_id": "e", "timestamp": "2026-03-01T10:00:00Z", "task": "search", "query": "oak"}
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(event | {"pin_id": "1", "action": "save"}))
    counts = FileIngester(
        StoreWriter(tmp_path / "store", IngestConfig()), IngestConfig(), [events]
    ).run()
    assert counts["stored"] == 1
    said = refused(tmp_path / "store")
    assert "a store of events" in said
    assert "Listening" not in said


def test_a_token_of_the_environment_must_be_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIN_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="no variable 'PIN_TOKEN'"):
        Service([folder], ServeConfig(write_token="env:PIN_TOKEN"))


def test_a_token_in_place_of_its_place_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        ServeConfig(write_token="secret")
    assert str(caught.value) == "write_token: expected env:NAME or file:PATH"


# --- ending ---------------------------------------------------------------------------------------


def test_it_drains_and_a_second_signal_ends_it_at_once(folder: Path) -> None:
    with Served(folder, "--drain-seconds", 600, "--workers", 2) as service:
        service.process.send_signal(signal.SIGTERM)
        until(lambda: service.client.get("/ready").status_code == 503)
        assert service.client.get("/ready").json()["draining"] is True
        assert service.client.get("/health").is_success
        assert service.client.get("/v1/words/oak").is_success
        assert service.stop() == 0


def test_it_ends_when_it_has_drained(folder: Path) -> None:
    with Served(folder, "--drain-seconds", 0.5) as service:
        assert service.stop() == 0
        assert "draining" in [line["event"] for line in service.log()]


def test_workers_end_when_what_keeps_them_is_killed(folder: Path) -> None:
    with Served(folder, "--workers", 2) as service:
        until(lambda: len(service.worker_pids()) == 2)
        workers = service.worker_pids()
        assert service.stop(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not any(map(runs, workers)))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{service.url}/health")


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An ended process without a parent that asks for it is no more than a name.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
