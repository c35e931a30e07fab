"""A model as a folder that PinText, model2vec and sentence-transformers load.

===========================  ================================================================
``model.safetensors``        tensor ``embeddings``, float32, ``(n_words + 1, dim)``: the rows, then
                             a row of zeros that stands for unknown words
``vocabulary.safetensors``   the arrays of :class:`pintext.vocabulary.Vocabulary`
``tokenizer.json``           words and text rules, for the ``tokenizers`` library
``config.json``              versions, fingerprint, digests, settings and figures of the training
``modules.json``             table of contents, for sentence-transformers
``README.md``                the model card
===========================  ================================================================

The same model gives the same bytes. The two large files are mapped, not read: processes on a
machine share them. :func:`load` makes the cheap checks, after which no damage can do worse than
give wrong numbers; :func:`verify` reads all of the content and finds those as well.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from pintext.arrays import F32
from pintext.config import TrainConfig
from pintext.encoding import row_slices
from pintext.errors import ConfigError, ModelError, ModelFormatError
from pintext.files import new_folder, reason
from pintext.kinds import other_kind
from pintext.model_card import model_card
from pintext.tensors import map_tensors, write_tensors
from pintext.text import TEXT_RULES, tokenizer_definition
from pintext.vocabulary import Vocabulary

__all__ = ["FILES", "FORMAT_VERSION", "StoredModel", "fingerprint_of", "load", "save", "verify"]

FORMAT_VERSION = 1
UNKNOWN = "[UNK]"

_CARD = "README.md"
_CONFIG = "config.json"
_MODEL = "model.safetensors"
_MODULES = "modules.json"
_TOKENIZER = "tokenizer.json"
_VOCABULARY = "vocabulary.safetensors"
_DIGESTED = (_MODEL, _MODULES, _TOKENIZER, _VOCABULARY)

FILES = frozenset({_CARD, _CONFIG, *_DIGESTED})
"""The names in a model folder."""

_MODULE_LIST = [
    {
        "idx": 0,
        "name": "0",
        "path": ".",
        "type": "sentence_transformers.models.StaticEmbedding",
    }
]
_LARGEST_CONFIG = 256 << 20


class StoredModel(NamedTuple):
    """What a folder holds; the arrays stand on memory maps."""

    vocabulary: Vocabulary
    embeddings: F32
    config: TrainConfig | None
    card: dict[str, Any]
    fingerprint: str


class _Manifest(msgspec.Struct, kw_only=True):
    """``config.json``: what PinText reads of it."""

    text_rules: int
    fingerprint: str
    dim: int
    words: int
    tasks: list[str]
    sha256: dict[str, str]
    config: dict[str, Any] | None
    card: dict[str, Any]


def fingerprint_of(vocabulary: Vocabulary, embeddings: F32) -> str:
    """16 hexadecimal digits that name a model's words and rows: the start of a SHA-256.

    Equal for equal words in the same order with the same rows, bit for bit, on every machine.
    """
    arrays = vocabulary.arrays()
    digest = hashlib.sha256(f"pintext {TEXT_RULES} {embeddings.shape}\n".encode())
    digest.update(arrays["word_offsets"].astype("<i8", copy=False).data)
    digest.update(arrays["word_bytes"].data)
    for rows in row_slices(*embeddings.shape):
        digest.update(np.ascontiguousarray(embeddings[rows], "<f4").data)
    return digest.hexdigest()[:16]


# -------------------------------------------------------------------------------- writing


def save(
    folder: str | Path,
    vocabulary: Vocabulary,
    embeddings: F32,
    *,
    config: TrainConfig | None,
    card: dict[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a model folder: all of it or, after a crash or an error, nothing.

    Args:
        folder: where to; parents are made. An empty folder there is used.
        vocabulary: ``n`` words.
        embeddings: their rows, float32, ``(n, dim)``.
        config: the settings of the training, if there was one.
        card: figures of the training, as JSON values.
        overwrite: replace a model that is there. A folder that holds anything else never is.

    Raises:
        ModelError: the folder exists, cannot be written, or a row is not finite.
    """
    card = _plain(card)
    _check_finite(embeddings, ModelError, "cannot save the model: ")
    fingerprint = fingerprint_of(vocabulary, embeddings)
    with new_folder(folder, ModelError, FILES, overwrite=overwrite) as made:
        marks = {"format": "pintext", "fingerprint": fingerprint}
        zeros = np.zeros((1, embeddings.shape[1]), np.float32)
        write_tensors(made / _MODEL, {"embeddings": [embeddings, zeros]}, marks)
        write_tensors(made / _VOCABULARY, vocabulary.arrays(), marks)
        (made / _TOKENIZER).write_bytes(_tokenizer(vocabulary))
        (made / _MODULES).write_bytes(_json(_MODULE_LIST))
        manifest = {
            "format": "pintext",
            "format_version": FORMAT_VERSION,
            "text_rules": TEXT_RULES,
            "fingerprint": fingerprint,
            "dim": embeddings.shape[1],
            "words": len(vocabulary),
            "tasks": vocabulary.tasks,
            "normalize": False,  # this and the next two are for model2vec
            "max_length": None,
            "embedding_dtype": "float32",
            "sha256": {name: _digest(made / name) for name in _DIGESTED},
            "config": config.to_dict() if config else None,
            "card": card,
        }
        (made / _CONFIG).write_bytes(_json(manifest))
        text = model_card(vocabulary, embeddings.shape[1], fingerprint, config, card)
        (made / _CARD).write_bytes(text.encode())


