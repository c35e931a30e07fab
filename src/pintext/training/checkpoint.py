"""A training's working folder: its lock, its prepared pairs, and where it has got to."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pintext.arrays import F32
from pintext.errors import LockedError, TrainingError
from pintext.files import reason
from pintext.tensors import write_tensors

__all__ = ["Checkpoint", "Identity", "WorkingFolder"]

_FORMAT = 2
_START_AGAIN = "start again from the beginning (--overwrite)"


def _digest(progress: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(progress.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


class Identity(NamedTuple):
    """What a checkpoint depends on: only the same pairs and settings continue it."""

    pairs: str  # fingerprint of the files
    settings: dict[str, Any]

    def difference(self, path: Path, metadata: Mapping[str, str]) -> str:
        """How a checkpoint's origin differs from this, in words; nothing if it does not."""
        try:
            pairs, settings = metadata["pairs"], dict(json.loads(metadata["settings"]))
        except (KeyError, ValueError, TypeError):
            return f"{path}: the checkpoint is damaged; {_START_AGAIN}"
        mine = json.loads(json.dumps(self.settings))  # JSON knows no tuples
        if pairs != self.pairs:
            what = "other pairs"
        elif settings != mine:
            names = [*mine, *(name for name in settings if name not in mine)]
            both = ((name, settings.get(name), mine.get(name)) for name in names)
            changes = (
                f"{name} = {json.dumps(then)} (now {json.dumps(now)})"
                for name, then, now in both
                if then != now
            )
            what = f"other settings: {', '.join(changes)}"
        else:
            return ""
        return (
            f"{path}: the checkpoint was written with {what}; "
            f"give the same again, or {_START_AGAIN}"
        )


@dataclass
class Checkpoint:
    """All that training needs to go on as if it had never stopped.

    There is no generator to save (see :mod:`pintext.training.randomness`), and nothing depends on
    the number of threads, which may differ after the stop.
    """

    embeddings: F32  # (n_words, dim)
    squares: F32  # (n_words,) AdaGrad
    statistics: NDArray[np.float64]  # (n_tasks, 3) of the epoch at work
    epoch: int = 0
    step: int = 0  # steps of that epoch already done
    history: list[dict[str, Any]] = field(default_factory=list)
    best: F32 | None = None  # the dictionary after the best epoch, where that is not the last
    best_epoch: int = 0  # from 1; 0 while there is none

    def save(self, path: Path, identity: Identity) -> None:
        """Write to ``path``; a crash leaves the old checkpoint or the new one, never a part.

        Raises:
            TrainingError: the disk refuses; the old checkpoint is still there.
        """
        tensors: dict[str, NDArray[Any]] = {
            "embeddings": self.embeddings,
            "squares": self.squares,
            "statistics": self.statistics,
        }
        if self.best is not None:
            tensors["best"] = self.best
        progress = json.dumps(
            {
                "epoch": self.epoch,
                "step": self.step,
                "history": self.history,
                "best_epoch": self.best_epoch,
            }
        )
        metadata = {
            "format": str(_FORMAT),
            "pairs": identity.pairs,
            "settings": json.dumps(identity.settings),
            "progress": progress,
            "sha256": _digest(progress, tensors),
        }
        temporary = path.with_suffix(".new")
        try:
            write_tensors(temporary, tensors, metadata)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise TrainingError(
                f"{path}: cannot write the checkpoint: {reason(error)}; make room, then resume"
            ) from None

    @classmethod
    def load(cls, path: Path, identity: Identity) -> "Checkpoint":
        """Read a checkpoint that was written by the same training.

        Raises:
            TrainingError: the file is damaged, or belongs to other pairs or settings.
        """
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            raise TrainingError(
                f"{path}: the checkpoint cannot be read ({reason(error)}); {_START_AGAIN}"
            ) from None
        if metadata.get("format") != str(_FORMAT):
            raise TrainingError(
                f"{path}: the checkpoint is of another version of PinText; {_START_AGAIN}"
            )
        if difference := identity.difference(path, metadata):
            raise TrainingError(difference)
        progress = metadata.get("progress", "")
        if metadata.get("sha256") != _digest(progress, tensors):
            raise TrainingError(f"{path}: the checkpoint is damaged; {_START_AGAIN}")
        return cls(
            tensors["embeddings"],
            tensors["squares"],
            tensors["statistics"],
            best=tensors.get("best"),
            **json.loads(progress),
        )


class WorkingFolder:
    """``MODEL.training``: exists while a training into ``MODEL`` runs or waits to be resumed.

    Raises:
        LockedError: another process is training into the same model.
        TrainingError: the folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint.safetensors"
        self.corpus = path / "pairs"
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / "lock").open("w")
        except OSError as error:
            raise TrainingError(
                f"{path}: cannot write the working folder: {reason(error)}"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            removed = os.fstat(self._lock.fileno()).st_nlink == 0  # by a training that just ended
        except BlockingIOError:
            removed = True
        except OSError as error:
            self._lock.close()
            raise TrainingError(f"{path}: cannot be locked: {reason(error)}") from None
        if removed:
            self._lock.close()
            raise LockedError(
                f"{path}: another process is training into this model; wait for it or choose "
                "another --out"
            )

    def clear(self) -> None:
        """Remove what an earlier training left, but not the lock.

        First goes what says that the rest is whole, since this too may be interrupted.

        Raises:
            TrainingError: the disk refuses.
        """
        try:
            self.checkpoint.unlink(missing_ok=True)
            self.checkpoint.with_suffix(".new").unlink(missing_ok=True)
            (self.corpus / "corpus.json").unlink(missing_ok=True)
            if self.corpus.exists():
                shutil.rmtree(self.corpus)
        except OSError as error:
            raise TrainingError(f"{self.path}: cannot be cleared: {reason(error)}") from None

    def remove(self) -> None:
        """Remove the folder, when it is of no more use; what cannot be removed stays."""
        with suppress(OSError, TrainingError):
            self.clear()
            (self.path / "lock").unlink(missing_ok=True)
            self.path.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.close()
