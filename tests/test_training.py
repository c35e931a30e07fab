"""``train`` as a person uses it: what is learned, what is written, and what is refused."""

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pintext.config import TrainConfig
from pintext.errors import (
    ConfigError,
    DataError,
    DivergedError,
    NoPairsError,
    PinTextError,
    TrainingError,
)
from pintext.model import PinTextModel
from pintext.pairs import PairSource, write_pairs
from pintext.training.corpus import prepare_corpus
from pintext.training.objective import GROUP
from pintext.training.progress import Progress
from pintext.training.run import Run
from pintext.training.trainer import train
from training_data import folder_bytes, planted_pairs, topic_of, write_dataset

QUICK = TrainConfig(dim=16, epochs=4, min_count=1)


def frame(*rows: tuple[str, str, str], weights: list[float] | None = None) -> pl.DataFrame:
    """Pairs given as task, query, pin."""
    made = pl.DataFrame(rows, schema=["task", "query", "pin"], orient="row")
    return made if weights is None else made.with_columns(weight=pl.Series(weights))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("planted"))


# ------------------------------------------------------------------------- what is learned


@pytest.fixture(scope="module")
def learned(planted: Path) -> PinTextModel:
    return train(planted, TrainConfig(dim=32, epochs=8, min_count=1, patience=8))


def test_neighbours_of_a_word_are_of_its_topic(planted: Path) -> None:
    learned = train(planted, TrainConfig(dim=32, epochs=8, min_count=1, validation=0, margin=0.5))
    same = [
        topic_of(neighbor.word) == topic_of(word)
        for word in learned.vocabulary.words()
        for neighbor in learned.most_similar(word, k=5)
    ]
    assert len(same) == 5 * len(learned) == 5 * 300
    assert np.mean(same) > 0.95


def test_pins_of_the_topic_are_found_for_queries_never_seen(learned: PinTextModel) -> None:
    """Recall@10 among 150 pins, 5 of each topic: by chance it is 0.07."""
    seen, fresh = planted_pairs(), planted_pairs(2000, seed=1)
    pins = sorted(set(seen["pin"]))
    queries = sorted(set(fresh["query"]) - set(seen["query"]))
    assert len(queries) > 200
    similarities = learned.encode(queries) @ learned.encode(pins).T
    lengths = np.linalg.norm(learned.encode(pins), axis=1)
    best = np.argsort(-similarities / lengths, axis=1)[:, :10]
    topics = np.array([topic_of(pin.split()[0]) for pin in pins])
    wanted = np.array([topic_of(query.split()[0]) for query in queries])
    assert ((topics[best] == wanted[:, None]).sum(axis=1) / 5).mean() > 0.95


def test_validation_recall_is_reported_and_far_above_chance(learned: PinTextModel) -> None:
    history = learned.card["history"]
    assert set(history[0]["recall"]) == {"a", "b"}
    assert min(history[-1]["recall"].values()) > 0.8
    for task in ("a", "b"):
        assert history[-1]["loss"][task] < history[0]["loss"][task]
        assert 0 <= history[-1]["violated"][task] < history[0]["violated"][task] < 1


def test_engagement_background_learns_the_topics_too(planted: Path) -> None:
    model = train(planted, TrainConfig(dim=32, epochs=6, min_count=1, background="engagement"))
    assert min(model.card["history"][-1]["recall"].values()) > 0.8


def test_one_task_teaches_another_through_shared_words(tmp_path: Path) -> None:
    """Task a never sees oak beside furniture; b does, through words that both have."""
    rows = [("a", "oak", "table"), ("a", "apple", "pie")] * 20
    shared = [("b", "table", "chair"), ("b", "pie", "cake")] * 20
    pairs = write_dataset(tmp_path, frame(*rows, *shared))
    config = TrainConfig(dim=16, epochs=60, min_count=1, validation=0, margin=1)
    together = train(pairs, config)
    alone = train(PairSource(pairs, tasks=["a"]), config)
    assert "chair" not in alone
    assert together.similarity("oak", "chair") > together.similarity("oak", "cake") + 0.3


# ---------------------------------------------------------------- the same bytes every time


