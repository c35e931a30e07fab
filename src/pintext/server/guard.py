"""What stands before the application: limits, request ids, the log and the metrics of requests."""

import asyncio
import itertools
import random
import re
import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from pintext.server.direct import Call
from pintext.server.failures import problem_in
from pintext.server.problems import MEDIA_TYPE, ProblemError, overloaded, problem_of
from pintext.server.service import Service

__all__ = ["Guard"]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_OPERATIONS = frozenset({"/health", "/ready", "/metrics", "/info"})
_LAGS = 8
_FEW = 16
_JSON = [(b"content-type", b"application/json")]
_PROBLEM = [(b"content-type", MEDIA_TYPE.encode())]
_SAFETY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Guard:
    """An ASGI application around another one.

    A request is read whole before the inner application sees it, within limits of size and time:
    a client that sends slowly takes a little memory and nothing else. While the event loop stays
    behind by more than ``max_wait_ms``, a part of the new requests gets 503 at once (a standing
    queue, not a burst; CoDel tells them apart in the same way: by the least delay of a while).
    Routes that tell an operator how the service is are always answered.

    Args:
        app: the application.
        calls: path -> call, for ``POST`` requests that are answered without the application.
        service: its limits, its threads, where requests are counted and written.
    """

    def __init__(self, app: Any, calls: Mapping[str, Call], service: Service) -> None:
        config = service.config
        self._app = app
        self._calls = calls
        self._max_body = config.max_body_kb * 1024
        self._read_seconds = config.read_seconds
        self._max_lag = max(config.max_wait_ms, 1.0) / 1000
        self._work = service.work
        self._metrics = service.metrics
        self._log = service.log
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._lags = deque([0.0] * _LAGS, maxlen=_LAGS)
        self._in_progress = 0

    async def measure_lag(self, every: float = 0.01) -> None:
        """Measure for ever how late the event loop is, in seconds."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(every)
            self._lags.append(time.monotonic() - before - every)

    def _sheds(self) -> bool:
        """Whether to refuse a request: more of them the further behind, but never all."""
        lag = min(self._lags)
        if self._in_progress <= _FEW or lag <= self._max_lag:
            return False
        return random.random() > self._max_lag / lag  # noqa: S311  (guards no secret)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = self._request_id(scope)
        status, sent = 0, 0
        own_headers = [(b"x-request-id", request_id.encode()), *_SAFETY]

        async def answer(message: Any) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *own_headers]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        self._in_progress += 1
        try:
            call = self._calls.get(scope["path"]) if scope["method"] == "POST" else None
            if call is not None:
                scope["path_template"] = scope["path"]
            self._admit(scope, call)
            body = await self._body(scope, receive)
            if call is None:
                await self._app(scope, _replay(body, receive), answer)
            else:
                await _send(answer, 200, await call.answer(body), _JSON)
        except ConnectionError:  # the client went away
            status = 499
        except Exception as error:
            await _send_problem(answer, problem_in(error, request_id), request_id, scope["path"])
        finally:
            self._in_progress -= 1
            route = scope.get("path_template") or "unmatched"
            seconds = time.perf_counter() - started
            self._metrics.answered(scope["method"], route, status, seconds)
            self._log.add(request_id, scope["method"], route, status, seconds, sent)

    def _request_id(self, scope: Any) -> str:
        """The client's own, where it is harmless, or a new one."""
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                return str(value, "ascii")
        return f"{self._prefix}-{next(self._numbers):x}"

    def _admit(self, scope: Any, call: Call | None) -> None:
        """Refuse a request that would wait too long, before anything is done for it."""
        if call is not None and call.threads:
            self._work.admit()
        if self._sheds() and scope["path"] not in _OPERATIONS:
            self._metrics.shed("busy")
            raise overloaded()

    async def _body(self, scope: Any, receive: Any) -> bytes:
        """Read a request whole."""
        if scope["method"] in ("GET", "HEAD", "DELETE", "OPTIONS"):
            return b""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_body:
                raise self._too_large()
        try:
            async with asyncio.timeout(self._read_seconds):
                return await self._read(receive)
        except TimeoutError:
            raise ProblemError(
                408,
                f"the request was not there after {self._read_seconds:g} seconds",
                kind="too-slow",
                headers={"Connection": "close"},
            ) from None

    async def _read(self, receive: Any) -> bytes:
        message = await receive()
        body: bytes = message.get("body", b"")
        while message["type"] == "http.request" and message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._max_body:
                break
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError
        if len(body) > self._max_body:
            raise self._too_large()
        return body

    def _too_large(self) -> ProblemError:
        limit = self._max_body // 1024
        return ProblemError(
            413,
            f"the body is larger than {limit} KB; send fewer texts in a request",
            kind="too-large",
            headers={"Connection": "close"},
        )


def _replay(body: bytes, receive: Any) -> Any:
    """A ``receive`` that gives the body that was read, and then what the connection gives."""
    given = False

    async def replay() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _send_problem(send: Any, problem: ProblemError, request_id: str, path: str) -> None:
    body = msgspec.json.encode(problem_of(problem, request_id, path))
    more = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await _send(send, problem.status, body, [*_PROBLEM, *more])


async def _send(send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    message = {"type": "http.response.start", "status": status, "headers": [*headers, length]}
    await send(message)
    await send({"type": "http.response.body", "body": body})
