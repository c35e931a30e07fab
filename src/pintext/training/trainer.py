"""``train``: pairs in, a model out."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pintext.config import TrainConfig
from pintext.cores import available_cores
from pintext.errors import ConfigError, DataError, TrainingError
from pintext.files import check_replaceable, reason
from pintext.model import PinTextModel
from pintext.model_folder import FILES
from pintext.pairs import PairSource
from pintext.training.cautions import cautions
from pintext.training.checkpoint import Checkpoint, Identity, WorkingFolder
from pintext.training.corpus import Corpus, corpus_fingerprint, open_corpus, prepare_corpus
from pintext.training.progress import Progress
from pintext.training.run import Run

__all__ = ["train"]


def train(
    pairs: str | Path | PairSource,
    config: TrainConfig | None = None,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    threads: int = 0,
    checkpoint_minutes: float = 10.0,
    callback: Callable[[Progress], None] | None = None,
) -> PinTextModel:
    """Learn a dictionary from positive pairs by multitask training.

    The same pairs, config and seed give the same bytes for any number of threads, and whether or
    not training was stopped and resumed in between.

    Args:
        pairs: a pair dataset, see :class:`pintext.pairs.PairSource`.
        config: hyperparameters; the defaults where None.
        out: folder to write the model to. While training, ``OUT.training`` beside it holds the
            prepared pairs and the checkpoint. Without ``out`` nothing is kept but the returned
            model.
        overwrite: replace a model that is already at ``out``, and forget a stopped training.
        resume: go on from the checkpoint of a training into ``out`` that was stopped; start from
            the beginning where there is none.
        threads: threads to use; 0 for all cores this process may run on.
        checkpoint_minutes: minutes between two checkpoints.
        callback: told of progress a few times a second.

    Returns:
        the model after the best epoch by validation recall@10, or after the last one where no pairs
        are held out. ``model.card["cautions"]`` has a sentence for each task that taught little or
        is judged by few.

    Raises:
        DataError: the pairs cannot be read, or none is usable.
        ConfigError: a setting does not fit the pairs, or ``resume`` is asked for without ``out``.
        TrainingError: the output exists, is being trained by another process, cannot be written, or
            the checkpoint belongs to another training.
        DivergedError: the loss is not finite any more.
    """
    config = TrainConfig() if config is None else config
    _check(config, out, resume=resume, threads=threads)
    threads = threads or available_cores()
    report = callback or (lambda _: None)
    source = pairs if isinstance(pairs, PairSource) else PairSource(pairs)
    with ExitStack() as stack:
        if out is None:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pintext-")))
        else:
            with _disk_errors(out):
                check_replaceable(Path(out), TrainingError, FILES, overwrite=overwrite)
            path = Path(f"{os.path.realpath(out)}.training")  # one for all links to a folder
        work = stack.enter_context(WorkingFolder(path))
        if not resume:
            _start_again(work, overwrite=overwrite)
        identity = Identity(source.fingerprint, config.to_dict())
        resumed = _resumed(work, identity)
        corpus = _corpus(work, source, config, report, keep=resumed is not None)
        run = Run(corpus, config, threads, report)
        if resumed:
            run.state = resumed
        save = work.checkpoint
        result = run.train(lambda state: state.save(save, identity), 60 * checkpoint_minutes)
        model = PinTextModel(
            corpus.vocabulary,
            result.embeddings if result.best is None else result.best,
            config=config,
            card=_card(corpus, result, config, run.validation.queries),
        )
        if out is not None:
            model.save_pretrained(out, overwrite=overwrite)
            work.remove()
    return model


def _check(config: TrainConfig, out: str | Path | None, *, resume: bool, threads: int) -> None:
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"config: expected a TrainConfig, found a {type(config).__name__}")
    if resume and out is None:
        raise ConfigError("resume needs out, the folder that the stopped training wrote to")
    if threads < 0:
        raise ConfigError(f"threads = {threads}: expected 0 for all cores, or a positive number")


def _start_again(work: WorkingFolder, *, overwrite: bool) -> None:
    """Forget what an earlier training left; hours of work only if that is asked for."""
    if work.checkpoint.exists() and not overwrite:
        raise TrainingError(
            f"{work.path}: a stopped training waits here; go on with it (--resume) or start again "
            "from the beginning (--overwrite)"
        )
    work.clear()


def _resumed(work: WorkingFolder, identity: Identity) -> Checkpoint | None:
    if not work.checkpoint.exists():
        return None
    return Checkpoint.load(work.checkpoint, identity)


def _corpus(
    work: WorkingFolder,
    source: PairSource,
    config: TrainConfig,
    report: Callable[[Progress], None],
    *,
    keep: bool,
) -> Corpus:
    """The pairs that a stopped training had prepared, if they are the same, or else new ones.

    Where there are none the working folder is removed, unless it is to be kept for its checkpoint.
    """
    if (work.corpus / "corpus.json").exists():
        corpus = open_corpus(work.corpus)
        if corpus.fingerprint == corpus_fingerprint(source, config):
            return corpus
    try:
        with _disk_errors(work.corpus):
            work.corpus.mkdir(exist_ok=True)
            return prepare_corpus(
                source, config, work.corpus, lambda rows: report(Progress("reading", rows))
            )
    except (ConfigError, DataError):
        if not keep:
            work.remove()
        raise


@contextmanager
def _disk_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written: {reason(error)}") from None


def _card(
    corpus: Corpus, result: Checkpoint, config: TrainConfig, queries: Mapping[str, int]
) -> dict[str, Any]:
    """The figures of a training that belong to its model; nothing that differs between two runs."""
    return {
        **corpus.counts,
        "words": len(corpus.vocabulary),
        "epochs": result.epoch,
        "best_epoch": result.best_epoch or result.epoch,
        "cautions": cautions(corpus.counts["tasks"], queries, config),
        "history": result.history,
    }
