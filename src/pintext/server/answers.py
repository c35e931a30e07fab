"""What every route says about its answers in the OpenAPI document, and how limits get into it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import Request as HTTPRequest
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPI, Parameter, Schema

from pintext.server.problems import MEDIA_TYPE, FieldError, Problem, ProblemError
from pintext.server.settings import ServeConfig
from pintext.server.shapes import Request

__all__ = [
    "answers",
    "check_limits",
    "either",
    "example",
    "limit_schemas",
    "rest_of_path",
]

_PROBLEMS = {
    400: Problem(
        "Limit",
        400,
        "$.k: 5000 is more than this service gives",
        "urn:pintext:problem:limit",
        [FieldError("$.k", "5000 is more than this service gives", 200)],
        "1f0c2a9b-3d",
    ),
    401: Problem("Unauthorized", 401, "send the token:  Authorization: Bearer ..."),
    403: Problem("Forbidden", 403, "changing pins is off; start with the setting write_token"),
    404: Problem("Not found", 404, "no pin 'p17' in the index"),
    408: Problem("Too slow", 408, "the request was not there after 10 seconds"),
    413: Problem("Too large", 413, "the body is larger than 1024 KB"),
    503: Problem("Overloaded", 503, "the service has more to do than it can; try again"),
}


def example(value: Any) -> list[Example]:
    """One example, as plain JSON values."""
    return [Example(summary="example", value=msgspec.to_builtins(value))]


def answers(shape: Any, shown: Any, *problems: int, status: int = 200) -> dict[int, ResponseSpec]:
    """The answers of a route: one that is good, with an example, and the problems it may meet.

    Args:
        shape: the type of the good answer.
        shown: an example of it.
        problems: statuses of problem documents; 400 and 503 may come from every route.
        status: of the good answer.
    """
    found = {
        status: ResponseSpec(
            shape, generate_examples=False, description="The answer.", examples=example(shown)
        )
    }
    for problem in sorted({400, 503, *problems}):
        found[problem] = ResponseSpec(
            Problem,
            generate_examples=False,
            description=_PROBLEMS[problem].title,
            media_type=MEDIA_TYPE,
            examples=example(_PROBLEMS[problem]),
        )
    return found


def check_limits(request: msgspec.Struct, config: ServeConfig) -> None:
    """Refuse a request whose ``k``, texts or lists pass the limits of the settings.

    Raises:
        ProblemError: 400; it names the field and the limit.
    """
    for name in request.__struct_fields__:
        value = getattr(request, name)
        if name == "k":
            if value > config.max_k:
                raise ProblemError.of_field(
                    "$.k", f"{value} is more than the {config.max_k} that are given", config.max_k
                )
        elif isinstance(value, str):
            _check_text(f"$.{name}", value, config.max_text_chars)
        elif isinstance(value, list):
            if len(value) > config.max_batch:
                raise ProblemError.of_field(
                    f"$.{name}",
                    f"{len(value)} items; at most {config.max_batch} in a request",
                    config.max_batch,
                )
            for index, item in enumerate(value):
                if isinstance(item, str) and len(item) > config.max_text_chars:
                    _check_text(f"$.{name}[{index}]", item, config.max_text_chars)


def rest_of_path(request: HTTPRequest[Any, Any, Any], prefix: str, config: ServeConfig) -> str:
    """What stands behind a prefix in the path, as it was sent: slashes belong to it.

    Raises:
        ProblemError: 400: it is too long.
    """
    sent: bytes = request.scope["raw_path"]
    rest = unquote_to_bytes(sent)[len(prefix) :].decode("utf-8", "replace")
    (name,) = request.path_params
    _check_text(name, rest, _path_chars(config))
    return rest


def _path_chars(config: ServeConfig) -> int:
    # Percent-encoded, the longest still fits into an address that the web server takes.
    return min(config.max_text_chars, 2048)


def either(field: str, pin_id: str | None, text: str | None) -> None:
    """Refuse a request that names both a pin and a text, or neither.

    Raises:
        ProblemError: 400.
    """
    if (pin_id is None) == (text is None):
        raise ProblemError.of_field(f"$.{field}", f"give either pin_id or {field}")


def _check_text(field: str, text: str, limit: int) -> None:
    """Refuse a text that is too long.

    Raises:
        ProblemError: 400; it names the field and the limit.
    """
    if len(text) > limit:
        raise ProblemError.of_field(
            field, f"a text of {len(text)} characters; at most {limit}", limit
        )


def limit_schemas(document: OpenAPI, config: ServeConfig) -> None:
    """Write the limits of the settings into the schemas of requests, in place."""
    shapes = {shape.__name__: shape for shape in _requests(Request)}
    for schema in document.components.schemas.values():
        if shape := shapes.get(schema.title or ""):
            if shape.__struct_config__.forbid_unknown_fields:
                schema.additional_properties = False
            _limit_properties(schema, config)
    for path in (document.paths or {}).values():
        for operation in filter(None, (path.get, path.delete)):
            for parameter in operation.parameters or []:
                if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema):
                    _limit(parameter.name, parameter.schema, config)
                    if parameter.param_in == "path":
                        parameter.schema.max_length = _path_chars(config)


def _requests(shape: type[Request]) -> Iterator[type[Request]]:
    for below in shape.__subclasses__():
        yield below
        yield from _requests(below)


def _limit_properties(schema: Schema, config: ServeConfig) -> None:
    for name, inner in (schema.properties or {}).items():
        if isinstance(inner, Schema):
            _limit(name, inner, config)


def _limit(name: str, schema: Schema, config: ServeConfig) -> None:
    if name == "k":
        schema.maximum = config.max_k
    elif schema.type == "string" and not schema.enum:
        schema.max_length = config.max_text_chars
    elif schema.type == "array":
        schema.max_items = config.max_batch
        if isinstance(schema.items, Schema):
            _limit("", schema.items, config)
    for inner in schema.one_of or []:
        if isinstance(inner, Schema):
            _limit(name, inner, config)
