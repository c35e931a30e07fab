"""Live recall: a share of the searches is answered again exactly, in the background."""

import queue
import random
import threading
import time
from typing import Any

from pintext.errors import PinTextError
from pintext.index.sharded import AnyIndex
from pintext.server.metrics import Metrics

__all__ = ["LiveRecall"]

_K = 10
_WAITING = 8
_SAME = 1e-5
_REST = 9  # times as long as it worked


class LiveRecall:
    """Measures what share of the exact ten nearest pins the search by tokens finds.

    One thread of its own, which works a tenth of the time, and a short queue: what does not fit is
    dropped and counted.

    Args:
        share: of the searches that are sampled.
        metrics: where the figures go.
    """

    def __init__(self, share: float, metrics: Metrics) -> None:
        self._share = share
        self._metrics = metrics
        self._waiting: queue.Queue[tuple[AnyIndex, str, Any] | None] = queue.Queue(_WAITING)
        self._ended = threading.Event()
        self._random = random.Random()  # noqa: S311  (chooses samples, guards no secret)
        self._thread = threading.Thread(target=self._measure, name="live-recall", daemon=True)
        if share > 0:
            self._thread.start()

    def sample(self, index: AnyIndex, query: str, filters: Any) -> None:
        """Perhaps measure a search; returns at once."""
        if self._random.random() >= self._share:
            return
        try:
            self._waiting.put_nowait((index, query, filters))
        except queue.Full:
            self._metrics.live_recall(None)

    def _measure(self) -> None:
        while (sample := self._waiting.get()) is not None:
            began = time.perf_counter()
            try:
                self._metrics.live_recall(recall_of(*sample))
            except PinTextError:  # the index was replaced meanwhile, or is damaged: searches say so
                self._metrics.live_recall(None)
            if self._ended.wait((time.perf_counter() - began) * _REST):
                return

    def close(self) -> None:
        """End the thread; what waits is let be."""
        if self._share > 0:
            self._ended.set()
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self._waiting.put(None)
            self._thread.join(timeout=5)


def recall_of(index: AnyIndex, query: str, filters: Any) -> float | None:
    """The recall@10 of one search; ``None`` where there is nothing to find.

    A pin counts as found when it is as near as the tenth of the exact ones, so that equally near
    pins may stand for each other.
    """
    vector = index.model.encode(query)
    exact = index.exact(vector, _K, filters)
    if not len(exact):
        return None
    found = index.search_vector(vector, len(exact), filters=filters)
    least = exact[-1].similarity - _SAME
    return sum(hit.similarity >= least for hit in found) / len(exact)
