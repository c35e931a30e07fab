"""Arrays in a file: the safetensors format, streamed out and memory-mapped in.

A file is eight bytes (the length of the header, little-endian), the header (JSON: name, dtype,
shape and place of every tensor) and the raw numbers. The ``safetensors`` library judges whether a
file is well formed; it can only read copies, so the places are looked up here and mapped.
"""

import mmap
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pintext.errors import ModelFormatError
from pintext.files import reason

__all__ = ["TensorFile", "map_tensors", "write_tensors"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class TensorFile(NamedTuple):
    """What a file holds: read-only arrays that stand on its memory map, and free text beside."""

    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def write_tensors(
    path: Path,
    tensors: Mapping[str, NDArray[Any] | Sequence[NDArray[Any]]],
    metadata: Mapping[str, str],
) -> None:
    """Write a safetensors file without holding a copy; the same arrays give the same bytes.

    Args:
        path: the file, written in place.
        tensors: by name; a sequence of arrays is written as one, joined along the first axis.
        metadata: free text for the header.

    Raises:
        OSError: the disk refuses.
    """
    parts = {
        name: [_plain(part) for part in ([value] if isinstance(value, np.ndarray) else value)]
        for name, value in tensors.items()
    }
    # Wide numbers first, so that every tensor starts at a multiple of its item size.
    names = sorted(parts, key=lambda name: (-parts[name][0].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in names:
        first = parts[name][0]
        start, end = end, end + sum(part.nbytes for part in parts[name])
        rows = sum(len(part) for part in parts[name])
        header[name] = {
            "dtype": _NAMES[first.dtype],
            "shape": [rows, *first.shape[1:]],
            "data_offsets": [start, end],
        }
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            for part in parts[name]:
                if part.nbytes:
                    file.write(part.reshape(-1).view(np.uint8).data)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def map_tensors(path: Path) -> TensorFile:
    """Map a safetensors file into memory; nothing is read until it is used.

    The map stays valid when the file is renamed or removed, not when it is cut short.

    Raises:
        ModelFormatError: the file is missing, is cut short, has a header that lies, or holds a type
            of number that PinText never writes; the message names the file.
    """
    try:
        with safe_open(path, framework="numpy"):  # judges lengths, offsets, overlaps and gaps
            pass
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except SafetensorError as error:
        raise ModelFormatError(
            f"{path}: not a whole safetensors file ({str(error).splitlines()[0]}); "
            "copy the model again"
        ) from None
    except FileNotFoundError:
        raise ModelFormatError(f"{path}: missing; copy the model folder again, whole") from None
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path}: cannot be read: {reason(error)}") from None
    try:
        (length,) = struct.unpack_from("<Q", mapped)
        header = msgspec.json.decode(mapped[8 : 8 + length])
        metadata = header.pop("__metadata__", None) or {}
        tensors = {name: _mapped(mapped, 8 + length, name, entry) for name, entry in header.items()}
    except (struct.error, msgspec.DecodeError, LookupError, TypeError, ValueError) as error:
        raise ModelFormatError(f"{path}: damaged header: {error}") from None
    return TensorFile(tensors, metadata)


def _mapped(mapped: mmap.mmap, base: int, name: str, entry: dict[str, Any]) -> NDArray[Any]:
    """One tensor as a read-only view of the map; a copy only where it is not aligned."""
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"tensor {name!r} has the type {entry['dtype']}")
    dtype = _DTYPES[entry["dtype"]]
    start, end = entry["data_offsets"]
    count = (end - start) // dtype.itemsize
    if count == 0:
        return np.zeros(0, dtype).reshape(entry["shape"])
    array: NDArray[Any] = np.frombuffer(mapped, dtype, count, base + start).reshape(entry["shape"])
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array
