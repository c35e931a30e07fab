"""The batch stages on Spark beside one process, on the same cores: time, memory, the same rows.

    python benchmarks/spark_speed.py                        # sizes of some minutes
    python benchmarks/spark_speed.py --texts 10_000_000 --events 10_000_000 --pins 1_000_000

Spark is local, on all cores, with ``--heap`` for the JVM; starting it is told apart. Processor
seconds and peak memory are those of the JVM and all Python workers together.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from corpora import make_model, make_texts
from harness import megabytes, run_python, table
from pairs_speed import make_pins, make_store

HEADER = "what;start;time;cpu;a second;peak;of one process"

# Put around what is measured, which makes `told`. Processes that ended meanwhile were waited for by
# those that are left, so their processor time counts.
AROUND = """
import json, os, sys, time
from pathlib import Path

def family(pid):
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
        except OSError:
            pass
    found = {pid}
    while len(found) < len(found := found | {p for p, above in parents.items() if above in found}):
        pass
    return found

def cost(pid):
    cpu = peak = 0
    for process in family(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        cpu += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        peak += int((status.partition("VmHWM:")[2].split() or [0])[0]) * 1024
    return cpu, peak

born = time.perf_counter()
SESSION
began, before = time.perf_counter(), cost(os.getpid())[0]
BODY
cpu, peak = cost(os.getpid())
print(json.dumps([began - born, time.perf_counter() - began, cpu - before, peak, told]))
"""
SESSION = """
os.environ["PYSPARK_SUBMIT_ARGS"] = (
    f"--driver-memory {sys.argv[1]} --conf spark.driver.bindAddress=127.0.0.1 "
    "--conf spark.driver.host=127.0.0.1 --conf spark.ui.enabled=false "
    "--conf spark.ui.showConsoleProgress=false pyspark-shell"
)
from pintext.spark import spark_session
session = spark_session()
session.range(1).count()
"""

EMBED_HERE = """
from pintext import PinTextModel
from pintext.embed import embed_file
model, source, out = sys.argv[2:]
told = embed_file(PinTextModel.from_pretrained(model), source + "/texts.parquet", out)
"""
EMBED_SPARK = """
from pintext.spark import embed_files
model, source, out = sys.argv[2:]
told = embed_files(session, source, model, out)
"""
PAIRS_HERE = """
from pintext.pairing import make_pairs
store, pins, out = sys.argv[2:]
told = make_pairs(store, out, pins=pins).tasks["search"].pairs
"""
PAIRS_SPARK = """
from pintext.spark import make_pairs
store, pins, out = sys.argv[2:]
told = make_pairs(session, store, out, pins=pins).tasks["search"].pairs
"""
KNN_HERE = """
from pintext import PinTextModel
from pintext.knn import Texts, find_neighbors
model, pins, queries, out = sys.argv[2:]
pins, queries = Texts(Path(pins)), Texts(Path(queries))
told = find_neighbors(PinTextModel.from_pretrained(model), pins, out, queries=queries)
"""
KNN_SPARK = """
from pintext.spark import find_neighbors
from pintext.knn import Texts
model, pins, queries, out = sys.argv[2:]
told = find_neighbors(session, model, Texts(Path(pins)), out, queries=Texts(Path(queries)))
"""


def measured(body: str, session: str, *arguments: Any) -> list[Any]:
    """Seconds to start, seconds, processor seconds, peak bytes and what was told."""
    done = run_python(AROUND.replace("SESSION", session).replace("BODY", body), *arguments)
    lines = [line for _, line in done.lines if line.startswith("[")]
    found: list[Any] = json.loads(lines[-1])
    return found


def compare(
    title: str, count: int, here: str, there: str, heap: str, arguments: Sequence[Path], out: Path
) -> list[Path]:
    """Run both and print the table; the two results."""
    results: list[Path] = []
    rows, first = [], 0.0
    for name, body, session in (("one process", here, ""), ("Spark", there, SESSION)):
        result = out.with_name(f"{out.name}-{len(results)}")
        start, seconds, cpu, peak, told = measured(body, session, heap, *arguments, result)
        first = first or seconds
        rate, share = f"{count / seconds:,.0f}", f"{first / seconds:.0%}"
        cells = [f"{start:.1f} s", f"{seconds:.1f} s", f"{cpu:.1f} s", rate, megabytes(peak), share]
        rows.append([f"{name}: {told}", *cells])
        results.append(result)
    table(title, HEADER, rows)
    return results


def rows_of(result: Path) -> pl.DataFrame:
    """The rows of a file or of the parts in a folder, in order."""
    files = sorted(result.glob("*.parquet")) if result.is_dir() else [result]
    return pl.concat(map(pl.read_parquet, files))


def numbered(texts: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"id": pl.int_range(len(texts), eager=True), "text": texts})


def embed(folder: Path, count: int, heap: str) -> None:
    make_model().save_pretrained(folder / "model")
    (folder / "texts").mkdir()
    parts = [make_texts(min(count, 1_000_000), 5, seed) for seed in range(max(1, count // 10**6))]
    texts = numbered(pl.concat(parts))
    texts.write_parquet(folder / "texts" / "texts.parquet", row_group_size=100_000)
    del parts, texts
    one, many = compare(
        f"Embedding {count:,} texts of 5 words, 128 dims",
        count,
        EMBED_HERE,
        EMBED_SPARK,
        heap,
        [folder / "model", folder / "texts"],
        folder / "vectors",
    )
    some = pl.scan_parquet(many / "*.parquet").filter(pl.col("id") % 1000 == 0).collect().sort("id")
    same = pl.scan_parquet(one).filter(pl.col("id") % 1000 == 0).collect().equals(some)
    print(f"the same vectors, every thousandth: {same}")


def pairs(folder: Path, count: int, heap: str) -> None:
    make_store(folder / "store", count)
    make_pins(folder / "pins.parquet", count)
    arguments = [folder / "store", folder / "pins.parquet"]
    title = f"Pairs of {count:,} events and {count // 10:,} pins"
    one, many = compare(title, count, PAIRS_HERE, PAIRS_SPARK, heap, arguments, folder / "pairs")
    for part in ("task=search", "_negatives/task=search"):
        print(f"{part}: the same rows: {rows_of(one / part).equals(rows_of(many / part))}")


def knn(folder: Path, pins: int, heap: str) -> None:
    make_model().save_pretrained(folder / "model")
    for name, count, length, seed in (("pins", pins, 10, 1), ("queries", pins // 10, 3, 2)):
        texts = numbered(make_texts(count, length, seed))
        texts.write_parquet(folder / f"{name}.parquet", row_group_size=50_000)
    arguments = [folder / name for name in ("model", "pins.parquet", "queries.parquet")]
    title = f"10 neighbours of {pins // 10:,} queries among {pins:,} pins (queries a second)"
    one, many = compare(title, pins // 10, KNN_HERE, KNN_SPARK, heap, arguments, folder / "near")
    ours, theirs = rows_of(one), rows_of(many)
    names = ["id", "neighbor_id", "rank"]
    far = np.abs(ours["similarity"].to_numpy() - theirs["similarity"].to_numpy()).max()
    print(f"the same rows: {ours[names].equals(theirs[names])}; similarities within {far:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="*", default=["embed", "pairs", "knn"])
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--pins", type=int, default=100_000, help="of knn, with a tenth of queries")
    parser.add_argument("--heap", default="4g", help="of the JVM")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary one")
    options = parser.parse_args()
    sizes = {"embed": options.texts, "pairs": options.events, "knn": options.pins}
    stages = {"embed": embed, "pairs": pairs, "knn": knn}
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        for what in options.what:
            folder = Path(temporary, what)
            folder.mkdir()
            stages[what](folder, sizes[what], options.heap)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
