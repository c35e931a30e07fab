"""What is refused before the service listens or has begun a process."""

import socket
from collections.abc import Sequence
from pathlib import Path

from pintext.config import from_elsewhere
from pintext.errors import ConfigError, ServeError
from pintext.files import reason
from pintext.kinds import is_store, other_kind
from pintext.server.settings import ServeConfig

__all__ = ["check_address", "check_folder", "check_token", "read_token"]

_INDEX, _MODEL = "manifest.json", "config.json"


def check_folder(folder: Path) -> None:
    """Refuse what is neither an index nor a model.

    Raises:
        ServeError: the message says what there is instead.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
    elif is_store(folder) or not any((folder / name).is_file() for name in (_INDEX, _MODEL)):
        found = other_kind(folder) or f"without {_INDEX} and {_MODEL}"
    else:
        return
    raise ServeError(f"{folder}: {found}; expected the folder of an index or of a model")


def check_token(folders: Sequence[Path], config: ServeConfig) -> None:
    """Refuse a token that cannot be read, or that nothing could be changed with.

    Raises:
        ConfigError: it is not there, or empty.
        ServeError: a model alone is to be served.
    """
    token = read_token(config.write_token)
    if token and not config.shards and not (folders[0] / _INDEX).is_file():
        raise ServeError(
            f"{folders[0]}: a model, without pins that a write_token would let change; "
            "serve an index, or leave the token out"
        )


def read_token(where: str) -> str:
    """The token that a setting tells the place of; ``""`` without one.

    Raises:
        ConfigError: it is not there, or empty.
    """
    token = (from_elsewhere("write_token", where) or "").strip()
    if where and not token:
        raise ConfigError(f"write_token: {where}: nothing is there")
    return token


def check_address(config: ServeConfig) -> None:
    """Refuse an address that is taken: workers share theirs, and would share it with strangers.

    Raises:
        ServeError: nobody can listen there.
    """
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            trial.listen(1)
    except OSError as error:
        raise ServeError(
            f"cannot listen at {config.host}:{config.port}: {reason(error)}; "
            "give another --port or --host"
        ) from None
