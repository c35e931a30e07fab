"""Pairs: what is read from good, bad and hostile files, and what is written."""

import csv
import gzip
import io
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pintext import blocks
from pintext.errors import DataError
from pintext.pairs import PairReport, PairSource, write_pairs

ROWS = [("oak table", "round oak table"), ("red car", "sports car, red"), ("ü", "naïve 'q'")]
Row = tuple[str, str, str, float, str | None]


def read(path: Path, rows: int = 200_000, tasks: list[str] | None = None) -> list[Row]:
    """Every pair as (task, query, pin, weight, split), in the order of reading."""
    source = PairSource(path, tasks=tasks)
    return [(batch.task, *row) for batch in source.batches(rows) for row in batch.frame.iter_rows()]


def texts(path: Path) -> list[tuple[str, str]]:
    return [(query, pin) for _, query, pin, _, _ in read(path)]


def report(path: Path) -> PairReport:
    source = PairSource(path)
    used = sum(batch.frame.height for batch in source.batches())
    assert source.report.used == used
    assert source.report.rows == used + sum(source.report.rejected.values())
    return source.report


def save(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def frame(rows: list[tuple[str, str]] = ROWS, task: str = "search") -> pl.DataFrame:
    data = {"query": [query for query, _ in rows], "pin": [pin for _, pin in rows]}
    return pl.DataFrame(data).with_columns(pl.lit(task).alias("task"))


def encode(kind: str, rows: list[tuple[str, str]] = ROWS) -> bytes:
    """The rows as a file of one kind, made without the code under test."""
    if kind == "jsonl":
        lines = [json.dumps({"task": "t", "query": query, "pin": pin}) for query, pin in rows]
        return "".join(f"{line}\n" for line in lines).encode()
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t" if kind == "tsv" else ",")
    writer.writerows([("task", "query", "pin"), *(("t", *row) for row in rows)])
    return out.getvalue().encode()


# --- the kinds of files --------------------------------------------------------------------------


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_every_text_format_gives_the_same_rows(tmp_path: Path, kind: str, gz: str) -> None:
    path = save(tmp_path / f"pairs.{kind}{gz}", encode(kind))
    assert read(path) == [("t", query, pin, 1.0, None) for query, pin in ROWS]


def test_ndjson_and_parquet_files(tmp_path: Path) -> None:
    assert texts(save(tmp_path / "a.ndjson", encode("jsonl"))) == ROWS
    frame().write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [("search", *row, 1.0, None) for row in ROWS]


def test_batches_have_the_promised_columns_and_size(tmp_path: Path) -> None:
    write_pairs(frame(ROWS * 10), tmp_path / "pairs")
    batches = list(PairSource(tmp_path / "pairs").batches(rows=7))
    assert sum(batch.frame.height for batch in batches) == 30
    assert max(batch.frame.height for batch in batches) <= 7
    for batch in batches:
        kinds = [pl.String, pl.String, pl.Float32, pl.String]
        names = ["query", "pin", "weight", "split"]
        assert batch.frame.schema == dict(zip(names, kinds, strict=True))


def test_folder_of_mixed_files_in_order(tmp_path: Path) -> None:
    save(tmp_path / "2.jsonl", '{"task": "b", "query": "q2", "pin": "p"}\n')
    save(tmp_path / "1.csv.gz", "task,pin,query\nb,p,q1\na,p,q0\n")
    save(tmp_path / "task=z" / "year=2017" / "x.csv", "query,pin\nqz,p\n")
    save(tmp_path / "_SUCCESS", "")
    save(tmp_path / ".hidden.csv", "no header that fits\n")
    save(tmp_path / "_delta_log" / "0.jsonl", "{}\n")
    save(tmp_path / "notes.txt", "not pairs")
    assert [(task, query) for task, query, *_ in read(tmp_path)] == [
        ("z", "qz"),
        ("a", "q0"),
        ("b", "q1"),
        ("b", "q2"),
    ]
    assert PairSource(tmp_path).tasks == ("a", "b", "z")


def test_folder_name_wins_over_the_column(tmp_path: Path) -> None:
    path = save(tmp_path / "task=folder" / "x.csv", "query,pin,task\nq,p,column\n")
    assert {row[0] for row in read(tmp_path)} == {"folder"}
    assert {row[0] for row in read(path.parent)} == {"folder"}
    assert {row[0] for row in read(path)} == {"folder"}


def test_a_folder_with_a_file_s_name_is_a_folder(tmp_path: Path) -> None:
    save(tmp_path / "pairs.csv" / "part.csv", encode("csv"))
    assert texts(tmp_path / "pairs.csv") == ROWS


@pytest.mark.parametrize(
    "task", ["suche 日本", "a/b", "50% off", "x=y", "..", "%41", "ſ", "\x00 n"]
)
def test_task_names_survive_the_folder_name(tmp_path: Path, task: str) -> None:
    write_pairs(frame(task=task), tmp_path / "pairs")
    assert PairSource(tmp_path / "pairs").tasks == (task,)
    assert {row[0] for row in read(tmp_path / "pairs")} == {task}


def test_percent_encoding_of_other_writers(tmp_path: Path) -> None:
    for name in ("caf%C3%A9", "a%20b", "c%2Fd"):
        save(tmp_path / f"task={name}" / "x.csv", "query,pin\nq,p\n")
    assert PairSource(tmp_path).tasks == ("a b", "c/d", "café")


def test_asking_for_some_tasks(tmp_path: Path) -> None:
    save(tmp_path / "x.csv", "query,pin,task\nq1,p, a \nq2,p,b\n,p,b\n,p,a\nq3,p,\n")
    save(tmp_path / "task=c" / "x.csv", "query,pin\nq4,p\n")
    source = PairSource(tmp_path, tasks=["a"])
    assert source.tasks == ("a",)
    assert [(b.task, b.frame["query"].to_list()) for b in source.batches()] == [("a", ["q1"])]
    assert source.report.rejected == {"empty_query": 1, "empty_task": 1}
    with pytest.raises(DataError, match=r"no task 'x'; tasks found: 'a', 'b', 'c'"):
        PairSource(tmp_path, tasks=["x"])


# --- rows that cannot be used --------------------------------------------------------------------


def test_unusable_rows_are_counted_with_examples(tmp_path: Path) -> None:
    lines = ["query,pin,weight,split,task", "q,p,2.5,train,t", ",p,1,,t", "  ,p,1,,t", "q,,1,,t"]
    lines += ["q", "q,p,1,, ", "q,p,zero,,t", "q,p,0,,t", "q,p,nan,,t", "q,p,1e99,,t", "q,p,-1,,t"]
    lines += ["q,p,1,holdout,t", "q,p,1,,t,more,fields", "", "q,p,1,,t,", "q,p, 3 , test ,t"]
    path = save(tmp_path / "x.csv", "\n".join(lines))
    assert read(path) == [
        ("t", "q", "p", 2.5, "train"),
        ("t", "q", "p", 1.0, None),
        ("t", "q", "p", 3.0, "test"),
    ]
    found = report(path)
    assert found.rejected == {
        "empty_query": 2,
        "empty_pin": 2,
        "empty_task": 1,
        "bad_weight": 5,
        "unknown_split": 1,
        "too_many_fields": 1,
    }
    assert found.examples["empty_query"] == [
        "x.csv:3: query is empty or missing",
        "x.csv:4: query is empty or missing",
    ]
    assert [text.split(":")[1] for text in found.examples["bad_weight"]] == ["8", "9", "10"]
    assert found.examples["unknown_split"][0].startswith("x.csv:13: split is 'holdout'; expected ")
    assert found.examples["too_many_fields"] == ["x.csv:14: more than 5 fields"]
    assert "3 of 15 rows used" in found.summary()
    assert json.loads(json.dumps(found.to_dict()))["used"] == 3


def test_unusable_json_lines(tmp_path: Path) -> None:
    good = '{"query": "q", "pin": "p", "task": "t"%s}'
    lines = [good % "", good % ', "weight": 2, "x": {"y": [1]}', "", "{broken", "[1, 2]", "null"]
    lines += ['{"query": 5, "pin": "p", "task": "t"}', '{"pin": "p", "task": "t"}', good % "" * 2]
    lines += [good % ', "weight": true', good % ', "weight": NaN', good % ', "weight": 1e999']
    lines += [
        '{"query": "\\ud800", "pin": "p"}',
        '{"query": "q", "pin": "p"}',
        '{"x": ' + "[" * 100_000,
    ]
    lines += [good % ', "pin": null', good % ', "split": "train"', good % ', "weight": -1']
    path = save(tmp_path / "x.jsonl", "\n".join(lines))
    assert [row[3:] for row in read(path)] == [(1.0, None), (2.0, None), (1.0, "train")]
    assert report(path).rejected == {
        "invalid_json": 5,
        "wrong_type": 5,
        "missing_field": 1,
        "empty_task": 1,
        "empty_pin": 1,
        "bad_weight": 1,
    }
    assert report(path).examples["wrong_type"][2].startswith("x.jsonl:7: Expected `str | null`")


@pytest.mark.parametrize("stray", ["", 'q,5" pot,t\n"unclosed,p,t\n'])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_invalid_utf8_costs_one_row(tmp_path: Path, kind: str, stray: str) -> None:
    lines = encode(kind, [("good", "one"), ("BAD", "x"), ("good", "two")]).replace(b"BAD", b"\xff")
    if kind == "csv":
        header, rest = lines.split(b"\n", 1)
        lines = header + b"\n" + stray.replace("\n", "\n").encode() + rest
    path = save(tmp_path / f"x.{kind}", lines)
    assert [pin for query, pin in texts(path) if query == "good"] == ["one", "two"]
    found = report(path)
    assert found.rejected["invalid_utf8"] == 1
    assert found.examples["invalid_utf8"][0].endswith("byte 0xff is not UTF-8")
    line = lines[: lines.index(b"\xff")].count(b"\n") + 1
    assert found.examples["invalid_utf8"][0].startswith(f"x.{kind}:{line}:")


def test_nul_and_replacement_characters_are_text(tmp_path: Path) -> None:
    rows = [("a\x00b", "c\ufffdd"), ("\ufeffq", "p\u2028x")]
    assert texts(save(tmp_path / "x.csv", encode("csv", rows))) == rows
    assert texts(save(tmp_path / "x.jsonl", encode("jsonl", rows))) == rows


def test_parquet_nulls_categories_and_numbers(tmp_path: Path) -> None:
    data = pl.DataFrame(
        {
            "query": pl.Series(["q", None, "q", "q"], dtype=pl.Categorical),
            "pin": ["p", "p", "\t\u3000", "p"],
            "weight": pl.Series([2, 1, 1, None], dtype=pl.Int8),
            "task": ["t"] * 4,
            "split": pl.Series([None] * 4, dtype=pl.Null),
        }
    )
    data.write_parquet(tmp_path / "x.parquet")
    assert [row[3] for row in read(tmp_path / "x.parquet")] == [2.0, 1.0]
    found = report(tmp_path / "x.parquet")
    assert found.examples["empty_pin"] == ["x.parquet:3: pin is empty or missing"]
    assert found.examples["empty_query"] == ["x.parquet:2: query is empty or missing"]


def test_at_most_three_examples_over_many_files(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / "task=t" / f"{i}.csv", "query,pin\n,p\n,p\n")
    found = report(tmp_path)
    assert found.rejected == {"empty_query": 6}
    assert [text.split(": ")[0] for text in found.examples["empty_query"]] == [
        "task=t/0.csv:2",
        "task=t/0.csv:3",
        "task=t/1.csv:2",
    ]


def test_every_reading_counts_anew(tmp_path: Path) -> None:
    source = PairSource(save(tmp_path / "x.csv", encode("csv")))
    for _ in range(2):
        list(source.batches())
        assert (source.report.rows, source.report.used) == (3, 3)


# --- files that cannot be used -------------------------------------------------------------------


def test_little_files(tmp_path: Path) -> None:
    assert texts(save(tmp_path / "empty.csv", "")) == []
    assert texts(save(tmp_path / "empty.jsonl", "\n\n")) == []
    assert texts(save(tmp_path / "empty.csv.gz", "")) == []
    assert texts(save(tmp_path / "header.csv", "query,pin,task")) == []
    assert texts(save(tmp_path / "one.csv", "query,pin,task\nq,p,t")) == [("q", "p")]
    assert texts(save(tmp_path / "mark.csv", "\ufeffquery,pin,task\r\nq,p,t\r\n")) == [("q", "p")]
    frame([]).with_columns(pl.col("query", "pin").cast(pl.String)).write_parquet(
        tmp_path / "no_rows.parquet"
    )
    assert texts(tmp_path / "no_rows.parquet") == []
    assert PairSource(tmp_path / "no_rows.parquet").tasks == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "query,text,task\nq,p,t\n", r"no column 'pin'; columns found: 'query', 'text'"),
        ("x.csv", "query,pin\nq,p\n", r"no column 'task'.*task=NAME"),
        ("x.csv", "event_id,task,query,pin_id\ne,t,q,p\n", r"no column 'pin'.*are events; pintext"),
        ("x.csv", "query,pin,task,pin\nq,p,t,p\n", r"column 'pin' appears 2 times"),
        ("x.csv", "\n\n", r"no column 'query'"),
        ("x.csv", b"\xff\xfeq\x00", r"UTF-16"),
        ("x.parquet", b"", r"not a readable Parquet file"),
        ("x.parquet", b"query,pin\nq,p\n", r"not a readable Parquet file"),
        ("x.csv.gz.csv.gz", b"", r""),
        ("x.json", "{}", r"cannot hold pairs; expected a name in .parquet"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = save(tmp_path / name, content)
    if not message:
        path.write_bytes(b"\x1f\x8b\x08 not really")
        message = "damaged gzip"
    with pytest.raises(DataError, match=message) as caught:
        report(path)
    assert str(path) in str(caught.value)


def test_cut_files(tmp_path: Path) -> None:
    frame(ROWS * 100).write_parquet(tmp_path / "x.parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    for size in (4, len(whole) // 2, len(whole) - 1):
        with pytest.raises(DataError, match="not a readable Parquet file"):
            report(save(tmp_path / "cut.parquet", whole[:size]))
    packed = gzip.compress(encode("csv", ROWS * 100), mtime=0)
    (tmp_path / "x.csv.gz").write_bytes(packed[:-20])
    with pytest.raises(DataError, match="damaged gzip file"):
        report(tmp_path / "x.csv.gz")


def test_wrong_parquet_types(tmp_path: Path) -> None:
    for column, values, expected in [
        ("query", pl.Series([1]), "a string"),
        ("pin", pl.Series([["p"]]), "a string"),
        ("query", pl.Series([b"q"]), "a string"),
        ("weight", pl.Series(["1"]), "a number"),
        ("weight", pl.Series([True]), "a number"),
    ]:
        path = tmp_path / "x.parquet"
        frame([("q", "p")]).with_columns(values.alias(column)).write_parquet(path)
        with pytest.raises(DataError, match=rf"column '{column}' is .*; expected {expected}"):
            report(path)


def test_missing_and_empty_places(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        PairSource(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"found: nothing"):
        PairSource(tmp_path)
    save(tmp_path / "pairs.json", "[]")
    with pytest.raises(DataError, match=r"found: pairs.json"):
        PairSource(tmp_path)
    for name in ("task=", "task=%20", "task=__HIVE_DEFAULT_PARTITION__"):
        save(tmp_path / name / name / "x.csv", "query,pin\n")
        with pytest.raises(DataError, match="names no task"):
            PairSource(tmp_path / name)
    with pytest.raises(ValueError, match="expected at least 1"):
        next(PairSource(save(tmp_path / "x.csv", encode("csv"))).batches(rows=0))


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything, so be nobody for a moment."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_unreadable_file() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = save(Path(folder) / "x.csv", encode("csv"))
        path.chmod(0)
        Path(folder).chmod(0o755)
        with ordinary_user(), pytest.raises(DataError, match="cannot be read: Permission denied"):
            read(path)


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    for name in ("x.csv", "x.parquet"):
        path = save(tmp_path / name, b"")
        source = PairSource(path)
        path.unlink()
        for use in (lambda s=source: list(s.batches()), lambda s=source: s.fingerprint):
            with pytest.raises(DataError, match="cannot be read"):
                use()


# --- size ----------------------------------------------------------------------------------------


def test_long_texts(tmp_path: Path) -> None:
    rows = [("word " * 100_000, "longer " * 100_000), ("q", "p")]
    for kind in ("csv", "jsonl"):
        assert texts(save(tmp_path / f"x.{kind}", encode(kind, rows))) == rows
    frame(rows).write_parquet(tmp_path / "x.parquet")
    assert texts(tmp_path / "x.parquet") == rows


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.jsonl"])
def test_batches_stay_small_whatever_the_file(tmp_path: Path, name: str) -> None:
    rows, words = 1_500, 20_000
    data = frame([("q", "p")] * rows).with_columns(
        pl.concat_str(pl.int_range(rows).cast(pl.String), pl.lit(" word" * words)).alias("pin")
    )
    if name == "x.parquet":
        data.write_parquet(tmp_path / name)
    elif name == "x.csv":
        data.write_csv(tmp_path / name)
    else:
        data.write_ndjson(tmp_path / name)
    sizes = [batch.frame.estimated_size() for batch in PairSource(tmp_path / name).batches()]
    assert sum(sizes) > rows * words * 5
    assert max(sizes) < 40 * 2**20


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(blocks, "LONGEST_RECORD", 10_000)
    with pytest.raises(DataError, match="a line longer than"):
        read(save(tmp_path / "x.jsonl", "{" + " " * 20_000 + "}"))


# --- quotes and blocks ---------------------------------------------------------------------------


def test_stray_quotes_cost_nothing(tmp_path: Path) -> None:
    lines = ["task,query,pin", 't,5" pot,say "hi"', 't,"unclosed,p', 't,"a ""b"", c","two\nlines"']
    lines += ['t,"x"y,"p"', "t,after,p"]
    assert texts(save(tmp_path / "x.csv", "\n".join(lines))) == [
        ('5" pot', 'say "hi"'),
        ('"unclosed', "p"),
        ('a "b", c', "two\nlines"),
        ('"x"y', "p"),
        ("after", "p"),
    ]


def test_inch_marks_alone_are_literal(tmp_path: Path) -> None:
    content = 'task\tquery\tpin\nt\t5" pot\tinch"\nt\ta "b" c\t""x\n'
    path = save(tmp_path / "x.tsv", content)
    assert texts(path) == [('5" pot', 'inch"'), ('a "b" c', '""x')]


def test_quoted_header_over_two_lines(tmp_path: Path) -> None:
    path = save(tmp_path / "x.csv", 'task,"a\nb",query,pin\nt,1,q,p\nt,2,,p\n')
    assert texts(path) == [("q", "p")]
    assert report(path).examples["empty_query"] == ["x.csv:4: query is empty or missing"]


FIELD = st.text(st.sampled_from('ab,"\n\t ü\r'), max_size=6)
FILLED = FIELD.filter(lambda text: text.strip() != "")


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(FILLED, FIELD), max_size=12), size=st.integers(1, 60), kind=...)
def test_block_size_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], size: int, kind: bool
) -> None:
    """RFC 4180 files, as Python's csv writes them, against the rows that were written."""
    path = tmp_path_factory.mktemp("x") / ("x.csv" if kind else "x.tsv")
    save(path, encode(path.suffix[1:], rows))
    expected = [row for row in rows if row[1].strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", size + 400)
        assert texts(path) == expected
    assert texts(path) == expected


@settings(max_examples=300, deadline=None)
@given(content=st.text(st.sampled_from('ab,"\n\r'), max_size=60))
def test_any_csv_is_read_without_a_crash(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    """And where no field begins with a quote, every line is split at its commas."""
    path = save(tmp_path_factory.mktemp("x") / "task=t" / "x.csv", "query,pin\n" + content)
    found = texts(path)
    if all(not field.startswith('"') for line in content.split("\n") for field in line.split(",")):
        fields = [
            [field.removesuffix("\r") for field in line.split(",")] for line in content.split("\n")
        ]
        expected = [
            tuple(row[:2])
            for row in fields
            if len(row) > 1 and row[0].strip() and row[1].strip() and not any(row[2:3])
        ]
        assert found == expected


# --- writing -------------------------------------------------------------------------------------


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = TEXT.filter(lambda name: 0 < len(name) == len(name.strip()))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            NAME,
            TEXT.filter(str.strip),
            TEXT.filter(str.strip),
            st.floats(2**-100, 2**100, width=32),
            st.sampled_from(["train", "validation", "test", None]),
        ),
        max_size=20,
    ),
    batch=st.integers(1, 9),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], batch: int
) -> None:
    folder = tmp_path_factory.mktemp("x") / "pairs"
    names = ["task", "query", "pin", "weight", "split"]
    kinds = dict(zip(names, [pl.String] * 3 + [pl.Float32, pl.String], strict=True))
    write_pairs(pl.DataFrame(rows, schema=kinds, orient="row"), folder)
    if not rows:
        with pytest.raises(DataError, match="without files of pairs"):
            PairSource(folder)
        return
    found = read(folder, batch)
    assert found == sorted(rows, key=lambda row: row[0])
    assert PairSource(folder).tasks == tuple(sorted({row[0] for row in rows}))
    assert Counter(math.isfinite(row[3]) for row in found) == {True: len(rows)}


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    both = pl.concat([frame(), frame(task="home_feed")])
    for name in ("a", "b"):
        write_pairs(both, tmp_path / name)
    first, second = PairSource(tmp_path / "a"), PairSource(tmp_path / "b")
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 16
    assert PairSource(tmp_path / "a", tasks=["search"]).fingerprint != first.fingerprint
    write_pairs(both.reverse(), tmp_path / "c")
    assert PairSource(tmp_path / "c").fingerprint != first.fingerprint


