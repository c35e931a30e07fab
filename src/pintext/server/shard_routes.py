"""Routes for the front that asks several shards; of one release, and not part of the API."""

from litestar import get, post

from pintext.errors import DataError
from pintext.index import PinIndex
from pintext.index.asking import Asked
from pintext.index.bm25 import WordCounts
from pintext.index.shards import LocalShard, Part, ShardState, StoredPin
from pintext.server.bodies import json_body
from pintext.server.direct import IN_THREADS
from pintext.server.problems import ProblemError
from pintext.server.remote_shard import PinsAsked, WordsAsked
from pintext.server.searching import index_of
from pintext.server.service import Service

__all__ = ["ROUTES"]


def _shard(service: Service) -> LocalShard:
    """What is served, as a shard.

    Raises:
        ProblemError: 404: it is no single index.
    """
    index = index_of(service.version)
    if not isinstance(index, PinIndex):
        raise ProblemError(404, "several shards are served here: name each of them to the front")
    return LocalShard(index)


@get("/v1/shard", include_in_schema=False)
async def state(service: Service) -> ShardState:
    """What the shard is."""
    return _shard(service).state


@post(
    "/v1/shard/words",
    status_code=200,
    include_in_schema=False,
    opt=IN_THREADS,
    **json_body(WordsAsked),
)
async def words(data: WordsAsked, service: Service) -> WordCounts:
    """How many pins it has, how long their texts, and how many of them hold words."""
    return await service.work.run(_shard(service).word_counts, data.words)


@post(
    "/v1/shard/part", status_code=200, include_in_schema=False, opt=IN_THREADS, **json_body(Asked)
)
async def part(data: Asked, service: Service) -> Part:
    """What it finds."""
    shard = _shard(service)
    try:
        found = await service.work.run(shard.part, data)
    except DataError as error:
        raise ProblemError.of_field("$.filters", str(error)) from None
    service.metrics.searched(found.candidates, len(found.ids))
    return found


@post(
    "/v1/shard/pins",
    status_code=200,
    include_in_schema=False,
    opt=IN_THREADS,
    **json_body(PinsAsked),
)
async def pins(data: PinsAsked, service: Service) -> list[StoredPin]:
    """Those of some pins that it has."""
    return await service.work.run(_shard(service).stored, data.ids, vectors=data.vectors)


ROUTES = [state, words, part, pins]
