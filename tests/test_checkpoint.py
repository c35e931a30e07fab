from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pintext.errors import LockedError, TrainingError
from pintext.training.checkpoint import Checkpoint, Identity, WorkingFolder

MARK = Identity("f00d", {"dim": 5, "stop_words": ("the",), "task_weights": {}})


def some_checkpoint(best: bool = True) -> Checkpoint:
    random = np.random.default_rng(0)
    history = [
        {"epoch": 1, "loss": {"a": 0.1 + 0.2}, "violated": {"a": 1 / 3}, "recall": {"a": 1e-17}}
    ]
    return Checkpoint(
        embeddings=random.normal(size=(7, 5)).astype(np.float32),
        squares=random.random(7).astype(np.float32),
        statistics=random.random((1, 3)),
        epoch=1,
        step=4,
        history=history,
        best=random.normal(size=(7, 5)).astype(np.float32) if best else None,
        best_epoch=1 if best else 0,
    )


@pytest.mark.parametrize("best", [False, True])
def test_a_checkpoint_comes_back_to_the_bit(tmp_path: Path, best: bool) -> None:
    saved = some_checkpoint(best)
    saved.save(tmp_path / "checkpoint", MARK)
    loaded = Checkpoint.load(tmp_path / "checkpoint", MARK)
    for name in ("embeddings", "squares", "statistics", "best"):
        one, other = getattr(saved, name), getattr(loaded, name)
        assert (one is None and other is None) or np.array_equal(one, other)
    for name in ("epoch", "step", "history", "best_epoch"):
        assert getattr(saved, name) == getattr(loaded, name)
    loaded.embeddings[0, 0] = 3  # training goes on in these arrays
    loaded.statistics[0, 0] = 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        some_checkpoint().save(tmp_path / name, MARK)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    some_checkpoint().save(tmp_path / "checkpoint", MARK)
    with pytest.raises(TrainingError, match="written with other pairs; give the same again"):
        Checkpoint.load(tmp_path / "checkpoint", MARK._replace(pairs="beef"))
    other = MARK._replace(settings={**MARK.settings, "dim": 6, "task_weights": {"a": 2.0}})
    with pytest.raises(TrainingError) as caught:
        Checkpoint.load(tmp_path / "checkpoint", other)
    changes = 'dim = 5 (now 6), task_weights = {} (now {"a": 2.0})'
    assert f"written with other settings: {changes}; give the same again" in str(caught.value)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint"
    some_checkpoint().save(path, MARK)
    return path.read_bytes()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_changed_byte_is_noticed(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(content)
    damaged[place] ^= flip
    refused(bytes(damaged), tmp_path_factory)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\0" * 8)
@example(b"\xff" * 100)
@example(b"\2\0\0\0\0\0\0\0{}")
@example(b'\x1f\0\0\0\0\0\0\0{"__metadata__":{"format":"1"}} ')
@settings(max_examples=30, deadline=None)
def test_what_is_no_checkpoint_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    refused(content, tmp_path_factory)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_cut_checkpoint_is_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    refused(content[: data.draw(st.integers(0, len(content) - 1))], tmp_path_factory)


def refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "checkpoint"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"checkpoint.*start again from the beginning"):
        Checkpoint.load(path, MARK)


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    some_checkpoint().save(path, MARK)
    before = path.read_bytes()
    path.with_suffix(".new").mkdir()  # stands for any disk error
    with pytest.raises(TrainingError, match=r"cannot write the checkpoint: .*make room"):
        some_checkpoint(False).save(path, MARK)
    assert path.read_bytes() == before


def test_a_working_folder_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "model.training"
    with WorkingFolder(path) as work:
        with pytest.raises(LockedError, match=r"model\.training: another process"):
            WorkingFolder(path)
        work.remove()
    with WorkingFolder(path):
        assert path.exists()


def test_clearing_keeps_the_lock_and_removing_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.training"
    with WorkingFolder(path) as work:
        some_checkpoint().save(work.checkpoint, MARK)
        work.corpus.mkdir()
        (work.corpus / "tokens").write_bytes(b"1234")
        work.clear()
        assert [inside.name for inside in path.iterdir()] == ["lock"]
        with pytest.raises(LockedError):
            WorkingFolder(path)
        work.remove()
    assert not path.exists()


def test_removing_keeps_what_a_person_has_put_there(tmp_path: Path) -> None:
    path = tmp_path / "model.training"
    with WorkingFolder(path) as work:
        (path / "notes.txt").write_text("mine")
        work.remove()
    assert [inside.name for inside in path.iterdir()] == ["notes.txt"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/model\.training: cannot write"):
        WorkingFolder(tmp_path / "file" / "model.training")


def open_handles() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_no_handle_is_left_open_by_a_refusal(tmp_path: Path) -> None:
    with WorkingFolder(tmp_path / "work"):
        before = open_handles()
        for _ in range(5):
            with pytest.raises(LockedError):
                WorkingFolder(tmp_path / "work")
        assert open_handles() == before
