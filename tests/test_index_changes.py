"""Changing an index: what was acknowledged is there, whoever is killed, and readers go on."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from index_data import topic_model
from index_process import change_until_killed
from pintext import IndexConfig, PinIndex, PinTextModel
from pintext.cli import commands
from pintext.errors import DataError, LockedError

KILLS = 300 if os.environ.get("PINTEXT_NIGHTLY") else 30


@pytest.fixture(scope="module")
def model() -> PinTextModel:
    return topic_model()


def frame(pins: dict[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": list(pins), "title": list(pins.values())}, {"id": pl.String, "title": pl.String}
    )


def contents(index: PinIndex) -> dict[str, str]:
    """Id -> title, read back by way of an exhaustive search; also checks every vector."""
    hits = index.exact(np.ones(index.model.dim, np.float32), max(1, len(index)))
    assert len(hits) == len(index)
    documents = index.documents(hit.id for hit in hits)
    found = {pin["id"]: pin["title"] for pin in documents}
    for name, title in list(found.items())[:20]:
        own = index.model.encode(title)
        assert index.vector(name) == pytest.approx(own / np.linalg.norm(own), abs=1e-6)
    return found


class Changes(RuleBasedStateMachine):
    """An index and a dict must agree after any changes."""

    folder: Path
    model: PinTextModel

    @initialize(names=st.sets(st.integers(0, 40), max_size=30))
    def build(self, names: set[int]) -> None:
        self.truth = {f"pin-{name}": f"w{name} w{name + 30}" for name in names}
        self.index = PinIndex.build(frame(self.truth), self.model, self.folder, overwrite=True)
        self.reader = PinIndex.open(self.folder, self.model)

    @rule(pins=st.dictionaries(st.integers(0, 60), st.integers(0, 500), max_size=20))
    def upsert(self, pins: dict[int, int]) -> None:
        some = {f"pin-{name}": f"w{word} w{word + 7}" for name, word in pins.items()}
        assert self.index.upsert(frame(some)) == len(some)
        self.truth |= some

    @rule(names=st.lists(st.integers(0, 60), max_size=20))
    def delete(self, names: list[int]) -> None:
        gone = {f"pin-{name}" for name in names}
        assert self.index.delete(f"pin-{name}" for name in names) == len(gone & set(self.truth))
        self.truth = {name: text for name, text in self.truth.items() if name not in gone}

    @rule()
    def refused(self) -> None:
        before = self.index.generation
        with pytest.raises(DataError, match="there twice"):
            self.index.upsert(pl.DataFrame({"id": ["pin-1", "x", "x"], "title": ["w1"] * 3}))
        assert self.index.generation == before

    @rule()
    def compact(self) -> None:
        before = self.index.bytes
        self.index.compact()
        assert self.index.bytes <= before + 4096

    @rule()
    def open_again(self) -> None:
        self.index = PinIndex.open(self.folder, self.model)

    @invariant()
    def agrees(self) -> None:
        assert len(self.index) == len(self.truth)
        assert contents(self.index) == self.truth
        self.reader.reload()
        assert self.reader.generation == self.index.generation
        assert contents(self.reader) == self.truth


def test_any_changes(tmp_path: Path, model: PinTextModel) -> None:
    Changes.folder, Changes.model = tmp_path / "index", model
    limits = budget(max_examples=5, stateful_step_count=12, deadline=None)
    run_state_machine_as_test(Changes, settings=limits)


def test_killed_at_any_moment(tmp_path: Path, model: PinTextModel) -> None:
    """Every acknowledged change is there; of the one under way all or nothing."""
    folder = tmp_path / "index"
    truth = {f"pin-{name}": f"w{name} w{name + 30}" for name in range(60)}
    PinIndex.build(frame(truth), model, folder)
    draw = random.Random(7)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["index_process"])
    acknowledged, cut = 0, 0
    for kill in range(KILLS):
        ours, theirs = processes.Pipe(duplex=False)
        process = processes.Process(target=change_until_killed, args=(str(folder), kill, theirs))
        process.start()
        theirs.close()
        steps = [ours.recv(), ours.recv()]  # the first change takes long, the kernels are loaded
        time.sleep(draw.random() * 0.4)
        process.kill()
        with suppress(EOFError):
            while True:
                steps.append(ours.recv())
        process.join()
        assert process.exitcode == -signal.SIGKILL
        for kind, step in steps:
            if kind == "done":
                truth = applied(truth, step)
                acknowledged += 1
        index = PinIndex.open(folder, model)
        index.verify()
        found = contents(index)
        if steps[-1][0] == "begin":
            after = applied(truth, steps[-1][1])
            cut += found == truth != after
            assert found in (truth, after)
            truth = found
        assert found == truth
    assert acknowledged >= KILLS
    assert cut > 0


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path, model: PinTextModel) -> None:
    """Tantivy refuses to write a file that is there; the next list of deleted pins is named so."""
    folder = tmp_path / "index"
    truth = {f"pin-{name}": f"w{name} w{name + 30}" for name in range(60)}
    index = PinIndex.build(frame(truth), model, folder)
    terms = index.snapshot.folder / "terms"
    (segment,) = {path.name.partition(".")[0] for path in terms.glob("[0-9a-f]*.store")}
    copy = tmp_path / "copy"  # tells what the next change would write
    shutil.copytree(folder, copy)
    PinIndex.open(copy).delete(["pin-1"])
    (name,) = (path.name for path in (copy / terms.relative_to(folder)).glob("*.del"))
    assert name.startswith(segment)
    for content in (b"", b"half of a li"):
        (terms / name).write_bytes(content)
        reader = PinIndex.open(folder)  # it belongs to no commit, so it damages nothing
        reader.verify()
        assert contents(reader) == truth
    assert index.delete(["pin-1"]) == 1
    del truth["pin-1"]
    (terms / f"{segment}.999.del").write_bytes(b"half")
    assert index.upsert(frame({"pin-2": "w5 w6"})) == 1
    truth["pin-2"] = "w5 w6"
    assert contents(PinIndex.open(folder)) == truth == contents(index)
    assert not (terms / f"{segment}.999.del").exists()


def applied(pins: dict[str, str], step: dict[str, Any]) -> dict[str, str]:
    named: dict[str, str] = step["pins"]
    if step["kind"] == "upsert":
        return pins | named
    if step["kind"] == "delete":
        return {name: text for name, text in pins.items() if name not in named}
    return pins


WRITER = """
import sys
from pintext import PinIndex
def names():
    print("writing", flush=True)
    sys.stdin.readline()
    yield "pin-7"
