"""Files of texts to Parquet files of vectors."""

import gzip
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pintext.embed import embed_file
from pintext.errors import ConfigError, DataError
from pintext.model import PinTextModel
from pintext.vocabulary import Vocabulary
from some_models import names, some_model

MODEL = some_model()
TEXTS = ["Wood kitchen", "", None, "unknown", 'oak, "white"', "木の\u2028küche", " train "]
IDS = ["p1", "p2", "p3", "04", "p5", "p6", "p7"]


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    frame.write_parquet(path)


def write_csv(path: Path, frame: pl.DataFrame) -> None:
    text = frame.write_csv(
        separator="\t" if ".tsv" in path.name else ",", quote_style="non_numeric"
    )
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def write_json(path: Path, frame: pl.DataFrame) -> None:
    data = "\n".join(json.dumps(row) for row in frame.to_dicts()).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


FORMATS: dict[str, Callable[[Path, pl.DataFrame], None]] = {
    "pins.parquet": write_parquet,
    "pins.csv": write_csv,
    "pins.tsv": write_csv,
    "pins.csv.gz": write_csv,
    "pins.jsonl": write_json,
    "pins.ndjson": write_json,
    "PINS.JSONL.gz": write_json,
}


def vectors_of(path: Path) -> np.ndarray:
    return pl.read_parquet(path)["vector"].to_numpy()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_every_text_gets_its_vector_in_order(tmp_path: Path, name: str, batch_rows: int) -> None:
    frame = pl.DataFrame({"id": IDS, "more": range(7), "text": TEXTS})
    FORMATS[name](tmp_path / name, frame)
    out = tmp_path / "vectors.parquet"
    assert embed_file(MODEL, tmp_path / name, out, batch_rows=batch_rows) == 7
    found = pl.read_parquet(out)
    assert found.schema == {"id": pl.String, "vector": pl.Array(pl.Float32, 8)}
    assert found["id"].to_list() == IDS
    assert np.array_equal(vectors_of(out), MODEL.encode(pl.Series(TEXTS)))
    assert vectors_of(out)[0].any()
    assert not vectors_of(out)[1:4].any()