def _tokenizer(vocabulary: Vocabulary) -> bytes:
    """``tokenizer.json``; every word of a text is read, however long, as PinText itself does."""
    definition = tokenizer_definition([*vocabulary.words(), UNKNOWN], UNKNOWN, max_tokens=1)
    return msgspec.json.encode(definition | {"truncation": None})


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _plain(card: dict[str, Any]) -> dict[str, Any]:
    """The card as JSON gives it back: NumPy numbers plain, what is not finite null."""

    def convert(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        raise ModelError(f"the card holds a {type(value).__name__}; expected JSON values")

    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(card, enc_hook=convert))
    return plain


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_finite(embeddings: F32, error: type[ModelError], where: str) -> None:
    for rows in row_slices(*embeddings.shape):
        finite = np.isfinite(embeddings[rows]).all(axis=1)
        if not finite.all():
            raise error(
                f"{where}row {rows.start + int(np.argmin(finite))} of the embeddings is not finite"
            )


# -------------------------------------------------------------------------------- reading


def load(folder: str | Path) -> StoredModel:
    """Map a model folder into memory, in milliseconds however large it is.

    Raises:
        ModelError: there is no such folder.
        ModelFormatError: it is not a PinText model, was written by a newer version, or is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise ModelError(f"{folder}: {found}; expected the folder of a PinText model")
    manifest = _manifest(folder / _CONFIG)
    for name in sorted(FILES - {_CARD}):
        if not (folder / name).is_file():
            raise ModelFormatError(f"{folder / name}: missing; copy the model folder again, whole")
    return StoredModel(
        vocabulary=_vocabulary(folder / _VOCABULARY, manifest),
        embeddings=_embeddings(folder / _MODEL, manifest),
        config=_config(folder / _CONFIG, manifest.config),
        card=manifest.card,
        fingerprint=manifest.fingerprint,
    )


def _manifest(path: Path) -> _Manifest:
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise ModelFormatError(f"{path}: too large to be the settings of a model")
        values = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        kind = "" if (path.parent / _MODEL).exists() else other_kind(path.parent)
        found = f"{path.parent}: {kind}" if kind else f"{path}: missing"
        raise ModelFormatError(f"{found}; expected the folder of a PinText model") from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFormatError(f"{path}: not readable as JSON: {reason(error)}") from None
    if not isinstance(values, dict) or values.get("format") != "pintext":
        raise ModelFormatError(f'{path}: not a PinText model; expected "format": "pintext"')
    version = values.get("format_version")
    if type(version) is not int or version < 1:
        raise ModelFormatError(f"{path}: format_version is {version!r}; expected a number from 1")
    if version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{path}: written by a newer PinText (format version {version}, this one reads up to "
            f"{FORMAT_VERSION}); update PinText"
        )
    try:
        manifest = msgspec.convert(values, _Manifest)
    except msgspec.ValidationError as error:
        raise ModelFormatError(f"{path}: {error}") from None
    if manifest.text_rules != TEXT_RULES:
        raise ModelFormatError(
            f"{path}: words were made by text rules {manifest.text_rules}, this PinText knows "
            f"{TEXT_RULES}; update PinText"
        )
    return manifest


def _config(path: Path, values: dict[str, Any] | None) -> TrainConfig | None:
    """The settings of the training; those that this version does not know are left out."""
    if values is None:
        return None
    known = {name: values[name] for name in TrainConfig.__struct_fields__ if name in values}
    try:
        return TrainConfig.from_dict(known)
    except ConfigError as error:
        raise ModelFormatError(f"{path}: {error}") from None


def _vocabulary(path: Path, manifest: _Manifest) -> Vocabulary:
    arrays, marks = map_tensors(path)
    _check_marks(path, marks, manifest)
    try:
        vocabulary = Vocabulary.from_arrays(arrays, manifest.tasks)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from None
    if len(vocabulary) != manifest.words:
        raise ModelFormatError(
            f"{path}: {len(vocabulary)} words, but {_CONFIG} says {manifest.words}"
        )
    return vocabulary


def _embeddings(path: Path, manifest: _Manifest) -> F32:
    tensors, marks = map_tensors(path)
    _check_marks(path, marks, manifest)
    if set(tensors) != {"embeddings"}:
        raise ModelFormatError(
            f"{path}: holds the tensors {', '.join(sorted(tensors)) or 'none'}; "
            "expected only 'embeddings'"
        )
    table = tensors["embeddings"]
    shape = (manifest.words + 1, manifest.dim)
    if table.dtype != np.float32 or table.shape != shape or manifest.dim < 1:
        raise ModelFormatError(
            f"{path}: embeddings are {table.dtype} {table.shape}, expected float32 {shape}"
        )
    if table[-1].any():
        raise ModelFormatError(f"{path}: the last row stands for unknown words and must be zero")
    return table[:-1]


def _check_marks(path: Path, marks: dict[str, str], manifest: _Manifest) -> None:
    if marks.get("fingerprint") != manifest.fingerprint:
        raise ModelFormatError(
            f"{path}: belongs to the model {marks.get('fingerprint')}, but {_CONFIG} to "
            f"{manifest.fingerprint}; copy the model folder again, whole"
        )


def verify(folder: str | Path) -> StoredModel:
    """Load a model after reading all of its content and comparing it with what was saved.

    Raises:
        ModelError: there is no such folder.
        ModelFormatError: it cannot be loaded, or a bit is not as it was saved; names the file.
    """
    folder = Path(folder)
    stored = load(folder)
    digests = _manifest(folder / _CONFIG).sha256
    for name in _DIGESTED:
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise ModelFormatError(f"{folder / name}: cannot be read: {reason(error)}") from None
        if found != digests.get(name):
            raise ModelFormatError(
                f"{folder / name}: not the file that was saved (SHA-256 {found}, "
                f"expected {digests.get(name)}); copy the model folder again"
            )
    _check_finite(stored.embeddings, ModelFormatError, f"{folder / _MODEL}: ")
    found = fingerprint_of(stored.vocabulary, stored.embeddings)
    if found != stored.fingerprint:
        raise ModelFormatError(
            f"{folder}: the content has the fingerprint {found}, but {_CONFIG} says "
            f"{stored.fingerprint}; copy the model folder again"
        )
    return stored
