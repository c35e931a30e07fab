"""The constants of ``pintext plan``: what each stage costs here, how that grows, what it leaves.

Sizes go over three decades. A cost is processor time, to which is fitted
``fixed + unit * (size / 10^6) ^ exponent``. ``by dim`` is the share of the cost at dim 128 that
goes with dim, from runs with 32. The JSON line below each table has the constants of
``src/pintext/scale/measured.py``.

    python benchmarks/scale.py                   # everything, some twenty minutes of two cores
    python benchmarks/scale.py index query --sizes 1000 10000 100000 1000000
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from corpora import make_texts
from harness import run_python, table, train_process
from pairs_speed import MAKE, make_pins, make_store
from pintext import PinIndex, PinTextModel, ShardedIndex, embed_file
from pintext.vocabulary import Vocabulary
from server_load import Process
from synthetic import Recipe, write_dataset

SIZES = [1_000, 3_162, 10_000, 31_623, 100_000, 316_228, 1_000_000]
DIM_SIZE = 10**5
WORDS, TOPICS, LENGTH = 60_000, 2_000, 10
QUERIES = 300


def model_of(dim: int) -> PinTextModel:
    """Words around topics."""
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((TOPICS, dim))[np.arange(WORDS) % TOPICS]
    rows += draw.standard_normal((WORDS, dim))
    words = Vocabulary.from_words([f"word{n}" for n in range(WORDS)])
    return PinTextModel(words, rows.astype(np.float32))


def pins_of(count: int) -> pl.DataFrame:
    """Pins whose texts have ten words."""
    ids = pl.Series("id", np.arange(count)).cast(pl.String)
    return pl.DataFrame([ids, make_texts(count, LENGTH, 1).alias("title")])


def cpu(work: Callable[[], Any]) -> float:
    """Processor seconds of this process, all threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def embed(folder: Path, size: int, dim: int) -> dict[str, float]:
    """Texts in Parquet to vectors in Parquet."""
    model = model_of(dim)
    pins_of(size).write_parquet(folder / "pins.parquet")
    out = folder / "vectors.parquet"
    model.encode("word1")
    seconds = cpu(lambda: embed_file(model, folder / "pins.parquet", out, text_column="title"))
    return {"cpu": seconds, "bytes": out.stat().st_size / size}


