"""``tune``: search for the settings with the best validation recall, within a time budget."""

import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from pintext.config import TrainConfig
from pintext.cores import available_cores
from pintext.errors import ConfigError, DivergedError, MissingExtraError, TrainingError
from pintext.files import reason
from pintext.pairs import PairSource
from pintext.training.corpus import Corpus, prepare_corpus
from pintext.training.progress import Progress
from pintext.training.run import Run
from pintext.tuning.space import SETTINGS, check_searched, starting_point, suggest
from pintext.tuning.trials import Trial, Tuning, TuningProgress

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["tune"]

_RUNGS = 10  # looks at a training, evenly over its epochs, to see whether it is worth going on
_BEFORE_STOPPING = 8  # trials that run to their end before others are measured against them
_LEAST_FOR_IMPORTANCE = 10


class _BehindOthersError(Exception):
    """Ends a training that is not worth going on with."""


def tune(
    pairs: str | Path | PairSource,
    config: TrainConfig | None = None,
    *,
    minutes: float = 30.0,
    max_trials: int | None = None,
    searched: Collection[str] = SETTINGS,
    dims: Sequence[int] = (),
    threads: int = 0,
    callback: Callable[[TuningProgress], None] | None = None,
) -> Tuning:
    """Search for the settings with the best mean validation recall@10.

    The pairs are prepared once. Trial 0 trains with the given settings; then a tree-structured
    Parzen estimator (Bergstra et al., 2011; Optuna's) proposes others. A training that falls behind
    the median of those before it is stopped. At last the best settings are trained with each dim.

    With the same pairs, settings, seed and number of trials the outcome is the same. The time
    budget is looked at between trainings: how many fit into it depends on the machine.

    Args:
        pairs: a pair dataset, see :class:`pintext.pairs.PairSource`. Its ``validation`` rows judge,
            or else a share of the queries; the ``test`` rows are never looked at.
        config: where to start; settings that are not searched keep their values.
        minutes: time budget for the search, > 0; training with each dim comes on top.
        max_trials: trials at most, at least 1.
        searched: names of settings, out of :data:`pintext.tuning.space.SETTINGS`.
        dims: dims to train the best settings with, so that quality can be weighed against memory.
        threads: threads to use; 0 for all cores.
        callback: told after each training.

    Returns:
        all trials and the best one. After Ctrl-C, what was measured until then.

    Raises:
        ConfigError: an argument is out of range, or no pairs are held out.
        DataError: the pairs cannot be read, or none is usable.
        TrainingError: no space for the prepared pairs, or trial 0 does not train.
        MissingExtraError: Optuna is not installed.
        KeyboardInterrupt: Ctrl-C before the end of trial 0.
    """
    optuna = _optuna()
    config = TrainConfig() if config is None else config
    check_searched(searched)
    if minutes <= 0 or (max_trials is not None and max_trials < 1):
        raise ConfigError("expected minutes > 0 and max_trials >= 1")
    source = pairs if isinstance(pairs, PairSource) else PairSource(pairs)
    with tempfile.TemporaryDirectory(prefix="pintext-") as folder:
        try:
            corpus = prepare_corpus(source, config, Path(folder))
        except OSError as error:
            raise TrainingError(f"{folder}: cannot be written: {reason(error)}") from None
        if not corpus.held_out.queries.shape[0]:
            raise ConfigError(
                f"{source.path}: no pairs are held out to judge by; set validation above 0, or "
                "give rows of the split 'validation'"
            )
        search = _Search(
            optuna=optuna,
            corpus=corpus,
            base=config,
            searched=frozenset(searched),
            threads=threads or available_cores(),
            seconds=60 * minutes,
            callback=callback or (lambda _: None),
        )
        search.run(max_trials or 2**31)
        by_dim = search.train_dims(dims)
    return Tuning(tuple(search.trials), by_dim, search.importance(), search.interrupted)


