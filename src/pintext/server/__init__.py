"""The HTTP service: ``pintext serve``, an ASGI application with its limits, metrics and reloads."""

from pintext.server.settings import ServeConfig

__all__ = ["ServeConfig"]
