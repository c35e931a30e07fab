"""Training that is stopped, killed, or runs into a full disk goes on to the same bytes."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
from safetensors import safe_open

from pintext.config import TrainConfig
from pintext.errors import DataError, LockedError, TrainingError
from pintext.training.progress import Progress
from pintext.training.trainer import train
from training_data import folder_bytes, planted_pairs, write_dataset

CONFIG = TrainConfig(dim=32, epochs=60, min_count=1, patience=60)
PROGRAM = Path(__file__).with_name("train_process.py")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def expected(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The model of a training that nothing disturbs."""
    out = tmp_path_factory.mktemp("expected") / "model"
    train(pairs, CONFIG, out=out, threads=1)
    return folder_bytes(out)


class Process:
    """A training in a process of its own, in slow motion; see ``train_process.py``."""

    def __init__(self, *, limit: int = 0) -> None:
        """Start the process; it does nothing yet. ``limit`` is for the size of its files."""

        def limit_files() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        self.popen = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit_files if limit else None,
        )

    def train(self, pairs: Path, out: Path, **arguments: Any) -> Self:
        """Give it something to do."""
        given = {"pairs": str(pairs), "out": str(out), "config": CONFIG.to_dict(), **arguments}
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps({"pause": 0.01, **given}) + "\n")
        self.popen.stdin.flush()
        return self

    def wait_for(self, *phases: str) -> None:
        """Read until the training says that it is in one of these phases."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if line.strip() in phases:
                return
        raise AssertionError(f"ended before {phases}: {self.popen.communicate()[1]}")

    def end(self, sent: signal.Signals | None = None) -> tuple[int, str]:
        """Send a signal, if one is given; wait, and return the exit code and what stderr says."""
        if sent is not None:
            self.popen.send_signal(sent)
        _, errors = self.popen.communicate(timeout=120)
        return self.popen.returncode, errors


def processes(count: int) -> Iterator[Process]:
    """That many processes; while one is at work, the next is already importing."""
    started = [Process()]
    try:
        for number in range(count):
            if number + 1 < count:
                started.append(Process())
            yield started[number]
    finally:
        for process in started:
            process.popen.kill()
            process.popen.communicate()


def checkpoint_of(out: Path) -> Path:
    return out.with_name(out.name + ".training") / "checkpoint.safetensors"


def progress_in(out: Path) -> tuple[int, int]:
    """Epoch and step of the checkpoint; (0, 0) where there is none yet."""
    path = checkpoint_of(out)
    if not path.exists():
        return 0, 0
    with safe_open(path, "numpy") as file:
        progress = json.loads(file.metadata()["progress"])
    return progress["epoch"], progress["step"]


# ------------------------------------------------------------------------ real processes


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    pairs: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """SIGKILL, ten times: twice while pairs are read, then wherever training happens to be."""
    draw = random.Random(0)
    out = tmp_path / "model"
    reached = [(0, 0)]
    for attempt, process in enumerate(processes(10)):
        threads = draw.randint(1, 3)
        process.train(pairs, out, resume=True, threads=threads, checkpoint_minutes=0)
        process.wait_for("reading" if attempt < 2 else "training")
        if attempt % 2:
            process.wait_for("reading", "training", "epoch")  # a checkpoint was saved in between
        time.sleep(draw.uniform(0, 0.08))
        assert process.end(signal.SIGKILL)[0] == -signal.SIGKILL
        assert not out.exists()
        reached.append(progress_in(out))
    assert reached == sorted(reached)
    assert len(set(reached)) > 4
    train(pairs, CONFIG, out=out, resume=True, threads=2)
    assert folder_bytes(out) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_interrupted_or_terminated_it_leaves_a_checkpoint(
    pairs: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    draw = random.Random(1)
    out = tmp_path / "model"
    reached = [(0, 0)]
    for attempt, process in enumerate(processes(6)):
        sent = (signal.SIGINT, signal.SIGTERM)[attempt % 2]
        process.train(pairs, out, resume=attempt > 0, threads=draw.randint(1, 3))
        process.wait_for("training")
        time.sleep(draw.uniform(0, 0.08))
        code, errors = process.end(sent)
        assert code == -sent
        assert ("KeyboardInterrupt" in errors) == (sent == signal.SIGINT)
        assert not out.exists()
        reached.append(progress_in(out))
    assert all(later > earlier for earlier, later in pairwise(reached))
    train(pairs, CONFIG, out=out, resume=True, threads=3)
    assert folder_bytes(out) == expected


def test_only_one_process_trains_into_a_folder(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    first = Process().train(pairs, out, threads=1)
    first.wait_for("reading")
    with pytest.raises(LockedError, match=r"model\.training: another process is training"):
        train(pairs, CONFIG, out=out)
    with pytest.raises(LockedError):
        train(pairs, CONFIG, out=out, resume=True)
    first.wait_for("training")
    assert first.end(signal.SIGTERM)[0] == -signal.SIGTERM
    train(pairs, CONFIG, out=out, resume=True)
    assert out.exists()


# ----------------------------------------------------------------------------- full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("needs to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no room on a file system meanwhile."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    yield
    filler.unlink()


@pytest.mark.parametrize("stage", ["reading", "checkpoint", "model"])
def test_a_full_disk_is_an_error_and_training_goes_on_after_room_is_made(
    pairs: Path, expected: dict[str, bytes], small_disk: Path, stage: str
) -> None:
    out = small_disk / "model"
    minutes = 0 if stage == "checkpoint" else 10
    if stage == "reading":
        with filled(small_disk):
            code, errors = Process().train(pairs, out, checkpoint_minutes=minutes).end()
    else:
        process = Process().train(pairs, out, checkpoint_minutes=minutes)
        process.wait_for("epoch")
        process.wait_for("epoch")
        with filled(small_disk):
            code, errors = process.end()
    assert code == 1
    assert "Traceback" not in errors
    assert "No space left on device" in errors
    assert str(small_disk) in errors
    assert not out.exists()
    assert (progress_in(out) > (0, 0)) == (stage == "checkpoint")
    train(pairs, CONFIG, out=out, resume=True)
    assert folder_bytes(out) == expected
    assert [path.name for path in small_disk.iterdir()] == ["model"]


def test_a_file_size_limit_is_an_error_too(
    pairs: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """What stands for a full disk where nothing can be mounted."""
    out = tmp_path / "model"
    code, errors = Process(limit=100_000).train(pairs, out).end()
    assert code == 1
    assert errors.startswith("TrainingError: ")
    assert "model.training" in errors
    assert "File too large" in errors
    train(pairs, CONFIG, out=out, resume=True)
    assert folder_bytes(out) == expected


# ------------------------------------------------------------------------- in this process


class StopError(Exception):
    """Raised by a callback."""


def stop_after(reports: int) -> Callable[[Progress], None]:
    left = iter(range(reports))

    def callback(progress: Progress) -> None:
        if progress.phase in ("training", "epoch") and next(left, None) is None:
            raise StopError

    return callback


def stopped_training(pairs: Path, out: Path, reports: int = 5, **arguments: Any) -> None:
    """Leave a checkpoint of a training that its callback ended."""
    with pytest.raises(StopError):
        train(
            pairs,
            arguments.pop("config", CONFIG),
            out=out,
            checkpoint_minutes=0,
            callback=stop_after(reports),
            **arguments,
        )
    assert checkpoint_of(out).exists()


def test_stopped_again_and_again_it_goes_on_to_the_same_bytes(
    pairs: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "model"
    for number, reports in enumerate([2, 3, 4, 9, 20]):
        stopped_training(pairs, out, reports, resume=number > 0, threads=number % 4 + 1)
    done: list[Progress] = []
    train(pairs, CONFIG, out=out, resume=True, threads=3, callback=done.append)
    assert folder_bytes(out) == expected
    assert "reading" not in {progress.phase for progress in done}  # what was read is kept
    assert done[0].pairs_done > done[-1].pairs_done / 60
    assert [p.pairs_done for p in done] == sorted(p.pairs_done for p in done)


def test_in_the_middle_of_an_epoch_too(pairs: Path, tmp_path: Path) -> None:
    """The first call of a process runs one step, so its checkpoint is inside an epoch."""
    config = TrainConfig(**{**CONFIG.to_dict(), "epochs": 2})
    train(pairs, config, out=tmp_path / "whole")
    out = tmp_path / "model"
    steps = []
    for number in range(4):
        stopped_training(pairs, out, 1, resume=number > 0, config=config, threads=number + 1)
        steps.append(progress_in(out))
    assert steps[0] == (0, 1)
    train(pairs, config, out=out, resume=True)
    assert folder_bytes(out) == folder_bytes(tmp_path / "whole")


def test_a_finished_checkpoint_needs_no_more_training(
    pairs: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """StopError after the last step, before the model was written."""
    out = tmp_path / "model"

    def stop(progress: Progress) -> None:
        if progress.phase == "finished":
            raise StopError

    with pytest.raises(StopError):
        train(pairs, CONFIG, out=out, checkpoint_minutes=0, callback=stop)
    phases: list[str] = []
    train(pairs, CONFIG, out=out, resume=True, callback=lambda p: phases.append(p.phase))
    assert phases == ["finished"]
    assert folder_bytes(out) == expected


def test_resuming_where_nothing_was_stopped_starts(
    pairs: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    train(pairs, CONFIG, out=tmp_path / "model", resume=True)
    assert folder_bytes(tmp_path / "model") == expected


def test_a_stopped_training_is_forgotten_only_when_asked(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    stopped_training(pairs, out)
    kept = checkpoint_of(out).read_bytes()
    phases: list[str] = []
    config = TrainConfig(**{**CONFIG.to_dict(), "epochs": 1})
    with pytest.raises(
        TrainingError, match=r"a stopped training waits here.*--resume.*--overwrite"
    ):
        train(pairs, config, out=out)
    assert checkpoint_of(out).read_bytes() == kept
    train(pairs, config, out=out, overwrite=True, callback=lambda p: phases.append(p.phase))
    assert phases[0] == "reading"
    assert phases.count("epoch") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_other_settings_or_pairs_do_not_continue_a_training(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    stopped_training(pairs, out)
    kept = checkpoint_of(out).read_bytes()
    other_pairs = write_dataset(tmp_path / "other", planted_pairs(seed=5))
    others: list[dict[str, Any]] = [
        {"dim": 16},
        {"epochs": 61},
        {"seed": 1},
        {"min_count": 2},
    ]
    others.append({"task_weights": {"a": 2.0}})
    for changes in others:
        config = TrainConfig(**{**CONFIG.to_dict(), **changes})
        (name,) = changes
        with pytest.raises(
            TrainingError, match=rf"other settings: {name} = \S+ \(now [^,]+\); give"
        ):
            train(pairs, config, out=out, resume=True)
    with pytest.raises(TrainingError, match="written with other pairs; give the same again"):
        train(other_pairs, CONFIG, out=out, resume=True)
    assert checkpoint_of(out).read_bytes() == kept


def test_a_damaged_checkpoint_is_refused_and_kept(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    stopped_training(pairs, out)
    content = checkpoint_of(out).read_bytes()
    for damaged in (content[:1000], b"", content[:-1] + bytes([content[-1] ^ 1])):
        checkpoint_of(out).write_bytes(damaged)
        with pytest.raises(TrainingError, match="start again from the beginning"):
            train(pairs, CONFIG, out=out, resume=True)
        assert checkpoint_of(out).read_bytes() == damaged


def test_prepared_pairs_of_another_training_are_not_taken_for_ours(
    pairs: Path, tmp_path: Path
) -> None:
    """Killed before its first checkpoint, then resumed with other pairs or another min_count."""
    out = tmp_path / "model"
    other_pairs = write_dataset(tmp_path / "other", planted_pairs(seed=5))
    cases: list[tuple[Path, dict[str, Any]]] = [(other_pairs, {}), (pairs, {"min_count": 60})]
    for source, changes in cases:
        with pytest.raises(StopError):
            train(pairs, CONFIG, out=out, callback=stop_after(0))
        config = TrainConfig(**{**CONFIG.to_dict(), "epochs": 1, **changes})
        train(source, config, out=tmp_path / "whole", overwrite=True)
        train(source, config, out=out, resume=True, overwrite=True)
        assert folder_bytes(out) == folder_bytes(tmp_path / "whole")
        for folder in (out, tmp_path / "whole"):
            for path in folder.iterdir():
                path.unlink()


def test_a_preparation_that_was_killed_is_done_again(pairs: Path, tmp_path: Path) -> None:
    """Whatever is missing, as long as the file that says all is well is missing too."""
    out = tmp_path / "model"
    config = TrainConfig(**{**CONFIG.to_dict(), "epochs": 1})
    train(pairs, config, out=tmp_path / "whole")
    stopped_training(pairs, out, 1, config=config)
    prepared = checkpoint_of(out).with_name("pairs")
    (prepared / "corpus.json").rename(prepared / "corpus.json.new")
    (prepared / "tokens").write_bytes(b"")
    train(pairs, config, out=out, resume=True)
    assert folder_bytes(out) == folder_bytes(tmp_path / "whole")


@contextmanager
def handled(number: signal.Signals, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
        assert signal.getsignal(number) == handler  # training has put it back
    finally:
        signal.signal(number, before)


def send_at_first(number: signal.Signals) -> Callable[[Progress], None]:
    def callback(progress: Progress) -> None:
        if progress.phase == "epoch" and progress.epoch == 1:
            os.kill(os.getpid(), number)

    return callback


def test_an_interrupt_is_a_keyboard_interrupt(
    pairs: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "model"
    with handled(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        train(pairs, CONFIG, out=out, callback=send_at_first(signal.SIGINT))
    assert progress_in(out) == (1, 0)
    train(pairs, CONFIG, out=out, resume=True)
    assert folder_bytes(out) == expected


def test_a_handler_that_returns_does_not_make_an_unfinished_model(
    pairs: Path, tmp_path: Path
) -> None:
    got: list[int] = []
    with (
        handled(signal.SIGTERM, lambda number, _: got.append(number)),
        pytest.raises(TrainingError, match="stopped by signal 15; resume"),
    ):
        train(pairs, CONFIG, out=tmp_path / "model", callback=send_at_first(signal.SIGTERM))
    assert got == [signal.SIGTERM]
    assert not (tmp_path / "model").exists()
    assert progress_in(tmp_path / "model") == (1, 0)


def test_an_ignored_interrupt_stays_ignored(
    pairs: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with handled(signal.SIGINT, signal.SIG_IGN):
        train(pairs, CONFIG, out=tmp_path / "model", callback=send_at_first(signal.SIGINT))
    assert folder_bytes(tmp_path / "model") == expected


def test_pairs_that_vanish_while_resuming_do_not_cost_the_checkpoint(
    pairs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    moved = write_dataset(tmp_path / "moved")
    stopped_training(moved, out)
    kept = checkpoint_of(out).read_bytes()
    moved.rename(tmp_path / "away")
    with pytest.raises(DataError, match="no such file"):
        train(moved, CONFIG, out=out, resume=True)
    assert checkpoint_of(out).read_bytes() == kept
