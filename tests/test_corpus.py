"""Prepared pairs against a plain Python reading of the same rows."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pintext.config import TrainConfig
from pintext.errors import ConfigError, NoPairsError
from pintext.pairs import PairSource, write_pairs
from pintext.text import split
from pintext.training.corpus import Corpus, open_corpus, prepare_corpus
from training_data import planted_pairs, write_dataset

Bag = tuple[str, ...]
"""An entity: its words, sorted."""

ALL_WORDS = TrainConfig(min_count=1, validation=0)


def prepare(folder: Path, frame: pl.DataFrame, config: TrainConfig = ALL_WORDS) -> Corpus:
    work = folder / "work"
    work.mkdir()
    return prepare_corpus(PairSource(write_dataset(folder, frame)), config, work)


def pairs(*rows: tuple[str, str], task: str = "a") -> pl.DataFrame:
    queries, pins = zip(*rows, strict=True)
    return pl.DataFrame({"task": [task] * len(rows), "query": queries, "pin": pins})


class Read(NamedTuple):
    """What a corpus holds, in words."""

    entities: list[Bag]
    train: dict[str, Counter[tuple[Bag, Bag, float]]]
    held: dict[str, Counter[tuple[Bag, Bag]]]
    distinct: dict[str, list[Bag]]
    known: dict[Bag, list[Bag]]


def read(corpus: Corpus) -> Read:
    """Look every number of a corpus up."""
    a, held, words = corpus.arrays, corpus.held_out, corpus.vocabulary.words()
    entities = [
        tuple(words[row] for row in a.tokens[start:stop])
        for start, stop in zip(a.starts[:-1], a.starts[1:], strict=True)
    ]
    train, kept, distinct = {}, {}, {}
    for t, task in enumerate(corpus.tasks):
        part = slice(a.pair_starts[t], a.pair_starts[t + 1])
        rows = zip(a.queries[part], a.pins[part], a.weights[part].tolist(), strict=True)
        train[task] = Counter((entities[q], entities[p], weight) for q, p, weight in rows)
        part = slice(held.starts[t], held.starts[t + 1])
        kept[task] = Counter(
            (entities[q], entities[p])
            for q, p in zip(held.queries[part], held.pins[part], strict=True)
        )
        pins = a.distinct_pins[a.distinct_starts[t] : a.distinct_starts[t + 1]]
        distinct[task] = [entities[p] for p in pins]
    known = {}
    for e, entity in enumerate(entities):
        pins = a.known_pins[a.known_starts[e] : a.known_starts[e + 1]]
        assert pins.tolist() == sorted(pins.tolist())
        if len(pins):
            known[entity] = sorted(entities[p] for p in pins)
    return Read(entities, train, kept, distinct, known)


class Row(NamedTuple):
    """One row of the input."""

    task: str
    query: str
    pin: str
    weight: float
    split: str | None


def expected_words(rows: list[Row], config: TrainConfig) -> list[str]:
    """The words with a row, most frequent first, then by their bytes."""
    counts = Counter(
        word
        for row in rows
        for text in (row.query, row.pin)
        for word in split(text)[: config.max_tokens]
    )
    known = [w for w in counts if counts[w] >= config.min_count and w not in config.stop_words]
    return sorted(known, key=lambda w: (-counts[w], w.encode()))[: config.max_words]


WORDS = ["a", "b", "c", "d", "rare", "the"]
some_text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
some_rows = st.lists(
    st.builds(
        Row,
        st.sampled_from(["one", "two", "three"]),
        some_text,
        some_text,
        st.sampled_from([0.5, 1.0, 2.0]),
        st.sampled_from([None, "train", "validation", "test"]),
    ),
    min_size=1,
    max_size=40,
)
some_settings = st.builds(
    TrainConfig,
    min_count=st.sampled_from([1, 1, 4, 8]),
    max_words=st.sampled_from([2, 1000]),
    max_tokens=st.sampled_from([2, 512]),
    stop_words=st.sampled_from([(), ("the",)]),
    validation=st.sampled_from([0, 0.3]),
    seed=st.integers(0, 5),
)


class Expected:
    """The same rows, read in plain Python."""

    def __init__(self, rows: list[Row], config: TrainConfig) -> None:
        self.rows = [row for row in rows if row.split != "test"]
        self.words = expected_words(self.rows, config)
        self.split_given = any(row.split == "validation" for row in self.rows)
        self.max_tokens = config.max_tokens
        self.bags = [(row, self.bag(row.query), self.bag(row.pin)) for row in self.rows]
        self.known = [(row, q, p) for row, q, p in self.bags if q and p]

    def bag(self, text: str) -> Bag:
        known = [word for word in split(text)[: self.max_tokens] if word in self.words]
        return tuple(sorted(known, key=self.words.index))

    def pairs_of(
        self, task: str, held_queries: set[Bag]
    ) -> tuple[Counter[tuple[Bag, Bag, float]], Counter[tuple[Bag, Bag]]]:
        """The task's pairs for training and the held-out ones."""
        train, held = Counter[tuple[Bag, Bag, float]](), Counter[tuple[Bag, Bag]]()
        for row, q, p in self.known:
            if row.task == task:
                if row.split == "validation" if self.split_given else q in held_queries:
                    held[q, p] += 1
                else:
                    train[q, p, row.weight] += 1
        return train, held

    def counts(
        self, task: str, train: Counter[tuple[Bag, Bag, float]], held: int
    ) -> dict[str, int]:
        return {
            "pairs": train.total(),
            "queries": len({q for q, _, _ in train}),
            "pins": len({p for _, p, _ in train}),
            "validation_pairs": held,
            "without_known_words": sum(
                not (q and p) for row, q, p in self.bags if row.task == task
            ),
        }