def _optuna() -> ModuleType:
    try:
        optuna = import_module("optuna")
    except ImportError:
        raise MissingExtraError("optuna", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@dataclass
class _Search:
    """One search at work."""

    optuna: ModuleType
    corpus: Corpus
    base: TrainConfig
    searched: frozenset[str]
    threads: int
    seconds: float
    callback: Callable[[TuningProgress], None]
    trials: list[Trial] = field(default_factory=list)
    interrupted: bool = False

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._study: Study = self.optuna.create_study(
            direction="maximize",
            sampler=self.optuna.samplers.TPESampler(seed=self.base.seed % 2**32),
            pruner=self.optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_STOPPING),
        )
        self._study.enqueue_trial(starting_point(self.base, self.searched, self.corpus.tasks))

    def run(self, max_trials: int) -> None:
        """Train until the time or the trials are used up, or Ctrl-C after the first trial."""
        try:
            while len(self.trials) < max_trials and (not self.trials or self._seconds_left() > 0):
                self._try_one()
        except KeyboardInterrupt:
            if not self.trials:
                raise
            self.interrupted = True

    def train_dims(self, dims: Sequence[int]) -> tuple[Trial, ...]:
        """Train the best settings with each dim, ascending; that of the search is not repeated."""
        best = self._best()
        made = []
        for dim in sorted(set(dims)):
            if self.interrupted:
                break
            try:
                config = msgspec.structs.replace(best.config, dim=dim)
                trial = best if dim == best.config.dim else self._train(len(self.trials), config)
            except KeyboardInterrupt:
                self.interrupted = True
            else:
                made.append(trial)
                self._tell(trial)
        return tuple(made)

    def importance(self) -> dict[str, float]:
        """How much each searched setting mattered."""
        done = [trial for trial in self._study.trials if trial.state.name == "COMPLETE"]
        if len(done) < _LEAST_FOR_IMPORTANCE:
            return {}
        evaluator = self.optuna.importance.PedAnovaImportanceEvaluator()
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                rate = self.optuna.importance.get_param_importances
                found = rate(self._study, evaluator=evaluator)
            except UserWarning:  # good trials cannot be told from the rest
                return {}
        return {str(name): float(share) for name, share in found.items()}

    def _try_one(self) -> None:
        asked = self._study.ask()
        config = suggest(asked, self.base, self.searched, self.corpus.tasks)
        if not self.trials:
            config = self.base  # as given, though a value may lie outside the searched range

        looked_at: set[int] = set()

        def behind(epoch: int, mean_recall: float) -> bool:
            rung = _RUNGS * epoch // config.epochs
            if rung in looked_at:
                return False
            looked_at.add(rung)
            asked.report(mean_recall, rung)
            return bool(self.trials) and asked.should_prune()

        try:
            trial = self._train(len(self.trials), config, behind)
        except DivergedError:
            if not self.trials:
                raise
            trial = self._trial(len(self.trials), config, [], stopped=True)
        if trial.stopped:
            self._study.tell(asked, state=self.optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(asked, trial.mean_recall)
        self.trials.append(trial)
        self._tell(trial)

    def _train(
        self,
        number: int,
        config: TrainConfig,
        behind: Callable[[int, float], bool] = lambda _epoch, _recall: False,
    ) -> Trial:
        history: list[dict[str, float]] = []

        def judge(progress: Progress) -> None:
            if progress.phase == "epoch":
                history.append(progress.recall)
                if behind(progress.epoch, _mean(progress.recall)):
                    raise _BehindOthersError

        stopped = False
        try:
            Run(self.corpus, config, self.threads, judge).train(save=lambda _state: None)
        except _BehindOthersError:
            stopped = True
        return self._trial(number, config, history, stopped=stopped)

    def _trial(
        self, number: int, config: TrainConfig, history: list[dict[str, float]], *, stopped: bool
    ) -> Trial:
        recall = max(history, key=_mean) if history else dict.fromkeys(self.corpus.tasks, 0.0)
        return Trial(
            number=number,
            config=config,
            recall=recall,
            mean_recall=_mean(recall),
            epochs=len(history),
            stopped=stopped,
            dictionary_bytes=4 * config.dim * len(self.corpus.vocabulary),
        )

    def _best(self) -> Trial:
        return Tuning(tuple(self.trials), (), {}, interrupted=False).best

    def _seconds_left(self) -> float:
        return self._began + self.seconds - time.monotonic()

    def _tell(self, trial: Trial) -> None:
        passed = time.monotonic() - self._began
        left = max(0.0, self.seconds - passed)
        self.callback(TuningProgress(trial, self._best(), passed, left))


def _mean(recall: dict[str, float]) -> float:
    return sum(recall.values()) / max(1, len(recall))