PinIndex.open(sys.argv[1]).delete(names())
"""


@pytest.mark.parametrize("killed", [False, True], ids=["it ends", "it is killed"])
def test_while_another_process_writes_nobody_else_does(
    tmp_path: Path, model: PinTextModel, killed: bool
) -> None:
    folder, more = tmp_path / "index", tmp_path / "more.parquet"
    truth = {f"pin-{name}": f"w{name} w{name + 30}" for name in range(60)}
    index = PinIndex.build(frame(truth), model, folder)
    frame({"new": "w5 w6"}).write_parquet(more)
    typed = [["upsert", str(folder), str(more)], ["delete", str(folder), "pin-3"],
             ["compact", str(folder)]]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        for write in (lambda: index.upsert(more), lambda: index.delete(["pin-3"]), index.compact):
            with pytest.raises(LockedError, match="another process is writing to this index"):
                write()
        for words in typed:
            refused = CliRunner().invoke(commands, words)
            assert refused.exit_code == 1
            assert "another process is writing to this index; try again" in refused.stderr
            assert refused.stdout == ""
        assert contents(PinIndex.open(folder, model)) == truth
        if killed:
            writer.kill()
        writer.communicate("go on\n")
    assert writer.returncode == (-signal.SIGKILL if killed else 0)
    for words in typed:
        done = CliRunner().invoke(commands, words)
        assert done.exit_code == 0, done.stderr
    gone = {"pin-3"} if killed else {"pin-3", "pin-7"}
    expected = {name: text for name, text in truth.items() if name not in gone}
    assert contents(PinIndex.open(folder, model)) == expected | {"new": "w5 w6"}


READER = """
import sys, time
from pintext import PinIndex
index = PinIndex.open(sys.argv[1])
print("open", flush=True)
searches = 0
for line in sys.stdin:
    wanted = line.strip()
    end = time.monotonic() + 60
    while wanted != "stop" and wanted not in index:
        index.reload()
        for hit in index.search("w1 w31 w5"):
            assert -1 <= hit.similarity <= 1
        searches += 1
        if time.monotonic() > end:
            sys.exit("never seen")
    print(wanted, flush=True)
    if wanted == "stop":
        break
