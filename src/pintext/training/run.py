"""The training of one dictionary over prepared pairs: epochs, early stopping, checkpoints."""

import time
from collections.abc import Callable

import numpy as np

from pintext.arrays import F32, I64, zeros_in_lines
from pintext.config import TrainConfig
from pintext.errors import DivergedError, TrainingError
from pintext.training.checkpoint import Checkpoint
from pintext.training.corpus import Corpus
from pintext.training.losses import Loss
from pintext.training.objective import GROUP
from pintext.training.progress import Phase, Progress
from pintext.training.randomness import initial_rows, key
from pintext.training.schedule import count_groups
from pintext.training.signals import DelayedSignals
from pintext.training.steps import LOOKED_AT, LOSS, VIOLATED, Rules, Shared, Workspace, run_steps
from pintext.training.threads import ThreadTeam
from pintext.training.validation import Validation

__all__ = ["Run"]

_INITIAL_ROWS = 6  # purpose of a random stream
_STEPS_PER_EPOCH = 64
"""Small inputs take smaller groups and batches, so that an epoch still has so many steps."""
_SMALLEST_GROUP = 16
_SECONDS_PER_CALL = 0.2  # between two looks at the clock, the callback and interrupts
_MOST_WORDS = 1 << 28  # of one step; 1 GiB, and three more for each thread


