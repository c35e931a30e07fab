"""Indexes in folders where the reader may not write, as services have them mounted."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from index_data import some_pins, topic_model
from pintext import PinIndex

READER = """
import os, sys, tempfile
from pathlib import Path
from pintext import PinIndex
from pintext.errors import PinIndexError
folder = sys.argv[1]
assert not os.access(Path(folder) / "generation-1" / "terms", os.W_OK)
index = PinIndex.open(folder)
index.verify()
for line in sys.stdin:
    wanted = line.strip()
    if wanted == "write":
        try:
            index.delete(["pin-1"])
        except PinIndexError as error:
            print(error, flush=True)
    else:
        index.reload()
        print(len(index), wanted in index, len(index.search("w1 w31 w61")), flush=True)
"""


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}


def test_who_may_read_one_file_may_read_all(tmp_path: Path) -> None:
    """Tantivy makes some for their owner alone."""
    index = PinIndex.build(some_pins(50, topic_model()), topic_model(), tmp_path / "index")
    (tmp_path / "plain").touch()
    expected = {(tmp_path / "plain").stat().st_mode & 0o777}
    assert modes(index.folder) == expected
    index.delete(["pin-1"])
    index.upsert(some_pins(5, topic_model()))
    assert modes(index.folder) == expected
    index.compact()
    assert modes(index.folder) == expected


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Let the owner write meanwhile; root may in any case."""
    places = [folder, *folder.rglob("*")]
    for path in places:
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_reader_that_may_not_write_follows_changes_and_compaction(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index = PinIndex.build(some_pins(300, topic_model()), topic_model(), folder)
    with writable(folder):
        index.delete(["pin-0"])
    # Root is held to nothing unless it gives that up.
    bounds = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    with subprocess.Popen(
        [*bounds, sys.executable, "-c", READER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def told(line: str) -> str:
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write(line + "\n")
            reader.stdin.flush()
            return reader.stdout.readline()

        assert told("pin-0") == "299 False 10\n"
        assert told("write").endswith("index: cannot be written: Permission denied\n")
        for step in range(3):
            name = f"new-{step}"
            with writable(folder):
                index.upsert(pl.DataFrame({"id": [name], "title": ["w1"], "description": [[]]}))
                if step == 1:
                    index.compact()
            assert told(name) == f"{300 + step} True 10\n"
        (links,) = tmp_path.glob("pintext-terms-*")
        reader.stdin.close()
        assert reader.wait(60) == 0
    assert not links.exists()
