"""The state of a worker process: what it serves, its caches and threads, and its reloads."""

import logging
import threading
from collections.abc import Sequence
from importlib.metadata import version as version_of
from pathlib import Path

from pintext.errors import PinTextError
from pintext.index import ShardedIndex
from pintext.model import Neighbor, PinTextModel
from pintext.server.cache import Cache
from pintext.server.checks import read_token
from pintext.server.live_recall import LiveRecall
from pintext.server.logs import AccessLog
from pintext.server.metrics import Metrics
from pintext.server.pin_shapes import Related
from pintext.server.settings import ServeConfig
from pintext.server.shapes import WordMap
from pintext.server.versions import Version, identity, open_version
from pintext.server.word_map import word_map
from pintext.server.work import Work

__all__ = ["RELEASE", "Service"]

RELEASE = version_of("pintext")
_LOG = logging.getLogger("pintext.server")


class Service:
    """Everything that requests share.

    Args:
        folders: of a model, an index, or several shards.
        config: the settings.

    Raises:
        PinTextError: what is to be served cannot be opened.
    """

    def __init__(self, folders: Sequence[Path], config: ServeConfig) -> None:
        self.folders = tuple(folders)
        self.config = config
        self.write_token = read_token(config.write_token)
        self.metrics = Metrics()
        self.log = AccessLog(everything=config.access_log)
        wait, limit = config.max_wait_ms / 1000, config.timeout_seconds
        self.work = Work(
            "work",
            threads=config.threads,
            max_wait=wait,
            timeout=limit,
            metrics=self.metrics,
            turns=not config.shards,
        )
        # Writes come one after another and wait for the disk; they may wait for each other too.
        self.writes = Work(
            "write", threads=1, max_wait=limit / 2, timeout=limit, metrics=self.metrics
        )
        entries, tell = config.cache_entries, self.metrics.cache
        self.embeddings: Cache[bytes] = Cache(entries, tell("embeddings"))
        self.neighbors: Cache[list[Neighbor]] = Cache(entries, tell("neighbors"))
        self.related: Cache[Related] = Cache(entries, tell("related"))
        self.maps: Cache[WordMap] = Cache(1)
        self.live_recall = LiveRecall(config.recall_share, self.metrics)
        self.warning: str | None = None
        self.draining = False
        self._seen = identity(self.folders, config)
        self._reloading = threading.Lock()
        self.version = open_version(self.folders, config)
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
            forced: open the folder again also where nothing seems to have changed.

        Returns:
            Whether something newer is served from now on.
        """
        with self._reloading:
            seen = identity(self.folders, self.config)
            # What a front was refused may be there when its shards have followed.
            again = forced or (self.warning is not None and bool(self.config.shards))
            try:
                if seen == self._seen and not again:
                    return self._follow_commits()
                self._seen = seen
                self.version = open_version(self.folders, self.config)
            except PinTextError as error:
                self._refuse(str(error))
                return bool(self.config.shards) and self._follow_commits()
            self.warning = None
            self.metrics.reloaded(done=True)
            self._announce()
            return True

    def _follow_commits(self) -> bool:
        """Show the pins after the last commit, of whichever process."""
        index = self.version.index
        # While a newer folder is refused, an index in it that is served is no longer there.
        if index is None or (self.warning and not self.config.shards):
            return False
        changed = index.reload()
        if isinstance(index, ShardedIndex):  # a search may have found one down before
            self.metrics.shards_down(len(index.missing))
        if not changed:
            return False
        self.tell_metrics()
        return True

    def _refuse(self, reason: str) -> None:
        if reason == self.warning:
            return
        self.warning = reason
        self.metrics.reloaded(done=False)
        _LOG.error("reload refused", extra={"reason": reason, "served": self.model.fingerprint})

    def _announce(self) -> None:
        index = self.version.index
        facts: dict[str, str | int] = {"model": self.model.fingerprint}
        if index:
            facts |= {"pins": len(index), "generation": index.generation}
        _LOG.info("serving", extra={"folder": " ".join(map(str, self.folders)), **facts})
        self.tell_metrics()

    def tell_metrics(self) -> None:
        """Take over into the metrics what is served now."""
        index = self.version.index
        self.metrics.served({"fingerprint": self.model.fingerprint, "version": RELEASE})
        if index:
            self.metrics.serves_index(len(index), index.generation)

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

    def drain(self) -> None:
        """Say at /ready that no more requests should be sent here."""
        self.draining = True
        _LOG.info("draining")

    def close(self) -> None:
        """End threads, write the last lines of the log."""
        self.live_recall.close()
        self.work.close()
        self.writes.close()
        self.log.flush()