print(searches)
"""


def test_readers_in_other_processes_see_every_commit_and_survive_compaction(
    tmp_path: Path, model: PinTextModel
) -> None:
    folder = tmp_path / "index"
    truth = {f"pin-{name}": f"w{name % 600} w{name % 570 + 30}" for name in range(3000)}
    index = PinIndex.build(frame(truth), model, folder)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
    for step in range(12):
        name = f"new-{step}"
        for reader in readers:
            assert reader.stdin is not None
            reader.stdin.write(name + "\n")
            reader.stdin.flush()
        index.upsert(frame({name: "w1 w31", **{f"pin-{n}": "w5 w6" for n in range(step, 3000, 7)}}))
        if step % 4 == 3:
            index.compact()
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == name + "\n"
    for reader in readers:
        output, _ = reader.communicate("stop\n", timeout=60)
        assert output.startswith("stop\n")
        assert reader.returncode == 0
    assert len(index) == 3012


def test_threads_search_while_another_changes(tmp_path: Path, model: PinTextModel) -> None:
    truth = {f"pin-{name}": f"w{name % 600} w{name % 570 + 30}" for name in range(2000)}
    index = PinIndex.build(frame(truth), model, tmp_path / "index")
    stop, searches = threading.Event(), [0, 0]
    errors: list[BaseException] = []

    def search(number: int) -> None:
        try:
            while not stop.is_set():
                hits = index.search("w1 w31 w5", 10)
                assert len(hits) == 10
                index.documents(hit.id for hit in hits[:1])
                searches[number] += 1
        except DataError as error:  # the pin may just have gone
            errors.extend([] if "no pin" in str(error) else [error])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for step in range(10):
        index.upsert(frame({f"new-{step}-{n}": f"w{n} w{step}" for n in range(500)}))
    index.compact()
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert min(searches) > 0
    assert len(index) == 7000


def test_old_rows_stay_for_whoever_reads_them(tmp_path: Path, model: PinTextModel) -> None:
    """A snapshot goes on giving the vectors of its commit after rows were replaced and removed."""
    truth = {f"pin-{name}": f"w{name}" for name in range(100)}
    index = PinIndex.build(frame(truth), model, tmp_path / "index")
    reader = PinIndex.open(tmp_path / "index", model)
    before = contents(reader)
    index.delete(truth)
    index.upsert(frame({f"pin-{name}": f"w{name + 200}" for name in range(100)}))
    index.compact()
    assert contents(reader) == before == truth
    assert reader.reload()
    assert not reader.reload()
    assert contents(reader) != before


def test_a_change_that_cannot_be_used_changes_nothing(tmp_path: Path, model: PinTextModel) -> None:
    config = IndexConfig(filter_columns=("price",))
    pins = pl.DataFrame({"id": ["a", "b"], "title": ["w1", "w2"], "price": [1.0, 2.0]})
    index = PinIndex.build(pins, model, tmp_path / "index", config=config)
    for wrong, message in (
        (pins.with_columns(price=pl.Series(["1", "two"])), "row 2: price is 'two'"),
        (pins.drop("price"), "no column 'price', which the index has"),
        (pins.with_columns(id=pl.Series(["c", None])), "row 2: id is empty"),
    ):
        with pytest.raises(DataError, match=message):
            index.upsert(wrong)
    again = PinIndex.open(index.folder, model)
    assert len(again) == 2
    assert again.documents(["a"]) == [{"id": "a", "title": "w1", "price": 1.0}]