def test_writing_over_something(tmp_path: Path) -> None:
    write_pairs(frame(), tmp_path / "new" / "pairs")
    with pytest.raises(DataError, match="exists already"):
        write_pairs(frame(), tmp_path / "new" / "pairs")
    write_pairs(frame([("q", "p")], task="other"), tmp_path / "new" / "pairs", overwrite=True)
    assert read(tmp_path / "new" / "pairs") == [("other", "q", "p", 1.0, None)]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pairs"]
    save(tmp_path / "mine" / "thesis.txt", "years of work")
    with pytest.raises(DataError, match=r"also holds thesis.txt"):
        write_pairs(frame(), tmp_path / "mine", overwrite=True)
    for place in ("thesis.txt", "thesis.txt/pairs"):
        with pytest.raises(DataError, match="thesis"):
            write_pairs(frame(), tmp_path / "mine" / place, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_pairs(frame(task="x" * 300), tmp_path / "pairs")
    assert list(tmp_path.iterdir()) == []
    write_pairs(frame(), tmp_path / "pairs")
    with pytest.raises(DataError, match="cannot be written"):
        write_pairs(frame(task="x" * 300), tmp_path / "pairs", overwrite=True)
    assert texts(tmp_path / "pairs") == ROWS


def test_frames_that_are_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'task'"):
        write_pairs(frame().drop("task"), tmp_path / "x")
    with pytest.raises(DataError, match="column 'pin' is Int64; expected String"):
        write_pairs(frame().with_columns(pin=pl.lit(1, pl.Int64)), tmp_path / "x")
    with pytest.raises(DataError, match="task is empty"):
        write_pairs(frame(task=" "), tmp_path / "x")
