"""A shard that another service holds, asked over HTTP."""

import http.client
import logging
import threading
import urllib.parse
from typing import Any, TypeVar

import msgspec

from pintext.errors import DataError, ServeError, ShardDownError
from pintext.index.asking import Asked
from pintext.index.bm25 import WordCounts
from pintext.index.pins import Columns
from pintext.index.shards import Part, ShardState, StoredPin

__all__ = ["PinsAsked", "RemoteShard", "WordsAsked"]

Shape = TypeVar("Shape")
_LOG = logging.getLogger("pintext.server")


class WordsAsked(msgspec.Struct):
    """Words to count."""

    words: list[str]


class PinsAsked(msgspec.Struct):
    """Pins to give, with or without their vectors."""

    ids: list[str]
    vectors: bool


class RemoteShard:
    """A service with one index, of which this process asks what it finds.

    Once it does not answer it is left alone until :meth:`reload`, which is called every now and
    then, finds it again: nobody waits for it in the meantime.

    Args:
        url: of the service.
        fingerprint: of the model that it must have.
        seconds: longest wait for an answer.

    Attributes:
        columns: that it must have; ``None``: any.

    Raises:
        ServeError: the address is none.
    """

    def __init__(self, url: str, fingerprint: str, seconds: float) -> None:
        found = urllib.parse.urlsplit(url)
        if found.scheme != "http" or not found.hostname:
            raise ServeError(f"shard {url!r}: expected an address such as http://10.0.0.7:8080")
        self.name = url
        self.down = True
        self.columns: Columns | None = None
        self._address = found.hostname, found.port or 80
        self._fingerprint = fingerprint
        self._seconds = seconds
        self._local = threading.local()
        self._state: ShardState | None = None
        self.reload()

    @property
    def state(self) -> ShardState | None:
        """What it was when it last said so; ``None``: it never did."""
        return self._state

    def reload(self) -> bool:
        """Ask what it is now; whether that is news."""
        before = (self.down, self._state)
        try:
            found = self._ask("GET", "/v1/shard", None, ShardState)
        except (ShardDownError, DataError) as error:
            self._lose(str(error))
        else:
            self._take(found)
        return (self.down, self._state) != before

    def _take(self, found: ShardState) -> None:
        model = found.manifest.fingerprint
        if model != self._fingerprint:
            self._lose(f"it has the model {model}, expected {self._fingerprint}")
            return
        if self.columns not in (None, found.manifest.columns):
            self._lose("it has other columns than the shards that were there before")
            return
        if self.down:
            _LOG.info("shard answers", extra={"shard": self.name, "pins": found.pins})
        self._state, self.down = found, False

    def word_counts(self, words: list[str]) -> WordCounts:
        """How many pins it has, how long their texts, and how many of them hold words."""
        return self._ask_if_up("/v1/shard/words", WordsAsked(words), WordCounts)

    def part(self, asked: Asked) -> Part:
        """What it finds."""
        return self._ask_if_up("/v1/shard/part", asked, Part)

    def stored(self, ids: list[str], *, vectors: bool = False) -> list[StoredPin]:
        """Those of some pins that it has."""
        return self._ask_if_up("/v1/shard/pins", PinsAsked(ids, vectors), list[StoredPin])

    def _ask_if_up(self, path: str, body: Any, shape: type[Shape]) -> Shape:
        if self.down:
            raise ShardDownError(f"{self.name}: does not answer")
        return self._ask("POST", path, msgspec.json.encode(body), shape)

    def _ask(self, method: str, path: str, body: bytes | None, shape: type[Shape]) -> Shape:
        try:
            status, answer = self._request(method, path, body)
            if status == 200:
                return msgspec.json.decode(answer, type=shape)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            reason = f"{self.name}: {error or type(error).__name__}"
            self._lose(reason)
            raise ShardDownError(reason) from None
        detail = _detail(answer)
        if status == 400:
            raise DataError(detail)
        # Busy, ending, or without an index: not now, but it lives.
        raise ShardDownError(f"{self.name}: {status}: {detail}")

    def _request(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """One request over this thread's connection, which may have been closed meanwhile."""
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        headers = {"content-type": "application/json"}
        for connection in (kept, None):
            used = connection or http.client.HTTPConnection(*self._address, timeout=self._seconds)
            self._local.connection = None
            try:
                used.request(method, path, body, headers)
                response = used.getresponse()
                found = response.status, response.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                used.close()
                if connection is None:
                    raise
                continue
            except BaseException:
                used.close()
                raise
            self._local.connection = used
            return found
        raise AssertionError("unreachable")

    def _lose(self, reason: str) -> None:
        if not self.down or self._state is None:
            _LOG.warning("shard does not answer", extra={"shard": self.name, "reason": reason})
        self.down = True


def _detail(answer: bytes) -> str:
    try:
        return str(msgspec.json.decode(answer)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "no reason given"
