"""How exceptions of the application become problem documents."""

import logging
import re
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException

from pintext.server.problems import MEDIA_TYPE, FieldError, ProblemError, problem_of

__all__ = ["HANDLERS"]

_LOG = logging.getLogger("pintext.server")
_TOKEN_IDS = re.compile(r"Expected `(str|str \| array)`, got `(int|array)`")


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
    """A body or parameter of the wrong form; every field at fault is named."""
    fields = [_field(request, dict(item)) for item in error.extra or [] if isinstance(item, dict)]
    detail = "; ".join(f"{field.field}: {field.message}" for field in fields) or error.detail
    return _answer(request, ProblemError(400, detail, kind="invalid-field", errors=fields))


def _field(request: Request[Any, Any, Any], item: dict[str, Any]) -> FieldError:
    message, place = str(item.get("message", "")), str(item.get("key", ""))
    if item.get("source") in (None, "body", "data"):
        place = f"$.{place}" if place not in ("", "data") else "$"
    if request.url.path.endswith("/embeddings") and _TOKEN_IDS.match(message):
        message = (
            "token ids are not taken, because this model reads words: send the texts themselves "
            "(in LangChain: check_embedding_ctx_length=False)"
        )
    return FieldError(place, message)


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What the framework refuses: no such route, a wrong method, a body that is not JSON."""
    detail, headers = error.detail, dict(error.headers or {})
    if isinstance(error.__cause__, SerializationException):
        detail = f"the body is not JSON: {detail}"
    return _answer(request, ProblemError(error.status_code, detail, headers=headers))


def _unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A mistake of ours: 500, with the traceback in the log and nothing of it in the answer."""
    request_id = request.scope["state"].get("request_id", "")
    _LOG.error("request failed", exc_info=error, extra={"request_id": request_id})
    return _answer(request, ProblemError(500, "a mistake in the service; its log says more"))


HANDLERS: dict[Any, Any] = {
    ProblemError: _problem,
    ValidationException: _invalid,
    HTTPException: _http,
    Exception: _unforeseen,
}
