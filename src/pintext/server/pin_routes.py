"""Routes that search the pins of the index."""

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import Body, Parameter

from pintext.server import searching
from pintext.server.answers import answers, check_limits, example, rest_of_path
from pintext.server.bodies import json_body
from pintext.server.direct import IN_THREADS
from pintext.server.pin_shapes import (
    Feed,
    FoundPin,
    Pin,
    Related,
    Search,
    Searched,
)
from pintext.server.problems import ProblemError
from pintext.server.service import Service

__all__ = ["ROUTES"]

_FOUND = FoundPin("p17", 0.83, 4.2, [52, 64], {"title": "Oak kitchen", "board": "homes"})
_SEARCHED = Searched("wood kitchen", "hybrid", None, 240, 1.7, [], [_FOUND])


@post(
    "/v1/search",
    status_code=200,
    summary="Search pins",
    tags=["pins"],
    responses=answers(Searched, _SEARCHED, 404, 408, 413),
    opt=IN_THREADS,
    **json_body(Search),
)
async def search(
    data: Annotated[
        Search,
        Body(
            examples=example(
                {"query": "wood kitchen", "k": 5, "mode": "hybrid", "filters": {"board": "homes"}}
            )
        ),
    ],
    service: Service,
) -> Searched:
    """The pins that fit a query best: by what it means, by its words, or by both."""
    version = service.version
    check_limits(data, service.config)
    return await service.work.run(searching.search, service, version, data)


@post(
    "/v1/feed",
    status_code=200,
    summary="Pins for interests",
    tags=["pins"],
    responses=answers(Searched, _SEARCHED, 404, 408, 413),
    opt=IN_THREADS,
    **json_body(Feed),
)
async def feed(
    data: Annotated[Feed, Body(examples=example({"interests": "wood kitchen, alaska", "k": 5}))],
    service: Service,
) -> Searched:
    """The pins that are nearest in meaning to a text of interests."""
    version = service.version
    check_limits(data, service.config)
    wanted = Search(
        query=data.interests,
        mode="embedding",
        k=data.k,
        filters=data.filters,
        min_similarity=data.min_similarity,
        explain=data.explain,
    )
    return await service.work.run(searching.search, service, version, wanted)


@get(
    "/v1/related/{pin_id:path}",
    summary="Related pins",
    tags=["pins"],
    responses=answers(Related, Related(Pin("p1", {"title": "Oak"}), [_FOUND]), 404),
)
async def related(
    request: Request[Any, Any, Any],
    pin_id: Annotated[str, Parameter(description="of a pin of the index", examples=example("p1"))],
    service: Service,
    k: Annotated[int, Parameter(ge=1, description="how many results")] = 10,
) -> Related:
    """The pins that are nearest to a pin."""
    version, config = service.version, service.config
    pin_id = rest_of_path(request, "/v1/related/", config)
    if k > config.max_k:
        raise ProblemError.of_field("k", f"at most {config.max_k} are given", config.max_k)
    return await service.work.run(searching.related, service, version, pin_id, k)


ROUTES = [search, feed, related]
