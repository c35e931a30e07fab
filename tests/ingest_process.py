"""What processes that are forked to be ``pintext ingest`` do, and have imported before.

Starting from nothing costs two seconds of a processor, and the tests start a hundred ingesters.
"""

import os
import sys
from pathlib import Path

import confluent_kafka  # noqa: F401 (for those that are forked, like all that is below)
import numpy as np
import rich.live  # noqa: F401

import pintext.cli
import pintext.events.folder
import pintext.events.kafka
import pintext.events.metrics
import pintext.events.replay
from pintext.events.window import _fresh, _insert, _table

__all__ = ["run"]

_nothing = np.zeros(0, np.uint64)
_fresh(_table(0), _table(0), _table(0), _nothing, _nothing)
_insert(_table(0), _nothing, _nothing)


def run(arguments: list[str], environment: dict[str, str], output: Path, errors: Path) -> None:
    """Be ``pintext ingest``, with the outputs in files."""
    for number, path in enumerate((Path(os.devnull), output, errors)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["pintext", "ingest", *arguments]
    pintext.cli.main()