class Run:
    """Trains; can be stopped between two steps and go on from its checkpoint to the same bytes."""

    def __init__(
        self,
        corpus: Corpus,
        config: TrainConfig,
        threads: int,
        callback: Callable[[Progress], None],
    ) -> None:
        self.corpus = corpus
        self.config = config
        self.callback = callback
        self.team = ThreadTeam(threads)
        self.validation = Validation(corpus, config.seed)
        self.pairs = int(corpus.arrays.pair_starts[-1])
        self.groups = count_groups(corpus.arrays.pair_starts, _group_size(self.pairs))
        groups = int(self.groups.starts[-1])
        self.groups_per_step = max(1, min(config.batch_size // GROUP, groups // _STEPS_PER_EPOCH))
        self.steps = -(-groups // self.groups_per_step)
        self.state = self._fresh()
        self._started = time.monotonic()
        self._pairs_done = 0  # in this process, for the speed
        self._traffic: I64 = np.zeros((threads, 2), np.int64)

    def _fresh(self) -> Checkpoint:
        rows: F32 = zeros_in_lines((len(self.corpus.vocabulary), self.config.dim), np.float32)
        norm = min(self.config.initial_norm, self.config.max_norm)
        initial_rows(rows, norm, np.uint64(key(self.config.seed, _INITIAL_ROWS, 0, 0)))
        squares = np.zeros(rows.shape[0], np.float32)
        return Checkpoint(rows, squares, np.zeros((len(self.corpus.tasks), 3)))

    def _rules(self) -> Rules:
        weights = [self.config.task_weights.get(task, 1.0) for task in self.corpus.tasks]
        pairs = np.diff(self.corpus.arrays.pair_starts)
        balance = (pairs.max() / np.maximum(pairs, 1)) ** self.config.task_balance
        with np.errstate(over="ignore"):  # an infinite weight shows as an infinite loss
            task_weights = (np.array(weights) * balance).astype(np.float32)
        return Rules(
            seed=self.config.seed,
            loss=Loss(
                self.config.loss == "softmax",
                np.float32(self.config.margin),
                np.float32(self.config.temperature),
            ),
            max_norm=np.float32(self.config.max_norm),
            learning_rate=self.config.learning_rate,
            by_engagement=self.config.background == "engagement",
            task_weights=task_weights,
            groups_per_step=self.groups_per_step,
            steps_per_epoch=self.steps,
            total_steps=self.steps * self.config.epochs,
        )

    def _shared(self) -> Shared:
        threads, dim = self.team.threads, self.config.dim
        width = 2 * GROUP + self.config.negatives
        slots = self.groups_per_step
        words = slots * width * self.corpus.longest
        if words > _MOST_WORDS:
            raise TrainingError(
                f"a batch could hold {words:,} words, the longest text having "
                f"{self.corpus.longest:,}; lower max_tokens or batch_size"
            )
        rows = self.state.embeddings.shape[0]
        squares = np.zeros((-(-rows // threads), threads), np.float32)
        squares.ravel()[:rows] = self.state.squares
        return Shared(
            embeddings=self.state.embeddings,
            squares=np.ascontiguousarray(squares.T),
            tokens=np.zeros((slots, width * self.corpus.longest), np.int32),
            starts=np.zeros((slots, width + 1), np.int64),
            gradients=zeros_in_lines((slots * width, dim), np.float32),
            active=np.zeros((slots, width), np.uint8),
            tasks=np.zeros(slots, np.int32),
            group_statistics=np.zeros((slots, 3)),
            statistics=self.state.statistics,
            traffic=np.zeros((threads, 16), np.int64),
            arrivals=self.team.arrivals,
        )

    def _workspaces(self, shared: Shared) -> list[Workspace]:
        negatives, dim = self.config.negatives, self.config.dim
        occurrences = shared.tokens.size
        rows = shared.squares.shape[1]
        return [
            Workspace.allocate(rows, occurrences, negatives, dim) for _ in range(self.team.threads)
        ]

    def train(
        self, save: Callable[[Checkpoint], None], checkpoint_seconds: float = float("inf")
    ) -> Checkpoint:
        """Run the epochs that are left; ``state.best`` or else ``state.embeddings`` is the result.

        An interrupt or a request to terminate is obeyed between two steps, after a checkpoint; by
        its handler, and where that returns by an error.

        Args:
            save: called with the state every ``checkpoint_seconds`` and before obeying a signal.
            checkpoint_seconds: time between two checkpoints.

        Raises:
            DivergedError: the loss is not finite any more.
            TrainingError: a signal's handler returned, with training unfinished.
        """
        shared, rules = self._shared(), self._rules()
        self._traffic = shared.traffic
        workspaces = self._workspaces(shared)

        def advance(first: int, last: int) -> None:
            epoch, arrays = self.state.epoch, self.corpus.arrays
            self.team.run(
                lambda thread: run_steps(
                    thread,
                    self.team.threads,
                    epoch,
                    first,
                    last,
                    arrays,
                    self.groups,
                    rules,
                    shared,
                    workspaces[thread],
                )
            )

        def checkpoint() -> None:
            rows = self.state.squares.shape[0]
            self.state.squares = np.ascontiguousarray(shared.squares.T).ravel()[:rows]
            save(self.state)

        with self.team, DelayedSignals() as signals:
            advance(0, 0)  # compiles, or loads what was compiled before
            self._started = saved = time.monotonic()
            steps_per_call = 1
            while not (self._finished() or signals.received):
                first, began = self.state.step, time.monotonic()
                self.state.step = min(first + steps_per_call, self.steps)
                advance(first, self.state.step)
                self._check_finite(shared)
                now = time.monotonic()
                pace = (self.state.step - first) / max(now - began, 1e-6)
                steps_per_call = max(1, int(pace * _SECONDS_PER_CALL))
                self._pairs_done += self._pairs_in(self.state.step) - self._pairs_in(first)
                self._report("training")
                if self.state.step == self.steps:
                    self._end_epoch()
                if now - saved > checkpoint_seconds:
                    checkpoint()
                    saved = time.monotonic()
            if signals.received:
                checkpoint()
        if signals.received:
            raise TrainingError(f"stopped by signal {signals.received}; resume to go on")
        self._report("finished")
        return self.state

    def _finished(self) -> bool:
        state = self.state
        stale = state.best is not None and state.epoch - state.best_epoch >= self.config.patience
        return stale or state.epoch == self.config.epochs

    def _check_finite(self, shared: Shared) -> None:
        """A gradient too large to be squared is no NaN yet, but its row would never move again."""
        if not (np.isfinite(shared.statistics).all() and np.isfinite(shared.squares).all()):
            raise DivergedError(
                f"the loss is not finite in epoch {self.state.epoch + 1}; lower learning_rate "
                f"(now {self.config.learning_rate:g}), the pairs' weights or task_weights"
            )

    def _pairs_in(self, steps: int) -> int:
        return min(steps * self.groups_per_step * self.groups.size, self.pairs)

    def _means(self, column: int) -> dict[str, float]:
        statistics = self.state.statistics
        looked_at = np.maximum(statistics[:, LOOKED_AT], 1)
        return dict(
            zip(self.corpus.tasks, (statistics[:, column] / looked_at).tolist(), strict=True)
        )

    def _means_so_far(self, column: int) -> dict[str, float]:
        """The means of tasks whose turn has come in this epoch: no figure beats a false 0."""
        looked_at = self.state.statistics[:, LOOKED_AT]
        started = {t for t, seen in zip(self.corpus.tasks, looked_at, strict=True) if seen}
        return {task: mean for task, mean in self._means(column).items() if task in started}

    def _end_epoch(self) -> None:
        """Judge the epoch, keep the dictionary if it is the best so far, and turn to the next."""
        state = self.state
        recall = self.validation.recall(state.embeddings, self.team)
        entry = {
            "epoch": state.epoch + 1,
            "loss": self._means(LOSS),
            "violated": self._means(VIOLATED),
            "recall": recall,
        }
        earlier = [_mean(past["recall"]) for past in state.history]
        state.history.append(entry)
        if recall and _mean(recall) > max(earlier, default=-1.0):
            state.best = state.embeddings.copy()
            state.best_epoch = state.epoch + 1
        self._report("epoch", recall)
        state.epoch += 1
        state.step = 0
        state.statistics[:] = 0

    def _report(self, phase: Phase, recall: dict[str, float] | None = None) -> None:
        state, epochs = self.state, self.config.epochs
        done = state.epoch * self.pairs + self._pairs_in(state.step)
        pace = self._pairs_done / max(time.monotonic() - self._started, 1e-6)
        self.callback(
            Progress(
                phase=phase,
                rows_read=self.corpus.counts["rows"],
                epoch=min(state.epoch + 1, epochs),
                epochs=epochs,
                pairs_done=done,
                pairs_total=epochs * self.pairs,
                pairs_per_second=pace,
                seconds_left=(epochs * self.pairs - done) / pace if pace else 0.0,
                loss=self._means_so_far(LOSS),
                violated=self._means_so_far(VIOLATED),
                recall=recall or {},
                rows_gathered=int(self._traffic[:, 0].sum()),
                rows_changed=int(self._traffic[:, 1].sum()),
            )
        )


def _group_size(pairs: int) -> int:
    """Pairs of a group: a power of two, because the choice must not hang on a single pair."""
    size = GROUP
    while size > _SMALLEST_GROUP and size * _STEPS_PER_EPOCH > pairs:
        size //= 2
    return size


def _mean(recall: dict[str, float]) -> float:
    return sum(recall.values()) / max(len(recall), 1)