@given(some_rows, some_settings, st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_corpus_holds_what_the_rows_say(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], config: TrainConfig, splits: bool
) -> None:
    if not splits:
        rows = [row._replace(split=None) for row in rows]
    folder = tmp_path_factory.mktemp("corpus")
    frame = pl.DataFrame(rows, schema=list(Row._fields), orient="row", infer_schema_length=None)
    frame.cast({"split": pl.String}).write_parquet(folder / "pairs.parquet")
    expected = Expected(rows, config)
    try:
        corpus = prepare_corpus(PairSource(folder / "pairs.parquet"), config, folder)
    except NoPairsError:
        to_train = [row for row, _, _ in expected.known if row.split != "validation"]
        assert not to_train or config.validation > 0
        return
    found = read(corpus)
    assert corpus.vocabulary.words() == expected.words
    assert corpus.tasks == tuple(sorted({row.task for row in rows}))
    assert corpus.counts["rows"] == len(rows)
    assert len(set(found.entities)) == len(found.entities)
    assert set(found.entities) | {()} == {bag for _, q, p in expected.bags for bag in (q, p)} | {()}

    held_queries = {q for held in found.held.values() for q, _ in held}
    assert not held_queries or config.validation > 0 or expected.split_given
    positives: dict[Bag, list[Bag]] = {}
    for task in corpus.tasks:
        train, held = expected.pairs_of(task, held_queries)
        assert found.train[task] == train
        assert found.held[task] == held
        assert sorted(found.distinct[task]) == sorted({p for _, p, _ in train})
        assert corpus.counts["tasks"][task] == expected.counts(task, train, held.total())
        for q, p, _ in train.elements():
            positives.setdefault(q, []).append(p)
    assert found.known == {q: sorted(pins) for q, pins in positives.items()}
    assert not list(folder.glob("raw-*"))


def same(one: Corpus, other: Corpus) -> bool:
    def arrays(corpus: Corpus) -> list[NDArray[Any]]:
        held = corpus.held_out
        return [*corpus.arrays, corpus.vocabulary.counts, held.queries, held.pins, held.starts]

    def rest(corpus: Corpus) -> tuple[Any, ...]:
        return corpus.vocabulary.words(), corpus.tasks, corpus.counts, corpus.fingerprint

    both = zip(arrays(one), arrays(other), strict=True)
    return rest(one) == rest(other) and all(
        np.array_equal(a, b) and a.dtype == b.dtype for a, b in both
    )


def test_an_opened_corpus_is_the_one_that_was_prepared(tmp_path: Path) -> None:
    made = prepare(tmp_path, pairs(("a b", "c d"), ("a", "c")))
    assert same(open_corpus(tmp_path / "work"), made)


def test_what_a_killed_preparation_left_does_no_harm(tmp_path: Path) -> None:
    frame = pairs(("a b", "c d"), ("a", "c"))
    source = PairSource(write_dataset(tmp_path, frame))
    folders = [tmp_path / "clean", tmp_path / "used"]
    for folder in folders:
        folder.mkdir()
    clean = prepare_corpus(source, ALL_WORDS, folders[0])
    for path in folders[0].iterdir():
        if path.name != "corpus.json":
            (folders[1] / path.name).write_bytes(b"\xff" * 100_000)
            (folders[1] / f"raw-{path.name}").write_bytes(b"\xff" * 100_000)
    assert same(prepare_corpus(source, ALL_WORDS, folders[1]), clean)
    assert sorted(p.name for p in folders[0].iterdir()) == sorted(
        p.name for p in folders[1].iterdir()
    )


