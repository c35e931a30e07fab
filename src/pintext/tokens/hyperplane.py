"""Tokens from random hyperplanes: the locality-sensitive hashing of the PinText article."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pintext.arrays import F32, I32, I64
from pintext.compiled import compiled, compiled_allocating, compiled_fast
from pintext.errors import ConfigError
from pintext.tokens.scheme import Probes, TokenScheme
from pintext.tokens.settings import LARGEST_TOKEN

__all__ = ["HyperplaneTokens"]

F64 = NDArray[np.float64]


class HyperplaneTokens(TokenScheme):
    """A pin carries one token a table: the signs of its products with ``bits`` random directions.

    The token is ``table * 2**bits + signature``; bit ``i`` of the signature is set where the
    product with direction ``i`` of the table is positive. Two vectors at the angle theta agree in a
    bit with probability 1 - theta/pi, so in a table with that to the power of ``bits`` (Charikar,
    "Similarity estimation techniques from rounding algorithms", 2002).

    A query asks for its own token of each table first, then for those that differ where the query
    is nearest to a hyperplane: flipping the signs of some directions costs the sum of their squared
    products with the unit query, and over all tables the cheapest come first (Lv et al.,
    "Multi-probe LSH", 2007). The weight is exp(-cost/2): how likely it is, beside the query's own
    token, that a vector 45 degrees away lies there, roughly.
    """

    kind: ClassVar[str] = "hyperplane"

    def __init__(
        self, dim: int, *, tables: int = 32, bits: int = 16, seed: int = 0, fingerprint: str = ""
    ) -> None:
        """Draw the hyperplanes.

        Args:
            dim: length of the vectors.
            tables: tokens of a pin.
            bits: hyperplanes of a table, from 1 to 28.
            seed: of the hyperplanes.
            fingerprint: of the model that the vectors are from.

        Raises:
            ConfigError: out of range, or ``tables * 2**bits`` is more than 2**31 - 1.
        """
        if dim < 1 or tables < 1 or not 1 <= bits <= 28 or tables << bits > LARGEST_TOKEN:
            raise ConfigError(
                f"dim = {dim}, tables = {tables}, bits = {bits}: expected dim and tables of at "
                f"least 1, bits from 1 to 28, and tables * 2**bits of at most {LARGEST_TOKEN:,}"
            )
        draw = np.random.default_rng(seed)
        planes = draw.standard_normal((tables * bits, dim), np.float32)
        self._set(planes, tables, seed, fingerprint)

    def _set(self, planes: F32, tables: int, seed: int, fingerprint: str) -> None:
        self.planes = planes
        self.tables = self.per_pin = tables
        self.bits = len(planes) // tables
        self.dim = planes.shape[1]
        self.n_tokens = tables << self.bits
        self.seed = seed
        self.fingerprint = fingerprint

    def _assign(self, rows: F32, tokens: I32) -> None:
        _signatures(rows, self.planes, self.bits, tokens)

    def _probe(self, rows: F32, found: Probes) -> None:
        _probe_rows(rows, self.planes, self.bits, found.tokens, found.weights)

    def _parts(self) -> tuple[Mapping[str, NDArray[Any]], dict[str, float]]:
        return {"planes": self.planes}, {"tables": self.tables}

    @classmethod
    def _from_parts(cls, tensors: Mapping[str, NDArray[Any]], marks: Mapping[str, str]) -> Self:
        planes, tables = np.array(tensors["planes"]), int(marks["tables"])
        fits = planes.dtype == np.float32 and planes.ndim == 2 and planes.shape[1] >= 1
        if not fits or tables < 1 or len(planes) % tables or not np.isfinite(planes).all():
            raise ValueError("the hyperplanes do not fit together")
        bits = len(planes) // tables
        if not 1 <= bits <= 28 or tables << bits > LARGEST_TOKEN:
            raise ValueError(f"{tables} tables of {bits} bits")
        scheme = cls.__new__(cls)
        scheme._set(planes, tables, int(marks["seed"]), marks["fingerprint"])
        return scheme


@compiled_fast
def _product(rows: F32, i: int, planes: F32, p: int) -> Any:
    total = np.float32(0)
    for k in range(rows.shape[1]):
        total += rows[i, k] * planes[p, k]
    return total


@compiled
def _square(rows: F32, i: int) -> Any:
    """The squared length of a row, in float64."""
    total = 0.0
    for k in range(rows.shape[1]):
        total += np.float64(rows[i, k]) * np.float64(rows[i, k])
    return total


@compiled
def _signatures(rows: F32, planes: F32, bits: int, tokens: I32) -> None:
    for i in range(rows.shape[0]):
        if not _square(rows, i) > 0:
            continue
        for table in range(tokens.shape[1]):
            signature = 0
            for bit in range(bits):
                if _product(rows, i, planes, table * bits + bit) > 0:
                    signature |= 1 << bit
            tokens[i, table] = (table << bits) + signature


@compiled_allocating
def _probe_rows(rows: F32, planes: F32, bits: int, tokens: I32, weights: F32) -> None:
    tables, wanted = len(planes) // bits, tokens.shape[1]
    own = np.empty(tables, np.int64)
    costs = np.empty((tables, bits), np.float64)
    order = np.empty((tables, bits), np.int64)
    keys = np.empty(tables + wanted + 1, np.float64)
    sets = np.empty((tables + wanted + 1, 3), np.int64)  # table, chosen ranks as bits, last rank
    for i in range(rows.shape[0]):
        square = _square(rows, i)
        if not square > 0:
            continue
        _project(rows, i, square, planes, own, costs, order)
        size = 0
        for table in range(tables):
            if table < wanted:
                tokens[i, table], weights[i, table] = own[table], 1
            size = _push(keys, sets, size, costs[table, 0], table, 1, 0)
        for at in range(tables, wanted):
            cost, table, chosen, last = keys[0], sets[0, 0], sets[0, 1], sets[0, 2]
            size = _pop(keys, sets, size)
            flips = 0
            for rank in range(last + 1):
                flips |= (chosen >> rank & 1) << order[table, rank]
            tokens[i, at] = own[table] ^ flips
            weights[i, at] = np.exp(-cost / 2)
            if last + 1 < bits:
                # Every set of ranks is reached once: add the next rank, or put it in place of the
                # last. Neither is cheaper than the set that it was made from.
                more = cost + costs[table, last + 1]
                size = _push(keys, sets, size, more, table, chosen | 1 << last + 1, last + 1)
                instead = more - costs[table, last]
                moved = chosen ^ 1 << last | 1 << last + 1
                size = _push(keys, sets, size, instead, table, moved, last + 1)


@compiled
def _project(
    rows: F32, i: int, square: float, planes: F32, own: I64, costs: F64, order: I64
) -> None:
    """Write a row's own token of each table, and its costs of flipping bits, the cheapest first.

    ``costs`` and ``order`` are ``(tables, bits)``: the costs and the numbers of their bits.
    """
    tables, bits = costs.shape
    for table in range(tables):
        own[table] = table << bits
        for bit in range(bits):
            product = np.float64(_product(rows, i, planes, table * bits + bit))
            if product > 0:
                own[table] += 1 << bit
            cost = product * product / square
            at = bit
            while at > 0 and costs[table, at - 1] > cost:
                costs[table, at], order[table, at] = costs[table, at - 1], order[table, at - 1]
                at -= 1
            costs[table, at], order[table, at] = cost, bit


@compiled
def _before(keys: F64, sets: I64, a: int, b: int) -> bool:
    """Whether one set of flips comes before another: cheaper, or of equals the lower table."""
    if keys[a] != keys[b]:
        return bool(keys[a] < keys[b])
    if sets[a, 0] != sets[b, 0]:
        return bool(sets[a, 0] < sets[b, 0])
    return bool(sets[a, 1] < sets[b, 1])


@compiled
def _swap(keys: F64, sets: I64, a: int, b: int) -> None:
    keys[a], keys[b] = keys[b], keys[a]
    for part in range(3):
        sets[a, part], sets[b, part] = sets[b, part], sets[a, part]


@compiled
def _push(keys: F64, sets: I64, size: int, cost: float, table: int, chosen: int, last: int) -> int:
    """Put a set of flips on the heap and return the new size."""
    keys[size] = cost
    sets[size, 0], sets[size, 1], sets[size, 2] = table, chosen, last
    at = size
    while at > 0 and _before(keys, sets, at, (at - 1) // 2):
        _swap(keys, sets, at, (at - 1) // 2)
        at = (at - 1) // 2
    return size + 1


@compiled
def _pop(keys: F64, sets: I64, size: int) -> int:
    """Take the cheapest set off the heap and return the new size."""
    size -= 1
    _swap(keys, sets, 0, size)
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            return size
        if child + 1 < size and _before(keys, sets, child + 1, child):
            child += 1
        if not _before(keys, sets, child, at):
            return size
        _swap(keys, sets, at, child)
        at = child
