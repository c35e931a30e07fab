"""The ASGI application, made of a service."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from pintext.server import (
    change_routes,
    operations,
    page_routes,
    pin_routes,
    shard_routes,
    text_routes,
)
from pintext.server.answers import limit_schemas
from pintext.server.direct import direct_calls
from pintext.server.failures import HANDLERS
from pintext.server.guard import Guard
from pintext.server.service import RELEASE, Service

__all__ = ["make_app"]


def make_app(service: Service) -> Guard:
    """The application that serves a service; give it to any ASGI server.

    While it runs it looks for new versions, and reloads on SIGHUP.
    """

    @contextlib.asynccontextmanager
    async def life(_app: Litestar) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError):  # not in the main thread
            loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, forced))
            loop.add_signal_handler(signal.SIGUSR1, service.drain)
        tasks = [asyncio.create_task(work) for work in (_watch(service), guard.measure_lag())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            service.close()

    def forced() -> None:
        service.reload(forced=True)

    async def provide() -> Service:
        return service

    modules = (pin_routes, text_routes, change_routes, operations, page_routes, shard_routes)
    routes = [route for module in modules for route in module.ROUTES]
    app = Litestar(
        routes,
        dependencies={"service": Provide(provide, use_cache=True)},
        exception_handlers=HANDLERS,
        lifespan=[life],
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="PinText",
            version=RELEASE,
            path="/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/")],
        ),
    )
    limit_schemas(app.openapi_schema, service.config)
    guard = Guard(app, direct_calls(routes, service), service)
    return guard


async def _watch(service: Service) -> None:
    """Look for a new version every now and then, and end when the parent process has ended."""
    supervisor = multiprocessing.parent_process()  # it may have ended before this began
    parent = supervisor.pid if supervisor else os.getppid()
    while True:
        await asyncio.sleep(service.config.watch_seconds)
        service.log.flush()
        await asyncio.to_thread(service.reload)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
            return
