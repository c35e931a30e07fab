"""Neighbours in bulk on Spark: what :mod:`pintext.knn` does on one machine, done on many."""

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from pintext.arrays import F32
from pintext.errors import ConfigError, DataError
from pintext.files import new_folder
from pintext.knn import Texts
from pintext.knn.run import PART_ROWS
from pintext.model import PinTextModel
from pintext.spark.knn_tasks import Side, go, meet, unit_vectors, write_neighbors
from pintext.spark.meeting import plan_meeting
from pintext.spark.parts import WRITTEN, part_name, parts_of, rows_written
from pintext.spark.session import file_uri, own_session, read_parquet, said, ship_model
from pintext.tokens import TokenPlan, plan_tokens

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["NeighborsMade", "find_neighbors"]

_TASK_BYTES = 64 << 20
"""Vectors of pins in one task, about."""

_SAMPLE = 65_536
_SETTINGS = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16384",
    "spark.sql.optimizer.windowGroupLimitThreshold": str(2**31 - 2),
}

_RANKED = """
SELECT id, neighbor_id, CAST(rank AS INT) AS rank, similarity FROM (
    SELECT DISTINCT query, id, neighbor_id, rank, similarity FROM (
        SELECT *, dense_rank() OVER (PARTITION BY query ORDER BY similarity DESC, pin) AS rank
        FROM found
    ) WHERE rank <= {k}
) ORDER BY query, rank
"""
_TURNED = """
SELECT keyword, pin_id, CAST(rank AS INT) AS rank, similarity FROM (
    SELECT
        neighbor_id AS keyword, id AS pin_id, similarity,
        row_number() OVER (PARTITION BY neighbor_id ORDER BY similarity DESC, id) AS rank
    FROM ranked
) ORDER BY keyword, rank
"""


class NeighborsMade(NamedTuple):
    """What a run wrote, and how the work was divided.

    Attributes:
        rows: that were written.
        tasks: in which pins and queries met.
        divided_tokens: tokens with too much work for one task, whose pins or queries were divided.
    """

    rows: int
    tasks: int
    divided_tokens: int


def find_neighbors(
    session: "SparkSession",
    model: str | Path,
    pins: Texts,
    out: str | Path,
    *,
    queries: Texts | None = None,
    k: int = 10,
    expand: bool = False,
    recall: float = 0.95,
    seed: int = 0,
    overwrite: bool = False,
) -> NeighborsMade:
    """Write the ``k`` nearest pins of every query, or of every pin, to a folder of Parquet parts.

    The tokens are those of :func:`pintext.knn.find_neighbors`, and so are the rows and their order.
    Whatever is killed, ``out`` has all of it or is not there.

    Args:
        session: the Spark session; its own settings and views are left as they are.
        model: a model folder on the driver's machine.
        pins: what is found: a Parquet file or folder. All paths are on a file system that the
            driver and all executors see under the same names.
        out: the folder for ``part-00000.parquet`` and so on.
        queries: what is looked for, Parquet too; None for the pins themselves.
        k: neighbours of a query, at most.
        expand: the other way round, as :func:`pintext.knn.expand_keywords`: each of the ``pins``
            looks for its ``k`` nearest ``queries``, and the rows are for each query the pins that
            it matches.
        recall: share of the exact neighbours that tokens must find.
        seed: of the tokens.
        overwrite: replace a folder that this function wrote.

    Returns:
        The number of rows, and how the work was divided.

    Raises:
        DataError: an input cannot be used, ``out`` exists, or Spark or the disk refuses.
        ModelError: the model folder is no model.
        ConfigError: a setting is out of range.
    """
    if k < 1 or not 0 < recall < 1:
        raise ConfigError(f"k = {k}, recall = {recall}: expected k >= 1 and recall in (0, 1)")
    from pyspark.errors import PySparkException

    out = Path(out).absolute()
    run = _Run(own_session(session, _SETTINGS), Path(model), k, recall, seed)
    found, asked = (queries, pins) if expand and queries else (pins, queries)
    try:
        with new_folder(out, DataError, parts_of(out), overwrite=overwrite) as made:
            work = made / "_work"
            work.mkdir()
            written = run.write(found, asked, work, made, turned=expand)
            shutil.rmtree(work)
    except PySparkException as error:
        raise DataError(said(error)) from None
    return written


