"""The processes of the service: one that supervises, and the workers that answer."""

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pintext.errors import MissingExtraError, PinTextError, ServeError
from pintext.server.checks import check_address, check_folder, check_token
from pintext.server.logs import log_settings
from pintext.server.metrics import SHARED_FOLDER
from pintext.server.settings import ServeConfig

if TYPE_CHECKING:
    from pintext.server.guard import Guard

__all__ = ["serve"]

_STARTED = "started"
_FAILED = "failed"
_BACKLOG = 1024
_CONNECTIONS = 8192
_LEAVE_SECONDS = 5
_SWITCH_SECONDS = 0.0005


def serve(
    folders: Sequence[Path], config: ServeConfig, started: Callable[[], None] = lambda: None
) -> None:
    """Serve folders until SIGTERM or SIGINT; then finish what has begun, and return.

    SIGHUP looks for a new version at once. A worker that dies is replaced.

    Args:
        folders: of a model, an index, or several shards.
        config: the settings.
        started: called when the first worker answers.

    Raises:
        ConfigError: the write token is not where the setting says.
        ServeError: a folder is neither an index nor a model, the address is taken, or a worker
            could not start.
        MissingExtraError: the packages of the extra ``serve`` are not installed.
    """
    try:
        from granian.constants import HTTPModes, Interfaces, Loops
        from granian.http import HTTP1Settings
        from granian.server import Server
    except ImportError:
        raise MissingExtraError("granian", "serve") from None
    for folder in folders:
        check_folder(folder)
    check_token(folders, config)
    check_address(config)
    # A forked worker would inherit threads and locks in whatever state they are.
    multiprocessing.set_start_method("spawn", force=True)
    with tempfile.TemporaryDirectory(prefix="pintext-serve-") as name:
        shared = Path(name)
        os.environ[SHARED_FOLDER] = name
        server = Server(
            "pintext",
            address=config.host,
            port=config.port,
            interface=Interfaces.ASGI,
            workers=config.workers,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            websockets=False,
            backlog=_BACKLOG,
            backpressure=_CONNECTIONS,
            http1_settings=HTTP1Settings(header_read_timeout=int(config.read_seconds * 1000)),
            log_dictconfig=log_settings(),
            workers_kill_timeout=int(config.timeout_seconds) + _LEAVE_SECONDS,
        )
        supervisor = _Supervisor(server, config, shared, started)
        server.on_startup(supervisor.begin)
        loader = partial(_load, [folder.absolute() for folder in folders], config, shared)
        try:
            server.serve(target_loader=loader, wrap_loader=False)
        except SystemExit:
            if not supervisor.asked_to_end:
                raise ServeError(supervisor.why_it_failed()) from None
        finally:
            supervisor.end()


class _Supervisor:
    """What the supervising process does beside keeping the workers: signals and the start."""

    def __init__(
        self, server: Any, config: ServeConfig, shared: Path, started: Callable[[], None]
    ) -> None:
        self._server = server
        self._drain_seconds = config.drain_seconds
        self._shared = shared
        self._started = started
        self._ended = threading.Event()
        self.asked_to_end = False

    def begin(self) -> None:
        """Take the signals, and wait in a thread for the first worker."""
        signal.signal(signal.SIGHUP, lambda *_: self._tell(signal.SIGHUP))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._drain)
        threading.Thread(target=self._await_start, daemon=True).start()

    def end(self) -> None:
        """Stop waiting for the first worker."""
        self._ended.set()

    def why_it_failed(self) -> str:
        """What the worker that could not start said."""
        try:
            return (self._shared / _FAILED).read_text(encoding="utf-8")
        except OSError:
            return "the workers keep dying; what they wrote above says why"

    def _await_start(self) -> None:
        while not (self._shared / _STARTED).exists():
            if self._ended.wait(0.02):
                return
        # Until now a worker that dies ends everything: it would die again.
        self._server.respawn_failed_workers = True
        self._started()

    def _tell(self, number: signal.Signals) -> None:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, number)

    def _drain(self, *_: object) -> None:
        """Say no at /ready for a while, then end; a second signal ends at once."""
        if self._drain_seconds and not self.asked_to_end:
            self._tell(signal.SIGUSR1)
            timer = threading.Timer(self._drain_seconds, self._server.signal_handler_interrupt)
            timer.daemon = True
            timer.start()
        else:
            self._server.signal_handler_interrupt()
        self.asked_to_end = True


def _load(folders: Sequence[Path], config: ServeConfig, shared: Path) -> "Guard":
    """Make the application, in a worker process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the application takes it
    # A thread that searches holds the interpreter up to so long while the event loop waits for it.
    sys.setswitchinterval(_SWITCH_SECONDS)
    from pintext.server.app import make_app
    from pintext.server.service import Service

    try:
        app = make_app(Service(folders, config))
    except PinTextError as error:
        (shared / _FAILED).write_text(str(error), encoding="utf-8")
        sys.exit(1)
    gc.collect()
    gc.freeze()  # what there is stays: the collector need not stop requests to look at it again
    (shared / _STARTED).touch()
    return app
