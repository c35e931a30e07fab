"""Interest classification: texts with labels become questions whose candidates are the interests.

The article's own protocol (Zhuang and Liu, 2019, section 5): embed the query and every interest
term, and predict the interests nearest to the query.

A file of labels is Parquet or JSON lines with a text column ``query``, ``pin`` or ``text`` and a
list ``labels``, or plain text in fastText's form (``__label__home_decor oak table``).
"""

from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from pintext.errors import DataError
from pintext.evaluation.questions import Question, sharing_no_word
from pintext.files import reason
from pintext.text import split_column

__all__ = ["PREFIX", "interest_question", "read_labels"]

PREFIX = "__label__"
_TEXT_COLUMNS = ("query", "pin", "text")


def read_labels(path: str | Path) -> tuple[str, pl.DataFrame]:
    """Read texts and their labels.

    Args:
        path: ``.parquet``, ``.jsonl`` or ``.ndjson``; any other name is fastText lines.

    Returns:
        What the texts are (``query``, ``pin`` or ``text``, the name of their column), and a frame
        ``text`` (String), ``labels`` (list of String: the interests as texts, without
        ``__label__`` and with spaces for underscores). Rows without text or labels are left out.

    Raises:
        DataError: the file cannot be read, or holds no text with a label.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            column, frame = _columns(path, pl.read_parquet(path))
        elif path.suffix in (".jsonl", ".ndjson"):
            column, frame = _columns(path, _json_frame(path))
        else:
            column, frame = "text", _fasttext(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from None
    term = pl.element().str.strip_prefix(PREFIX).str.replace_all("_", " ").str.strip_chars()
    frame = frame.with_columns(pl.col("labels").list.eval(term.filter(term != "")))
    frame = frame.filter(pl.col("text").str.strip_chars() != "", pl.col("labels").list.len() > 0)
    if frame.is_empty():
        raise DataError(
            f"{path}: no text with a label; expected lines such as "
            f"'{PREFIX}home_decor oak table', or the columns query and labels"
        )
    return column, frame


def _columns(path: Path, frame: pl.DataFrame) -> tuple[str, pl.DataFrame]:
    found = [name for name in _TEXT_COLUMNS if name in frame.columns]
    if len(found) != 1 or frame.schema.get("labels") != pl.List(pl.String):
        raise DataError(
            f"{path}: expected one column of {', '.join(_TEXT_COLUMNS)}, and labels as a list of "
            f"texts; found {', '.join(f'{n} ({t})' for n, t in frame.schema.items())}"
        )
    chosen = frame.select(text=pl.col(found[0]).cast(pl.String), labels="labels")
    return found[0], chosen.drop_nulls()


class _Row(msgspec.Struct, gc=False):
    labels: list[str]
    query: str | None = None
    pin: str | None = None
    text: str | None = None


def _json_frame(path: Path) -> pl.DataFrame:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line, type=_Row))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{path}:{number}: {error}") from None
    data = {name: [getattr(row, name) for row in rows] for name in _TEXT_COLUMNS}
    columns = [pl.Series(name, values, pl.String) for name, values in data.items()]
    labels = pl.Series("labels", [row.labels for row in rows], pl.List(pl.String))
    return pl.DataFrame([column for column in columns if column.count()] + [labels])


def _fasttext(text: str) -> pl.DataFrame:
    fields = pl.DataFrame({"line": text.split("\n")}).select(
        pl.col("line").str.replace_all(r"\s+", " ").str.strip_chars().str.split(" ")
    )
    labelled = pl.element().str.starts_with(PREFIX)
    return fields.select(
        text=pl.col("line").list.eval(pl.element().filter(~labelled)).list.join(" "),
        labels=pl.col("line").list.eval(pl.element().filter(labelled)),
    )


def interest_question(
    labelled: pl.DataFrame, max_queries: int, *, hide_label_words: bool = False
) -> Question:
    """Ask for the interests of texts; every label of the file is a candidate.

    Args:
        labelled: ``text`` and ``labels``, as :func:`read_labels` gives. Equal texts are one query
            with the labels of all.
        max_queries: more are sampled, the same ones every time.
        hide_label_words: take the words of a text's own labels out of the text, so that naming the
            label is no help. Texts that consist of nothing else are left out.

    Raises:
        DataError: no text is left.
    """
    pairs = labelled.explode("labels").rename({"text": "query", "labels": "label"})
    popularity = pairs["label"].value_counts(name="n").sort("label")
    if hide_label_words:
        pairs = _without_label_words(pairs)
    pairs = pairs.unique()
    asked = pairs["query"].unique().sort()
    if asked.is_empty():
        raise DataError("no text is left once the words of its labels are taken away")
    if asked.len() > max_queries:
        asked = asked.sample(max_queries, seed=0).sort()
    queries = pl.DataFrame({"query": asked}).with_row_index("q")
    labels = popularity.with_row_index("p")
    found = pairs.join(queries, on="query").join(labels, on="label").select("q", "p").sort("q", "p")
    answers = np.ascontiguousarray(found.to_numpy().astype(np.int32))
    return Question(
        queries=asked.to_list(),
        candidates=popularity["label"].to_list(),
        popularity=popularity["n"].to_numpy().astype(np.int64),
        frequency=np.zeros(len(asked), np.int64),
        answers=answers,
        gain=np.ones(len(answers)),
        unlike=sharing_no_word(asked, popularity["label"], answers),
        barred=np.zeros((0, 2), np.int32),
    )


def _without_label_words(pairs: pl.DataFrame) -> pl.DataFrame:
    """Texts as their words, less those of any of their labels."""
    words = pairs.select(
        "query",
        "label",
        words=split_column(pairs["query"]),
        named=split_column(pairs["label"]),
    )
    named = words.group_by("query").agg(pl.col("named").explode().unique())
    left = words.drop("named").join(named, on="query")
    # An anti-join on single words keeps repeats and order, which a set difference would lose.
    rows = left.with_row_index("row").select("row", "label", "words", "named")
    kept = (
        rows.select("row", word="words")
        .explode("word")
        .join(
            rows.select("row", word="named").explode("word").unique(),
            on=["row", "word"],
            how="anti",
            maintain_order="left",
        )
        .drop_nulls()
        .group_by("row", maintain_order=True)
        .agg(query=pl.col("word").str.join(" "))
    )
    return rows.join(kept, on="row").select("query", "label")
