"""Making positive pairs and known negatives of engagement events and catalogues.

The names below are imported when they are first used: settings must not cost the engine.
"""

from typing import TYPE_CHECKING

from pintext.lazy import names_of

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

__getattr__, __dir__ = names_of(
    __name__,
    {
        "CatalogueConfig": "settings",
        "PairsConfig": "settings",
        "PairsProgress": "progress",
        "Summary": "summary",
        "TaskSummary": "summary",
        "make_pairs": "run",
    },
)
