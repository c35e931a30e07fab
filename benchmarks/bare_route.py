"""A bare route of the framework that ``pintext serve`` stands on, for ``server_load.py``.

    python benchmarks/bare_route.py PORT

It decodes the same body, makes an answer of the same size, and does nothing else.
"""

import multiprocessing
import sys

from granian.constants import HTTPModes, Interfaces, Loops
from granian.server import Server
from litestar import Litestar, post

from pintext.server.bodies import json_body
from pintext.server.shapes import Embedded, Embedding, EmbeddingRequest, Usage

VECTOR = Embedding("embedding", 0, [n / 997 for n in range(128)])
ANSWER = Embedded("list", [VECTOR], "x", Usage(3, 3))


@post("/bare", status_code=200, **json_body(EmbeddingRequest))
async def bare(data: EmbeddingRequest) -> Embedded:  # noqa: ARG001
    """The same answer always."""
    return ANSWER


app = Litestar([bare], openapi_config=None)

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    Server(
        "bare_route:app",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    ).serve()