class _Run(NamedTuple):
    """One run of :func:`find_neighbors`; its session has views of its own."""

    session: "SparkSession"
    folder: Path
    k: int
    recall: float
    seed: int

    def write(
        self, pins: Texts, queries: Texts | None, work: Path, made: Path, *, turned: bool
    ) -> NeighborsMade:
        """Find everything and write the parts into ``made``; ``work`` is for what is between."""
        model = PinTextModel.from_pretrained(self.folder)
        texts = _numbered(self.session, pins)
        frames = {"pins": self._vectors(texts, work / "pins")}
        asked = None
        if queries is not None:
            texts = _numbered(self.session, queries)
            frames["queries"] = self._vectors(texts, work / "queries")
            asked = model.encode(_first_texts(texts))
        vectors = _gathered(work / "pins", work / "pins.f32", model.dim)
        plan = plan_tokens(
            vectors, self.recall, queries=asked, seed=self.seed, fingerprint=model.fingerprint
        )
        tasks = self._meeting(plan, vectors, asked, work)
        met = self._met(frames, Side(str(work), plan.probes, model.dim, self.k))
        met.createOrReplaceTempView("found")
        ranked = self.session.sql(_RANKED.format(k=self.k))
        if turned:
            ranked.createOrReplaceTempView("ranked")
            ranked = self.session.sql(_TURNED)
        task = partial(write_neighbors, str(made), model.fingerprint)
        rows = rows_written(ranked.mapInArrow(task, WRITTEN), made)
        if not rows:
            empty = pl.DataFrame(pl.from_arrow(ranked.limit(0).toArrow()))
            empty.write_parquet(made / part_name(0))
        return tasks._replace(rows=rows)

    def _vectors(self, texts: "DataFrame", folder: Path) -> "DataFrame":
        """``row``, ``id`` and the unit vector of every text, written to a folder."""
        name = ship_model(self.session, self.folder)
        schema = f"row long, id {_kind(texts)}, vector binary"
        texts.mapInArrow(partial(unit_vectors, name), schema).write.parquet(file_uri(folder))
        return self.session.read.schema(schema).parquet(file_uri(folder, pattern=True))

    def _meeting(
        self, plan: TokenPlan, vectors: F32, asked: F32 | None, work: Path
    ) -> NeighborsMade:
        """Save what tasks need to know of tokens, and where they meet."""
        plan.scheme.save(work)
        size = vectors.nbytes * plan.scheme.per_pin
        tasks = max(8 * self.session.sparkContext.defaultParallelism, size // _TASK_BYTES)
        some = vectors[:: len(vectors) // _SAMPLE + 1]
        carried = plan.scheme.assign(some)
        queries = some if asked is None else asked
        probes = plan.scheme.probe(queries, plan.probes, threads=0).tokens
        meeting = plan_meeting(carried, probes, plan.scheme.n_tokens, tasks)
        meeting.save(work)
        return NeighborsMade(0, len(np.unique(meeting.tasks)), meeting.divided)

    def _met(self, frames: dict[str, "DataFrame"], side: Side) -> "DataFrame":
        """The nearest pins of each query in each task."""
        themselves = "queries" not in frames
        pins = frames["pins"]
        queries = pins if themselves else frames["queries"]
        sent = {}
        for name, frame in (("pins", pins), ("queries", queries)):
            schema = f"task int, row long, id {_kind(frame)}, vector binary, places array<int>"
            task = partial(go, side, name == "pins")
            sent[name] = frame.mapInArrow(task, schema).groupBy("task")
        ids = f"id {_kind(queries)}, pin long, neighbor_id {_kind(pins)}"
        schema = f"query long, {ids}, similarity float"
        return (
            sent["pins"]
            .cogroup(sent["queries"])
            .applyInArrow(lambda pins, queries: meet(side, themselves, pins, queries), schema)
        )


def _kind(frame: "DataFrame") -> str:
    """The type of the ids."""
    kind: str = frame.schema["id"].dataType.simpleString()
    return kind


def _numbered(session: "SparkSession", texts: Texts) -> "DataFrame":
    """``row`` from 0 in the order of the files' names, ``id`` and ``text``."""
    from pyspark.sql import functions

    frame = read_parquet(session, texts.path)
    listed = ", ".join(map(repr, frame.columns[:20]))
    for name in (texts.text_column, texts.id_column):
        if name not in frame.columns and name != "id":
            raise DataError(f"{texts.path}: no column {name!r}; columns found: {listed}")
    if (kind := frame.schema[texts.text_column].dataType.simpleString()) not in ("string", "void"):
        raise DataError(f"{texts.path}: column {texts.text_column!r} is {kind}; expected texts")
    file = functions.col("_metadata.file_path")
    counts = sorted((row[0], row[1]) for row in frame.groupBy(file).count().collect())
    row = functions.col("_metadata.row_index")
    before = 0
    for name, count in counts:
        if before:
            here = functions.lit(before) + functions.col("_metadata.row_index")
            row = functions.when(file == functions.lit(name), here).otherwise(row)
        before += count
    given = texts.id_column in frame.columns
    return frame.select(
        row.alias("row"),
        (functions.col(texts.id_column) if given else row).alias("id"),
        functions.col(texts.text_column).cast("string").alias("text"),
    )


def _first_texts(numbered: "DataFrame") -> pl.Series:
    """The texts that one machine would plan with."""
    some = numbered.filter(numbered["row"] < PART_ROWS).orderBy("row").select("text").toArrow()
    return pl.Series("text", some.column(0), dtype=pl.String)


def _gathered(folder: Path, path: Path, dim: int) -> F32:
    """The vectors in the files of a folder in the order of their rows, memory-mapped."""
    files = sorted(folder.glob("*.parquet"))
    count = sum(
        int(pl.scan_parquet(f, glob=False).select(pl.len()).collect().item()) for f in files
    )
    if not count:
        return np.zeros((0, dim), np.float32)
    vectors = np.memmap(path, np.float32, "w+", shape=(count, dim))
    for file in files:
        frame = pl.read_parquet(file, columns=["row", "vector"], glob=False)
        numbers = np.frombuffer(b"".join(frame["vector"]), np.float32)
        vectors[frame["row"].to_numpy()] = numbers.reshape(-1, dim)
    return vectors
