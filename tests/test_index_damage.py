"""Damaged files and full disks: refused by name, never a wrong answer, never a crash."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from index_data import FILTER_COLUMNS, some_pins, topic_model
from pintext import IndexConfig, PinIndex, PinTextModel
from pintext.errors import ModelError, PinIndexError

FILES = (
    "manifest.json",
    "model/model.safetensors",
    "model/vocabulary.safetensors",
    "model/config.json",
    "model/tokenizer.json",
    "model/modules.json",
    "generation-1/tokens.safetensors",
    "generation-1/vectors.f32",
    "generation-1/records.bin",
    "generation-1/words.u32",
    "generation-1/ids.txt",
    "generation-1/terms/meta.json",
    "generation-1/terms/.managed.json",
)
SUFFIXES = (".idx", ".pos", ".term", ".fast", ".fieldnorm", ".store", ".del")
QUERY = "w1 w31 w5"


@pytest.fixture(scope="module")
def model() -> PinTextModel:
    return topic_model()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: PinTextModel) -> Path:
    """An index that was changed a few times. Tests must not change it."""
    folder = tmp_path_factory.mktemp("whole") / "index"
    config = IndexConfig(filter_columns=FILTER_COLUMNS)
    pins = some_pins(1500, model)
    index = PinIndex.build(pins.head(1000), model, folder, config=config)
    index.upsert(pins.tail(700))
    index.delete(f"pin-{name}" for name in range(0, 1500, 9))
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "index"))


def everything(folder: Path) -> list[object]:
    """What an index answers, after it has been opened without the model of the test."""
    index = PinIndex.open(folder)
    index.verify()
    answers: list[object] = [len(index)]
    for mode in ("hybrid", "embedding", "text"):
        answers += index.search(QUERY, 50, mode=mode)
        answers += index.search(QUERY, 50, mode=mode, filters={"sold": True})
    answers += index.exact(np.ones(16, np.float32), 2000)
    return answers


def files_of(folder: Path) -> list[Path]:
    """The files in :data:`FILES`, what says which rows count, and those of Tantivy's segments."""
    live = max((folder / "generation-1").glob("live-*.u64"), key=lambda path: int(path.stem[5:]))
    return [folder / name for name in FILES] + [live, *segment_files(folder)]


def segment_files(folder: Path) -> list[Path]:
    """What Tantivy has written of the terms, segment by segment."""
    terms = (folder / "generation-1" / "terms").glob("*.*")
    return sorted(path for path in terms if path.suffix in SUFFIXES)


def refused(path: Path, folder: Path, expected: list[object]) -> bool:
    """Whether damage in a file is refused by name; otherwise it must not matter."""
    message = ""
    try:
        assert everything(folder) == expected, path
    except (PinIndexError, ModelError) as error:
        message = str(error)
    named = (path.name, path.parent.name, "records.bin or ids.txt", "records.bin or words.u32")
    assert not message or any(name in message for name in named), (path, message)
    return bool(message)


def test_cut_short(whole: Path, copied: Path) -> None:
    expected = everything(whole)
    for path in files_of(copied):
        data = path.read_bytes()
        for length in (0, 1, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:length])
            # Of the ids only the last line end can go without harm.
            assert refused(path, copied, expected) or length == len(data) - 1, path
        path.write_bytes(data)
    assert everything(copied) == expected


def test_missing(whole: Path, copied: Path) -> None:
    expected = everything(whole)
    for path in files_of(copied):
        data = path.read_bytes()
        path.unlink()
        # Without deletions, or the list of files to clear away, no answer is another.
        assert refused(path, copied, expected) or path.name.endswith((".del", ".managed.json"))
        path.write_bytes(data)
    assert everything(copied) == expected


def test_one_bit_is_another(whole: Path, copied: Path) -> None:
    expected, draw, caught, tried = everything(whole), random.Random(3), 0, 0
    for path in files_of(copied):
        data = path.read_bytes()
        for _ in range(4):
            damaged = bytearray(data)
            damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            path.write_bytes(damaged)
            caught += refused(path, copied, expected)
            tried += 1
        path.write_bytes(data)
    assert caught > 0.8 * tried  # the rest was in places that say nothing
    assert everything(copied) == expected


