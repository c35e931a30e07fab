import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pintext import train
from pintext.cli import commands
from pintext.config import TrainConfig
from pintext.training.cautions import cautions


def counts(pairs: int, pins: int, validation: int = 0, unknown: int = 0) -> dict[str, int]:
    return {
        "pairs": pairs,
        "pins": pins,
        "validation_pairs": validation,
        "without_known_words": unknown,
    }


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (counts(100, 20, 5, 105), None),
        (counts(100, 2), None),
        (counts(0, 0), "it has no pair to learn from"),
        (counts(0, 0, 0, 1234), "no pair has a known word on both sides; words seen less than min"),
        (counts(0, 0, 1234, 7), "nothing was learned, all 1,234 pairs are held out for validation"),
        (counts(9, 1), "nothing was learned, it has one pin and so no background"),
        (
            counts(100, 20, 5, 1106),
            "1,106 of 1,211 pairs lack a known word on one side; words seen",
        ),
    ],
)
def test_each_way_to_teach_little_has_its_sentence(task: dict[str, int], words: str | None) -> None:
    found = cautions(
        {"good": counts(10, 5), "search": task}, {"good": 20, "search": 20}, TrainConfig()
    )
    if words is None:
        assert found == []
    else:
        (sentence,) = found
        assert sentence.startswith("task search: ")
        assert words in sentence


def test_few_held_out_queries_are_told(tmp_path: Path) -> None:
    """Nineteen of one task, twenty of another, none of a third."""
    pairs = tmp_path / "pairs.csv"
    lines = [
        f"{task},q{n} wood,p{n} oak,{'validation' if n < held else 'train'}"
        for task, held in (("home_feed", 0), ("related_pins", 19), ("search", 20))
        for n in range(60)
    ]
    pairs.write_text("task,query,pin,split\n" + "\n".join(lines) + "\n")
    card = train(pairs, TrainConfig(dim=4, epochs=1, min_count=1)).card
    few, none = card["cautions"]
    assert few.startswith("task related_pins: fewer than 20 queries (19) are held out")
    assert none == (
        "task home_feed: no query is held out, so other tasks alone say which epoch is best"
    )


def test_held_out_queries_are_not_missed_where_none_are_asked() -> None:
    tasks = {"search": counts(100, 20), "home_feed": counts(100, 20)}
    assert cautions(tasks, {}, TrainConfig(validation=0)) == []


def test_training_on_one_pair_warns_that_it_teaches_nothing(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.csv", tmp_path / "model"
    pairs.write_text("task,query,pin\nsearch,wood cabinets,oak cupboard\n")
    asked = ["train", str(pairs), "--out", str(out), "--min-count", "1", "--dim", "4", "--quiet"]
    done = CliRunner().invoke(commands, [*asked, "--validation", "0"])
    warning = (
        "task search: nothing was learned, it has one pin and so no background to tell it from"
    )
    assert done.exit_code == 0
    assert f"warning: {warning}" in done.stderr
    assert json.loads(done.stdout)["cautions"] == [warning]