def test_the_number_of_threads_changes_no_byte(tmp_path: Path) -> None:
    """Enough pairs for 5 groups a step, so that 2, 3 and 5 threads really share the work."""
    pairs = write_dataset(tmp_path, planted_pairs(44_000))
    config = TrainConfig(dim=24, epochs=1, min_count=1, batch_size=5 * GROUP, validation=0.01)
    (tmp_path / "work").mkdir()
    corpus = prepare_corpus(PairSource(pairs), config, tmp_path / "work")
    assert Run(corpus, config, 1, lambda _: None).groups_per_step == 5
    folders = []
    for threads in (1, 2, 3, 5):
        folders.append(tmp_path / f"threads{threads}")
        train(pairs, config, out=folders[-1], threads=threads)
    one = folder_bytes(folders[0])
    assert len(one) == 6
    assert all(folder_bytes(folder) == one for folder in folders[1:])


TRAIN_PREPARED = """
import hashlib, json, sys
from pathlib import Path
from pintext.config import TrainConfig
from pintext.training.corpus import open_corpus
from pintext.training.run import Run
corpus = open_corpus(Path(sys.argv[1]))
for dim in (5, 24, 32):
    config = TrainConfig(dim=dim, epochs=2, validation=0, margin=0.5)
    result = Run(corpus, config, 1, lambda _: None).train(lambda _: None)
    print(hashlib.sha256(result.embeddings).hexdigest(), json.dumps(result.history))
"""


