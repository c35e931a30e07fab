"""What a search tells: its trials, the best of them, and what each dim costs and gives."""

from dataclasses import dataclass
from typing import Any

from pintext.config import TrainConfig

__all__ = ["Trial", "Tuning", "TuningProgress"]


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        number: place in the order of trials, from 0; trial 0 has the settings that were given.
        config: its settings.
        recall: validation recall@10 of each task after the best epoch, in [0, 1].
        mean_recall: mean over tasks; what is searched for.
        epochs: epochs run, fewer than ``config.epochs`` where it was stopped.
        stopped: given up early, because it was behind the median of the trials before it.
        dictionary_bytes: size of the dictionary in memory and on disk.
    """

    number: int
    config: TrainConfig
    recall: dict[str, float]
    mean_recall: float
    epochs: int
    stopped: bool
    dictionary_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "number": self.number,
            "mean_recall": self.mean_recall,
            "recall": self.recall,
            "epochs": self.epochs,
            "stopped": self.stopped,
            "dictionary_bytes": self.dictionary_bytes,
            "config": self.config.to_dict(),
        }


@dataclass(frozen=True)
class TuningProgress:
    """How far a search is; given to the callback after each training.

    Attributes:
        trial: the training that has just ended.
        best: the best one so far.
        seconds: since the search began.
        seconds_left: of the time budget.
    """

    trial: Trial
    best: Trial
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Tuning:
    """The outcome of a search.

    Attributes:
        trials: in order; the first one has the settings that were given.
        by_dim: the best settings again with each dim, ascending.
        importance: share of the difference between good trials and all trials that each searched
            setting accounts for, adding up to 1 (PED-ANOVA: Watanabe, Bansal and Hutter, 2023);
            empty where fewer than ten trials ran to their end, or where the good ones cannot be
            told from the rest.
        interrupted: the search was stopped by Ctrl-C; what is here was measured before.
    """

    trials: tuple[Trial, ...]
    by_dim: tuple[Trial, ...]
    importance: dict[str, float]
    interrupted: bool

    @property
    def given(self) -> Trial:
        """The trial with the settings that were given."""
        return self.trials[0]

    @property
    def best(self) -> Trial:
        """The best trial of the search; the earliest one of equals."""
        finished = [trial for trial in self.trials if not trial.stopped]
        return max(finished, key=lambda trial: (trial.mean_recall, -trial.number))
