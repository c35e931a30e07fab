"""A Spark session, and how a model gets to its executors.

The model is added to the session once, as an archive: Spark copies it to each executor's machine
and unpacks it there. Every Python worker maps that folder into memory, so workers on one machine
share its pages, and tasks carry no more than its name.
"""

import atexit
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pintext.errors import DataError, MissingExtraError, ModelError
from pintext.files import reason
from pintext.model import PinTextModel

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = [
    "file_uri",
    "own_session",
    "read_parquet",
    "said",
    "ship_model",
    "shipped_model",
    "spark_session",
]

_CONFIGURED = ("PYSPARK_GATEWAY_PORT", "PYSPARK_SUBMIT_ARGS", "SPARK_CONF_DIR", "SPARK_HOME")
_PARTITIONS = "spark.sql.shuffle.partitions"
_ON_ONE_MACHINE = (
    "--conf spark.driver.bindAddress=127.0.0.1 --conf spark.driver.host=127.0.0.1 "
    "--conf spark.ui.enabled=false --conf spark.ui.showConsoleProgress=false pyspark-shell"
)


def spark_session() -> "SparkSession":
    """The running session, or a new one.

    Under ``spark-submit``, and where the environment configures Spark (``SPARK_HOME``,
    ``SPARK_CONF_DIR``, ``PYSPARK_SUBMIT_ARGS``), that is used. Otherwise Spark runs on all cores of
    this machine and listens on the loopback address only.

    Raises:
        MissingExtraError: pyspark is not installed.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise MissingExtraError("pyspark", "spark") from None
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if not any(name in os.environ for name in _CONFIGURED):
        os.environ["PYSPARK_SUBMIT_ARGS"] = _ON_ONE_MACHINE
    return SparkSession.builder.appName("pintext").getOrCreate()


def ship_model(session: "SparkSession", folder: str | Path) -> str:
    """Make a model folder known to every executor of a session.

    Args:
        session: shipping the same model to it again costs a look at its fingerprint.
        folder: a model folder on the driver's machine.

    Returns:
        The name for :func:`shipped_model`.

    Raises:
        ModelError: the folder is no model, or the archive cannot be written.
    """
    folder = Path(folder)
    name = f"pintext-model-{PinTextModel.from_pretrained(folder).fingerprint}"
    context = session.sparkContext
    if any(archive.endswith(f"#{name}") for archive in context.listArchives):
        return name
    try:
        # Executors that join later fetch it too, so it must last as long as this process.
        made = Path(tempfile.mkdtemp(prefix="pintext-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        archive = made / f"{name}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
            for file in sorted(folder.iterdir()):
                packed.write(file, file.name)
        context.addArchive(f"{archive}#{name}")
    except OSError as error:
        raise ModelError(f"{folder}: cannot be packed for Spark: {reason(error)}") from None
    return name


@lru_cache(maxsize=2)
def shipped_model(name: str) -> PinTextModel:
    """In a task: the model of that name, mapped from this executor's copy."""
    from pyspark import SparkFiles

    return PinTextModel.from_pretrained(SparkFiles.get(name))


def own_session(session: "SparkSession", settings: Mapping[str, str]) -> "SparkSession":
    """A session on the same cluster with settings and views of its own.

    Without ``spark.sql.shuffle.partitions`` in the configuration there are four for each core.
    """
    own = session.newSession()
    if not session.sparkContext.getConf().contains(_PARTITIONS):
        own.conf.set(_PARTITIONS, 4 * session.sparkContext.defaultParallelism)
    for name, value in settings.items():
        own.conf.set(name, value)
    return own


def read_parquet(session: "SparkSession", source: str | Path) -> "DataFrame":
    """A Parquet file or folder, as Spark names it.

    Raises:
        DataError: Spark cannot read it.
    """
    from pyspark.errors import AnalysisException

    try:
        return session.read.parquet(str(source))
    except AnalysisException as error:
        raise DataError(
            f"{source}: Spark cannot read it as Parquet: {_first_line(error)}"
        ) from None


def file_uri(path: Path, *, pattern: bool = False) -> str:
    """A path for Spark; where it takes patterns, characters that make one are escaped."""
    name = re.sub(r"([\[\]{}*?\\])", r"\\\1", str(path)) if pattern else str(path)
    return f"file://{name}"


def said(error: Exception) -> str:
    """What a failed job should tell a person: what PinText raised in a task, or Spark's reason."""
    if told := re.search(r"pintext\.errors\.\w+: (.*)", str(error)):
        return told[1]
    named = re.search(r"\[[A-Z_.]{5,}\] (.*)", str(error))
    return f"Spark: {named[1] if named else _first_line(error)}"


def _first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
