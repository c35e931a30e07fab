"""Routes that need nothing but their body are called directly, without the framework's dispatch.

The framework documents them and serves them as well (a path with a slash at its end, say); what it
does for such a request takes longer than embedding a text, and adds nothing.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import msgspec
from litestar.handlers import HTTPRouteHandler

from pintext.server.bodies import JSONBody
from pintext.server.service import Service

__all__ = ["IN_THREADS", "Call", "direct_calls"]

IN_THREADS = {"threads": True}
"""The ``opt`` of routes whose every answer is made in the threads of :attr:`Service.work`."""

_encode = msgspec.json.Encoder().encode


class Call(NamedTuple):
    """How the requests to a path are answered.

    Attributes:
        answer: the JSON of the answer (status 200) to a body.
        threads: whether it is made in the threads of :attr:`Service.work`.
    """

    answer: Callable[[bytes], Awaitable[bytes]]
    threads: bool


def direct_calls(routes: Iterable[HTTPRouteHandler], service: Service) -> dict[str, Call]:
    """Path -> call, for each ``POST`` route that takes ``data`` and ``service`` and no more."""
    found: dict[str, Call] = {}
    for route in routes:
        takes = set(route.parsed_fn_signature.parameters)
        if takes == {"data", "service"} and route.http_methods == {"POST"}:
            found |= dict.fromkeys(route.paths, _call(route, service))
    return found


def _call(route: HTTPRouteHandler, service: Service) -> Call:
    function: Any = route.fn
    shape: type[JSONBody] = route.dto  # type: ignore[assignment]  # declared by json_body

    async def answer(body: bytes) -> bytes:
        return _encode(await function(data=shape.decode(body), service=service))

    return Call(answer, bool(route.opt.get("threads")))