def index(folder: Path, size: int, dim: int) -> dict[str, float]:
    """An index of pins; the bytes of a pin besides its vector."""
    model, pins = model_of(dim), pins_of(size)
    made = []
    seconds = cpu(lambda: made.append(PinIndex.build(pins, model, folder / "index")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"cpu": seconds, "bytes": made[0].bytes / size - 4 * dim, "peak": peak / size}


def query(folder: Path, size: int, dim: int) -> dict[str, float]:
    """A hybrid search, ten hits with what is stored of them, when its pages have been read once."""
    opened = PinIndex.build(pins_of(size), model_of(dim), folder / "index")
    texts = make_texts(QUERIES, 3, 99).to_list()

    def ask(some: list[str]) -> None:
        for text in some:
            opened.documents(hit.id for hit in opened.search(text))

    ask(texts)
    return {"cpu": cpu(lambda: ask(texts)) / len(texts) * 1e6}  # a million queries


def train(folder: Path, size: int, dim: int) -> dict[str, float]:
    """Pairs in Parquet to a model, one epoch."""
    settings = {"dim": dim, "epochs": 1, "min_count": 1, "validation": 0.0}
    write_dataset(replace(Recipe(), pairs=size), folder / "pairs")
    done = train_process(folder / "pairs", settings, 2)
    return {"cpu": done.cpu_seconds, "peak": done.peak_bytes / size}


def pairs(folder: Path, size: int, _dim: int) -> dict[str, float]:
    """Events in a store to pairs in Parquet."""
    make_store(folder / "store", size)
    make_pins(folder / "pins.parquet", size)
    done = run_python(MAKE, folder / "store", folder / "pins.parquet", folder / "out", 2.0)
    stored = sum(path.stat().st_size for path in (folder / "store").rglob("*.parquet"))
    return {"cpu": done.cpu_seconds, "bytes": stored / size}


class StageOf(NamedTuple):
    """A stage to measure.

    Attributes:
        run: folder, size, dim -> figures.
        factor: what sizes are multiplied by.
        least: the exponent at least: what reads everything once cannot take less than linear time.
        first: the smallest size that counts; below it a search hardly takes longer for more pins.
    """

    run: Callable[[Path, int, int], dict[str, float]]
    factor: int = 1
    least: float = 1.0
    first: int = 0


STAGES = {
    "pairs": StageOf(pairs, 10),
    "train": StageOf(train, 10),
    "embed": StageOf(embed),
    "index": StageOf(index),
    "query": StageOf(query, least=0.0, first=31_623),
}


def once(name: str, size: int, dim: int = 128) -> dict[str, float]:
    """One run in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return STAGES[name].run(Path(folder), size, dim)


def fitted(sizes: list[int], costs: list[float], least: float) -> tuple[float, float, float]:
    """``fixed``, ``unit`` and ``exponent``, by least squares of relative errors."""
    weight, best = 1 / np.array(costs), (np.inf, 0.0, 0.0, 0.0)
    for exponent in np.arange(least, least + 1, 0.005):
        powers = (np.array(sizes) / 1e6) ** exponent
        for columns in ([np.ones_like(powers), powers], [powers]):
            weighted = np.stack(columns, 1) * weight[:, None]
            solved, *_ = np.linalg.lstsq(weighted, np.ones(len(sizes)))
            if (solved < 0).any():
                continue
            error = float(((weighted @ solved - 1) ** 2).sum())
            fixed = float(solved[0]) if len(columns) == 2 else 0.0
            best = min(best, (error, fixed, float(solved[-1]), float(exponent)))
    return best[1:]


def measured(name: str, sizes: list[int]) -> None:
    """The table of a stage, and its line of constants."""
    stage = STAGES[name]
    once(name, 1000)  # compiles
    sizes = [size * stage.factor for size in sizes]
    found = [once(name, size) for size in sizes]
    costs = [run["cpu"] for run in found]
    some = sum(size < stage.first for size in sizes)
    fixed, unit, exponent = fitted(sizes[some:], costs[some:], stage.least)
    share = 0.0
    if name != "pairs":
        at = fixed if name != "query" else 0.0
        small, large = (once(name, DIM_SIZE, dim)["cpu"] - at for dim in (32, 128))
        share = min(1.0, max(0.0, (1 - small / large) / (1 - 32 / 128)))
    rows = []
    for size, run in zip(sizes, found, strict=True):
        told = fixed + unit * (size / 1e6) ** exponent
        each = (f"{run.get(what, 0):,.0f}" for what in ("bytes", "peak"))
        rows.append([f"{size:,}", f"{run['cpu']:.3f}", f"{told:.3f}", *each])
    table(
        f"{name}, dim 128",
        "size;CPU s;fitted;bytes each;peak bytes each",
        rows,
        f"{fixed:.3g} + {unit:.3g} (size / 10^6)^{exponent:.2f} core-seconds; by dim: {share:.2f}",
    )
    more = {what: round(found[-1][what]) for what in ("bytes", "peak") if what in found[-1]}
    line = {"stage": name, "fixed": round(fixed, 3), "unit": round(unit, 3)}
    print(json.dumps(line | {"exponent": round(exponent, 3), "by_dim": round(share, 2)} | more))


def front(count: int = 50_000, shards: int = 3) -> None:
    """What a search costs a front and the service of a shard, in processes of their own."""
    import httpx

    with tempfile.TemporaryDirectory() as name:
        folder, model, pins = Path(name), model_of(128), pins_of(count)
        model.save_pretrained(folder / "model")
        one = PinIndex.build(pins, model, folder / "one")
        for part in range(1, shards + 1):
            PinIndex.build(pins, model, folder / f"{part}", shard=(part, shards), tokens=one)
        serve = [sys.executable, "-m", "pintext", "serve", "--port", "PORT", "--recall-share", "0"]
        served = [Process([*serve, str(folder / f"{part}")], "/ready", folder)
                  for part in range(1, shards + 1)]  # fmt: skip
        urls = [part for shard in served for part in ("--shard", f"http://127.0.0.1:{shard.port}")]
        before = Process([*serve, str(folder / "model"), *urls], "/ready", folder)
        processes = [before, *served]
        texts = make_texts(2 * QUERIES, 3, 99).to_list()
        with httpx.Client(base_url=f"http://127.0.0.1:{before.port}", timeout=60) as client:
            for text in texts[:QUERIES]:
                client.post("/v1/search", json={"query": text}).raise_for_status()
            began = [process.cpu_seconds() for process in processes]
            for text in texts[QUERIES:]:
                client.post("/v1/search", json={"query": text}).raise_for_status()
            spent = [process.cpu_seconds() - start
                     for process, start in zip(processes, began, strict=True)]  # fmt: skip
        for process in processes:
            process.stop()
        many = ShardedIndex.open([folder / f"{part}" for part in range(1, shards + 1)], model)
        inside = cpu(lambda: [many.search(text) for text in texts[QUERIES:]])
        milliseconds = [1e3 * seconds / QUERIES for seconds in (*spent, inside)]
        names = ["front", *(f"shard {part}" for part in range(1, shards + 1)), "one process of all"]
        table(
            f"{shards} shards of {count // shards:,} pins behind a front, hybrid searches",
            "process;CPU ms a search",
            [[what, f"{value:.2f}"] for what, value in zip(names, milliseconds, strict=True)],
        )
        print(json.dumps({"stage": "front", "a_shard": round(milliseconds[0] / shards, 2),
                          "shard": round(float(np.mean(milliseconds[1:-1])), 2)}))  # fmt: skip


def main() -> None:
    """Measure the stages that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", default=[*STAGES, "front"])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    options = parser.parse_args()
    for name in options.stages:
        if name == "front":
            front()
        else:
            measured(name, options.sizes)


if __name__ == "__main__":
    main()
