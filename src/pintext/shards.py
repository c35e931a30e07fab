"""Which part of many a row falls to: by its id, so that every stage cuts pins in the same way."""

import re
import zlib

import numpy as np
import polars as pl

from pintext.errors import ConfigError

__all__ = ["in_shard", "part_of", "shard_of"]


def shard_of(text: str) -> tuple[int, int]:
    """Part and parts that ``I/N`` says.

    Raises:
        ConfigError: not of that form, or not ``1 <= I <= N``.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f"shard {text}: expected I/N with I from 1 to N, as 1/4")
    return int(found[1]), int(found[2])


def part_of(name: str, parts: int) -> int:
    """The part, from 1, of so many that an id falls to."""
    return zlib.crc32(name.encode()) % parts + 1


def in_shard(ids: pl.Series, shard: tuple[int, int]) -> pl.Series:
    """Whether each row is in part ``i`` of ``n``: its id's CRC-32 modulo ``n`` is ``i - 1``.

    As :func:`part_of` says of one id.

    Args:
        ids: of any type; as text they are what counts, so that a number and its digits are one id.
        shard: ``(i, n)``.

    Raises:
        ConfigError: not ``1 <= i <= n``.
    """
    part, parts = shard
    if not 1 <= part <= parts:
        raise ConfigError(f"shard {part}/{parts}: expected i/n with i from 1 to n")
    names = ids.cast(pl.String).fill_null("")
    sums = np.fromiter((zlib.crc32(name.encode()) for name in names), np.int64, len(names))
    return pl.Series(sums % parts == part - 1)
