"""Memory of finding neighbours in bulk: the same pins, more and more queries.

What is mapped from files can be dropped by the system at any time and is counted by itself: the
rest is what the process needs (RssAnon, looked at every 10 ms; Linux).
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import polars as pl

from harness import megabytes, run_python, skip, table, train_process
from synthetic import Recipe, frames, write_dataset

# Finds the neighbours of the queries argv[3] among the pins argv[2] as argv[5] says.
FIND = """
import json, sys, threading, time
from pathlib import Path
from pintext import PinTextModel
from pintext.knn import Texts, expand_keywords, find_neighbors

def own():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

def watch():
    global peak
    while not done.wait(0.01):
        peak = max(peak, own())

model, pins, queries, out, way = sys.argv[1:]
model, peak, done = PinTextModel.from_pretrained(model), 0, threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
began = own()
pins, queries = Texts(Path(pins)), Texts(Path(queries))
if way == "keywords":
    rows = expand_keywords(model, pins, queries, out)
else:
    rows = find_neighbors(model, pins, out, queries=queries, exact=way == "exact")
done.set()
watcher.join()
print(json.dumps({"rows": rows, "began": began, "peak": peak}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pins", type=int, default=100_000)
    parser.add_argument("--queries", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--ways", nargs="+", default=["tokens", "keywords"])
    given = parser.parse_args()
    if not Path("/proc/self/status").exists():
        skip("needs /proc/self/status (Linux)")
    recipe, rows = replace(Recipe(), pairs=max(*given.queries, given.pins)), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(replace(recipe, pairs=300_000), folder / "pairs")
        train_process(folder / "pairs", {"dim": 64, "epochs": 1}, 2, folder / "model")
        made = pl.concat(frames(recipe))
        made[: given.pins].select(text="pin").write_parquet(folder / "pins.parquet")
        for way in given.ways:
            for count in given.queries:
                queries, out = folder / f"{count}.parquet", folder / f"{way}-{count}.parquet"
                made[:count].select(text="query").write_parquet(queries)
                done = run_python(
                    FIND, folder / "model", folder / "pins.parquet", queries, out, way
                )
                rows.append(
                    (
                        way,
                        f"{count:,}",
                        f"{done.answer['rows']:,}",
                        megabytes(queries.stat().st_size),
                        megabytes(out.stat().st_size),
                        f"{done.seconds:.0f}",
                        megabytes(done.answer["began"]),
                        megabytes(done.answer["peak"]),
                        megabytes(done.peak_bytes),
                    )
                )
    table(
        f"{given.pins:,} pins, 10 neighbours each, dim 64",
        "way;queries;rows;their file;file written;seconds;own memory before;at most;peak RSS",
        rows,
        "keywords: the queries are pins that look for keywords, and the file is turned around.",
    )


if __name__ == "__main__":
    main()