def test_an_older_list_of_the_rows_that_count_is_not_taken_for_the_latest(
    tmp_path: Path, model: PinTextModel
) -> None:
    """Though it lists as many."""
    folder, pins = tmp_path / "index", some_pins(40, model)
    index = PinIndex.build(pins, model, folder)
    index.upsert(pins.head(5))
    assert len(index) == 40
    lists = sorted(
        (folder / "generation-1").glob("live-*.u64"), key=lambda path: int(path.stem[5:])
    )
    assert [np.bitwise_count(np.fromfile(path, "<u8")[1:-1]).sum() for path in lists] == [40, 40]
    lists[1].unlink()
    with pytest.raises(PinIndexError, match=r"generation-1: damaged: the rows that count"):
        PinIndex.open(folder, model)


def test_every_character_of_a_footer(whole: Path, copied: Path) -> None:
    """The top bit turns a character into one that is not UTF-8, a low one into another."""
    expected = everything(whole)
    kinds = {path.suffix: path for path in segment_files(copied)}
    assert set(kinds) == set(SUFFIXES)
    for path in kinds.values():
        data = path.read_bytes()
        footer = 8 + int.from_bytes(data[-8:-4], "little")
        for at in range(len(data) - footer, len(data)):
            for bit in (0x01, 0x80):
                damaged = bytearray(data)
                damaged[at] ^= bit
                path.write_bytes(damaged)
                refused(path, copied, expected)
        path.write_bytes(data)
    assert everything(copied) == expected


def test_a_damaged_row_is_noticed_by_the_search_that_reads_it(copied: Path) -> None:
    path = copied / "generation-1" / "vectors.f32"
    numbers = np.fromfile(path, np.float32)
    numbers[7::16] += np.float32(1e-6)
    numbers.tofile(path)
    index = PinIndex.open(copied)
    with pytest.raises(PinIndexError, match=r"vectors\.f32: damaged: row \d+"):
        index.search(QUERY)


def test_of_another_model(copied: Path, tmp_path: Path) -> None:
    shutil.rmtree(copied / "model")
    topic_model(seed=4).save_pretrained(copied / "model")
    with pytest.raises(ModelError, match="made with the model"):
        PinIndex.open(copied)


FULL = """
import resource, signal, sys
import polars as pl
from pintext import PinIndex
from pintext.errors import PinIndexError
index = PinIndex.open(sys.argv[1])
index.upsert(pl.DataFrame({"id": ["a"], "title": ["w1 w31"]}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
names = [f"new-{n}" for n in range(20000)]
pins = pl.DataFrame({"id": names, "title": [f"w{n % 600} w{n % 500}" for n in range(20000)]})
before = index.bytes
try:
    index.compact() if sys.argv[3] == "compact" else index.upsert(pins)
except PinIndexError as error:
    print(error)
else:
    sys.exit("there was room")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert index.bytes <= before + 1000  # what was appended is given back
assert len(index.search("w1 w31")) == 10
assert index.upsert(pl.DataFrame({"id": ["b"], "title": ["w2 w32"]})) == 1
"""


@pytest.mark.parametrize("what", ["upsert", "compact"])
def test_a_full_disk_leaves_the_last_commit(tmp_path: Path, model: PinTextModel, what: str) -> None:
    folder = tmp_path / "index"
    pins = pl.DataFrame({"id": [f"pin-{n}" for n in range(3000)], "title": ["w1 w31 w61"] * 3000})
    PinIndex.build(pins, model, folder)
    limit = (folder / "generation-1" / "vectors.f32").stat().st_size
    limit = limit * 2 if what == "upsert" else limit // 2
    done = subprocess.run(
        [sys.executable, "-c", FULL, folder, str(limit), what],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout
    index = PinIndex.open(folder, model)
    index.verify()
    assert len(index) == 3002
    assert "a" in index
    assert "b" in index


def test_building_on_a_full_disk_leaves_nothing(tmp_path: Path, model: PinTextModel) -> None:
    code = (
        "import resource, signal, sys, polars as pl\n"
        "from pintext import PinIndex, PinTextModel\n"
        "from pintext.errors import PinIndexError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "model = PinTextModel.from_pretrained(sys.argv[1])\n"
        "pins = pl.DataFrame({'id': [f'{n}' for n in range(9999)], 'title': ['w1'] * 9999})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "try:\n    PinIndex.build(pins, model, sys.argv[2])\n"
        "except PinIndexError as error:\n    print(error)\n"
    )
    model.save_pretrained(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model", tmp_path / "out" / "index"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []
