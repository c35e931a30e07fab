"""Searches as they are answered; everything here runs in a thread."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from pintext.errors import DataError
from pintext.index import Hit, Hits
from pintext.index.sharded import AnyIndex, ShardedIndex
from pintext.index.stored import text_of
from pintext.model import PinTextModel
from pintext.server.pin_shapes import FoundPin, Pin, Related, Search, Searched
from pintext.server.problems import ProblemError, retry_later
from pintext.server.service import Service
from pintext.server.shapes import Contribution, Explained
from pintext.server.versions import Version
from pintext.text import split

__all__ = ["index_of", "related", "search", "text_of_pin"]


def index_of(version: Version) -> AnyIndex:
    """The index that is served.

    Raises:
        ProblemError: 404: there is none.
    """
    if version.index is None:
        raise ProblemError(
            404, "a model without an index is served: there are no pins", kind="no-index"
        )
    return version.index


def search(service: Service, version: Version, wanted: Search) -> Searched:
    """Answer a search.

    Raises:
        ProblemError: there is no index, or a filter does not fit it.
    """
    started = time.perf_counter()
    index = index_of(version)
    filters = msgspec.to_builtins(wanted.filters)  # bounds become dicts
    try:
        hits, found = _complete(
            index,
            lambda: index.search(
                wanted.query,
                wanted.k,
                mode=wanted.mode,
                filters=filters,
                min_similarity=wanted.min_similarity,
            ),
            wanted.query if wanted.explain else None,
        )
    except DataError as error:
        raise ProblemError.of_field("$.filters", str(error)) from None
    words = len(split(wanted.query))
    known = len(version.model.vocabulary.rows_of(wanted.query))
    service.metrics.query_words(known, words - known)
    service.metrics.searched(hits.candidates, len(hits))
    partial = _partial(service, index, hits, found)
    if hits.mode != "text":
        service.live_recall.sample(index, wanted.query, filters)
    return Searched(
        wanted.query,
        hits.mode,
        hits.notice,
        hits.candidates,
        round((time.perf_counter() - started) * 1000, 3),
        version.model.vocabulary.unknown_words(wanted.query),
        found,
        partial,
    )


def _complete(
    index: AnyIndex, search: Callable[[], Hits], query: str | None
) -> tuple[Hits, list[FoundPin]]:
    """The hits of a search with what is stored of them.

    Once more where one was deleted, or its shard ended, between the two.
    """
    hits = search()
    found = _found(index, hits, query)
    if len(found) < len(hits):
        hits = search()
        found = _found(index, hits, query)
    return hits, found


def _partial(service: Service, index: AnyIndex, hits: Hits, found: list[FoundPin]) -> bool:
    """Whether pins are missing because a shard did not answer."""
    lost = isinstance(index, ShardedIndex) and len(found) < len(hits)
    if partial := bool(hits.missing) or lost:
        service.metrics.partial()
    return partial


def related(service: Service, version: Version, pin_id: str, k: int) -> Related:
    """The pins nearest to a pin; from the mounted file where it has them, or by a search.

    Raises:
        ProblemError: there is no index, or no such pin.
    """
    index = index_of(version)
    key = (version.number, index.generation, pin_id, k)
    answer = service.related.get(key)
    if answer is None:
        fields = _fields(index, [pin_id]).get(pin_id)
        if fields is None:
            raise _unknown(index, pin_id)
        partial = False
        near = version.neighbors.of(pin_id, k) if version.neighbors else None
        if near is None:
            vector = index.vector(pin_id)
            hits, found = _complete(
                index, lambda: index.search_vector(vector, k, exclude=(pin_id,)), None
            )
            service.metrics.searched(hits.candidates, len(hits))
            partial = _partial(service, index, hits, found)
        else:
            found = _found(index, (Hit(pin, cosine, None, ()) for pin, cosine in near), None)
        answer = Related(Pin(pin_id, fields), found, partial)
        if not partial:
            service.related.put(key, answer)
    return answer


def _unknown(index: AnyIndex, pin_id: str) -> ProblemError:
    """404, or 503 where a shard that may have the pin does not answer."""
    if isinstance(index, ShardedIndex) and index.missing:
        return retry_later(f"no pin {pin_id!r} in the shards that answer", "partial")
    return ProblemError(404, f"no pin {pin_id!r} in the index")


def text_of_pin(version: Version, pin_id: str) -> str:
    """The text of a pin of the index, as it was embedded.

    Raises:
        ProblemError: there is no index, or no such pin.
    """
    index = index_of(version)
    try:
        return text_of(index.columns, index.documents([pin_id])[0])
    except DataError:
        raise _unknown(index, pin_id) from None


def _found(index: AnyIndex, hits: Hits | Iterable[Hit], query: str | None) -> list[FoundPin]:
    """Hits with what is stored of them, and explained where a query is given."""
    hits = list(hits)
    stored = _fields(index, [hit.id for hit in hits])
    return [
        FoundPin(
            hit.id,
            hit.similarity,
            hit.bm25,
            list(hit.matched_tokens),
            stored[hit.id],
            explain(index.model, query, text_of(index.columns, stored[hit.id])) if query else None,
        )
        for hit in hits
        if hit.id in stored
    ]


def _fields(index: AnyIndex, ids: list[str]) -> dict[str, dict[str, Any]]:
    """What is stored of pins, without their ids; a pin that was deleted meanwhile is left out."""
    try:
        documents = index.documents(ids)
    except DataError:
        documents = []
        for pin_id in ids:
            try:
                documents += index.documents([pin_id])
            except DataError:
                continue
    name = index.columns.id
    return {document.pop(name): document for document in documents}


def explain(model: PinTextModel, query: str, pin_text: str) -> Explained:
    """What each pair of words gives to the similarity of two texts."""
    found = model.explain(query, pin_text)
    return Explained(found.similarity, [Contribution(*part) for part in found.contributions])
