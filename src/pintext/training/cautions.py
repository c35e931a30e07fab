"""What a person should know of a training that ran without error and yet taught little."""

from collections.abc import Iterator, Mapping

from pintext.config import TrainConfig
from pintext.training.validation import FEWEST_QUERIES

__all__ = ["cautions"]


def cautions(
    tasks: Mapping[str, Mapping[str, int]], queries: Mapping[str, int], config: TrainConfig
) -> list[str]:
    """A sentence for each task from whose pairs nothing, or not half, could be learned or judged.

    Args:
        tasks: each task's counts: ``pairs``, ``pins``, ``validation_pairs`` and
            ``without_known_words``.
        queries: of the tasks that have any, how many are held out for validation.
        config: the settings of the training.
    """
    taught = [
        f"task {task}: {what}" for task, counts in tasks.items() for what in _of(counts, config)
    ]
    few = [
        f"task {task}: fewer than {FEWEST_QUERIES} queries ({count}) are held out, so which epoch "
        "is best is partly chance; more pairs make it surer"
        for task, count in queries.items()
        if count < FEWEST_QUERIES
    ]
    unasked = [
        f"task {task}: no query is held out, so other tasks alone say which epoch is best"
        for task, counts in tasks.items()
        if queries and task not in queries and counts["pairs"]
    ]
    return taught + few + unasked


def _of(counts: Mapping[str, int], config: TrainConfig) -> Iterator[str]:
    pairs, held_out = counts["pairs"], counts["validation_pairs"]
    unknown = counts["without_known_words"]
    total = pairs + held_out + unknown
    lower = f"words seen less than min_count = {config.min_count} times have no row"
    if not total:
        yield "it has no pair to learn from"
    elif unknown == total:
        yield f"nothing was learned, no pair has a known word on both sides; {lower}"
    elif not pairs:
        yield f"nothing was learned, all {held_out:,} pairs are held out for validation"
    elif counts["pins"] == 1:
        yield "nothing was learned, it has one pin and so no background to tell it from"
    elif 2 * unknown > total:
        yield f"{unknown:,} of {total:,} pairs lack a known word on one side; {lower}"
