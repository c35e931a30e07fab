"""Searching pins: PinIndex beside FAISS HNSW and IVF and brute force on the same vectors, one run.

Pins are texts of words around planted topics, one word in three from anywhere; queries are other
texts of three words. Times are processor time of one thread, so that a busy machine disturbs them
least; ``wall p99`` is not. Needs ``pip install faiss-cpu``.

    python benchmarks/index_speed.py --pins 100000
    python benchmarks/index_speed.py --pins 1000000 --only build index filter
"""

import argparse
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness import table
from pintext import IndexConfig, PinIndex, PinTextModel
from pintext.vocabulary import Vocabulary

DIM, WORDS, TOPICS = 128, 60_000, 2_000
K = 10
F32 = NDArray[np.float32]


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """A table of rows with the same keys."""
    table(title, ";".join(rows[0]), [list(row.values()) for row in rows])


def make_model(seed: int = 0) -> PinTextModel:
    """Words around topics."""
    draw = np.random.default_rng(seed)
    centers = draw.standard_normal((TOPICS, DIM)).astype(np.float32)
    rows = centers[np.arange(WORDS) % TOPICS]
    rows = rows + draw.standard_normal((WORDS, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return PinTextModel(Vocabulary.from_words([f"word{n}" for n in range(WORDS)]), rows)


def make_texts(count: int, length: int, seed: int) -> pl.Series:
    """Texts whose words come from a topic of their own, one in three from anywhere."""
    draw = np.random.default_rng(seed)
    topic = draw.integers(0, TOPICS, count)[:, None]
    words = topic + TOPICS * draw.integers(0, WORDS // TOPICS, (count, length))
    anywhere = draw.random((count, length)) < 1 / 3
    words = np.where(anywhere, draw.integers(0, WORDS, (count, length)), words)
    columns = [pl.Series(f"{n}", words[:, n]) for n in range(length)]
    return pl.DataFrame(columns).select(
        pl.concat_str([pl.format("word{}", pl.col(f"{n}")) for n in range(length)], separator=" ")
    ).to_series()  # fmt: skip


def make_pins(count: int) -> pl.DataFrame:
    """Pins with a field of which each value keeps 1 %, and a number."""
    draw = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "id": pl.Series(np.arange(count)).cast(pl.String),
            "title": make_texts(count, 10, 1),
            "shop": pl.Series(draw.integers(0, 100, count)).cast(pl.String),
            "price": draw.random(count) * 100,
        }
    )


class Timed:
    """Processor seconds of each call, and the wall clock's."""

    def __init__(self, call: Callable[[int], Any], count: int) -> None:
        self.answers, cpu, wall = [], [], []
        for number in range(count):
            began, clock = time.thread_time(), time.perf_counter()
            self.answers.append(call(number))
            cpu.append(time.thread_time() - began)
            wall.append(time.perf_counter() - clock)
        self.median = 1e3 * float(np.median(cpu))
        self.p99 = 1e3 * float(np.quantile(cpu, 0.99))
        self.wall_p99 = 1e3 * float(np.quantile(wall, 0.99))

    def row(self, name: str, recall: float, **more: Any) -> dict[str, Any]:
        """A row of a table."""
        figures = {"ms median": round(self.median, 3), "ms p99": round(self.p99, 3)}
        return {"": name, "recall@10": round(recall, 3), **figures,
                "wall p99": round(self.wall_p99, 2), **more}  # fmt: skip


def recall_of(found: list[list[int]], truth: NDArray[np.int64]) -> float:
    return float(np.mean([len(set(f) & set(t.tolist())) / K for f, t in zip(found, truth)]))  # noqa: B905


def built(pins: pl.DataFrame, model: PinTextModel, folder: Path, scheme: Any) -> PinIndex:
    clock, cpu = time.perf_counter(), time.process_time()
    config = IndexConfig(filter_columns=("shop", "price"), scheme=scheme)
    typed = make_texts(1000, 3, 3).to_list()  # others than those that are measured
    index = PinIndex.build(
        pins, model, folder / "index", config=config, overwrite=True, queries=typed
    )
    data = index.tokens.dim * 4 * len(pins) + int(pins["title"].str.len_bytes().sum())
    show(
        f"Build, {len(pins):,} pins",
        [
            {
                "s": round(time.perf_counter() - clock, 1),
                "cpu s": round(time.process_time() - cpu, 1),
                "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
                "bytes / (vectors + text)": index.bytes / data,
                "tokens": index.tokens.n_tokens,
                "probes": index.retrieval.probes,
                "candidates": index.retrieval.candidates,
                "recall expected": round(index.retrieval.expected_recall, 3),
                "measured": round(index.retrieval.measured_recall, 3),
            }
        ],
    )
    return index


def nearest(index: PinIndex, texts: list[str], vectors: F32, truth: NDArray[np.int64]) -> None:
    """The table against FAISS; ids of pins are their numbers."""
    import faiss

    faiss.omp_set_num_threads(1)
    rows = []
    for mode in ("embedding", "hybrid"):
        timed = Timed(lambda n, mode=mode: index.search(texts[n], K, mode=mode), len(texts))  # type: ignore[misc]
        found = [[int(hit.id) for hit in hits] for hits in timed.answers]
        share = float(np.mean([hits.candidates for hits in timed.answers])) / len(index)
        rows.append(timed.row(f"PinIndex {mode}", recall_of(found, truth), scored=f"{share:.2%}"))
    queries = index.model.encode(texts)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    hnsw = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
    hnsw.hnsw.efConstruction = 80
    faiss.omp_set_num_threads(0)
    hnsw.add(vectors)
    ivf: Any = faiss.index_factory(DIM, "IVF1024,Flat", faiss.METRIC_INNER_PRODUCT)
    ivf.train(vectors[:100_000])
    ivf.add(vectors)
    faiss.omp_set_num_threads(1)
    for width in (32, 64, 128, 256, 512):
        hnsw.hnsw.efSearch = width
        timed = Timed(lambda n: hnsw.search(queries[n : n + 1], K)[1][0].tolist(), len(texts))
        rows.append(timed.row(f"HNSW {width}", recall_of(timed.answers, truth), scored=""))
    for width in (4, 16, 64):
        ivf.nprobe = width
        timed = Timed(lambda n: ivf.search(queries[n : n + 1], K)[1][0].tolist(), len(texts))
        rows.append(timed.row(f"IVF {width}", recall_of(timed.answers, truth), scored=""))
    exact = Timed(lambda n: np.argpartition(-(vectors @ queries[n]), K)[:K].tolist(), 20)
    rows.append(exact.row("numpy, all", recall_of(exact.answers, truth[:20]), scored="100%"))
    show(f"Nearest ten of {len(index):,} pins, one thread", rows)


def filtered(index: PinIndex, texts: list[str]) -> None:
    """Behind filters that keep 1 % and 10 %, each query with another value."""
    rows = []
    for name, filters in (
        ("shop, 1 %", lambda n: {"shop": str(n % 100)}),
        ("price, 1 %", lambda n: {"price": {"gte": n % 99, "lt": n % 99 + 1}}),
        ("price, 10 %", lambda n: {"price": {"gte": n % 90, "lt": n % 90 + 10}}),
    ):
        for mode in ("embedding", "hybrid"):
            timed = Timed(
                lambda n, mode=mode, filters=filters: index.search(  # type: ignore[misc]
                    texts[n], K, mode=mode, filters=filters(n)
                ),
                len(texts),
            )
            if mode == "embedding":
                shares = []
                for n in range(0, len(texts), 5):
                    truth = {h.id for h in index.exact(index.model.encode(texts[n]), K, filters(n))}
                    shares.append(len(truth & {h.id for h in timed.answers[n]}) / len(truth))
            rows.append(timed.row(f"{name}, {mode}", float(np.mean(shares))))
    show("Behind a filter (recall: of the exact filtered ten, by mode embedding)", rows)


def changes(index: PinIndex) -> None:
    """Upserts in batches while two threads search."""
    stop, searches, errors = threading.Event(), [0, 0], []

    def search(number: int) -> None:
        texts = make_texts(500, 3, 90 + number).to_list()
        while not stop.is_set():
            try:
                index.search(texts[searches[number] % 500])
            except Exception as error:
                errors.append(error)
            searches[number] += 1

    readers = [threading.Thread(target=search, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < 10:
        index.upsert(make_pins(2000).with_columns(title=make_texts(2000, 10, done + 50)))
        done += 2000
    seconds = time.perf_counter() - began
    stop.set()
    for reader in readers:
        reader.join()
    show(
        "Upserts in batches of 2,000 while two threads search",
        [
            {
                "upserts a second": done / seconds,
                "searches a second": sum(searches) / seconds,
                "errors of readers": len(errors),
            }
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pins", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--scheme", choices=["learned", "hyperplane"], default="learned")
    parser.add_argument("--only", nargs="*", default=["nearest", "filter", "changes"])
    parser.add_argument("--folder", type=Path, help="keep the index here")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="index-speed-"))
    model, pins = make_model(), make_pins(arguments.pins)
    texts = make_texts(arguments.queries, 3, 2).to_list()
    index = built(pins, model, folder, arguments.scheme)
    index.search(texts[0])
    if "nearest" in arguments.only:
        vectors = model.encode(pins["title"])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        queries = model.encode(texts)
        truth = np.concatenate(
            [np.argpartition(-(queries[n : n + 50] @ vectors.T), K)[:, :K] for n in
             range(0, len(texts), 50)]
        )  # fmt: skip
        nearest(index, texts, vectors, truth)
    if "filter" in arguments.only:
        filtered(index, texts)
    if "changes" in arguments.only:
        changes(index)
    if not arguments.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
