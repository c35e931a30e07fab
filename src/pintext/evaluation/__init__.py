"""How good a dictionary is, against everything that a team would use instead.

The names below are imported when they are first used: settings must not cost the libraries.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pintext.evaluation.report import Report
    from pintext.evaluation.run import evaluate
    from pintext.evaluation.settings import EvaluateConfig
    from pintext.evaluation.writing import write_report

__all__ = ["EvaluateConfig", "Report", "evaluate", "write_report"]

_HOMES = {
    "EvaluateConfig": "settings",
    "Report": "report",
    "evaluate": "run",
    "write_report": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pintext.evaluation' has no attribute {name!r}")
    value = getattr(import_module(f"pintext.evaluation.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
