"""What training tells of itself while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Phase", "Progress", "kept_epoch"]

Phase = Literal["reading", "training", "epoch", "finished"]


@dataclass(frozen=True)
class Progress:
    """How far training is. Given to ``callback`` a few times a second.

    Attributes:
        phase: ``reading`` pairs, ``training``, the end of an ``epoch``, or ``finished``.
        rows_read: rows of the input read so far.
        epoch: epoch at work, from 1.
        epochs: epochs at most; early stopping may end sooner.
        pairs_done: positive pairs visited so far, over all epochs.
        pairs_total: positive pairs to visit if all epochs run.
        pairs_per_second: speed of training so far in this process, validation included.
        seconds_left: estimate for all epochs.
        loss: mean loss for each background entity looked at in this epoch, by task; a task whose
            turn has not come is left out, here and in ``violated``.
        violated: share of margins that were violated, or with softmax of background entities closer
            than p+, in this epoch, by task, in [0, 1].
        rows_gathered: rows of the dictionary read so far in this process, to embed entities.
        rows_changed: rows changed so far in this process.
        recall: validation recall@10 by task; filled in at the end of an epoch, if pairs are held
            out.
    """

    phase: Phase
    rows_read: int = 0
    epoch: int = 0
    epochs: int = 0
    pairs_done: int = 0
    pairs_total: int = 0
    pairs_per_second: float = 0.0
    seconds_left: float = 0.0
    loss: dict[str, float] = field(default_factory=dict)
    violated: dict[str, float] = field(default_factory=dict)
    recall: dict[str, float] = field(default_factory=dict)
    rows_gathered: int = 0
    rows_changed: int = 0


def kept_epoch(card: Mapping[str, Any], epochs: int) -> str:
    """Which epoch training kept, in words; empty where it was the last one that ran.

    Args:
        card: of the trained model.
        epochs: that were to run at most.
    """
    ran, best = card["epochs"], card["best_epoch"]
    if best >= ran:
        return ""
    stopped = f"stopped after epoch {ran}; " if ran < epochs else ""
    return f"{stopped}recall@10 of the held-out queries was best in epoch {best}, which is kept"
