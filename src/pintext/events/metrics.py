"""Metrics of an ingester for Prometheus."""

from types import TracebackType
from typing import Self

from pintext.errors import IngestError, MissingExtraError
from pintext.events.progress import IngestProgress
from pintext.files import reason

__all__ = ["Metrics"]


class Metrics:
    """Serves the latest progress at ``http://HOST:PORT/metrics`` while it is open.

    ``pintext_ingest_events_total`` by ``outcome`` (``stored``, ``duplicates``, ``ignored``,
    ``expired``, ``dead_…``), ``pintext_ingest_read_total``, ``pintext_ingest_lag`` and
    ``pintext_ingest_events_per_second``.

    Args:
        port: where to listen.
        host: on which address; by default only this machine can ask.

    Raises:
        IngestError: the port is taken.
        MissingExtraError: the package prometheus-client is not installed.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
        except ImportError:
            raise MissingExtraError("prometheus-client", "kafka") from None
        registry = CollectorRegistry()
        self._events = Counter(
            "pintext_ingest_events",
            "Events committed, by what became of them.",
            ["outcome"],
            registry=registry,
        )
        self._read = Counter("pintext_ingest_read", "Events read.", registry=registry)
        self._speed = Gauge(
            "pintext_ingest_events_per_second", "Events read a second.", registry=registry
        )
        self._lag = Gauge(
            "pintext_ingest_lag", "Messages at the broker, not read yet.", registry=registry
        )
        self._before: dict[str, int] = {"read": 0}
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise IngestError(f"metrics at {host}:{port}: {reason(error)}") from None

    def update(self, progress: IngestProgress) -> None:
        """Take over the latest figures."""
        for outcome, count in progress.counts.items():
            self._events.labels(outcome).inc(count - self._before.get(outcome, 0))
            self._before[outcome] = count
        self._read.inc(progress.taken - self._before["read"])
        self._before["read"] = progress.taken
        self._speed.set(progress.per_second)
        if progress.lag is not None:
            self._lag.set(progress.lag)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
