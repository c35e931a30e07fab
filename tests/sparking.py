"""Spark for the tests: a local one, and executors that are processes and can be killed."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def start_spark() -> "Iterator[SparkSession]":
    """Spark on the cores of this machine; the test is skipped where there is no Java, but in CI."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        missing = "Java is not installed: apt-get install openjdk-17-jre-headless, or set JAVA_HOME"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    from pintext.spark import spark_session

    running = spark_session()
    yield running
    running.stop()


def cluster_environment() -> dict[str, str]:
    """The environment of a program whose Spark has two executors that are processes."""
    settings = {
        "spark.master": "local-cluster[2,1,1024]",
        "spark.executor.memory": "1g",
        "spark.sql.files.openCostInBytes": str(1 << 28),  # each file is a task
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.task.maxFailures": "8",
    }
    typed = " ".join(f"--conf {name}={value}" for name, value in settings.items())
    return {
        **os.environ,
        "PYSPARK_SUBMIT_ARGS": f"{typed} pyspark-shell",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def executors_of(pid: int) -> list[int]:
    """The Spark executors among the descendants of a process."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it has ended since
            told = dict(line.split(":", 1) for line in status.read_text().splitlines())
            parents[int(told["Pid"])] = int(told["PPid"])
    found = []
    for process in parents:
        above = process
        while above in parents and above != pid:
            above = parents[above]
        command = Path(f"/proc/{process}/cmdline")
        if above == pid and command.exists() and b"CoarseGrainedExecutor" in command.read_bytes():
            found.append(process)
    return found
