"""The pairs against a slow plain implementation of the rules, on events that hypothesis makes."""

import os
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pairs_oracle
from pairing_data import (
    INTERESTS,
    MIDNIGHT,
    MINUTE,
    PINS,
    commit,
    contents,
    rows,
    settings_of_pairs,
    some_events,
    write_catalogues,
)
from pintext.events import IngestConfig, StoreWriter
from pintext.pairing import PairsConfig, make_pairs

EXAMPLES = 300 if os.environ.get("PINTEXT_NIGHTLY") else 20


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_catalogues(tmp_path_factory.mktemp("catalogues"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some_events, settings_of_pairs)
def test_the_pairs_are_those_of_the_rules(
    catalogues: dict[str, Any], events: list[dict[str, Any]], config: PairsConfig
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        store, out = Path(temporary, "events"), Path(temporary, "pairs")
        commit(store, events)
        summary = make_pairs(store, out, config, **catalogues, threads=2)
        expected = pairs_oracle.make(events, PINS, INTERESTS, config)
        for task, made in expected.items():
            figures = summary.tasks[task]
            assert rows(out, task) == made.pairs
            assert rows(out / "_negatives", task) == made.negatives
            assert figures.dropped == dict(made.dropped)
            assert figures.candidates == len(made.pairs) + sum(made.dropped.values())
            assert figures.votes == made.votes
            acts = figures.events["save"] + figures.events["click"]
            assert acts == figures.votes + sum(figures.not_counted.values())
            assert sum(figures.events.values()) == sum(e["task"] == task for e in events)


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), some_events, settings_of_pairs)
def test_updates_give_the_bytes_of_a_rebuild(
    catalogues: dict[str, Any],
    data: st.DataObject,
    events: list[dict[str, Any]],
    config: PairsConfig,
) -> None:
    """Events come in any order, late ones too, and files are merged in between."""
    parts = data.draw(st.lists(st.integers(0, 2), min_size=len(events), max_size=len(events)))
    with tempfile.TemporaryDirectory() as temporary:
        store, updated, rebuilt = (Path(temporary, name) for name in ("events", "one", "two"))
        for part in sorted(set(parts)):
            commit(store, [e for e, p in zip(events, parts, strict=True) if p == part])
            if data.draw(st.booleans()):
                StoreWriter(store, IngestConfig()).compact()
            make_pairs(store, updated, config, **catalogues, update=True, threads=2)
        make_pairs(store, rebuilt, config, **catalogues, threads=1)
        assert contents(updated) == contents(rebuilt)


def visits(*acts: tuple[str, int], **changed: Any) -> list[dict[str, Any]]:
    """Events of one query and pin: actions with their minutes before or after midnight."""
    event = {"task": "search", "query": "oak", "query_id": None, "pin_id": "p1"}
    event |= {"dwell_ms": None, "position": None, **changed}
    return [
        {**event, "action": action, "timestamp": MIDNIGHT + minutes * MINUTE}
        for action, minutes in acts
    ]


@pytest.mark.parametrize(
    ("acts", "weight"),
    [
        ([("click", 0)], 1),
        ([("click", 0), ("click", 29)], 1),
        ([("click", 29), ("click", 30)], 2),  # a window ends between
        ([("click", -1), ("click", 0)], 2),  # so does a day
        ([("click", 0), ("save", 1)], 3),  # one vote, that of the save
        ([("click", 0), ("hide", 30)], None),
        ([("click", 0), ("hide", 31)], 1),
        ([("hide", 0), ("click", 1)], 1),
        ([("click", 0), ("hide", 0)], None),
        ([("click", -20), ("hide", 10)], None),  # over midnight
        ([("click", -20), ("hide", 11)], 1),
        ([("click", 0), ("hide", 1), ("click", 2)], 1),
        ([("save", 0), ("hide", 1)], 3),  # a save stands
        ([("click", 0), ("save", 0), ("hide", 1)], 3),
        ([("click", minutes) for minutes in range(0, 600, 30)], 5),  # max_repeats
    ],
)
def test_votes(
    catalogues: dict[str, Any], tmp_path: Path, acts: list[tuple[str, int]], weight: float | None
) -> None:
    commit(tmp_path / "events", visits(*acts))
    config = PairsConfig(save_weight=3, max_repeats=5)
    make_pairs(tmp_path / "events", tmp_path / "pairs", config, **catalogues)
    made = [row["weight"] for row in rows(tmp_path / "pairs", "search")]
    assert made == ([] if weight is None else [weight])


def many_queries(days: int = 8, queries: int = 400) -> list[dict[str, Any]]:
    spellings = ("oak {}", "OAK  {}!", "oak-{}")
    return [
        {
            "task": ("search", "related_pins")[n % 2],
            "query": spellings[day % 3].format(n),
            "query_id": None,
            "pin_id": ("p1", "p2", "p3")[(n + day) % 3],
            "action": ("click", "impression")[n % 5 == 0],
            "timestamp": MIDNIGHT + day * 86_400_000 + n,
            "dwell_ms": None,
            "position": None,
        }
        for n in range(queries)
        for day in range(days)
    ]


def test_a_query_is_on_one_side_however_it_is_spelt(
    catalogues: dict[str, Any], tmp_path: Path
) -> None:
    events = many_queries()
    commit(tmp_path / "events", events)
    config = PairsConfig(validation=0.2, test=0.3)
    make_pairs(tmp_path / "events", tmp_path / "pairs", config, **catalogues)
    frames = [
        pl.read_parquet(tmp_path / folder / f"task={task}" / "part-0.parquet")
        for folder in ("pairs", "pairs/_negatives")
        for task in ("search", "related_pins")
    ]
    sides = pl.concat(frame.select("query", "split") for frame in frames).unique()
    assert sides["query"].is_unique().all()
    assert sides.height == 400
    shares = {name: n / 400 for name, n in sides["split"].value_counts().iter_rows()}
    # Four standard deviations of a share of 400 draws.
    assert shares == pytest.approx({"train": 0.5, "validation": 0.2, "test": 0.3}, abs=0.1)
    other = PairsConfig(validation=0.2, test=0.3, seed=1)
    make_pairs(tmp_path / "events", tmp_path / "others", other, **catalogues)
    assert contents(tmp_path / "pairs") != contents(tmp_path / "others")


def test_a_pair_is_in_the_period_that_saw_it_first_and_has_its_votes_alone(
    catalogues: dict[str, Any], tmp_path: Path
) -> None:
    day = 24 * 60
    first = [("click", 0), ("click", 5 * day), ("click", 5 * day + 60)]
    shown_then_clicked = [("impression", 0), ("click", 5 * day)]
    commit(
        tmp_path / "events",
        visits(*first)
        + visits(*shown_then_clicked, query="pine")
        + visits(("save", 6 * day), query="ash"),
    )
    config = PairsConfig(split="time", validation_from="2026-03-04", test_from="2026-03-08")
    make_pairs(tmp_path / "events", tmp_path / "pairs", config, **catalogues)
    found = {(r["query"], r["split"], r["weight"]) for r in rows(tmp_path / "pairs", "search")}
    assert found == {("oak", "train", 1), ("pine", "validation", 1), ("ash", "test", 1)}
    # What training may know: shown and, until its end, not clicked.
    negatives = rows(tmp_path / "pairs" / "_negatives", "search")
    assert [(row["query"], row["split"]) for row in negatives] == [("pine", "train")]
