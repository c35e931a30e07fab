"""The web page: the files of ``page/``, as they are, under a policy that lets in nothing else."""

import gzip
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from litestar import Request, Response, get

__all__ = ["ROUTES"]

_FOLDER = Path(__file__).parent / "page"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "cache-control": "no-cache",  # ask each time; the answer is mostly 304
    "vary": "accept-encoding",
}


class _File(NamedTuple):
    body: bytes
    packed: bytes
    media_type: str
    tag: str


def _read(path: Path) -> _File:
    body = path.read_bytes()
    tag = f'"{sha256(body).hexdigest()[:16]}"'
    return _File(body, gzip.compress(body, mtime=0), _MEDIA_TYPES[path.suffix], tag)


# A few dozen KB, read once. The start page stands for the folder.
_FILES = {f"/{path.name}": _read(path) for path in sorted(_FOLDER.iterdir())}
_FILES["/"] = _FILES.pop("/index.html")


@get(list(_FILES), include_in_schema=False)
async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """One of the page's files; 304 where the browser has it already."""
    file = _FILES[request.url.path]
    headers = {**_HEADERS, "etag": file.tag}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    body = file.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        body = file.packed
    return Response(body, headers=headers, media_type=file.media_type)


ROUTES = [page]
