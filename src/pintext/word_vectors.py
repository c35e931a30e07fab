"""Word vectors of other programs: reading word2vec, fastText and GloVe files, writing for others.

The text format has one word a line, then its numbers, divided by spaces. word2vec and fastText put
a first line ``number_of_words dim`` before; GloVe does not.
"""

import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pintext.arrays import F32
from pintext.encoding import row_slices
from pintext.errors import DataError, ModelError
from pintext.files import new_file, new_folder, reason
from pintext.text import normalize_column, split_column

__all__ = ["WordSource", "WordVectors", "read_word_vectors", "write_projector", "write_word2vec"]

WordSource = str | Path | Sequence[str]

_BLOCK_BYTES = 8 << 20
_PROJECTOR_FILES = frozenset({"vectors.tsv", "metadata.tsv"})


class WordVectors(NamedTuple):
    """Words that texts can have, and their rows."""

    words: list[str]
    embeddings: F32
    card: dict[str, Any]


def read_word_vectors(path: str | Path, words: WordSource | None = None) -> WordVectors:
    """Read word vectors; see :meth:`pintext.model.PinTextModel.from_word2vec`.

    Raises:
        DataError: a file cannot be read, or a line of it is wrong.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            names, blocks = _numpy_blocks(path, words)
        elif words is not None:
            raise DataError(f"{path}: has words of its own; give words only with a .npy matrix")
        else:
            names, blocks = _text_blocks(path)
    except (EOFError, zlib.error) as error:  # BadGzipFile is an OSError
        raise DataError(f"{path}: damaged gzip file ({error}); pack it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None
    if not len(names):
        raise DataError(f"{path}: holds no word vectors")
    return _usable(path.name, names, blocks)


def _usable(source: str, names: pl.Series, rows: F32) -> WordVectors:
    """Keep what the text rules can reach: names that are one word and nothing else, each once."""
    chosen = (
        pl.DataFrame({"word": normalize_column(names), "words": split_column(names)})
        .with_row_index("row")
        .filter(pl.col("words").list.len() == 1, pl.col("words").list.first() == pl.col("word"))
        .select("row", "word")
    )
    kept = chosen.unique("word", keep="first", maintain_order=True)
    numbers = kept["row"].to_numpy()
    if len(numbers) != len(rows) or not (rows.flags.c_contiguous and rows.dtype == np.float32):
        rows = _gathered(rows, numbers)
    card = {
        "source": source,
        "words_read": len(names),
        "words_kept": kept.height,
        "words_unreachable": len(names) - chosen.height,
        "words_repeated": chosen.height - kept.height,
    }
    return WordVectors(kept["word"].to_list(), rows, card)


def _gathered(rows: NDArray[Any], numbers: NDArray[Any]) -> F32:
    gathered = np.empty((len(numbers), rows.shape[1]), np.float32)
    for part in row_slices(*gathered.shape):
        gathered[part] = rows[numbers[part]]
    return gathered


# -------------------------------------------------------------------------------- .npy


def _numpy_blocks(path: Path, words: WordSource | None) -> tuple[pl.Series, NDArray[Any]]:
    """The words and the memory-mapped matrix of a ``.npy`` file."""
    if words is None:
        raise DataError(f"{path}: a matrix has no words; give them, or a file with them, as words=")
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a .npy matrix ({error})") from None
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating) or not rows.shape[1]:
        raise DataError(f"{path}: expected numbers (words, dim), found {rows.dtype} {rows.shape}")
    names = _word_list(words)
    if len(names) != len(rows):
        raise DataError(f"{path}: {len(rows)} rows for {len(names)} words; expected as many")
    for part in row_slices(*rows.shape):
        with np.errstate(over="ignore"):
            finite = np.isfinite(rows[part].astype(np.float32)).all(axis=1)
        if not finite.all():
            raise DataError(f"{path}: row {part.start + int(np.argmin(finite))} is not finite")
    return names, rows


def _word_list(words: WordSource) -> pl.Series:
    """Words that were given, or read from a file: one a line, or the Parquet column of strings."""
    if not isinstance(words, str | Path):
        for index, word in enumerate(words):
            if not isinstance(word, str):
                raise DataError(f"words: item {index} is {word!r:.80}; expected text")
        return pl.Series(
            [word.encode(errors="replace").decode() for word in words], dtype=pl.String
        )
    path = Path(words)
    if path.suffix != ".parquet":
        with _opened(path) as file:
            lines = file.read().decode("utf-8-sig", "replace").split("\n")
        if lines and not lines[-1]:
            del lines[-1]
        return pl.Series([line.removesuffix("\r") for line in lines], dtype=pl.String)
    with _opened(path):
        pass
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
    names = [name for name, kind in frame.schema.items() if kind == pl.String]
    if len(names) != 1:
        raise DataError(
            f"{path}: expected one column of strings, found {', '.join(names) or 'none'}"
        )
    return frame[names[0]].fill_null("")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        file = opener(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None
    with file:
        yield file


# -------------------------------------------------------------------------------- text


def _text_blocks(path: Path) -> tuple[pl.Series, F32]:
    """The words and rows of a text file."""
    names: list[str] = []
    blocks: list[F32] = []
    dim, promised, number = 0, None, 1
    with _opened(path) as file:
        for lines in _blocks_of_lines(file):
            if number == 1:
                lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
                promised, dim = _header(path, lines)
            if promised is not None and number == 1:
                found, rows = _parsed(path, lines[1:], 2, dim)
            else:
                found, rows = _parsed(path, lines, number, dim)
            names += found
            blocks.append(rows)
            number += len(lines)
    if promised is not None and promised != len(names):
        raise DataError(
            f"{path}: the first line says {promised} words, found {len(names)}; "
            "the file was cut short or changed"
        )
    rows = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
    return pl.Series(names, dtype=pl.String), rows


def _blocks_of_lines(file: IO[bytes]) -> Iterator[list[bytes]]:
    rest = b""
    while block := file.read(_BLOCK_BYTES):
        head, newline, tail = block.rpartition(b"\n")
        if not newline:
            rest += block
            continue
        yield (rest + head).split(b"\n")
        rest = tail
    if rest:
        yield [rest]


def _header(path: Path, lines: list[bytes]) -> tuple[int | None, int]:
    """The number of words that the first line promises, if it does, and the length of a row."""
    fields = lines[0].split()
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
        # A word that is a number and its row of one number looks the same; the next line tells.
        following = lines[1].split() if len(lines) > 1 else []
        if len(following) != 2 or fields[1] == b"1" or not _is_number(following[1]):
            dim = int(fields[1])
            if not 1 <= dim <= 1 << 20:
                raise DataError(f"{path}:1: the first line says rows of {dim} numbers")
            return int(fields[0]), dim
    if len(fields) < 2:
        raise DataError(f"{path}:1: expected a word and its numbers, found {lines[0]!r:.80}")
    return None, len(fields) - 1


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _parsed(path: Path, lines: list[bytes], number: int, dim: int) -> tuple[list[str], F32]:
    """The words and rows of some lines, the first of which is line ``number``."""
    words, numbers = [], []
    for line in lines:
        word, _, rest = line.rstrip().partition(b" ")
        words.append(word)
        numbers.append(rest)
    try:
        frame = pl.read_csv(
            b"\n".join(numbers),
            has_header=False,
            separator=" ",
            quote_char=None,
            schema=dict.fromkeys(map(str, range(dim)), pl.Float32),
            raise_if_empty=False,
        )
        rows = np.ascontiguousarray(frame.to_numpy())
        if rows.shape == (len(lines), dim) and np.isfinite(rows).all():
            return [_decoded(word) for word in words], rows
    except pl.exceptions.PolarsError:
        pass
    return _parsed_one_by_one(path, lines, number, dim)


def _parsed_one_by_one(
    path: Path, lines: list[bytes], number: int, dim: int
) -> tuple[list[str], F32]:
    """:func:`_parsed` for lines with something unusual, and to tell which line is wrong."""
    words: list[str] = []
    rows = np.empty((len(lines), dim), np.float32)
    for index, line in enumerate(lines, number):
        fields = line.split()
        if not fields:
            continue
        if len(fields) <= dim:
            hint = "; save binary vectors as text first" if b"\0" in line else ""
            raise DataError(
                f"{path}:{index}: expected a word and {dim} numbers, "
                f"found {len(fields)} fields{hint}"
            )
        for place, field in enumerate(fields[-dim:]):
            rows[len(words), place] = _number(path, index, field)
        words.append(_decoded(b" ".join(fields[:-dim])))
    return words, rows[: len(words)]


def _decoded(word: bytes) -> str:
    """The word, or nothing where it is not UTF-8: no text has it."""
    try:
        return word.decode()
    except UnicodeDecodeError:
        return ""


def _number(path: Path, line: int, field: bytes) -> float:
    try:
        value = float(field) if b"_" not in field else math.nan
    except ValueError:
        value = math.nan
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.float32(value))
    if not finite:
        raise DataError(f"{path}:{line}: {field!r:.40} is not a number that float32 can hold")
    return value


# -------------------------------------------------------------------------------- writing


def write_word2vec(
    path: str | Path, words: Sequence[str], embeddings: F32, *, overwrite: bool = False
) -> None:
    """Write the text format of word2vec; numbers keep every bit. Packed if named ``.gz``.

    Raises:
        ModelError: the file exists or cannot be written.
    """
    with new_file(path, ModelError, overwrite=overwrite) as made, made.open("wb") as raw:
        packed = Path(path).suffix == ".gz"
        file: Any = gzip.GzipFile("", "wb", 6, raw, mtime=0) if packed else raw
        with file:
            file.write(f"{len(words)} {embeddings.shape[1]}\n".encode())
            for part in row_slices(*embeddings.shape):
                file.write(_delimited(words[part], embeddings[part], " "))


def write_projector(
    path: str | Path, words: Sequence[str], embeddings: F32, *, overwrite: bool = False
) -> None:
    """Write ``vectors.tsv`` and ``metadata.tsv`` for the TensorFlow Embedding Projector.

    Raises:
        ModelError: the folder exists or cannot be written.
    """
    with new_folder(path, ModelError, _PROJECTOR_FILES, overwrite=overwrite) as made:
        with (made / "vectors.tsv").open("wb") as file:
            for part in row_slices(*embeddings.shape):
                file.write(_delimited(None, embeddings[part], "\t"))
        (made / "metadata.tsv").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")


def _delimited(words: Sequence[str] | None, rows: F32, separator: str) -> bytes:
    frame = pl.from_numpy(rows)
    if words is not None:
        frame = frame.insert_column(0, pl.Series("word", words, dtype=pl.String))
    text = frame.write_csv(separator=separator, include_header=False, quote_style="never")
    return text.encode()
