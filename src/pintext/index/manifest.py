"""The index folder and its manifest.

    index/
      manifest.json      what this is, and which generation counts
      model/             the model that the vectors are from
      generation-1/      everything that a compaction makes anew
        tokens.safetensors
        vectors.f32  records.bin  ids.txt  words.u32      the rows (pintext.index.rows)
        live-0.u64                             which of them count (pintext.index.live)
        terms/                                 the inverted index (pintext.index.terms)
      lock               held by whoever writes

What is committed in a generation is what the last commit of its inverted index says, which Tantivy
replaces in one step; documents point to rows that were on the disk before. The manifest is replaced
in one step too. So whatever is killed when, a reader finds the state after some commit.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from pintext.errors import IndexFormatError, PinIndexError
from pintext.files import new_file, reason
from pintext.index.pins import Columns
from pintext.index.settings import IndexConfig

__all__ = ["LOCK", "MANIFEST", "MODEL", "Manifest", "Retrieval", "digest", "replaceable"]

MANIFEST, MODEL, LOCK = "manifest.json", "model", "lock"
FORMAT_VERSION = 3


class Retrieval(msgspec.Struct, frozen=True):
    """How pins are found by tokens.

    Attributes:
        probes: tokens that a query asks for.
        candidates: pins that one query in a hundred exceeds; where the inverted index is asked,
            eight times as many are compared at most.
        expected_recall: of ten nearest pins, by the plan.
        expected_share: of all pins that a query compares, by the plan.
        measured_recall: of ten nearest pins, by other queries, after building.
    """

    probes: int
    candidates: int
    expected_recall: float
    expected_share: float = 0.0
    measured_recall: float = 0.0


class Manifest(msgspec.Struct, frozen=True):
    """What an index folder holds.

    Attributes:
        fingerprint: of the model.
        dim: of its vectors.
        per_pin: tokens at most that a pin has.
        generation: the number of the folder that counts.
        commits: commits of all generations before it.
        columns: of the pins.
        config: the settings of the build.
        retrieval: how pins are found by tokens.
        tokens_sha256: of the file of the tokens.
        shard: ``(i, n)`` where it has only the pins of part ``i`` of ``n``.
        digest: SHA-256 of all the above, as JSON.
    """

    fingerprint: str
    dim: int
    per_pin: int
    generation: int
    commits: int
    columns: Columns
    config: IndexConfig
    retrieval: Retrieval
    tokens_sha256: str
    shard: tuple[int, int] | None = None
    digest: str = ""
    format: Literal["pintext-index"] = "pintext-index"
    format_version: int = FORMAT_VERSION

    def folder(self, index: Path) -> Path:
        """The folder of the generation that counts."""
        return index / f"generation-{self.generation}"

    def write(self, index: Path) -> None:
        """Put the manifest into an index folder, in one step.

        Raises:
            PinIndexError: the disk refuses; the old manifest still counts.
        """
        values = msgspec.json.decode(msgspec.json.encode(self))
        values["digest"] = _digest(values)
        text = msgspec.json.format(msgspec.json.encode(values), indent=2)
        with new_file(index / MANIFEST, PinIndexError, overwrite=True) as path:
            path.write_bytes(text + b"\n")

    @classmethod
    def read(cls, index: Path) -> "Manifest":
        """The manifest of an index folder.

        Raises:
            PinIndexError: there is no such folder.
            IndexFormatError: it is no index, damaged, or from a newer PinText.
        """
        path = index / MANIFEST
        if not index.is_dir():
            found = "is a file" if index.exists() else "no such folder"
            raise PinIndexError(f"{index}: {found}; pintext index --out makes an index")
        try:
            data = path.read_bytes()
            values: Any = msgspec.json.decode(data)
        except FileNotFoundError:
            is_model = (index / "model.safetensors").exists()
            found = "a model, of which pintext index makes an index" if is_model else "missing"
            where = index if is_model else path
            raise IndexFormatError(f"{where}: {found}; expected the folder of an index") from None
        except OSError as error:
            raise IndexFormatError(f"{path}: cannot be read: {reason(error)}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IndexFormatError(f"{path}: damaged: {error}") from None
        if not isinstance(values, dict) or values.get("format") != "pintext-index":
            raise IndexFormatError(f'{path}: not an index; expected "format": "pintext-index"')
        version = values.get("format_version")
        if type(version) is int and version > FORMAT_VERSION:
            raise IndexFormatError(
                f"{path}: written by a newer PinText (format version {version}, this one reads "
                f"{FORMAT_VERSION}); update PinText"
            )
        if type(version) is int and version < FORMAT_VERSION:
            raise IndexFormatError(
                f"{path}: written by an older PinText (format version {version}, this one reads "
                f"{FORMAT_VERSION}); build the index again"
            )
        try:
            manifest = msgspec.convert(values, cls)
        except (msgspec.ValidationError, ValueError) as error:
            raise IndexFormatError(f"{path}: damaged: {error}") from None
        if manifest.digest != _digest(values):
            raise IndexFormatError(f"{path}: damaged: the digest does not fit; restore the file")
        return manifest


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(values | {"digest": ""})).hexdigest()


def digest(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        IndexFormatError: it is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise IndexFormatError(f"{path}: cannot be read: {reason(error)}") from None


def replaceable(index: Path) -> frozenset[str]:
    """The names in a folder that an index may be written over: all that an index has."""
    names = {MANIFEST, MODEL, LOCK}
    if (index / MANIFEST).is_file():
        names |= {path.name for path in index.glob("generation-*")}
    return frozenset(names)
