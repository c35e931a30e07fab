"""The file of ``pintext knn``: the nearest pins of every pin, found beforehand."""

from typing import NamedTuple

import numpy as np
import polars as pl

from pintext.arrays import F32, I64
from pintext.embed import FINGERPRINT_KEY
from pintext.errors import DataError, ModelMismatchError

__all__ = ["NearPin", "Neighbors"]

_COLUMNS = ("id", "neighbor_id", "similarity")


class NearPin(NamedTuple):
    """A pin near to another, and the cosine of the two."""

    id: str
    similarity: float


class Neighbors:
    """Looks up the rows of a pin, in memory: some 12 bytes a row and the ids once.

    Args:
        path: a Parquet file with ``id``, ``neighbor_id`` and ``similarity``; the rows of an id are
            together, the nearest first. Its metadata name the model.
        fingerprint: of the model that is served.

    Raises:
        DataError: the file cannot be read, or columns are missing.
        ModelMismatchError: the neighbours were found with another model.
    """

    def __init__(self, path: str, fingerprint: str) -> None:
        try:
            made_by = pl.read_parquet_metadata(path).get(FINGERPRINT_KEY)
            if made_by != fingerprint:
                raise ModelMismatchError(
                    f"{path}: found with the model {made_by or 'that nobody named'}, but "
                    f"{fingerprint} is served; run  pintext knn  again"
                )
            frame = pl.read_parquet(path, columns=list(_COLUMNS))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path}: cannot be read as neighbours: {error}") from None
        groups = frame["id"].cast(pl.String).rle().struct.unnest()
        self._ids = groups["value"]
        self._starts: I64 = np.zeros(len(groups) + 1, np.int64)
        np.cumsum(groups["len"].to_numpy(), out=self._starts[1:])
        self._neighbors = frame["neighbor_id"].cast(pl.String).cast(pl.Categorical)
        self._similarities: F32 = frame["similarity"].cast(pl.Float32).to_numpy()
        hashes = self._ids.hash().to_numpy()
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def __len__(self) -> int:
        return len(self._ids)

    def of(self, pin_id: str, k: int) -> list[NearPin] | None:
        """The first ``k`` neighbours of a pin; ``None`` where the file has fewer of them."""
        number = pl.Series([pin_id]).hash().item()
        at = int(np.searchsorted(self._hashes, number))
        while at < len(self._hashes) and self._hashes[at] == number:
            group = int(self._order[at])
            if self._ids[group] == pin_id:
                start, stop = self._starts[group : group + 2].tolist()
                if stop - start < k:
                    return None
                names = self._neighbors[start : start + k].to_list()
                return list(map(NearPin, names, self._similarities[start : start + k].tolist()))
            at += 1
        return None
