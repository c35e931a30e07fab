"""How good a dictionary is, against everything that a team would use instead.

The names below are imported when they are first used: settings must not cost the libraries.
"""

from typing import TYPE_CHECKING

from pintext.lazy import names_of

if TYPE_CHECKING:
    from pintext.evaluation.report import Report
    from pintext.evaluation.run import evaluate
    from pintext.evaluation.settings import EvaluateConfig
    from pintext.evaluation.writing import write_report

__all__ = ["EvaluateConfig", "Report", "evaluate", "write_report"]

__getattr__, __dir__ = names_of(
    __name__,
    {
        "EvaluateConfig": "settings",
        "Report": "report",
        "evaluate": "run",
        "write_report": "writing",
    },
)
