"""The search for settings: what it finds, that it can be repeated, what it refuses and keeps."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pintext.cli import commands
from pintext.config import TrainConfig
from pintext.errors import ConfigError, TrainingError
from pintext.training.trainer import train
from pintext.tuning import Tuning, TuningProgress, tune
from pintext.tuning.space import SETTINGS
from training_data import planted_pairs, write_dataset

START = TrainConfig(dim=16, epochs=2, min_count=1, seed=4)
SEARCHED = ("loss", "margin", "temperature", "learning_rate", "task_weights")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("planted"), planted_pairs(1000, topics=20))


@pytest.fixture(scope="module")
def found(planted: Path) -> Tuning:
    return tune(
        planted, START, searched=SEARCHED, max_trials=10, minutes=60, dims=(32, 8), threads=1
    )


def test_the_first_trial_has_the_given_settings_and_the_best_is_at_least_as_good(
    found: Tuning,
) -> None:
    assert [trial.number for trial in found.trials] == list(range(10))
    assert found.given.config == START
    assert found.best.mean_recall >= found.given.mean_recall
    finished = [trial.mean_recall for trial in found.trials if not trial.stopped]
    assert found.best.mean_recall == max(finished)


def test_the_recall_of_a_trial_is_that_of_training_with_its_settings(
    found: Tuning, planted: Path
) -> None:
    model = train(planted, found.best.config)
    recalls = [epoch["recall"] for epoch in model.card["history"]]
    assert found.best.recall in recalls
    assert found.best.mean_recall == pytest.approx(max(sum(r.values()) / 2 for r in recalls))
    assert found.best.dictionary_bytes == model.embeddings.nbytes


def test_the_same_seed_gives_the_same_search_on_any_number_of_threads(
    found: Tuning, planted: Path
) -> None:
    again = tune(
        planted, START, searched=SEARCHED, max_trials=10, minutes=60, dims=(8, 32), threads=2
    )
    assert again == found


def test_only_what_is_searched_is_changed(found: Tuning) -> None:
    start = START.to_dict()
    for trial in found.trials:
        values = trial.config.to_dict()
        assert {k for k, v in values.items() if v != start[k]} <= set(SEARCHED)
        if trial.config.loss == "hinge":
            assert trial.config.temperature == START.temperature
            assert 0.05 <= trial.config.margin <= 1
        elif trial.number:
            assert trial.config.margin == START.margin
            assert 0.03 <= trial.config.temperature <= 0.5
        assert "a" not in trial.config.task_weights
        assert all(0.25 <= weight <= 4 for weight in trial.config.task_weights.values())
    assert len({str(trial.config) for trial in found.trials}) > 8


def test_every_dim_is_trained_with_the_best_settings(found: Tuning) -> None:
    assert [trial.config.dim for trial in found.by_dim] == [8, 32]
    best = found.best.config.to_dict() | {"dim": 0}
    assert all(trial.config.to_dict() | {"dim": 0} == best for trial in found.by_dim)
    sizes = [trial.dictionary_bytes / trial.config.dim for trial in found.by_dim]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_importance_is_shared_out_among_the_searched_settings(planted: Path, seed: int) -> None:
    start = TrainConfig(dim=3, epochs=2, min_count=1, seed=seed)  # too small to be always right
    found = tune(planted, start, searched=SEARCHED, max_trials=20, minutes=60, threads=1)
    assert "learning_rate" in found.importance
    assert set(found.importance) <= {*SEARCHED, "weight of b"}
    assert sum(found.importance.values()) == pytest.approx(1)


def test_few_trials_say_nothing_of_importance(planted: Path) -> None:
    found = tune(planted, START, searched=SEARCHED, max_trials=9, minutes=60, threads=1)
    assert found.importance == {}


def test_a_start_that_diverges_is_an_error(planted: Path) -> None:
    start = TrainConfig(dim=8, epochs=1, min_count=1, task_weights={"a": 1e38})
    with pytest.raises(TrainingError, match="not finite"):
        tune(planted, start, searched=["margin"], max_trials=1)


def test_interrupted_it_keeps_what_was_found(planted: Path) -> None:
    told: list[TuningProgress] = []

    def interrupt(progress: TuningProgress) -> None:
        told.append(progress)
        if len(told) == 2:
            raise KeyboardInterrupt

    found = tune(planted, START, searched=["loss"], max_trials=5, dims=[8], callback=interrupt)
    assert found.interrupted
    assert len(found.trials) == 2
    assert found.by_dim == ()
    assert told[0].trial == told[0].best == found.given


def test_the_time_budget_ends_the_search(planted: Path) -> None:
    found = tune(planted, START, searched=["loss"], minutes=1e-6)
    assert [trial.config for trial in found.trials] == [START]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"searched": ["dim"]}, "cannot search 'dim'; choose from loss, negatives"),
        ({"searched": []}, "cannot search nothing"),
        ({"minutes": 0}, "minutes > 0"),
        ({"max_trials": 0}, "max_trials >= 1"),
        ({"config": TrainConfig(validation=0, min_count=1)}, "no pairs are held out"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    planted: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(planted, **{"config": START, "max_trials": 1} | changes)  # type: ignore[arg-type]


def test_every_searched_setting_is_one_of_training() -> None:
    assert set(SETTINGS) <= set(TrainConfig.__struct_fields__)


# ------------------------------------------------------------------------- the command


def run(*arguments: object) -> tuple[int, list[dict[str, Any]], str]:
    done = CliRunner().invoke(commands, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_the_command_writes_a_file_that_train_reads(tmp_path: Path) -> None:
    pairs, out = write_dataset(tmp_path, planted_pairs(600)), tmp_path / "tuned.toml"
    options = ["--dim", 8, "--epochs", 2, "--min-count", 1, "--trials", 2, "--search", "loss"]
    code, lines, said = run("tune", pairs, "--out", out, *options, "--try-dim", 4)
    assert code == 0, said
    assert [line["kind"] for line in lines] == ["trial", "trial", "dim", "best"]
    best = lines[-1]
    assert TrainConfig.from_file(out) == TrainConfig.from_dict(best["config"])
    assert tomllib.loads(out.read_text())["dim"] == 8
    assert "trial 1: recall@10" in said
    before = out.read_bytes()
    code, _, said = run("tune", pairs, "--out", out, *options)
    assert (code, out.read_bytes()) == (1, before)
    assert "exists already" in said


def test_the_command_wants_a_toml_file(tmp_path: Path) -> None:
    code, _, said = run("tune", tmp_path, "--out", tmp_path / "tuned.json")
    assert code == 2
    assert ".toml" in said
