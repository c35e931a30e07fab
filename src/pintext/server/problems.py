"""Errors as RFC 9457 problem documents."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

__all__ = [
    "MEDIA_TYPE",
    "FieldError",
    "Problem",
    "ProblemError",
    "overloaded",
    "problem_of",
    "retry_later",
]

MEDIA_TYPE = "application/problem+json"


class FieldError(msgspec.Struct, omit_defaults=True):
    """One field of a request that cannot be taken."""

    field: str
    """where: a JSON path as ``$.k`` or the name of a parameter"""
    message: str
    """what was found and what was expected"""
    limit: float | None = None
    """the limit that was passed"""


class OpenAIError(msgspec.Struct, omit_defaults=True):
    """The same once more, where clients of the OpenAI API look for it."""

    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None


class Problem(msgspec.Struct, omit_defaults=True):
    """A problem document (RFC 9457)."""

    title: str
    """the kind of problem in words"""
    status: int
    """the HTTP status"""
    detail: str = ""
    """what happened to this request, and what to do"""
    type: str = "about:blank"
    """the kind of problem, as a URI; ``about:blank``: the status says all"""
    errors: list[FieldError] = []
    """the fields at fault"""
    request_id: str = ""
    """finds the request in the log"""
    error: OpenAIError | None = None
    """only from /v1/embeddings"""


class ProblemError(Exception):
    """Ends a request with a problem document.

    Args:
        status: the HTTP status.
        detail: what happened and what to do.
        kind: the last part of the problem's URI; without it the status says all.
        errors: fields at fault.
        headers: to send along, as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "",
        errors: list[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.kind = kind
        self.errors = errors or []
        self.headers = dict(headers or {})

    @classmethod
    def of_field(cls, field: str, message: str, limit: float | None = None) -> "ProblemError":
        """A field of the request that cannot be taken: status 400."""
        error = FieldError(field, message, limit)
        kind = "invalid-field" if limit is None else "limit"
        return cls(400, f"{field}: {message}", kind=kind, errors=[error])


def problem_of(error: ProblemError, request_id: str, path: str) -> Problem:
    """The document of an error of a request to a path."""
    title = HTTPStatus(error.status).phrase
    if error.kind:
        title = error.kind.replace("-", " ").capitalize()
    return Problem(
        title=title,
        status=error.status,
        detail=error.detail,
        type=f"urn:pintext:problem:{error.kind}" if error.kind else "about:blank",
        errors=error.errors,
        request_id=request_id,
        error=_openai_error(error) if path.endswith("/v1/embeddings") else None,
    )


def _openai_error(error: ProblemError) -> OpenAIError:
    return OpenAIError(
        error.detail,
        "invalid_request_error" if error.status < 500 else "server_error",
        error.errors[0].field if error.errors else None,
        error.kind or None,
    )


def retry_later(detail: str, kind: str, seconds: int = 1) -> ProblemError:
    """503: not now, but the same request may succeed after some seconds."""
    headers: dict[str, Any] = {"Retry-After": str(seconds)}
    return ProblemError(503, detail, kind=kind, headers=headers)


def overloaded() -> ProblemError:
    """503: whatever is begun now would wait too long."""
    return retry_later("the service has more to do than it can; try again", "overloaded")
