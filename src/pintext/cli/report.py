"""What a model is and how its training went, as ``train`` and ``info`` show it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pintext.cli.output import write_facts, write_json, write_table

if TYPE_CHECKING:
    from pintext.model import PinTextModel

__all__ = ["show_model"]

_FIGURES = {"loss": "loss", "violated": "violated", "recall": "recall@10"}


def show_model(
    model: "PinTextModel", folder: Path, more: dict[str, Any] | None = None, *, table: bool
) -> None:
    """Write one JSON object, or a table of the model and one of its tasks.

    Args:
        model: the model.
        folder: where it lies.
        more: further facts, shown after those of the model.
        table: for people.
    """
    facts = {
        "model": str(folder),
        "fingerprint": model.fingerprint,
        "words": len(model),
        "dim": model.dim,
        **(more or {}),
    }
    card = model.card
    tasks = _tasks(model)
    if not table:
        config = model.config.to_dict() if model.config else None
        write_json({**facts, **card, "tasks": tasks, "config": config})
        return
    write_facts(
        {**facts, **{name: card[name] for name in ("epochs", "best_epoch") if name in card}}
    )
    if tasks:
        names = dict.fromkeys(name for figures in tasks.values() for name in figures)
        write_table(
            {"": name, **{task: figures.get(name) for task, figures in tasks.items()}}
            for name in names
        )


def _tasks(model: "PinTextModel") -> dict[str, dict[str, Any]]:
    """What each task brought, and its figures after the best epoch."""
    masks = model.vocabulary.words_by_task()
    used_by = sum(mask.astype(int) for mask in masks.values())
    best_epoch = model.card.get("best_epoch")
    best: dict[str, Any] = {}
    for epoch in model.card.get("history", ()):
        if epoch["epoch"] == best_epoch:
            best = epoch
    figures = {}
    for task, mask in masks.items():
        figures[task] = {
            **model.card.get("tasks", {}).get(task, {}),
            "words": int(mask.sum()),
            "own_words": int((mask & (used_by == 1)).sum()),
        }
        for name, shown in _FIGURES.items():
            if task in best.get(name, {}):
                figures[task][shown] = best[name][task]
    return figures
