"""Routes that need a model only."""

import base64
from typing import Annotated, Any, cast

import msgspec
from litestar import Request, get, post
from litestar.params import Body, Parameter

from pintext.server.answers import answers, check_limits, either, example, rest_of_path
from pintext.server.bodies import json_body
from pintext.server.direct import IN_THREADS
from pintext.server.problems import ProblemError
from pintext.server.searching import explain as explain_texts
from pintext.server.searching import text_of_pin
from pintext.server.service import Service
from pintext.server.shapes import (
    Classified,
    Classify,
    Contribution,
    Embedded,
    Embedding,
    EmbeddingRequest,
    Expand,
    Expanded,
    Explain,
    ExplainedTexts,
    Keyword,
    Label,
    MapWord,
    ModelEntry,
    ModelList,
    Usage,
    WordMap,
    WordNeighbor,
    WordNeighbors,
)
from pintext.server.versions import Version
from pintext.text import words_of, words_of_text

__all__ = ["ROUTES"]

_FEW_CHARS = 4096
"""Texts of so many characters are embedded faster than a thread is told to do it."""
_CACHED_CHARS = 256
_FEW_NUMBERS = 1 << 18
_ENCODE = msgspec.json.Encoder().encode

_EMBEDDED = Embedded("list", [Embedding("embedding", 0, [0.12, -0.5])], "pintext", Usage(3, 3))


def _about_token_ids(place: str, message: str) -> str:
    if place.startswith("$.input") and message.endswith(("got `int`", "got `array`")):
        return (
            "token ids are not taken, because this model reads words: send the texts themselves "
            "(in LangChain: check_embedding_ctx_length=False)"
        )
    return message


@post(
    "/v1/embeddings",
    status_code=200,
    summary="Embed texts (OpenAI-compatible)",
    tags=["texts"],
    responses=answers(Embedded, _EMBEDDED, 404, 408, 413),
    **json_body(EmbeddingRequest, _about_token_ids),
)
async def embeddings(
    data: Annotated[
        EmbeddingRequest,
        Body(examples=example({"model": "pintext", "input": ["wood cabinets kitchen"]})),
    ],
    service: Service,
) -> Embedded:
    """The vector of each text: the mean of the rows of its known words, not of unit length."""
    version, config = service.version, service.config
    check_limits(data, config)
    _check_model(data, service, version)
    texts = [data.input] if isinstance(data.input, str) else data.input
    wide = data.encoding_format == "float"
    if len(texts) == 1 and len(texts[0]) <= _FEW_CHARS:
        body = _embed_one(service, version, texts[0], data.model, wide=wide)
    elif sum(map(len, texts)) <= _FEW_CHARS:
        body = _embed_many(version, texts, data.model, wide=wide)
    else:
        body = await service.work.run(_embed_many, version, texts, data.model, wide=wide)
    return cast("Embedded", msgspec.Raw(body))


def _check_model(data: EmbeddingRequest, service: Service, version: Version) -> None:
    names = (service.config.model_name, version.model.fingerprint)
    if data.model not in names:
        raise ProblemError(
            404, f"no model of that name; this service has {' or '.join(map(repr, names))}"
        )
    if data.dimensions not in (None, version.model.dim):
        raise ProblemError.of_field(
            "$.dimensions",
            f"vectors of this model have {version.model.dim} dimensions and are not cut",
            version.model.dim,
        )


def _embed_one(service: Service, version: Version, text: str, name: str, *, wide: bool) -> bytes:
    """The answer for one text; its vector comes from the cache where it is there."""
    key = (version.model.fingerprint, text, wide)
    vector = service.embeddings.get(key) if len(text) <= _CACHED_CHARS else None
    words = len(words_of_text(text).bounds) // 2
    if vector is None:
        known = len(version.model.vocabulary.rows_of(text))
        service.metrics.query_words(known, words - known)
        vector = _json_vector(version.model.encode(text), wide=wide)
        if len(text) <= _CACHED_CHARS:
            service.embeddings.put(key, vector)
    return _answer([vector], words, name)