def test_entities_that_differ_only_in_rare_words_or_order_become_one(tmp_path: Path) -> None:
    frame = pairs(
        ("oak table", "wood wood"),
        ("table oak", "wood once wood"),
        ("oak twice table twice", "wood wood"),
        ("never", "wood"),
    )
    corpus = prepare(tmp_path, frame, TrainConfig(min_count=3, validation=0))
    found = read(corpus)
    assert found.train == {"a": Counter({(("oak", "table"), ("wood", "wood"), 1.0): 3})}
    assert corpus.counts["tasks"]["a"]["without_known_words"] == 1
    assert corpus.counts["tasks"]["a"]["queries"] == 1
    assert corpus.counts["tasks"]["a"]["pins"] == 1


def test_the_format_of_the_files_changes_nothing(tmp_path: Path) -> None:
    """A folder of tasks is read task by task, one file as its rows come."""
    frame = planted_pairs(400).select("query", "pin", "task")
    frame.write_csv(tmp_path / "pairs.csv")
    frame.write_ndjson(tmp_path / "pairs.jsonl")
    sources = [write_dataset(tmp_path, frame), tmp_path / "pairs.csv", tmp_path / "pairs.jsonl"]
    arrays: list[list[Any]] = []
    for number, source in enumerate(sources):
        work = tmp_path / f"work{number}"
        work.mkdir()
        corpus = prepare_corpus(PairSource(source), TrainConfig(min_count=1), work)
        held = corpus.held_out
        arrays.append([*corpus.arrays, held.queries, held.pins, held.starts])
    assert arrays[0][-1][-1] > 0
    for other in arrays[1:]:
        for one, another in zip(arrays[0], other, strict=True):
            np.testing.assert_array_equal(one, another)


def test_a_query_is_in_training_or_held_out_never_in_both(tmp_path: Path) -> None:
    """Also across tasks, and for texts that are one entity only after rare words have gone."""
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number in range(6000):
        words = [f"w{word}" for word in random.integers(0, 25, 2)]
        extra = [f"rare{number}"] if number % 3 == 0 else []
        query = " ".join([*words, *extra] if number % 2 else [*extra, *words[::-1]])
        rows.append({"task": "abc"[number % 3], "query": query, "pin": f"p{number % 50}"})
    corpus = prepare(tmp_path, pl.DataFrame(rows), TrainConfig(min_count=5, validation=0.2))
    found = read(corpus)
    train = {q for part in found.train.values() for q, _, _ in part}
    held = {q for part in found.held.values() for q, _ in part}
    assert train.isdisjoint(held)
    assert len(train | held) == 25 * 26 // 2
    assert 0.13 < len(held) / len(train | held) < 0.27  # 3 standard deviations of 325 draws
    assert all(found.held.values())


def test_held_out_queries_depend_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    rows = [(f"w{i % 40} w{i // 40}", f"w{i % 7}") for i in range(1600)]

    def held(name: str, rows: list[tuple[str, str]], **changes: Any) -> set[Bag]:
        folder = tmp_path / name
        folder.mkdir()
        config = TrainConfig(**{"min_count": 1, "validation": 0.1, **changes})
        return {tuple(sorted(q)) for q, _ in read(prepare(folder, pairs(*rows), config)).held["a"]}

    # Twice as often or in another order, the words keep their rows: counts tie or scale alike.
    reference = held("reference", rows)
    assert 0.05 < len(reference) / 820 < 0.15
    assert held("again", rows) == reference
    assert held("twice", rows + rows) == reference
    assert held("backwards", rows[::-1]) == reference
    assert held("more", rows, validation=0.2) > reference
    seeds = [held(f"seed{seed}", rows, seed=seed) for seed in range(1, 6)]
    assert all(other != reference for other in seeds)


