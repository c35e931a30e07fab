"""Shards beside one index of the same pins: are the hits the same, and what does a search cost?

Pins are texts of 3 to 10 words around planted topics; queries are other texts of three words. The
shards take the tokens of the index. Answers are the same where ids, similarities, BM25 and matched
tokens are, to the bit and in their order.

    python benchmarks/sharding.py --pins 100000 --queries 10000 --shards 4
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from corpora import make_model, make_pins, make_texts
from harness import table
from index_speed import K
from pintext import PinIndex, PinTextModel
from pintext.index import Hits, ShardedIndex
from pintext.index.sharded import AnyIndex


def some_pins(count: int) -> pl.DataFrame:
    """Pins whose texts are of different lengths."""
    lengths = pl.Series(np.random.default_rng(8).integers(3, 11, count))
    words = pl.col("title").str.split(" ").list.slice(0, pl.lit(lengths)).list.join(" ")
    return make_pins(count).select("id", words)


def built(
    pins: pl.DataFrame, model: PinTextModel, shards: int, folder: Path
) -> tuple[PinIndex, ShardedIndex]:
    """The pins as one index, and as shards with its tokens."""
    one = PinIndex.build(pins, model, folder / "one")
    names = [folder / f"shard-{part}" for part in range(1, shards + 1)]
    for part, name in enumerate(names, 1):
        PinIndex.build(pins, model, name, shard=(part, shards), tokens=one)
    return one, ShardedIndex.open(names, one.model)


def measured(one: PinIndex, many: ShardedIndex, queries: list[str], mode: Any) -> list[Any]:
    """A row of the table for one mode; ``exact`` compares all pins."""
    seconds, same, sets = np.zeros(2), 0, 0
    indexes: tuple[AnyIndex, ...] = (one, many)
    for query in queries:
        answers: list[Hits] = []
        for number, index in enumerate(indexes):
            began = time.process_time()
            answers.append(
                index.exact(index.model.encode(query), K)
                if mode == "exact"
                else index.search(query, K, mode=mode)
            )
            seconds[number] += time.process_time() - began
        first, second = answers
        same += list(first) == list(second)
        sets += {hit.id for hit in first} == {hit.id for hit in second}
    cost = 1e3 * seconds / len(queries)
    return [mode, len(queries), same, sets, round(cost[0], 2), round(cost[1], 2)]


def main() -> None:
    """Build, search, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pins", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=4)
    options = parser.parse_args()
    model, queries = make_model(), make_texts(options.queries, 3, 99).to_list()
    with tempfile.TemporaryDirectory() as folder:
        one, many = built(some_pins(options.pins), model, options.shards, Path(folder))
        rows = [
            measured(one, many, queries, mode) for mode in ("embedding", "exact", "hybrid", "text")
        ]
    table(
        f"{options.pins:,} pins in one index and in {options.shards} shards, the ten best",
        "mode;queries;same answers;same ids;ms one;ms shards",
        rows,
    )


if __name__ == "__main__":
    main()
