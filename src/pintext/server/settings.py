"""The settings of ``pintext serve``."""

from typing import Annotated

from msgspec import Meta

from pintext.config import ELSEWHERE, Config

__all__ = ["ServeConfig"]


class ServeConfig(Config, frozen=True):
    """Where the service listens, what it loads beside model and index, and its limits."""

    host: Annotated[
        str, Meta(min_length=1, description="address to listen at; the default is this machine")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535, description="port to listen at")] = 8080
    workers: Annotated[
        int, Meta(ge=1, le=256, description="worker processes; they share the mapped files")
    ] = 1
    threads: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="threads of a worker that search and scan; they take turns, and another "
            "steps in where a request takes long",
        ),
    ] = 2
    model_name: Annotated[
        str, Meta(min_length=1, description="what /v1/embeddings calls the model")
    ] = "pintext"
    labels: Annotated[
        str,
        Meta(description="file of labels for /v1/classify: text, one a line, or a column 'label'"),
    ] = ""
    keywords: Annotated[
        str,
        Meta(
            description="file of keywords for /v1/expand: text, one a line, or a column 'keyword'; "
            "without it the words of the dictionary"
        ),
    ] = ""
    neighbors: Annotated[
        str, Meta(description="file of pintext knn, which answers /v1/related first")
    ] = ""
    examples: Annotated[
        tuple[str, ...],
        Meta(description="queries that the page offers to try, instead of words of some pins"),
    ] = ()
    write_token: Annotated[
        str,
        Meta(
            pattern=ELSEWHERE,
            description="env:NAME or file:PATH of the bearer token that may change pins; without "
            "it nobody can",
        ),
    ] = ""
    shards: Annotated[
        tuple[str, ...],
        Meta(
            description="addresses of services, each with one shard, that are asked for pins; "
            "FOLDER is then their model"
        ),
    ] = ()
    shard_seconds: Annotated[
        float,
        Meta(gt=0, le=600, description="longest wait for one of them; then answers are partial"),
    ] = 1.0
    max_body_kb: Annotated[int, Meta(ge=1, le=1_048_576, description="largest request body")] = 1024
    max_text_chars: Annotated[int, Meta(ge=1, le=1_048_576, description="longest text")] = 8192
    max_batch: Annotated[
        int, Meta(ge=1, le=100_000, description="texts or pins of one request")
    ] = 2048
    max_k: Annotated[int, Meta(ge=1, le=10_000, description="results of one request")] = 200
    max_wait_ms: Annotated[
        float,
        Meta(
            ge=1,
            le=60_000,
            description="longest wait for a free thread; what would wait longer is answered 503; "
            "half of that while overload lasts",
        ),
    ] = 20.0
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=600, description="longest work for one request; then 503")
    ] = 10.0
    read_seconds: Annotated[
        float, Meta(gt=0, le=600, description="longest time for a request to come in; then 408")
    ] = 10.0
    drain_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="after SIGTERM go on for so long while /ready says no; then finish what "
            "has begun",
        ),
    ] = 0.0
    watch_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="how often to look for a new index or model"),
    ] = 0.5
    cache_entries: Annotated[
        int, Meta(ge=0, le=10_000_000, description="answers kept of each kind by each worker")
    ] = 10_000
    recall_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="share of searches answered again exactly in the background, for the "
            "metric of live recall",
        ),
    ] = 0.01
    access_log: Annotated[
        bool, Meta(description="one line of log for each request, not only for failures")
    ] = True
