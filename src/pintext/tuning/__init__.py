"""Settings chosen by measurement: many trainings on one prepared corpus, the best one kept."""

from pintext.tuning.search import tune
from pintext.tuning.trials import Trial, Tuning, TuningProgress

__all__ = ["Trial", "Tuning", "TuningProgress", "tune"]