def test_a_given_split_is_obeyed_and_test_rows_are_never_read(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "task": ["a"] * 5,
            "query": ["oak", "oak", "elm", "oak secret", "elm"],
            "pin": ["wood", "tree", "wood", "secret", "tree"],
            "split": ["train", "validation", None, "test", "train"],
        }
    )
    corpus = prepare(tmp_path, frame, TrainConfig(min_count=1, validation=0.5))
    found = read(corpus)
    assert "secret" not in corpus.vocabulary
    assert found.held == {"a": Counter({(("oak",), ("tree",)): 1})}
    assert set(found.train["a"]) == {
        (("oak",), ("wood",), 1.0),
        (("elm",), ("wood",), 1.0),
        (("elm",), ("tree",), 1.0),
    }
    row = corpus.vocabulary.row("oak")
    assert row is not None
    assert corpus.vocabulary.counts[:, row].tolist() == [2]


def test_progress_of_reading_is_told_in_rows(tmp_path: Path) -> None:
    frame = pl.concat([pairs(("a", "b"), ("a", "c"), task=task) for task in ("one", "two")])
    told: list[int] = []
    (tmp_path / "work").mkdir()
    source = PairSource(write_dataset(tmp_path, frame))
    corpus = prepare_corpus(source, ALL_WORDS, tmp_path / "work", told.append)
    assert told == sorted(told)
    assert told[-1] == 4
    assert corpus.counts["rows"] == 4


def test_the_longest_entity_is_known(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, pairs(("a b c d e", "a"), ("a", "b a b")))
    assert corpus.longest == 5


def test_rejected_rows_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("task,query,pin,weight\na,oak,wood,1\na,oak,wood,-1\na,,wood,1\n")
    (tmp_path / "work").mkdir()
    corpus = prepare_corpus(PairSource(file), ALL_WORDS, tmp_path / "work")
    assert corpus.counts["rows"] == 3
    assert sum(corpus.counts["rejected"].values()) == 2
    assert corpus.counts["tasks"]["a"]["pairs"] == 1


def test_no_pair_left_is_an_error_that_names_min_count(tmp_path: Path) -> None:
    with pytest.raises(NoPairsError, match=r"of 2 rows.*min_count = 5.*lower min_count"):
        prepare(tmp_path, pairs(("a", "b"), ("a", "c")), TrainConfig())


def test_events_are_no_pairs_and_told_so(tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    file.write_text(
        '{"task": "search", "query": "oak", "pin_id": "1"}\n'
        '{"task": "related_pins", "query_id": "2", "pin_id": "1"}\n'
        '{"task": "sea'
    )
    (tmp_path / "work").mkdir()
    said = r"not one of 3 rows has both.*traffic\.jsonl:1: .*`pin`\).*pintext pairs"
    with pytest.raises(NoPairsError, match=said):
        prepare_corpus(PairSource(file), TrainConfig(), tmp_path / "work")


def test_holding_out_everything_is_an_error_that_says_so(tmp_path: Path) -> None:
    frame = pairs(("a", "b"), ("a", "c")).with_columns(split=pl.lit("validation"))
    with pytest.raises(NoPairsError, match=r"all 2 are held out.*lower validation"):
        prepare(tmp_path, frame)


def test_weights_of_unknown_tasks_are_refused(tmp_path: Path) -> None:
    config = TrainConfig(task_weights={"a": 2.0, "b": 1.0, "c": 1.0})
    with pytest.raises(ConfigError, match=r"'b', 'c'.*the tasks 'a'"):
        prepare(tmp_path, pairs(("x", "y")), config)


def test_the_fingerprint_follows_pairs_and_shaping_settings_only(tmp_path: Path) -> None:
    rows = [("oak", "wood"), ("elm", "tree")]

    def fingerprint(name: str, frame: pl.DataFrame, **changes: Any) -> str:
        folder = tmp_path / name
        folder.mkdir()
        config = TrainConfig(**{"min_count": 1, "validation": 0.0, **changes})
        (folder / "work").mkdir()
        write_pairs(frame, tmp_path / "pairs", overwrite=True)
        return prepare_corpus(PairSource(tmp_path / "pairs"), config, folder / "work").fingerprint

    same_pairs = [
        fingerprint("dim", pairs(*rows), dim=3),
        fingerprint("epochs", pairs(*rows), epochs=3, learning_rate=0.5),
    ]
    others = [
        fingerprint("max", pairs(*rows), max_words=3),
        fingerprint("tokens", pairs(*rows), max_tokens=2),
        fingerprint("stop", pairs(*rows), stop_words=("oak",)),
        fingerprint("validation", pairs(*rows), validation=0.001),
        fingerprint("seed", pairs(*rows), seed=1),
        fingerprint("rows", pairs(*rows, ("oak", "tree"))),
    ]
    assert len(set(others)) == len(others)
    assert not set(same_pairs) & set(others)
