"""Metrics for Prometheus; no label ever holds a text, a word or an id of a request."""

import os
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["SHARED_FOLDER", "Metrics"]

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder through which worker processes add up their metrics."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CANDIDATES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000)


class Metrics:
    """The service's counters, histograms and gauges.

    Where the environment names a folder (:data:`SHARED_FOLDER`), the figures of all worker
    processes are added up, also those of workers that have ended.
    """

    def __init__(self) -> None:
        import prometheus_client as prometheus

        self._prometheus = prometheus
        self.registry = prometheus.CollectorRegistry()
        self._requests = self._counter(
            "http_requests", "Requests, by what they were answered.", "method", "route", "status"
        )
        self._durations = self._histogram(
            "http_request_duration_seconds", "Time to the end of an answer.", _SECONDS, "route"
        )
        self._shed = self._counter(
            "http_requests_shed", "Requests answered 503, by reason.", "reason"
        )
        self._cache = self._counter("cache_requests", "Look-ups in the caches.", "cache", "outcome")
        self._words = self._counter(
            "query_words", "Running words of queries, by whether they have a row.", "known"
        )
        self._candidates = self._histogram(
            "search_candidates", "Pins whose similarity a search computed.", _CANDIDATES
        )
        self._empty = self._counter("search_empty", "Searches that found nothing.")
        self._partial = self._counter(
            "search_partial", "Searches that lack the pins of a shard that did not answer."
        )
        self._down = self._gauge("shards_down", "Shards that did not answer lately.")
        self._reloads = self._counter("reloads", "New versions, by what became of them.", "outcome")
        self._stale = self._gauge("reload_refused", "1 while a newer index or model is refused.")
        self._pins = self._gauge("index_pins", "Pins of the served index.")
        self._generation = self._gauge("index_generation", "Generation of the served index.")
        self._changed = self._gauge(
            "index_changed_timestamp_seconds", "Since when the served state of the index is."
        )
        self._model = self._gauge(
            "model_info", "1 for the model that is served.", "mostrecent", "fingerprint", "version"
        )
        self._recall = self._summary(
            "live_recall_at_10",
            "Share of the exact 10 nearest pins that served searches found, in a sample of them.",
        )
        self._recall_dropped = self._counter(
            "live_recall_dropped", "Sampled searches not repeated because the machine was busy."
        )
        self._served: dict[str, str] = {}
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    # ------------------------------------------------------------------------ making them

    def _counter(self, name: str, help_text: str, *labels: str) -> Any:
        return self._prometheus.Counter(
            f"pintext_{name}", help_text, labels, registry=self.registry
        )

    def _histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str
    ) -> Any:
        return self._prometheus.Histogram(
            f"pintext_{name}", help_text, labels, buckets=buckets, registry=self.registry
        )

    def _gauge(self, name: str, help_text: str, mode: Any = "mostrecent", *labels: str) -> Any:
        return self._prometheus.Gauge(
            f"pintext_{name}", help_text, labels, multiprocess_mode=mode, registry=self.registry
        )

    def _summary(self, name: str, help_text: str) -> Any:
        return self._prometheus.Summary(f"pintext_{name}", help_text, registry=self.registry)

    # ------------------------------------------------------------------------ telling them

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (method, route, status)
        found = self._children.get(key)
        if found is None:
            found = (
                self._requests.labels(method, route, str(status)),
                self._durations.labels(route),
            )
            self._children[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def shed(self, reason: str) -> None:
        """Count a request that was answered 503."""
        self._shed.labels(reason).inc()

    def cache(self, name: str) -> Callable[[bool], None]:
        """What a cache tells of its hits and misses."""
        hit, miss = (self._cache.labels(name, outcome) for outcome in ("hit", "miss"))
        return lambda found: (hit if found else miss).inc()

    def query_words(self, known: int, unknown: int) -> None:
        """Count the words of a query."""
        if known:
            self._words.labels("yes").inc(known)
        if unknown:
            self._words.labels("no").inc(unknown)

    def searched(self, candidates: int, hits: int) -> None:
        """Count a search."""
        self._candidates.observe(candidates)
        if not hits:
            self._empty.inc()

    def partial(self) -> None:
        """Count a search that lacks the pins of a shard."""
        self._partial.inc()

    def shards_down(self, count: int) -> None:
        """Take over how many shards do not answer."""
        self._down.set(count)

    def served(self, model: Mapping[str, str]) -> None:
        """Take over which model is served from now on."""
        if self._served:
            self._model.labels(**self._served).set(0)
        self._model.labels(**model).set(1)
        self._served = dict(model)

    def serves_index(self, pins: int, generation: int) -> None:
        """Take over the state of the index that is served from now on."""
        self._pins.set(pins)
        self._generation.set(generation)
        self._changed.set_to_current_time()

    def reloaded(self, *, done: bool) -> None:
        """Count a new version that was taken or refused."""
        self._reloads.labels("done" if done else "refused").inc()
        self._stale.set(0 if done else 1)

    def live_recall(self, recall: float | None) -> None:
        """Count a search that was repeated exactly; ``None``: it was not."""
        if recall is None:
            self._recall_dropped.inc()
        else:
            self._recall.observe(recall)

    # ------------------------------------------------------------------------ showing them

    def text(self) -> tuple[bytes, str]:
        """Everything in the text format of Prometheus, and its media type."""
        registry = self.registry
        if SHARED_FOLDER in os.environ:
            from prometheus_client.multiprocess import MultiProcessCollector

            registry = self._prometheus.CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return (
            self._prometheus.generate_latest(registry),
            self._prometheus.CONTENT_TYPE_LATEST,
        )
