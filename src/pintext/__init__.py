"""PinText: one word-embedding dictionary from engagement, carried to retrieval.

The names below are imported when they are first used, so that ``import pintext`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pintext.config import TrainConfig
    from pintext.embed import embed_file
    from pintext.errors import PinTextError
    from pintext.index import IndexConfig, PinIndex, ShardedIndex
    from pintext.model import PinTextModel
    from pintext.training import train

__all__ = [
    "IndexConfig",
    "PinIndex",
    "PinTextError",
    "PinTextModel",
    "ShardedIndex",
    "TrainConfig",
    "embed_file",
    "train",
]

_HOMES = {
    "IndexConfig": "pintext.index",
    "PinIndex": "pintext.index",
    "PinTextError": "pintext.errors",
    "PinTextModel": "pintext.model",
    "ShardedIndex": "pintext.index",
    "TrainConfig": "pintext.config",
    "embed_file": "pintext.embed",
    "train": "pintext.training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pintext' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
