"""PinText: one word-embedding dictionary from engagement, carried to retrieval.

The names below are imported when they are first used, so that ``import pintext`` stays light.
"""

from typing import TYPE_CHECKING

from pintext.lazy import names_of

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

__getattr__, __dir__ = names_of(
    __name__,
    {
        "IndexConfig": "index",
        "PinIndex": "index",
        "PinTextError": "errors",
        "PinTextModel": "model",
        "ShardedIndex": "index",
        "TrainConfig": "config",
        "embed_file": "embed",
        "train": "training",
    },
)
