"""Routes that change the pins of the index; off unless a token is configured."""

import hmac
import time
from typing import Annotated, Any

import polars as pl
from litestar import Request, delete, post, put
from litestar.params import Body, Parameter

from pintext.errors import DataError, LockedError
from pintext.index import PinIndex
from pintext.server.answers import answers, check_limits, example, rest_of_path
from pintext.server.bodies import json_body
from pintext.server.pin_frame import pin_frame
from pintext.server.pin_shapes import Deleted, DeletePins, PutPins, Written
from pintext.server.problems import ProblemError, retry_later
from pintext.server.searching import index_of
from pintext.server.service import Service
from pintext.server.versions import Version

__all__ = ["ROUTES"]

_RETRY_SECONDS = 0.02


def _check_token(request: Request[Any, Any, Any], service: Service) -> None:
    """Let only those change pins who know the token.

    Raises:
        ProblemError: 403: nobody can; 401: the token is missing or wrong.
    """
    if not service.write_token:
        raise ProblemError(403, "changing pins is off; start with the setting write_token")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Compared in constant time: how long it takes tells nothing of how much was right.
    right = hmac.compare_digest(given.strip().encode(), service.write_token.encode())
    sent = scheme.lower() == "bearer"
    if not (sent and right):
        detail = "the token is wrong" if sent else "send the token:  Authorization: Bearer ..."
        raise ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})


@put(
    "/v1/pins",
    summary="Put pins",
    tags=["changes"],
    responses=answers(Written, Written(1, 42), 401, 403, 404, 408, 413),
    **json_body(PutPins),
)
async def put_pins(
    request: Request[Any, Any, Any],
    data: Annotated[
        PutPins, Body(examples=example({"pins": [{"id": "p1", "title": "Oak kitchen"}]}))
    ],
    service: Service,
) -> Written:
    """Put pins into the index, each in place of the one with its id.

    They are on the disk when this is answered, all of them, or after a problem none. Columns that
    an object leaves out are empty.
    """
    _check_token(request, service)
    check_limits(data, service.config)
    index = _writable(service.version)
    frame = pin_frame(index.columns, data.pins)
    return await service.writes.run(_write, service, index, frame)


def _writable(version: Version) -> PinIndex:
    """The index that may be changed.

    Raises:
        ProblemError: 404: there is none; 403: there are several.
    """
    index = index_of(version)
    if not isinstance(index, PinIndex):
        raise ProblemError(403, "several shards are served here; change the shard that has the pin")
    return index


def _write(service: Service, index: PinIndex, change: pl.DataFrame | list[str]) -> Written:
    """Change the index; while another process does, wait."""
    deadline = time.monotonic() + service.config.timeout_seconds / 2
    while True:
        try:
            count = index.delete(change) if isinstance(change, list) else index.upsert(change)
            break
        except LockedError as error:
            if time.monotonic() > deadline:
                raise retry_later(str(error), "locked") from None
            time.sleep(_RETRY_SECONDS)
        except DataError as error:
            raise ProblemError.of_field("$.pins", str(error)) from None
    service.tell_metrics()
    return Written(count, index.generation)


@delete(
    "/v1/pins/{pin_id:path}",
    status_code=200,
    summary="Delete a pin",
    tags=["changes"],
    responses=answers(Written, Written(1, 43), 401, 403, 404),
)
async def delete_pin(
    request: Request[Any, Any, Any],
    pin_id: Annotated[str, Parameter(description="of a pin of the index", examples=example("p1"))],
    service: Service,
) -> Written:
    """Take a pin out of the index; it is gone from the disk when this is answered.

    One whose id is ``delete`` goes with POST /v1/pins/delete alone.
    """
    _check_token(request, service)
    pin_id = rest_of_path(request, "/v1/pins/", service.config)
    index = _writable(service.version)
    written = await service.writes.run(_write, service, index, [pin_id])
    if not written.pins:
        raise ProblemError(404, f"no pin {pin_id!r} in the index")
    return written


@post(
    "/v1/pins/delete",
    status_code=200,
    summary="Delete pins",
    tags=["changes"],
    responses=answers(Deleted, Deleted(1, 44, ["p2"]), 401, 403, 404, 408, 413),
    **json_body(DeletePins),
)
async def delete_pins(
    request: Request[Any, Any, Any],
    data: Annotated[DeletePins, Body(examples=example({"ids": ["p1", "p2"]}))],
    service: Service,
) -> Deleted:
    """Take pins out of the index; how many of the ids it had, and which it had not."""
    _check_token(request, service)
    check_limits(data, service.config)
    index = _writable(service.version)

    def work() -> Deleted:
        index.reload()
        unknown = [name for name in dict.fromkeys(data.ids) if name not in index]
        written = _write(service, index, data.ids)
        return Deleted(written.pins, written.generation, unknown)

    return await service.writes.run(work)


ROUTES = [put_pins, delete_pin, delete_pins]
