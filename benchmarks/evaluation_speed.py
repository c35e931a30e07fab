"""Seconds and memory of an evaluation: 10,000 queries against 100,000 pins, dim 128.

Places of three answers of each query are found, with every metric. The vectors are random: the work
does not depend on what they are.
"""

import argparse

from harness import megabytes, run_python, table

MEASURE = """
import json, resource, sys, time
import numpy as np
from pintext.evaluation.metrics import metric
from pintext.evaluation.questions import Question, places_of
from pintext.evaluation.rankers import Embedding

n_queries, n_pins, dim = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
rows = {n: rng.standard_normal((n, dim), np.float32) for n in (n_queries, n_pins)}
answers = np.stack([np.repeat(np.arange(n_queries), 3), rng.integers(0, n_pins, 3 * n_queries)], 1)
answers = np.unique(answers, axis=0).astype(np.int32)
asked = Question(
    queries=[""] * n_queries, candidates=[""] * n_pins, popularity=np.zeros(n_pins, np.int64),
    frequency=np.zeros(n_queries, np.int64), answers=answers, gain=np.ones(len(answers)),
    unlike=np.zeros(len(answers), bool), barred=np.zeros((0, 2), np.int32),
)
ranker = Embedding("random", "pintext", lambda texts: rows[len(texts)])
few = Question(**{**asked.__dict__, "queries": [""] * 2, "answers": answers[:2], "gain": np.ones(2),
                  "unlike": np.zeros(2, bool)})
rows[2] = rows[n_queries][:2]
places_of(few, ranker.prepare(few))  # compile
began, cpu = time.perf_counter(), time.process_time()
places = places_of(asked, ranker.prepare(asked))
for name in ("recall@10", "recall@100", "precision@10", "ndcg@10", "mrr"):
    metric(name)(places)
print(json.dumps([time.perf_counter() - began, time.process_time() - cpu]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--pins", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    given = parser.parse_args()
    done = run_python(MEASURE, given.queries, given.pins, given.dim)
    seconds, cpu = done.answer
    table(
        f"{given.queries:,} queries, {given.pins:,} pins, dim {given.dim}",
        "seconds;processor seconds;peak memory;cores busy with other work",
        [[f"{seconds:.1f}", f"{cpu:.1f}", megabytes(done.peak_bytes), f"{done.others:.1f}"]],
    )


if __name__ == "__main__":
    main()
