"""Which rows count: those of the pins that there are, not of those that were replaced or deleted.

``live-C.u64``, in the folder of a generation, is the state after the commit of the inverted index
that follows number C: 64-bit numbers, the first says how many rows there are, then come a bit a
row, the lowest of a number first, and the CRC-32 of all before. It is on the disk before that
commit. So the state at a commit is in the file with the largest smaller number; a file that a
killed writer leaves is looked at by nobody and replaced by the next change.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import I64, U64
from pintext.errors import IndexFormatError, PinIndexError
from pintext.files import new_file, reason

__all__ = ["LiveRows"]

_BITS = 64


@dataclass(frozen=True)
class LiveRows:
    """The rows that count, as a bit for each.

    Attributes:
        rows: how many there are, dead ones too.
        marks: ``(ceil(rows / 64),)``, row ``i`` is bit ``i % 64`` of number ``i // 64``.
    """

    rows: int
    marks: U64

    @classmethod
    def of(cls, flags: NDArray[np.bool_]) -> Self:
        """The rows whose flag is set."""
        marks = np.zeros(-(-len(flags) // _BITS), "<u8")
        marks.view(np.uint8)[: -(-len(flags) // 8)] = np.packbits(flags, bitorder="little")
        return cls(len(flags), marks)

    @cached_property
    def count(self) -> int:
        """How many rows count."""
        return int(np.bitwise_count(self.marks).sum(dtype=np.int64))

    @cached_property
    def row_sum(self) -> int:
        """The sum of the numbers of the rows that count."""
        return int(np.flatnonzero(self.flags()).sum(dtype=np.int64))

    def flags(self, start: int = 0) -> NDArray[np.bool_]:
        """Whether each row from ``start`` on counts."""
        bits = self.marks[start // _BITS :].view(np.uint8)
        flags = np.unpackbits(bits, bitorder="little", count=self.rows - start // _BITS * _BITS)
        return flags[start % _BITS :].view(np.bool_)

    def after(self, dead: I64, first: int, end: int) -> Self:
        """The state when some rows are dead and those from ``first`` to before ``end`` are new.

        Rows between the present ones and ``first`` belong to no pin.
        """
        flags = np.zeros(max(self.rows, end), np.bool_)
        flags[: self.rows] = self.flags()
        flags[dead] = False
        flags[first:end] = True
        return type(self).of(flags)

    def write(self, folder: Path, commit: int) -> None:
        """Write the state that the commit after number ``commit`` will bring.

        Files that neither that commit nor the present one needs are removed, and what a killed
        writer has left of one.

        Raises:
            PinIndexError: the disk refuses.
        """
        data = np.concatenate(([np.uint64(self.rows)], self.marks)).astype("<u8")
        present = max((number for number in _numbers(folder) if number < commit), default=commit)
        unneeded = (_file(folder, number) for number in _numbers(folder) - {present})
        for path in chain(unneeded, folder.glob(".pintext-*")):
            path.unlink(missing_ok=True)
        with new_file(_file(folder, commit), PinIndexError, overwrite=True) as made:
            made.write_bytes(data.tobytes() + zlib.crc32(data.tobytes()).to_bytes(8, "little"))

    @classmethod
    def read(cls, folder: Path, commit: int) -> Self:
        """Read the state at a commit.

        Raises:
            IndexFormatError: the file is missing or damaged.
        """
        number = max((number for number in _numbers(folder) if number < commit), default=0)
        path = _file(folder, number)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise IndexFormatError(f"{path}: missing; build the index again") from None
        except OSError as error:
            raise IndexFormatError(f"{path}: cannot be read: {reason(error)}") from None
        whole = len(data) >= 16 and len(data) % 8 == 0
        if not whole or zlib.crc32(data[:-8]) != int.from_bytes(data[-8:], "little"):
            raise IndexFormatError(
                f"{path}: damaged: the checksum does not fit; restore it or build the index again"
            )
        numbers = np.frombuffer(data, "<u8")
        return cls(int(numbers[0]), numbers[1:-1])


def _file(folder: Path, commit: int) -> Path:
    return folder / f"live-{commit}.u64"


def _numbers(folder: Path) -> set[int]:
    """The numbers of the commits after which a state is written down."""
    stems = (path.stem.removeprefix("live-") for path in folder.glob("live-*.u64"))
    return {int(stem) for stem in stems if stem.isdecimal()}