def _embed_many(version: Version, texts: list[str], name: str, *, wide: bool) -> bytes:
    """The answer for many texts, which go through the model as a column."""
    vectors = [_json_vector(vector, wide=wide) for vector in version.model.encode(texts, threads=1)]
    return _answer(vectors, len(words_of(texts).bounds) // 2, name)


def _json_vector(vector: Any, *, wide: bool) -> bytes:
    if wide:
        return _ENCODE(vector.tolist())
    return _ENCODE(base64.b64encode(vector.astype("<f4", copy=False)).decode())


def _answer(vectors: list[bytes], words: int, name: str) -> bytes:
    data = [
        Embedding("embedding", index, cast("list[float]", msgspec.Raw(vector)))
        for index, vector in enumerate(vectors)
    ]
    return _ENCODE(Embedded("list", data, name, Usage(words, words)))


@get(
    "/v1/models",
    summary="Names of the model",
    tags=["texts"],
    responses=answers(
        ModelList, ModelList([ModelEntry("pintext"), ModelEntry("0f3c51a2b4d6e788")])
    ),
)
async def models(service: Service) -> ModelList:
    """The names that /v1/embeddings takes for the model that is served."""
    return ModelList([ModelEntry(service.config.model_name), ModelEntry(service.model.fingerprint)])


@get(
    "/v1/words/{word:path}",
    summary="Nearest words",
    tags=["words"],
    responses=answers(WordNeighbors, WordNeighbors("wood", True, [WordNeighbor("oak", 0.81)]), 404),
)
async def words(
    request: Request[Any, Any, Any],
    word: Annotated[str, Parameter(description="a word or a text", examples=example("wood"))],
    service: Service,
    k: Annotated[int, Parameter(ge=1, description="how many results")] = 10,
) -> WordNeighbors:
    """The words whose rows are nearest to a word, nearest first."""
    version, config = service.version, service.config
    word = rest_of_path(request, "/v1/words/", config)
    if k > config.max_k:
        raise ProblemError.of_field("k", f"at most {config.max_k} are given", config.max_k)
    near = await service.work.run(service.near_words, version, word, k)
    return WordNeighbors(
        word,
        bool(len(version.model.vocabulary.rows_of(word))),
        [WordNeighbor(found.word, found.similarity) for found in near],
    )


@post(
    "/v1/classify",
    status_code=200,
    summary="Nearest labels",
    tags=["texts"],
    responses=answers(Classified, Classified([Label("kitchen", 0.74)]), 404, 408, 413),
    **json_body(Classify),
)
async def classify(
    data: Annotated[Classify, Body(examples=example({"text": "oak cupboards", "k": 3}))],
    service: Service,
) -> Classified:
    """The labels of the service's list that are nearest to a text, nearest first."""
    version = service.version
    check_limits(data, service.config)
    labels = version.labels
    if labels is None:
        raise ProblemError(404, "no labels are served; start with  --labels FILE")
    vector = version.model.encode(data.text)
    if len(labels) * version.model.dim <= _FEW_NUMBERS:
        near = labels.nearest(vector, data.k)
    else:
        near = await service.work.run(labels.nearest, vector, data.k)
    return Classified([Label(found.phrase, found.similarity) for found in near])


@post(
    "/v1/explain",
    status_code=200,
    summary="Why two texts are similar",
    tags=["texts"],
    responses=answers(
        ExplainedTexts,
        ExplainedTexts(0.62, [Contribution("wood", "oak", 0.62)], [], ["cupboards"]),
        404,
        408,
        413,
    ),
    opt=IN_THREADS,
    **json_body(Explain),
)
async def explain(
    data: Annotated[
        Explain, Body(examples=example({"query": "wood", "pin_text": "oak cupboards"}))
    ],
    service: Service,
) -> ExplainedTexts:
    """What each pair of words gives to the similarity of a query and a pin; exact."""
    version = service.version
    check_limits(data, service.config)
    either("pin_text", data.pin_id, data.pin_text)

    def work() -> ExplainedTexts:
        pin = data.pin_text or "" if data.pin_id is None else text_of_pin(version, data.pin_id)
        found = explain_texts(version.model, data.query, pin)
        unknown = version.model.vocabulary.unknown_words
        return ExplainedTexts(
            found.similarity, found.contributions, unknown(data.query), unknown(pin)
        )

    return await service.work.run(work)


@post(
    "/v1/expand",
    status_code=200,
    summary="Broad-match keywords",
    tags=["texts"],
    responses=answers(Expanded, Expanded([Keyword("oak cabinets", 0.87)]), 404, 408, 413),
    opt=IN_THREADS,
    **json_body(Expand),
)
async def expand(
    data: Annotated[Expand, Body(examples=example({"text": "white kitchen", "k": 5}))],
    service: Service,
) -> Expanded:
    """The keywords of the service's list that are nearest to a pin.

    Without a list, the nearest words of the dictionary.
    """
    version = service.version
    check_limits(data, service.config)
    either("text", data.pin_id, data.text)

    def work() -> Expanded:
        text = data.text or "" if data.pin_id is None else text_of_pin(version, data.pin_id)
        if version.keywords is None:
            near = service.near_words(version, text, data.k)
            return Expanded([Keyword(*found) for found in near])
        vector = version.model.encode(text)
        return Expanded([Keyword(*found) for found in version.keywords.nearest(vector, data.k)])

    return await service.work.run(work)


@get(
    "/v1/map",
    summary="Map of the vocabulary",
    tags=["words"],
    responses=answers(WordMap, WordMap([MapWord("wood", 0.41, -0.12, "search", 5120)])),
)
async def map_of_words(service: Service) -> WordMap:
    """The 2,000 most frequent words on the two principal components of their rows."""
    return await service.work.run(service.word_map, service.version)


ROUTES = [embeddings, models, words, classify, explain, expand, map_of_words]
