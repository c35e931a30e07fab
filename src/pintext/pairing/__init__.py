"""Making positive pairs and known negatives of engagement events and catalogues.

The names below are imported when they are first used: settings must not cost the engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pintext.pairing.progress import PairsProgress
    from pintext.pairing.run import make_pairs
    from pintext.pairing.settings import CatalogueConfig, PairsConfig
    from pintext.pairing.summary import Summary, TaskSummary

__all__ = [
    "CatalogueConfig",
    "PairsConfig",
    "PairsProgress",
    "Summary",
    "TaskSummary",
    "make_pairs",
]

_HOMES = {
    "CatalogueConfig": "settings",
    "PairsConfig": "settings",
    "PairsProgress": "progress",
    "Summary": "summary",
    "TaskSummary": "summary",
    "make_pairs": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pintext.pairing' has no attribute {name!r}")
    value = getattr(import_module(f"pintext.pairing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
