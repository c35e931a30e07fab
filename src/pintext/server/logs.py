"""Logs as JSON lines on standard error, for the service and for the web server beneath it."""

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ["AccessLog", "JsonLines", "log_settings"]

_EVERY_SECONDS = 0.1
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


def _time() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``event`` and what came as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": _time(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line.pop("message", None)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def log_settings() -> dict[str, Any]:
    """The configuration of :mod:`logging` for a process of the service."""
    loggers = ("pintext", "_granian", "granian.access", "litestar")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "pintext.server.logs.JsonLines"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {
            name: {"handlers": ["stderr"], "level": "INFO", "propagate": False} for name in loggers
        },
    }


class AccessLog:
    """A line for each request, written several at a time so that none waits for it.

    Never a text, a word or an id of a request: the route stands for the path.
    """

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._encoder = msgspec.json.Encoder()
        self._lines = bytearray()
        self._last = 0.0

    def add(
        self, request_id: str, method: str, route: str, status: int, seconds: float, sent: int
    ) -> None:
        """Take note of a request; those that failed are always written."""
        if not self._everything and status < 500:
            return
        line = {
            "time": _time(),
            "level": "info" if status < 500 else "warning",
            "event": "request",
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 3),
            "bytes": sent,
        }
        self._lines += self._encoder.encode(line) + b"\n"
        if time.monotonic() - self._last > _EVERY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was noted."""
        self._last = time.monotonic()
        if self._lines:
            sys.stderr.buffer.write(self._lines)
            sys.stderr.buffer.flush()
            self._lines = bytearray()