def test_plain_text_has_a_text_a_line(tmp_path: Path) -> None:
    lines = ["wood kitchen", "", "küche", "unknown", "oak"]
    content = "\r\n".join(lines).encode() + b"\r\ncaf\xe9 train\n"
    for name, data in (("queries.txt", content), ("queries.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(data)
        out = tmp_path / f"{name}.parquet"
        assert embed_file(MODEL, tmp_path / name, out, batch_rows=4) == 6
        assert pl.read_parquet(out)["id"].to_list() == [0, 1, 2, 3, 4, 5]
        assert np.array_equal(vectors_of(out), MODEL.encode([*lines, "caf train"]))


def test_texts_themselves_can_be_given(tmp_path: Path) -> None:
    rows = embed_file(MODEL, iter(["wood", "oak", "x"]), tmp_path / "v.parquet", batch_rows=2)
    assert rows == 3
    assert np.array_equal(vectors_of(tmp_path / "v.parquet"), MODEL.encode(["wood", "oak", "x"]))


@pytest.mark.parametrize("name", ["pins.parquet", "pins.csv", "pins.jsonl"])
def test_rows_are_numbered_where_there_is_no_id(tmp_path: Path, name: str) -> None:
    FORMATS[name](tmp_path / name, pl.DataFrame({"title": TEXTS}))
    embed_file(MODEL, tmp_path / name, tmp_path / "v.parquet", text_column="title", batch_rows=2)
    assert pl.read_parquet(tmp_path / "v.parquet")["id"].to_list() == list(range(7))
    assert np.array_equal(vectors_of(tmp_path / "v.parquet"), MODEL.encode(pl.Series(TEXTS)))


@pytest.mark.parametrize("name", ["pins.parquet", "pins.jsonl"])
def test_ids_keep_their_type(tmp_path: Path, name: str) -> None:
    numbers = [5, None, 2**62]
    FORMATS[name](tmp_path / name, pl.DataFrame({"pin": numbers, "text": ["wood", "oak", "x"]}))
    embed_file(MODEL, tmp_path / name, tmp_path / "v.parquet", id_column="pin")
    assert pl.read_parquet(tmp_path / "v.parquet")["id"].to_list() == numbers


def test_the_file_names_its_model(tmp_path: Path) -> None:
    embed_file(MODEL, ["wood"], tmp_path / "v.parquet")
    metadata = pl.read_parquet_metadata(tmp_path / "v.parquet")
    assert metadata["pintext.fingerprint"] == MODEL.fingerprint


def test_float16(tmp_path: Path) -> None:
    embed_file(MODEL, ["wood oak", "x"], tmp_path / "v.parquet", dtype="float16")
    found = pl.read_parquet(tmp_path / "v.parquet")["vector"]
    assert found.dtype == pl.Array(pl.Float16, 8)
    assert np.array_equal(found.to_numpy(), MODEL.encode(["wood oak", "x"]).astype(np.float16))
    large = PinTextModel(Vocabulary.from_words(["a"]), np.array([[1e6]], np.float32))
    with pytest.raises(DataError, match="too large for float16; choose float32"):
        embed_file(large, ["a"], tmp_path / "w.parquet", dtype="float16")
    assert names(tmp_path) == ["v.parquet"]


def test_nothing_gives_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "empty.csv").write_text("id,text\n")
    pl.DataFrame(schema={"id": pl.Int32, "text": pl.String}).write_parquet(
        tmp_path / "empty.parquet"
    )
    for name, id_type in (
        ("empty.txt", pl.Int64),
        ("empty.jsonl", pl.Int64),
        ("empty.csv", pl.String),
        ("empty.parquet", pl.Int32),
    ):
        assert embed_file(MODEL, tmp_path / name, tmp_path / "out", overwrite=True) == 0
        found = pl.read_parquet(tmp_path / "out")
        assert found.schema == {"id": id_type, "vector": pl.Array(pl.Float32, 8)}
        assert found.height == 0


def test_the_types_of_text_columns(tmp_path: Path) -> None:
    texts = pl.Series(["wood", None, "oak"])
    expected = MODEL.encode(texts)
    for column in (texts.cast(pl.Categorical), texts.cast(pl.Enum(["wood", "oak"]))):
        pl.DataFrame({"text": column}).write_parquet(tmp_path / "pins.parquet")
        embed_file(MODEL, tmp_path / "pins.parquet", tmp_path / "v.parquet", overwrite=True)
        assert np.array_equal(vectors_of(tmp_path / "v.parquet"), expected)
    pl.DataFrame({"text": [None, None]}).write_parquet(tmp_path / "pins.parquet")
    assert embed_file(MODEL, tmp_path / "pins.parquet", tmp_path / "v.parquet", overwrite=True) == 2
    assert not vectors_of(tmp_path / "v.parquet").any()


PARQUET = pl.DataFrame({"id": [1, 2], "n": [1, 2]})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "id,title\n1,wood\n",
            "no column 'text'; columns found: 'id', 'title'; name .*--text-column",
        ),
        ("a.jsonl", '{"id": 1, "title": "wood"}\n', "no column 'text'; columns found"),
        ("a.csv", "", "a.csv: empty"),
        ("a.csv", "id,text\n1,wood\n2,oak,x\n", r"a\.csv:3: "),
        ("a.tsv", "id\ttext\n1\twood\n2\toak\tx\n", r"a\.tsv:3: "),
        ("a.jsonl", '{"text": "wood"}\n\n{"text": 5}\n', r"a\.jsonl:3: Expected `str \| null`"),
        ("a.jsonl", '{"text": "wood"}\n{"title": "x"}\n', r"a\.jsonl:2: .*missing.*text"),
        ("a.jsonl", '{"text": "wood"}\n{"text": \n', r"a\.jsonl:2: "),
        ("a.jsonl", '{"text": "wood"}\n{"text": "\xff"}\n', r"a\.jsonl:2: "),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1: "),
        ("a.jsonl", "[" * 100_000, r"a\.jsonl:1: "),
        (
            "a.jsonl",
            '{"id": 1, "text": ""}\n{"id": "b", "text": ""}\n',
            r"a\.jsonl:2: Expected `int",
        ),
        ("a.jsonl", '{"id": 1, "text": ""}\n{"text": ""}\n', r"a\.jsonl:2: .*missing.*id"),
        ("a.parquet", "id,text\n", "a.parquet: "),
        ("a.jsonl.gz", "plain", "gz: "),
        ("a.csv.gz", "\x1f\x8b\x08broken", "gz: "),
        ("a.gz", "plain", "gz: "),
    ],
)
def test_a_source_that_is_wrong(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=message) as caught:
        embed_file(MODEL, tmp_path / name, tmp_path / "out.parquet")
    assert str(tmp_path / name) in str(caught.value)
    assert names(tmp_path) == [name]


