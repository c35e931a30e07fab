"""The benchmarks' real data, on small made files of the same shape: nothing that is asked leaks."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pintext.evaluation.run import retrieval_questions
from pintext.pairs import PairSource
from pintext.text import split

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import real_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files as the loaders expect them, with what they must leave out."""
    made = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    write_retail(made / "online-retail", draw)
    write_citeulike(made / "citeulike-a", draw)
    write_chorus(made / "chorus", draw)
    return made


def write_retail(folder: Path, draw: np.random.Generator) -> None:
    folder.mkdir()
    rows = [
        (f"{500000 + invoice}", f"{10000 + item}", f"RED  ITEM {item % 25}", 1, invoice, customer)
        for invoice in range(150)
        for customer in [int(draw.integers(0, 15))]
        for item in draw.choice(50, 5, replace=False)
    ]
    rows += [("500001", "POST", "POSTAGE", 1, 1, 1), ("C500002", "10001", "RED ITEM 1", 1, 2, 1)]
    names = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "CustomerID"]
    frame = pl.DataFrame(rows, names, orient="row").with_columns(
        pl.from_epoch("InvoiceDate", "d"), pl.col("StockCode").cast(pl.String)
    )
    frame.write_parquet(folder / "transactions.parquet")


def write_citeulike(folder: Path, draw: np.random.Generator) -> None:
    folder.mkdir()
    words = ["".join(draw.choice(list("abcdefgh"), 5)) for _ in range(12)]
    tags = [f"{w}{i}" for i, w in enumerate(words)]
    (folder / "tags.dat").write_text("\n".join(tags) + "\n")
    lines = [" ".join(map(str, [4, *draw.choice(12, 4, replace=False)])) for _ in range(60)]
    (folder / "item-tag.dat").write_text("\n".join(lines) + "\n")
    users = [" ".join(map(str, [8, *draw.choice(60, 8, replace=False)])) for _ in range(30)]
    (folder / "users.dat").write_text("\n".join(users) + "\n")


def write_chorus(folder: Path, draw: np.random.Generator) -> None:
    folder.mkdir()
    rows = [
        (f"query {q}", int(p), f"product {p}", int(draw.integers(0, 4)))
        for q in range(15)
        for p in draw.choice(40, 8, replace=False)
    ]
    names = ["query", "docid", "name", "final_rating"]
    pl.DataFrame(rows, names, orient="row").write_csv(folder / "ratings.csv")


@pytest.mark.parametrize("name", ["retail", "citeulike", "chorus"])
def test_no_pair_that_is_asked_was_trained_on(folder: Path, tmp_path: Path, name: str) -> None:
    data = real_data.LOADERS[name](folder)
    train, test = (
        {(t, frozenset((q, p))) for t, q, p in part.select("task", "query", "pin").rows()}
        for part in (data.pairs.filter(split=split) for split in ("train", "test"))
    )
    assert train
    assert test
    assert not train & test, "trained on, in one order or the other"
    assert all(len(texts) == 2 for _, texts in train | test), "a text beside itself"
    pairs, _ = data.write_all(tmp_path)
    for task, asked in retrieval_questions(PairSource(pairs), 1_000).items():
        learned = {
            (q, p)
            for t, q, p in data.pairs.filter(split="train").select("task", "query", "pin").rows()
            if t == task
        }
        for q, p in asked.answers:
            assert (asked.queries[q], asked.candidates[p]) not in learned


def test_retail_is_split_by_time_and_has_products_alone(folder: Path) -> None:
    data = real_data.retail(folder)
    assert not data.pairs["pin"].str.contains("post").any()
    # Two stock codes with one text are one item.
    assert data.pairs.filter(task="related_pins")["pin"].n_unique() <= 25


def test_citeulike_asks_of_users_that_nobody_trained_on(folder: Path) -> None:
    data = real_data.citeulike(folder)
    home = data.pairs.filter(task="home_feed")
    asked = set(home.filter(split="test")["query"])
    assert len(asked & set(home.filter(split="train")["query"])) <= 1  # two users may tag alike


def test_chorus_asks_queries_that_nobody_trained_on(folder: Path) -> None:
    data = real_data.chorus(folder)
    search = data.pairs.filter(task="search")
    assert not set(search.filter(split="test")["query"]) & set(
        search.filter(split="train")["query"]
    )
    assert (search.filter(split="test")["weight"] >= 1).all()
    assert set(search["pin"]) < set(data.pins)


def test_a_label_is_not_in_its_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_data, "LABELLED_ITEMS", 1)
    labels = real_data.citeulike(folder).labels
    assert labels is not None
    for text, (label,) in labels.select("pin", "labels").rows():
        assert not set(split(label)) & set(split(text))


def test_data_that_is_not_there_is_left_out_with_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert real_data.load(["chorus"], None) == []
    assert "skipped chorus: give its folder with --data or $PINTEXT_DATA" in capsys.readouterr().out
    assert real_data.load(["retail"], tmp_path) == []
    assert "skipped retail" in capsys.readouterr().out