def test_code_just_compiled_and_code_from_the_cache_give_the_same_bytes(
    planted: Path, tmp_path: Path
) -> None:
    work, cache = tmp_path / "work", tmp_path / "cache"
    work.mkdir()
    prepare_corpus(PairSource(planted), TrainConfig(min_count=1, validation=0), work)

    def results() -> str:
        return subprocess.run(
            [sys.executable, "-c", TRAIN_PREPARED, str(work)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    compiling = results()
    assert list(cache.rglob("*.nbc"))
    assert compiling.count("\n") == 3
    assert results() == compiling


def test_the_seed_decides_and_any_number_of_seeds_works(planted: Path) -> None:
    config = {**QUICK.to_dict(), "epochs": 1}
    models = [train(planted, TrainConfig(**{**config, "seed": seed})) for seed in range(6)]
    models.append(train(planted, TrainConfig(**{**config, "seed": 2**63 - 1})))
    assert len({model.fingerprint for model in models}) == 7
    again = train(planted, TrainConfig(**{**config, "seed": 3}))
    assert again.fingerprint == models[3].fingerprint


def test_the_model_returned_is_the_model_written(planted: Path, tmp_path: Path) -> None:
    model = train(planted, QUICK, out=tmp_path / "model")
    stored = PinTextModel.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(model.embeddings, stored.embeddings)
    assert stored.vocabulary.words() == model.vocabulary.words()
    assert stored.card == model.card
    assert stored.config == QUICK
    assert not (tmp_path / "model.training").exists()


def test_training_works_in_a_thread_that_cannot_get_signals(planted: Path) -> None:
    models: list[PinTextModel] = []
    thread = threading.Thread(target=lambda: models.append(train(planted, QUICK)))
    thread.start()
    thread.join()
    assert models[0].fingerprint == train(planted, QUICK).fingerprint


# ------------------------------------------------------------------------ tasks and weights


def test_a_weight_of_the_task_is_a_weight_of_its_pairs(planted: Path, tmp_path: Path) -> None:
    by_task = train(planted, TrainConfig(**{**QUICK.to_dict(), "task_weights": {"a": 2.0}}))
    weighted = planted_pairs().with_columns(
        weight=pl.when(pl.col("task") == "a").then(2.0).otherwise(1.0)
    )
    by_pair = train(write_dataset(tmp_path, weighted), QUICK)
    np.testing.assert_array_equal(by_task.embeddings, by_pair.embeddings)
    assert by_task.fingerprint != train(planted, QUICK).fingerprint


def test_small_tasks_weigh_more_by_the_balance(tmp_path: Path) -> None:
    """Four times fewer pairs weigh twice as much at a balance of 0.5, four times at 1."""
    few = [("a", f"q{n % 9} x{n % 5}", f"p{n % 9} y{n % 7}") for n in range(100)]
    many = [("b", f"q{n % 9} z{n % 5}", f"p{n % 9} w{n % 7}") for n in range(400)]
    pairs = write_dataset(tmp_path, frame(*few, *many))

    def rows(**settings: Any) -> Any:
        return train(
            pairs, TrainConfig(**{**QUICK.to_dict(), "validation": 0.0, **settings})
        ).embeddings

    plain = rows(task_balance=0.0)
    for balance, weight in ((0.5, 2.0), (1.0, 4.0)):
        expected = rows(task_balance=0.0, task_weights={"a": weight})
        np.testing.assert_array_equal(rows(task_balance=balance), expected)
        assert not np.array_equal(plain, expected)
    both = rows(task_balance=0.5, task_weights={"a": 3.0})
    np.testing.assert_array_equal(both, rows(task_balance=0.0, task_weights={"a": 6.0}))


def test_a_task_of_weight_zero_changes_nothing(tmp_path: Path) -> None:
    rows = [("a", "oak", "wood"), ("b", "x", "y"), ("b", "z", "w")]
    pairs = write_dataset(tmp_path, frame(*rows * 20))

    def row_of_x(weight: float, rate: float) -> Any:
        weights = {"b": weight}
        config = TrainConfig(
            min_count=1, validation=0, task_weights=weights, learning_rate=rate, margin=1
        )
        return train(pairs, config)["x"].tolist()

    assert row_of_x(0, 0.1) == row_of_x(0, 0.3)
    assert row_of_x(1, 0.1) != row_of_x(1, 0.3)


@pytest.mark.parametrize("loss", ["hinge", "softmax"])
def test_heavier_pairs_pull_harder(tmp_path: Path, loss: str) -> None:
    """A query with two pins of unlike weight ends nearer to the heavier one, on average.

    What a row begins with may outdo a weight in one training of a few words, so this is a mean over
    seeds; and with either pin the heavier one, so that neither is nearer to begin with.
    """
    rows = [
        ("a", "oak", "wood"),
        ("a", "oak", "tree"),
        ("a", "wool", "wood"),
        ("a", "wool", "tree"),
    ]
    rows += [("a", "sea", "ship"), ("a", "sky", "bird")]
    gaps = []
    for winner, loser in (("wood", "tree"), ("tree", "wood")):
        weights = [10.0 if pin == winner else 0.1 for _, _, pin in rows]
        pairs = write_dataset(tmp_path / winner, frame(*rows * 10, weights=weights * 10))
        for seed in range(20):
            values = {"loss": loss, "dim": 64, "epochs": 5, "min_count": 1, "validation": 0}
            model = train(pairs, TrainConfig.from_dict(values | {"seed": seed}))
            gaps.append(model.similarity("oak", winner) - model.similarity("oak", loser))
    assert np.mean(gaps) > 0.05


def test_a_single_pair_is_enough(tmp_path: Path) -> None:
    pairs = write_dataset(tmp_path, frame(("a", "oak", "wood")))
    model = train(pairs, TrainConfig(dim=4, min_count=1, validation=0))
    assert sorted(model.vocabulary.words()) == ["oak", "wood"]
    assert np.isfinite(model.embeddings).all()
    assert model.card["tasks"]["a"]["pairs"] == 1
    assert model.card["epochs"] == 10


def test_a_task_with_one_pin_has_nothing_to_tell_it_from(tmp_path: Path) -> None:
    rows = [("a", f"q{i}", "pin") for i in range(100)]
    model = train(write_dataset(tmp_path, frame(*rows)), TrainConfig(dim=4, min_count=1))
    assert [entry["loss"] for entry in model.card["history"]] == [{"a": 0.0}] * len(
        model.card["history"]
    )
    assert np.isfinite(model.embeddings).all()


def test_a_radius_holds_every_row(planted: Path) -> None:
    model = train(planted, TrainConfig(**{**QUICK.to_dict(), "max_norm": 0.12}))
    lengths = np.linalg.norm(model.embeddings, axis=1)
    assert lengths.max() == pytest.approx(0.12, rel=1e-5)


def test_counts_in_the_card_are_those_of_the_data(planted: Path) -> None:
    data = planted_pairs()
    card = train(planted, TrainConfig(**{**QUICK.to_dict(), "validation": 0})).card
    assert card["rows"] == 3000
    assert card["words"] == 300
    assert card["rejected"] == {}
    for task in ("a", "b"):
        mine = data.filter(pl.col("task") == task)
        sides = [
            mine[side].str.split(" ").list.sort().list.join(" ").n_unique()
            for side in ("query", "pin")
        ]
        assert card["tasks"][task] == {
            "pairs": 1500,
            "queries": sides[0],
            "pins": sides[1],
            "validation_pairs": 0,
            "without_known_words": 0,
        }
    assert card["epochs"] == card["best_epoch"] == 4


# -------------------------------------------------------------------------- early stopping


def test_the_best_epoch_is_kept_and_patience_ends_training(planted: Path, tmp_path: Path) -> None:
    """A learning rate far too high at first: recall goes up and down."""
    config = TrainConfig(dim=2, epochs=40, min_count=1, learning_rate=10, patience=3)
    corpus = prepare_corpus(PairSource(planted), config, tmp_path)
    kept: list[Any] = []

    def keep(progress: Progress) -> None:
        if progress.phase == "epoch":
            kept.append(run.state.embeddings.copy())

    run = Run(corpus, config, 2, keep)
    result = run.train(lambda _: None)
    recalls = [sum(entry["recall"].values()) for entry in result.history]
    assert len(recalls) == len(kept) == result.epoch
    best = int(np.argmax(recalls))
    assert result.best_epoch == best + 1
    assert len(set(recalls)) > 1
    assert result.epoch == min(best + 1 + 3, 40) < 40
    assert result.best is not None
    np.testing.assert_array_equal(result.best, kept[best])
    assert (result.best != result.embeddings).any()

    model = train(planted, config)
    np.testing.assert_array_equal(model.embeddings, kept[best])
    assert (model.card["best_epoch"], model.card["epochs"]) == (best + 1, result.epoch)
    assert model.card["history"] == result.history


def test_without_validation_the_last_epoch_is_kept(planted: Path) -> None:
    card = train(planted, TrainConfig(**{**QUICK.to_dict(), "validation": 0})).card
    assert [entry["recall"] for entry in card["history"]] == [{}] * 4


# ------------------------------------------------------------------------------- progress


def test_progress_only_grows_and_ends_with_finished(planted: Path) -> None:
    told: list[Progress] = []
    model = train(planted, QUICK, callback=told.append)
    phases = [progress.phase for progress in told]
    reading = phases.count("reading")
    assert phases[:reading] == ["reading"] * reading
    assert phases.count("finished") == 1
    assert phases[-1] == "finished"
    assert phases.count("epoch") == 4
    assert set(phases[reading:-1]) == {"training", "epoch"}
    rows = [progress.rows_read for progress in told]
    assert rows == sorted(rows)
    assert rows[-1] == 3000
    done = [(progress.epoch, progress.pairs_done) for progress in told[reading:]]
    assert done == sorted(done)
    total = sum(task["pairs"] for task in model.card["tasks"].values())
    assert {progress.pairs_total for progress in told[reading:]} == {4 * total}
    assert told[-1].pairs_done == 4 * total
    assert told[-1].seconds_left == 0
    ends = [progress for progress in told if progress.phase == "epoch"]
    assert [progress.recall for progress in ends] == [e["recall"] for e in model.card["history"]]
    assert [progress.pairs_done for progress in ends] == [total * epoch for epoch in range(1, 5)]
    for progress in told[reading:-1]:
        assert progress.epochs == 4
        assert progress.pairs_per_second > 0
        assert set(progress.loss) == set(progress.violated) <= {"a", "b"}
    assert all(set(progress.loss) == {"a", "b"} for progress in ends)
    for epoch in range(1, 5):
        begun = [set(progress.loss) for progress in told[reading:-1] if progress.epoch == epoch]
        assert begun[0]
        assert all(now <= later for now, later in itertools.pairwise(begun))


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("weight", [1e300, 1e38, 1e30, 1e20])
def test_absurd_weights_end_in_an_error_that_says_what_to_lower(
    planted: Path, tmp_path: Path, weight: float
) -> None:
    config = TrainConfig(**{**QUICK.to_dict(), "task_weights": {"a": weight}})
    with pytest.raises(DivergedError, match=r"epoch 1; lower learning_rate .*task_weights"):
        train(planted, config, out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_absurd_weights_of_pairs_too(tmp_path: Path) -> None:
    pairs = write_dataset(tmp_path, planted_pairs(500).with_columns(weight=pl.lit(1e35)))
    with pytest.raises(DivergedError, match="the pairs' weights"):
        train(pairs, QUICK)


def test_large_weights_and_rates_that_can_be_computed_with_are_obeyed(planted: Path) -> None:
    config = {**QUICK.to_dict(), "task_weights": {"a": 1e10, "b": 1e10}, "learning_rate": 10.0}
    assert np.isfinite(train(planted, TrainConfig(**config)).embeddings).all()


def test_nothing_to_train_on_leaves_nothing_behind(tmp_path: Path) -> None:
    pairs = write_dataset(tmp_path, frame(("a", "oak", "wood")))
    with pytest.raises(NoPairsError, match="lower min_count"):
        train(pairs, out=tmp_path / "model")
    with pytest.raises(ConfigError, match="task_weights names 'z'"):
        train(pairs, TrainConfig(task_weights={"z": 1.0}), out=tmp_path / "model")
    with pytest.raises(DataError, match="nowhere"):
        train(tmp_path / "nowhere", out=tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["pairs"]


def test_what_is_at_out_is_replaced_only_when_asked(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()  # an empty folder is nothing
    train(planted, QUICK, out=out)
    before = folder_bytes(out)
    told: list[Progress] = []
    with pytest.raises(TrainingError, match=r"model: exists already.*overwrite"):
        train(planted, QUICK, out=out, callback=told.append)
    assert folder_bytes(out) == before
    train(planted, TrainConfig(**{**QUICK.to_dict(), "seed": 1}), out=out, overwrite=True)
    assert folder_bytes(out) != before

    (out / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match=r"notes\.txt, which would be lost"):
        train(planted, QUICK, out=out, overwrite=True, callback=told.append)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingError, match="is a file"):
        train(planted, QUICK, out=tmp_path / "file", overwrite=True, callback=told.append)
    assert told == []  # all of it before any work
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]


def test_parents_of_out_are_made(planted: Path, tmp_path: Path, monkeypatch: Any) -> None:
    train(planted, QUICK, out=tmp_path / "new" / "er" / "model")
    assert [path.name for path in (tmp_path / "new" / "er").iterdir()] == ["model"]
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    train(planted, QUICK, out=".", overwrite=True)
    assert len(PinTextModel.from_pretrained(here)) == 300


@pytest.mark.parametrize("out", ["file/model", "x" * 300, "/proc/model"])
def test_a_place_that_cannot_be_written_is_named_before_any_work(
    planted: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("mine")
    told: list[Progress] = []
    with pytest.raises(TrainingError, match=r"(file|xxx|/proc)/?.*cannot"):
        train(planted, QUICK, out=tmp_path / out, callback=told.append)
    assert told == []


def test_wrong_arguments_are_refused(planted: Path) -> None:
    with pytest.raises(ConfigError, match="resume needs out"):
        train(planted, QUICK, resume=True)
    with pytest.raises(ConfigError, match="threads = -1"):
        train(planted, QUICK, threads=-1)


def test_a_batch_that_memory_cannot_hold_is_refused(tmp_path: Path) -> None:
    """A group has room for 192 texts, and each may be as long as the longest."""
    long = " ".join(["oak"] * 1_500_000)
    pairs = write_dataset(tmp_path, frame(("a", long, "wood")))
    config = TrainConfig(dim=4, min_count=1, validation=0, max_tokens=2**31 - 1)
    with pytest.raises(TrainingError, match="lower max_tokens or batch_size") as caught:
        train(pairs, config)
    assert isinstance(caught.value, PinTextError)


def test_the_format_and_the_order_of_tasks_change_no_byte(tmp_path: Path) -> None:
    frame = planted_pairs()
    frame.write_csv(tmp_path / "mixed.csv")
    frame.write_parquet(tmp_path / "mixed.parquet")
    frame.sort("task", descending=True, maintain_order=True).write_ndjson(tmp_path / "b-a.jsonl")
    write_pairs(frame, tmp_path / "folder")
    config = TrainConfig(dim=8, epochs=2, min_count=1)
    models = [train(path, config) for path in sorted(tmp_path.iterdir())]
    assert len(models) == 4
    assert len({model.fingerprint for model in models}) == 1