def test_an_error_in_a_later_batch(tmp_path: Path) -> None:
    lines = ['{"text": "wood"}'] * 500 + ["{"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"a\.jsonl:501: "):
        embed_file(MODEL, tmp_path / "a.jsonl", tmp_path / "out.parquet", batch_rows=50)
    assert names(tmp_path) == ["a.jsonl"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"text_column": "n"}, DataError, "column 'n' is Int64; expected texts"),
        ({"text_column": "x"}, DataError, "no column 'x'"),
        ({"text_column": "n", "id_column": "pin"}, DataError, "no column 'pin'"),
        ({"dtype": "float64"}, ConfigError, "expected float32 or float16"),
        ({"batch_rows": 0}, ConfigError, "batch_rows = 0"),
    ],
)
def test_wrong_options(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    PARQUET.write_parquet(tmp_path / "pins.parquet")
    with pytest.raises(error, match=message):
        embed_file(MODEL, tmp_path / "pins.parquet", tmp_path / "out.parquet", **options)
    assert names(tmp_path) == ["pins.parquet"]


WRITE = """
import os, resource, sys
sys.path.insert(0, os.environ["TESTS"])
from pintext.embed import embed_file
from pintext.errors import PinTextError
from some_models import some_model

model = some_model(dim=2000)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for write in (
    lambda: embed_file(model, (f"wood oak {'a ' * i}" for i in range(3000)), "v.parquet"),
    lambda: model.export("v.vec"),
    lambda: model.export("v.vec.gz"),
    lambda: model.export("projector", "projector"),
):
    try:
        write()
    except PinTextError as error:
        print(type(error).__name__, error)
"""


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE],
        cwd=tmp_path,
        env={**os.environ, "TESTS": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["DataError", *["ModelError"] * 3]
    for line, name in zip(lines, ["v.parquet", "v.vec", "v.vec.gz", "projector"], strict=True):
        assert f"{name}: cannot be written" in line
        assert "File too large" in line
    assert names(tmp_path) == []


def test_what_is_there_is_replaced_only_on_request(tmp_path: Path) -> None:
    out = tmp_path / "v.parquet"
    out.write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        embed_file(MODEL, ["wood"], out)
    with pytest.raises(DataError, match="is a folder"):
        embed_file(MODEL, ["wood"], tmp_path, overwrite=True)
    with pytest.raises(DataError, match=r"none\.txt: cannot be read: No such file"):
        embed_file(MODEL, tmp_path / "none.txt", out, overwrite=True)
    assert out.read_text() == "mine"
    assert embed_file(MODEL, ["wood"], out, overwrite=True) == 1
    assert names(tmp_path) == ["v.parquet"]


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["strings", "numbers", "rows of plain text"])
def test_parts_share_out_the_rows_as_those_of_an_index_do(tmp_path: Path, kind: str) -> None:
    model, count, parts = some_model(), 500, 3
    texts = [("wood cabinets", "alaska train", "unknown")[row % 3] for row in range(count)]
    source = tmp_path / "pins.parquet"
    pins = pl.DataFrame({"id": range(count), "text": texts})
    if kind == "strings":
        pins = pins.with_columns(pl.format("pin-{}", "id").alias("id"))
    pins.write_parquet(source)
    if kind == "rows of plain text":
        source = tmp_path / "pins.txt"
        source.write_text("\n".join(texts) + "\n")
    embed_file(model, source, tmp_path / "whole.parquet")
    whole = pl.read_parquet(tmp_path / "whole.parquet")
    made = []
    for part in range(1, parts + 1):
        out = tmp_path / f"{part}.parquet"
        rows = embed_file(model, source, out, shard=(part, parts), batch_rows=64)
        made.append(pl.read_parquet(out))
        assert rows == len(made[-1]) > 0
        remainders = [zlib.crc32(str(name).encode()) % parts for name in made[-1]["id"]]
        assert set(remainders) == {part - 1}
        assert made[-1].equals(whole.filter(pl.col("id").is_in(made[-1]["id"].implode())))
    assert sum(map(len, made)) == count
    assert embed_file(model, source, tmp_path / "none.parquet", shard=(1, 10**9)) == 0
    with pytest.raises(ConfigError, match="shard 4/3"):
        embed_file(model, source, tmp_path / "no.parquet", shard=(4, 3))
