"""Tokens beside other ways to find near vectors: recall, pins scored, processor time of a query.

Pins and queries are texts encoded by a PinText model: synthetic ones (``synthetic.py``), whose
queries were held out from training, or vectors of your own (``--pins``, ``--queries``: .npy).
Every contender sees the same vectors and answers one query at a time on one thread. ``pins scored``
is the share of all pins whose exact cosine is computed; graphs do not say.

    python benchmarks/tokens.py --count 100000
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from contenders import Contender, libraries, timed
from harness import Vectors, table, unit
from pintext import PinTextModel, TrainConfig, train
from pintext.knn import TokenLists
from pintext.tokens import HyperplaneTokens, LearnedTokens, TokenScheme, plan_tokens
from pintext.tokens.curve import draw_sample, measure
from pintext.tokens.exact import exact_neighbors
from synthetic import Recipe, frames, held_out, write_dataset

K = 10
SHARE = 0.01


def synthetic_vectors(count: int, queries: int) -> tuple[Vectors, Vectors]:
    """Pins and held-out queries, encoded by a model trained on other pairs of the topics."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(Recipe(), folder / "pairs")
        settings = TrainConfig(epochs=2, loss="hinge", validation=0, min_count=2)
        model: PinTextModel = train(folder / "pairs", settings)
    spare = Recipe(pairs=count + count // 50)
    texts = pl.concat(list(frames(spare)))["pin"].unique(maintain_order=True)[:count]
    return unit(model.encode(texts)), unit(model.encode(held_out(Recipe(), queries)["query"]))


def by_tokens(
    name: str, scheme: TokenScheme, probes: int, pins: Vectors, share: float
) -> Contender:
    """Inverted lists of tokens."""
    lists, seconds = timed(lambda: TokenLists(pins, scheme))
    lists.nearest(pins[:2], K, probes)
    return Contender(name, lambda q: lists.nearest(q, K, probes, threads=1).rows, share, seconds)


def planned(pins: Vectors, queries: Vectors) -> Iterator[Contender]:
    """Learned tokens for a promise of 0.95, and hyperplanes at 1 % of the pins."""
    plan, seconds = timed(lambda: plan_tokens(pins, 0.95, queries=queries))
    made = by_tokens(
        "learned, planned for 0.95", plan.scheme, plan.probes, pins, plan.measured_share
    )
    yield made._replace(build_seconds=made.build_seconds + seconds)
    scheme, seconds = timed(lambda: LearnedTokens.train(pins))
    sample = draw_sample(pins, queries, K, 0)
    share = float(measure(scheme, pins, sample, 128)[-1].share[:, -1].mean())
    made = by_tokens("learned, defaults", scheme, 128, pins, share)
    yield made._replace(build_seconds=made.build_seconds + seconds)
    for bits in (10, 14, 16, 18):
        scheme = HyperplaneTokens(pins.shape[1], tables=32, bits=bits)
        shares = measure(scheme, pins, sample, 512)[-1].share.mean(axis=0)
        for name, probes in (("own tokens", 32), ("multi-probe", _within(shares))):
            yield by_tokens(
                f"hyperplane 32 x {bits}, {name}", scheme, probes, pins, float(shares[probes - 1])
            )


def _within(shares: Vectors) -> int:
    """Probes, at least one a table, with which at most 1 % of the pins are scored."""
    return max(32, int((shares <= SHARE).sum()))


def row(contender: Contender, queries: Vectors, truth: Any) -> list[str]:
    """One line of the table."""
    began = time.process_time()
    found = [contender.ask(queries[query : query + 1])[0] for query in range(len(queries))]
    seconds = time.process_time() - began
    hits = [np.isin(true, got).mean() for true, got in zip(truth, found, strict=True)]
    share = "" if contender.share is None else f"{contender.share:.2%}"
    return [
        contender.name,
        f"{np.mean(hits):.3f}",
        share,
        f"{1e3 * seconds / len(queries):.3f}",
        f"{contender.build_seconds:.1f}",
    ]


def theory(pins: Vectors, queries: Vectors, truth: Any) -> list[list[str]]:
    """What hyperplanes should find with their own tokens: 1 - (1 - p^bits)^tables, on average."""
    angles = np.arccos(np.clip(np.einsum("qd,qkd->qk", queries, pins[truth]), -1, 1))
    agree = 1 - angles / np.pi
    found = {bits: float((1 - (1 - agree**bits) ** 32).mean()) for bits in (10, 14, 16, 18)}
    return [
        [f"theory: 32 x {bits}, own tokens", f"{recall:.3f}", "", "", ""]
        for bits, recall in found.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="pins")
    parser.add_argument("--asked", type=int, default=500, help="queries that are measured")
    parser.add_argument("--pins", type=Path, help=".npy of your own pins' vectors")
    parser.add_argument("--queries", type=Path, help=".npy of your own queries' vectors")
    parser.add_argument("--no-libraries", action="store_true", help="tokens and theory alone")
    given = parser.parse_args()
    if given.pins and given.queries:
        pins, queries = unit(np.load(given.pins)[: given.count]), unit(np.load(given.queries))
    else:
        pins, queries = synthetic_vectors(given.count, 3 * given.asked)
    pins, queries = np.ascontiguousarray(pins), queries[queries.any(axis=1)]
    planning, asked = queries[given.asked :], queries[: given.asked]
    truth = exact_neighbors(asked, pins, K).rows
    rows = [row(contender, asked, truth) for contender in planned(pins, planning)]
    rows += theory(pins, asked, truth)
    if not given.no_libraries:
        rows += [
            row(contender, asked, truth)
            for contender in libraries(pins, asked, K, widths=(64, 256), probes=(4, 16, 64))
        ]
    table(
        f"{len(pins):,} pins, dim {pins.shape[1]}, {len(asked)} queries that no plan has seen",
        "how;recall@10;pins scored;CPU ms a query;build CPU s",
        rows,
    )


if __name__ == "__main__":
    main()
