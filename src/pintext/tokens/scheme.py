"""What every way to turn vectors into tokens has in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I32
from pintext.errors import ConfigError, DataError, ModelFormatError
from pintext.files import new_file
from pintext.tensors import map_tensors, write_tensors
from pintext.tokens.kernels import in_threads, row_blocks

__all__ = ["FILE", "FORMAT_VERSION", "Probes", "TokenScheme"]

FORMAT_VERSION = 1
FILE = "tokens.safetensors"
"""The file of a scheme in the folder that it is saved into."""


class Probes(NamedTuple):
    """The tokens that queries ask for, the most promising first.

    Attributes:
        tokens: ``(n, m)``; -1 where a query has fewer.
        weights: ``(n, m)``, from -1 to 1: how much a pin that carries the token promises.
    """

    tokens: I32
    weights: F32


class TokenScheme(ABC):
    """Turns vectors into tokens, numbers from 0 to ``n_tokens - 1``, such that near vectors share.

    A pin carries the tokens that :meth:`assign` gives its vector. A query asks for those that
    :meth:`probe` gives. Only the direction of a vector counts. The tokens of a vector depend on
    nothing else in the call, nor on the number of threads.

    Attributes:
        kind: ``learned`` or ``hyperplane``.
        dim: length of the vectors.
        n_tokens: how many tokens there are.
        per_pin: tokens of a pin, at most.
        seed: that the scheme was made with.
        fingerprint: of the model whose vectors it is for; empty if there is none.
    """

    kind: ClassVar[str]
    _kinds: ClassVar[dict[str, type["TokenScheme"]]] = {}

    dim: int
    n_tokens: int
    per_pin: int
    seed: int
    fingerprint: str

    def __init_subclass__(cls) -> None:
        TokenScheme._kinds[cls.kind] = cls

    def assign(self, vectors: F32, *, threads: int = 0) -> I32:
        """The tokens that pins carry.

        Args:
            vectors: ``(n, dim)``; memory-mapped and float16 arrays are read piece by piece.
            threads: 0 means all cores.

        Returns:
            ``(n, per_pin)``, no token twice in a row; -1 behind the last. A zero vector has none.

        Raises:
            DataError: the vectors have another shape, or one is not finite.
        """
        tokens = np.full((len(vectors), self.per_pin), -1, np.int32)

        def fill(block: slice) -> None:
            self._assign(self._rows(vectors, block), tokens[block])

        self._check_shape(vectors)
        in_threads(fill, row_blocks(len(vectors)), threads)
        return tokens

    def probe(self, vectors: F32, probes: int, *, threads: int = 1) -> Probes:
        """The tokens that queries ask for.

        Args:
            vectors: ``(n, dim)``.
            probes: tokens of a query, at least 1; no more come than there are.
            threads: 0 means all cores.

        Returns:
            Tokens and weights, ``(n, min(probes, n_tokens))``; a zero vector has none.

        Raises:
            DataError: the vectors have another shape, or one is not finite.
            ConfigError: ``probes`` is less than 1.
        """
        if probes < 1:
            raise ConfigError(f"probes = {probes}: expected 1 or more")
        shape = (len(vectors), min(probes, self.n_tokens))
        found = Probes(np.full(shape, -1, np.int32), np.zeros(shape, np.float32))

        def fill(block: slice) -> None:
            rows = self._rows(vectors, block)
            self._probe(rows, Probes(found.tokens[block], found.weights[block]))

        self._check_shape(vectors)
        in_threads(fill, row_blocks(len(vectors)), threads)
        return found

    def unheld(self) -> "TokenScheme":
        """This scheme with nothing but the number of probes to hold its queries back."""
        return self

    @property
    def n_bytes(self) -> int:
        """Size of what is saved of the scheme, without a header."""
        return sum(tensor.nbytes for tensor in self._parts()[0].values())

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write ``tokens.safetensors`` into a folder; the same scheme gives the same bytes.

        Raises:
            DataError: the file exists or cannot be written.
        """
        marks = {
            "format": "pintext-tokens",
            "format_version": str(FORMAT_VERSION),
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "seed": str(self.seed),
        }
        tensors, numbers = self._parts()
        marks.update({name: str(number) for name, number in numbers.items()})
        with new_file(Path(folder) / FILE, DataError, overwrite=overwrite) as made:
            write_tensors(made, tensors, marks)

    @staticmethod
    def load(folder: str | Path) -> "TokenScheme":
        """Read a scheme of either kind from the folder that it was saved into.

        Raises:
            ModelFormatError: the file is missing, foreign, damaged or from a newer PinText.
        """
        path = Path(folder) / FILE
        tensors, marks = map_tensors(path)
        if marks.get("format") != "pintext-tokens":
            raise ModelFormatError(f"{path}: not a file of PinText tokens")
        try:
            if (version := int(marks["format_version"])) > FORMAT_VERSION:
                raise ModelFormatError(
                    f"{path}: written by a newer PinText (format version {version}, this one "
                    f"reads up to {FORMAT_VERSION}); update PinText"
                )
            return TokenScheme._kinds[marks["kind"]]._from_parts(tensors, marks)
        except (LookupError, ValueError, DataError, ConfigError) as error:
            if isinstance(error, ModelFormatError):
                raise
            raise ModelFormatError(f"{path}: damaged: {error}; make it again") from None

    # ------------------------------------------------------------------------ what kinds differ in

    @abstractmethod
    def _assign(self, rows: F32, tokens: I32) -> None:
        """Fill ``tokens``, which holds -1 throughout, for contiguous finite rows."""

    @abstractmethod
    def _probe(self, rows: F32, found: Probes) -> None:
        """Fill ``found``, which holds -1 and 0 throughout, for contiguous finite rows."""

    @abstractmethod
    def _parts(self) -> tuple[Mapping[str, NDArray[Any]], dict[str, float]]:
        """The arrays and numbers to save."""

    @classmethod
    @abstractmethod
    def _from_parts(
        cls, tensors: Mapping[str, NDArray[Any]], marks: Mapping[str, str]
    ) -> "TokenScheme":
        """Make a scheme of what was saved; ValueError or LookupError where it does not fit."""

    def _check_shape(self, vectors: F32) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise DataError(f"vectors have the shape {vectors.shape}; expected (n, {self.dim})")

    def _rows(self, vectors: F32, block: slice) -> F32:
        # A copy: compiled code would otherwise be made twice, for arrays that may be written too.
        rows = np.array(vectors[block], np.float32, order="C")
        if not np.isfinite(rows).all():
            bad = block.start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise DataError(f"vector {bad} has a number that is not finite")
        return rows
