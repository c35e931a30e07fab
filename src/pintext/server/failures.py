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

__all__ = ["HANDLERS", "problem_in"]

_LOG = logging.getLogger("pintext.server")


def problem_in(error: Exception, request_id: str) -> ProblemError:
    """The problem that an exception of a route is told as; what nobody foresaw is logged."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, ValidationException):
        return _invalid(error)
    if isinstance(error, HTTPException):  # no such route, or a wrong method
        return ProblemError(error.status_code, error.detail, headers=error.headers)
    if isinstance(error, PinTextError):
        # The disk refuses, or a file is damaged: nothing that the client can change.
        _LOG.error("request failed", extra={"request_id": request_id, "reason": str(error)})
        return retry_later(str(error), "unusable")
    # A mistake of ours: the traceback stands in the log, and nothing of it in the answer.
    _LOG.error("request failed", exc_info=error, extra={"request_id": request_id})
    return ProblemError(500, "a mistake in the service; its log says more")


def _invalid(error: ValidationException) -> ProblemError:
    """A parameter of the wrong form, or no body; every field at fault is named."""
    fields = [_field(item) for item in error.extra or [] if isinstance(item, dict)]
    detail = "; ".join(f"{field.field}: {field.message}" for field in fields) or error.detail
    return ProblemError(400, detail, kind="invalid-field", errors=fields)


def _field(item: dict[str, str]) -> FieldError:
    if item.get("key") in (None, "data"):
        return FieldError("$", "expected a JSON object, found no body")
    return FieldError(item["key"], item["message"])


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    request_id = request.scope["state"].get("request_id", "")
    problem = problem_in(error, request_id)
    return Response(
        problem_of(problem, request_id, request.scope["path"]),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


HANDLERS: dict[Any, Any] = {HTTPException: _answer, Exception: _answer}
