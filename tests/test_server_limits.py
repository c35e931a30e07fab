"""The service under too much: slow and half-closed connections, and more work than it can do."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pintext import PinTextModel
from pintext.server.cache import Cache
from pintext.server.metrics import Metrics
from pintext.server.problems import ProblemError
from pintext.server.work import Work
from pintext.vocabulary import Vocabulary
from serving import Served, until
from test_server import problem

MANY_WORDS = 60_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model so large that its neighbours are real work, and limits that are soon reached."""
    folder = tmp_path_factory.mktemp("limits") / "model"
    rows = np.random.default_rng(0).standard_normal((MANY_WORDS, 64)).astype(np.float32)
    words = [f"w{number}" for number in range(MANY_WORDS)]
    PinTextModel(Vocabulary.from_words(words), rows).save_pretrained(folder)
    options = ("--read-seconds", 1, "--max-wait-ms", 5, "--cache-entries", 0, "--threads", 1)
    with Served(folder, *options) as service:
        yield service


# --- connections ----------------------------------------------------------------------------------


def connected(served: Served, data: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", served.port), timeout=30)
    made.sendall(data)
    return made


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    try:
        while data := connection.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    return found


HEAD = b"POST /v1/classify HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"


def test_slow_and_half_closed_connections_are_ended_and_hold_nobody_up(served: Served) -> None:
    slow = [connected(served, HEAD + b'{"text": ') for _ in range(60)]
    headless = [connected(served, b"POST /v1/classify HTTP/1.1\r\nhost:") for _ in range(60)]
    half = [connected(served, HEAD + b"{") for _ in range(60)]
    for connection in half:
        connection.shutdown(socket.SHUT_WR)
    for _ in range(5):
        assert served.client.post("/v1/explain", json={"query": "w1", "pin_text": "w2"}).is_success
    for connection in slow:
        answer = everything(connection)
        assert b" 408 " in answer.split(b"\r\n", 1)[0]
        assert b"application/problem+json" in answer
    for connection in (*headless, *half):
        everything(connection)  # ends: the timeout of the socket would raise
    for connection in (*slow, *headless, *half):
        connection.close()
    assert served.client.get("/health").is_success


# --- work -----------------------------------------------------------------------------------------


def test_overload_is_shed_at_once_and_passes(served: Served) -> None:
    answers: list[httpx.Response] = []
    ended = threading.Event()

    def ask(number: int) -> None:
        with httpx.Client(base_url=served.url, timeout=60) as client:
            while not ended.is_set():
                number += 31
                answers.append(client.get(f"/v1/words/w{number % MANY_WORDS}?k=3"))

    def shed() -> dict[str, float]:
        name = "pintext_http_requests_shed_total"
        return {reason: served.metric(name, reason=reason) for reason in ("busy", "timeout")}

    before = shed()
    threads = [threading.Thread(target=ask, args=(number * 977,)) for number in range(24)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(answers) > 300 and any(answer.is_success for answer in answers), 300)
        assert served.client.get("/health").is_success  # operators see it all the time
        assert served.client.get("/ready").is_success
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    counts = Counter(answer.status_code for answer in answers)
    assert set(counts) == {200, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    kinds = Counter(problem(answer, 503)["type"].rpartition(":")[2] for answer in refused)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert kinds["overloaded"] > 0
    assert shed()["busy"] - before["busy"] == kinds["overloaded"]
    assert shed()["timeout"] - before["timeout"] == kinds["timeout"]
    assert served.client.get("/v1/words/w5?k=3").is_success  # as soon as it is over


def work(max_wait: float = 0.01, timeout: float = 30) -> Work:
    return Work("test", threads=1, max_wait=max_wait, timeout=timeout, metrics=Metrics())


def test_work_is_refused_when_it_would_wait_longer_than_it_may() -> None:
    async def scene() -> None:
        doing = work()
        for _ in range(60):  # it learns how long work takes
            await doing.run(time.sleep, 0.005)
        gate = threading.Event()
        running = asyncio.create_task(doing.run(gate.wait))
        waiting = []
        await asyncio.sleep(0)
        for _ in range(50):
            waiting.append(asyncio.create_task(doing.run(time.sleep, 0)))
            await asyncio.sleep(0)
            if waiting[-1].done():
                break
        with pytest.raises(ProblemError, match="more to do") as refused:
            await waiting.pop()
        assert refused.value.status == 503
        assert len(waiting) <= 3  # 10 ms of work of 5 ms or more each
        assert doing.busy
        gate.set()
        await asyncio.gather(running, *waiting)
        await doing.run(time.sleep, 0)
        doing.close()

    asyncio.run(scene())


def test_a_queue_may_stand_half_as_long_as_a_burst() -> None:
    async def admitted(doing: Work) -> int:
        """How many are taken behind one that runs."""
        gate = threading.Event()
        taken: list[asyncio.Task[Any]] = [asyncio.create_task(doing.run(gate.wait))]
        refused = False
        while not refused:
            taken.append(asyncio.create_task(doing.run(time.sleep, 0.01)))
            await asyncio.sleep(0)
            refused = taken[-1].done()
        gate.set()
        with pytest.raises(ProblemError):
            await taken.pop()
        await asyncio.gather(*taken)
        return len(taken) - 1

    async def scene() -> None:
        doing = work(max_wait=0.2)
        for _ in range(60):
            await doing.run(time.sleep, 0.01)
        burst = await admitted(doing)
        gate = threading.Event()
        running = asyncio.create_task(doing.run(gate.wait))
        await asyncio.sleep(0)
        for _ in range(500):  # requests that find it at work
            doing.admit()
        gate.set()
        await running
        standing = await admitted(doing)
        assert standing < burst * 0.75
        for _ in range(60):  # requests that find the thread free
            await doing.run(time.sleep, 0.01)
        assert await admitted(doing) > burst * 0.75
        doing.close()

    asyncio.run(scene())


def test_quick_work_goes_past_what_takes_long() -> None:
    async def scene() -> None:
        doing = Work("test", threads=2, max_wait=10, timeout=300, metrics=Metrics())
        gate = threading.Event()
        long = asyncio.create_task(doing.run(gate.wait))
        await asyncio.sleep(0)
        assert [await doing.run(abs, -number) for number in range(20)] == list(range(20))
        assert not long.done()
        gate.set()
        assert await long
        doing.close()

    asyncio.run(scene())


def test_work_that_takes_too_long_is_answered_and_counts_until_it_ends() -> None:
    async def scene() -> None:
        doing = work(timeout=0.05)
        gate = threading.Event()
        with pytest.raises(ProblemError, match="not finished after") as late:
            await doing.run(gate.wait)
        assert late.value.status == 503
        assert doing.busy
        gate.set()
        while doing.busy:
            await asyncio.sleep(0.01)
        with pytest.raises(ZeroDivisionError):
            await doing.run(lambda: 1 // 0)
        assert not doing.busy
        doing.close()

    asyncio.run(scene())


# --- the cache ------------------------------------------------------------------------------------


@given(
    st.integers(0, 4),
    st.lists(st.tuples(st.sampled_from("pg"), st.integers(0, 6), st.integers(1, 9))),
)
def test_the_cache_keeps_what_was_asked_for_last(
    entries: int, steps: list[tuple[str, int, int]]
) -> None:
    """Against a list that is searched from its end."""
    told: list[bool] = []
    cache: Cache[int] = Cache(entries, told.append)
    plain: list[tuple[int, int]] = []
    asked = []
    for kind, key, value in steps:
        kept = dict(plain).get(key)
        if kind == "g":
            assert cache.get(key) == kept
            asked.append(kept is not None)
            if kept is None:
                continue
            value = kept
        else:
            cache.put(key, value)
        plain = [pair for pair in plain if pair[0] != key] + [(key, value)]
        plain = plain[-entries:] if entries else []
    assert told == asked
    assert len(cache) == len(plain) <= entries
