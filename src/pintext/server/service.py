"""The state of a worker process: what it serves, its caches and threads, and its reloads."""

import logging
import threading
from importlib.metadata import version
from pathlib import Path

from pintext.errors import PinTextError
from pintext.model import Neighbor, PinTextModel
from pintext.server.cache import Cache
from pintext.server.logs import AccessLog
from pintext.server.metrics import Metrics
from pintext.server.problems import ProblemError
from pintext.server.settings import ServeConfig
from pintext.server.shapes import WordMap
from pintext.server.versions import Version, identity, open_version
from pintext.server.word_map import word_map
from pintext.server.work import Work

__all__ = ["RELEASE", "Service"]

RELEASE = version("pintext")
_LOG = logging.getLogger("pintext.server")


class Service:
    """Everything that requests share.

    Args:
        folder: of a model or an index.
        config: the settings.

    Raises:
        PinTextError: what is to be served cannot be opened.
    """

    def __init__(self, folder: str | Path, config: ServeConfig) -> None:
        self.folder = Path(folder)
        self.config = config
        self.metrics = Metrics()
        self.log = AccessLog(everything=config.access_log)
        self.work = Work(config, self.metrics)
        self.embeddings: Cache[bytes] = Cache(
            config.cache_entries, self.metrics.cache("embeddings")
        )
        self.neighbors: Cache[list[Neighbor]] = Cache(
            config.cache_entries, self.metrics.cache("neighbors")
        )
        self.maps: Cache[WordMap] = Cache(1)
        self.warning: str | None = None
        self.draining = False
        self._seen = identity(self.folder, config)
        self._reloading = threading.Lock()
        self.version = open_version(self.folder, config)
        self._announce()

    @property
    def model(self) -> PinTextModel:
        """The model that is served now."""
        return self.version.model

    # ------------------------------------------------------------------------ reloads

    def reload(self, *, forced: bool = False) -> bool:
        """Serve what is in the folder now, where it is not what was there before.

        Requests that have begun end with the version that they began with. Where the new one cannot
        be used the old one stays, and the reason is logged and kept in ``warning``.

        Args:
            forced: look again also where nothing seems to have changed.

        Returns:
            Whether another version is served from now on.
        """
        with self._reloading:
            seen = identity(self.folder, self.config)
            if seen == self._seen and not forced:
                return False
            self._seen = seen
            try:
                version = open_version(self.folder, self.config)
            except PinTextError as error:
                self._refuse(str(error))
                return False
            self.version = version
            self.warning = None
            self.metrics.reloaded(done=True)
            self._announce()
            return True

    def _refuse(self, reason: str) -> None:
        self.warning = reason
        self.metrics.reloaded(done=False)
        _LOG.error("reload refused", extra={"reason": reason, "served": self.model.fingerprint})

    def _announce(self) -> None:
        fingerprint = self.model.fingerprint
        self.metrics.served({"fingerprint": fingerprint, "version": RELEASE}, None)
        _LOG.info("serving", extra={"folder": str(self.folder), "model": fingerprint})

    # ------------------------------------------------------------------------ answers

    def word_map(self, version: Version) -> WordMap:
        """The map of a version's model; made once."""
        key = version.model.fingerprint
        found = self.maps.get(key)
        if found is None:
            found = word_map(version.model)
            self.maps.put(key, found)
        return found

    def near_words(self, version: Version, text: str, k: int) -> list[Neighbor]:
        """The words nearest to a word or text."""
        key = (version.model.fingerprint, text, k)
        found = self.neighbors.get(key)
        if found is None:
            found = version.model.most_similar(text, k)
            self.neighbors.put(key, found)
        return found

    def text_of(self, _version: Version, pin_id: str | None, text: str | None, field: str) -> str:
        """The text that a request means: of a pin of the index, or the one it brings.

        Raises:
            ProblemError: it names both or none, or there is no such pin.
        """
        if (pin_id is None) == (text is None):
            raise ProblemError.of_field(f"$.{field}", f"give either pin_id or {field}")
        if text is not None:
            return text
        raise ProblemError(404, "no index is served, so there are no pins", kind="no-index")

    def drain(self) -> None:
        """Say at /ready that no more requests should be sent here."""
        self.draining = True
        _LOG.info("draining")

    def close(self) -> None:
        """End threads, write the last lines of the log."""
        self.work.close()
        self.log.flush()
