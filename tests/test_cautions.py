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
    found = cautions({"good": counts(10, 5), "search": task}, {"good": 20}, TrainConfig())
    if words is None:
        assert found == []
    else:
        (sentence,) = found
        assert sentence.startswith("task search: ")
        assert words in sentence


def test_few_held_out_queries_choose_no_epoch(tmp_path: Path) -> None:
    """Nineteen of one task and one of another: the last epoch is kept, and a warning says why."""
    pairs = tmp_path / "pairs.csv"
    lines = [
        f"{task},q{n} wood,p{n} oak,{'validation' if n < held else 'train'}"
        for task, held in (("related_pins", 19), ("search", 1))
        for n in range(60)
    ]
    pairs.write_text("task,query,pin,split\n" + "\n".join(lines) + "\n")
    config = TrainConfig(dim=4, epochs=12, min_count=1, patience=1)
    card = train(pairs, config).card
    assert card["epochs"] == card["best_epoch"] == 12
    assert [task in card["history"][0]["recall"] for task in ("related_pins", "search")] == [
        True
    ] * 2
    assert [caution.partition(" too few")[0] for caution in card["cautions"]] == [
        "task related_pins: held-out queries (19)",
        "task search: held-out queries (1)",
    ]
    pairs.write_text(pairs.read_text() + "related_pins,one more,p1 oak,validation\n")
    card = train(pairs, config).card
    assert len(card["cautions"]) == 1
    recalls = [entry["recall"]["related_pins"] for entry in card["history"]]
    assert card["best_epoch"] == recalls.index(max(recalls)) + 1 < card["epochs"]


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
