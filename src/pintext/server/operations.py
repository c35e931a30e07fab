"""Routes for whoever runs the service."""

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from pintext.index.sharded import AnyIndex
from pintext.server.answers import answers, example
from pintext.server.service import RELEASE, Service
from pintext.server.shapes import Health, IndexInfo, Info, ModelInfo, Ready

__all__ = ["ROUTES"]

_INFO = Info(
    version="0.1.0",
    model=ModelInfo("0f3c51a2b4d6e788", 96_000, 128, ["search", "home_feed"]),
    index=IndexInfo("0f3c51a2b4d6e788", 1_000_000, 3, ["title"], ["board"], 0.95, 0.96),
    labels=0,
    keywords=0,
    examples=["wood cabinets"],
)


@get(
    "/health",
    summary="Is the process alive",
    tags=["operations"],
    responses=answers(Health, Health()),
)
async def health() -> Health:
    """Answers as long as the process does; restart it when this fails."""
    return Health()


@get(
    "/ready",
    summary="Should requests be sent here",
    tags=["operations"],
    responses={
        **answers(Ready, Ready(ready=True)),
        503: ResponseSpec(
            Ready,
            generate_examples=False,
            description="The service is ending; send requests elsewhere.",
            examples=example(Ready(ready=False, draining=True)),
        ),
    },
)
async def ready(service: Service) -> Response[Ready]:
    """200 while requests should be sent here; ``warning``: why no newer version is."""
    found = Ready(not service.draining, service.draining, service.warning)
    return Response(found, status_code=200 if found.ready else 503)


@get("/info", summary="What is served", tags=["operations"], responses=answers(Info, _INFO))
async def info(service: Service) -> Info:
    """Versions, fingerprints and counts, and queries to try."""
    served, model = service.version, service.model
    return Info(
        version=RELEASE,
        model=ModelInfo(model.fingerprint, len(model), model.dim, list(model.vocabulary.tasks)),
        index=_index_info(served.index),
        labels=len(served.labels or ()),
        keywords=len(served.keywords or ()),
        examples=list(served.examples),
    )


def _index_info(index: AnyIndex | None) -> IndexInfo | None:
    if index is None:
        return None
    found, columns = index.retrieval, index.columns
    return IndexInfo(
        index.fingerprint,
        len(index),
        index.generation,
        list(columns.texts),
        [field.name for field in columns.fields],
        found.expected_recall,
        found.measured_recall,
    )


@get("/metrics", include_in_schema=False)
async def metrics(service: Service) -> Response[bytes]:
    """Metrics in the text format of Prometheus."""
    text, media_type = await service.work.run(service.metrics.text)
    return Response(text, headers={"content-type": media_type})


ROUTES = [health, ready, info, metrics]
