"""How exceptions of the application become problem documents."""

import logging
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from pintext.errors import PinTextError
from pintext.server.problems import (
    MEDIA_TYPE,
    FieldError,
    ProblemError,
    problem_of,
    retry_later,
)

__all__ = ["HANDLERS"]

_LOG = logging.getLogger("pintext.server")


def _answer(request: Request[Any, Any, Any], error: ProblemError) -> Response[Any]:
    request_id = request.scope["state"].get("request_id", "")
    return Response(
        problem_of(error, request_id, request.scope["path"]),
        status_code=error.status,
        media_type=MEDIA_TYPE,
        headers=error.headers,
    )


def _problem(request: Request[Any, Any, Any], error: ProblemError) -> Response[Any]:
    return _answer(request, error)


def _invalid(request: Request[Any, Any, Any], error: ValidationException) -> Response[Any]:
    """A parameter of the wrong form, or no body; every field at fault is named."""
    fields = [_field(item) for item in error.extra or [] if isinstance(item, dict)]
    detail = "; ".join(f"{field.field}: {field.message}" for field in fields) or error.detail
    return _answer(request, ProblemError(400, detail, kind="invalid-field", errors=fields))


def _field(item: dict[str, str]) -> FieldError:
    if item.get("key") in (None, "data"):
        return FieldError("$", "expected a JSON object, found no body")
    return FieldError(item["key"], item["message"])


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What the framework refuses: no such route, or a wrong method."""
    headers = dict(error.headers or {})
    return _answer(request, ProblemError(error.status_code, error.detail, headers=headers))


def _unusable(request: Request[Any, Any, Any], error: PinTextError) -> Response[Any]:
    """The disk refuses, or a file is damaged: nothing that the client can change."""
    request_id = request.scope["state"].get("request_id", "")
    _LOG.error("request failed", extra={"request_id": request_id, "reason": str(error)})
    return _answer(request, retry_later(str(error), "unusable"))


def _unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A mistake of ours: 500, with the traceback in the log and nothing of it in the answer."""
    request_id = request.scope["state"].get("request_id", "")
    _LOG.error("request failed", exc_info=error, extra={"request_id": request_id})
    return _answer(request, ProblemError(500, "a mistake in the service; its log says more"))


HANDLERS: dict[Any, Any] = {
    ProblemError: _problem,
    ValidationException: _invalid,
    HTTPException: _http,
    PinTextError: _unusable,
    Exception: _unforeseen,
}
