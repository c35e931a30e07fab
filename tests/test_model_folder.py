"""Model folders: the same model back, and refusals of everything else."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from pintext.config import TrainConfig
from pintext.errors import ModelError, ModelFormatError
from pintext.model import PinTextModel
from pintext.model_folder import FILES, verify
from pintext.pairs import write_pairs
from pintext.tensors import map_tensors, write_tensors
from pintext.vocabulary import Vocabulary
from small_data import make_small_store, small_pairs
from some_models import WORDS, names, some_model

DIGESTED = sorted(FILES - {"README.md", "config.json"})
CARD = {"epochs": 3, "recall": {"search": 0.5}, "history": [{"epoch": 1, "loss": {"search": 0.25}}]}


def trained_model() -> PinTextModel:
    counts = np.arange(2 * len(WORDS)).reshape(2, -1)
    plain = some_model()
    vocabulary = Vocabulary.from_words(WORDS, counts, ["home | feed", "search"])
    config = TrainConfig(dim=8, seed=7, stop_words=("the",), task_weights={"search": 2.0})
    return PinTextModel(vocabulary, plain.embeddings, config=config, card=CARD)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model. Tests must not change it."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    trained_model().save_pretrained(folder)
    return folder


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    """A saved model to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------------------------- there and back


def test_a_model_comes_back_as_it_was(saved: Path) -> None:
    model, loaded = trained_model(), PinTextModel.from_pretrained(saved)
    assert loaded.vocabulary.words() == list(WORDS)
    assert loaded.vocabulary.tasks == ("home | feed", "search")
    assert np.array_equal(loaded.vocabulary.counts, model.vocabulary.counts)
    assert loaded.embeddings.tobytes() == model.embeddings.tobytes()
    assert (loaded.config, loaded.card) == (model.config, CARD)
    assert loaded.fingerprint == model.fingerprint
    texts = ["Wood kitchen", "unknown", "ＯＡＫ 木の木", ""]
    assert np.array_equal(loaded.encode(texts), model.encode(texts))
    assert loaded.explain("wood", "oak") == model.explain("wood", "oak")


def test_the_same_model_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    trained_model().save_pretrained(tmp_path / "other" / "name")
    assert files(tmp_path / "other" / "name") == files(saved)
    PinTextModel.from_pretrained(saved).save_pretrained(tmp_path / "again")
    assert files(tmp_path / "again") == files(saved)
    assert set(files(saved)) == FILES


def test_a_loaded_model_is_mapped_not_copied(saved: Path) -> None:
    loaded = PinTextModel.from_pretrained(saved)
    for array in (loaded.embeddings, *loaded.vocabulary.arrays().values()):
        assert not array.flags.writeable
        assert not array.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        loaded.embeddings[0] = 1


def test_other_programs_can_read_the_tensors(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    assert list(tensors) == ["embeddings"]
    assert np.array_equal(tensors["embeddings"][:-1], trained_model().embeddings)
    assert not tensors["embeddings"][-1].any()
    vocabulary = json.loads((saved / "tokenizer.json").read_text())["model"]["vocab"]
    assert vocabulary == {word: row for row, word in enumerate([*WORDS, "[UNK]"])}


def test_a_model_without_words_or_training(tmp_path: Path) -> None:
    empty = PinTextModel(Vocabulary.from_words([]), np.zeros((0, 3), np.float32))
    empty.save_pretrained(tmp_path / "model")
    loaded = PinTextModel.from_pretrained(tmp_path / "model")
    assert (len(loaded), loaded.dim, loaded.config, loaded.card) == (0, 3, None, {})
    assert not loaded.encode("wood").any()
    assert verify(tmp_path / "model").fingerprint == empty.fingerprint


def test_the_card_tells_tasks_settings_and_figures(saved: Path) -> None:
    text = (saved / "README.md").read_text()
    assert "23 words" in text
    assert "| `home \\| feed` | 22 | 253 |" in text
    assert "| `seed` | 7 |" in text
    assert '"recall"' in text


def test_numpy_numbers_in_a_card_become_plain(tmp_path: Path) -> None:
    model = some_model()
    model.card = {"loss": np.float32(0.5), "bad": float("nan"), "all": np.arange(2)}
    model.save_pretrained(tmp_path / "model")
    card = PinTextModel.from_pretrained(tmp_path / "model").card
    assert card == {"loss": 0.5, "bad": None, "all": [0, 1]}


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=4),
        st.tuples(
            st.sampled_from(["f4", "f8", "u8", "i8", "u4", "i4", "u1"]),
            st.lists(st.integers(0, 4), min_size=1, max_size=3),
        ),
        max_size=5,
    ),
    st.dictionaries(st.text(max_size=5).filter(str.isprintable), st.text(max_size=5), max_size=2),
)
def test_tensors_are_read_by_safetensors_and_back(
    tmp_path_factory: pytest.TempPathFactory, shapes: Any, metadata: dict[str, str]
) -> None:
    draw = np.random.default_rng(0)
    tensors = {
        name: draw.integers(0, 200, shape).astype(dtype) for name, (dtype, shape) in shapes.items()
    }
    path = tmp_path_factory.mktemp("tensors") / "t.safetensors"
    write_tensors(path, tensors, metadata)
    for found in (load_file(path), map_tensors(path).tensors):
        assert set(found) == set(tensors)
        for name, tensor in tensors.items():
            assert found[name].dtype == tensor.dtype
            assert found[name].shape == tensor.shape
            assert np.array_equal(found[name], tensor)
    assert map_tensors(path).metadata == metadata


# ---------------------------------------------------------------------------------- refusals


def edit_config(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        values.update(changes)
        (folder / "config.json").write_text(json.dumps(values))

    return edit


def replace(name: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def edit_tensors(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change the arrays of a file; the file itself stays well formed."""

    def edit(folder: Path) -> None:
        tensors, metadata = map_tensors(folder / name)
        arrays = {key: np.array(value) for key, value in tensors.items()}
        change(arrays)
        save_file(arrays, folder / name, metadata)

    return edit


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def put_folder(name: str) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return put


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size)


def header(entries: Any, body: int = 16) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(body)


def tensor(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def set_item(name: str, index: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name][index] = value

    return change


def cast(name: str, dtype: str) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({name: arrays[name].astype(dtype)})


MODEL, VOCABULARY, CONFIG = "model.safetensors", "vocabulary.safetensors", "config.json"

DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    **{f"no {name}": (remove(name), f"{name}: missing") for name in sorted(FILES - {"README.md"})},
    "folder in place of a file": (put_folder(MODEL), MODEL),
    "empty config": (replace(CONFIG, b""), CONFIG),
    "config not JSON": (replace(CONFIG, b"{"), f"{CONFIG}: not readable as JSON"),
    "config not UTF-8": (replace(CONFIG, b'{"format": "\xff"}'), CONFIG),
    "config too deep": (replace(CONFIG, b"[" * 10**6), CONFIG),
    "config a list": (replace(CONFIG, b"[]"), "not a PinText model"),
    "config of BERT": (replace(CONFIG, b'{"model_type": "bert"}'), "not a PinText model"),
    "no version": (edit_config(format_version=None), "format_version"),
    "version true": (edit_config(format_version=True), "format_version"),
    "version 0": (edit_config(format_version=0), "format_version"),
    "newer version": (edit_config(format_version=2), "newer PinText .format version 2"),
    "newer text rules": (edit_config(text_rules=2), "text rules 2"),
    "words wrong": (edit_config(words=22), "23 words, but config.json says 22"),
    "words text": (edit_config(words="23"), r"config.json: .*words"),
    "dim wrong": (edit_config(dim=9), MODEL),
    "dim zero": (edit_config(dim=0), MODEL),
    "tasks wrong": (edit_config(tasks=["search"]), VOCABULARY),
    "settings wrong": (edit_config(config={"dim": -1}), "config.json: dim"),
    "card wrong": (edit_config(card=[]), CONFIG),
    "other fingerprint": (edit_config(fingerprint="0" * 16), "belongs to the model"),
    "empty tensors": (replace(MODEL, b""), MODEL),
    "cut in the length": (cut(MODEL, 5), MODEL),
    "cut in the header": (cut(MODEL, 40), MODEL),
    "cut in the data": (cut(MODEL, 600), MODEL),
    "vocabulary cut": (cut(VOCABULARY, 700), VOCABULARY),
    "header too long": (replace(MODEL, struct.pack("<Q", 2**62) + b"{}"), MODEL),
    "header beyond the end": (replace(MODEL, struct.pack("<Q", 99) + b"{}"), MODEL),
    "header not JSON": (replace(MODEL, header(b"{]")), MODEL),
    "header a list": (replace(MODEL, header([])), MODEL),
    "no tensors": (replace(MODEL, header({}, 0)), MODEL),
    "offsets beyond the end": (replace(MODEL, header({"embeddings": tensor(0, 64, [16])})), MODEL),
    "offsets reversed": (replace(MODEL, header({"embeddings": tensor(16, 0, [4])})), MODEL),
    "offsets negative": (replace(MODEL, header({"embeddings": tensor(-16, 0, [4])})), MODEL),
    "offsets overlap": (
        replace(MODEL, header({"a": tensor(0, 12, [3]), "embeddings": tensor(4, 16, [3])})),
        MODEL,
    ),
    "offsets leave a gap": (replace(MODEL, header({"embeddings": tensor(8, 16, [2])})), MODEL),
    "shape overflows": (
        replace(MODEL, header({"embeddings": tensor(0, 16, [2**62, 2**62])})),
        MODEL,
    ),
    "shape against offsets": (replace(MODEL, header({"embeddings": tensor(0, 16, [5])})), MODEL),
    "unknown number type": (
        replace(MODEL, header({"embeddings": tensor(0, 16, [16], "F8_E4M3")})),
        MODEL,
    ),
    "float16": (edit_tensors(MODEL, cast("embeddings", "f8")), "float64"),
    "a row too few": (
        edit_tensors(MODEL, lambda a: a.update(embeddings=a["embeddings"][1:].copy())),
        "expected float32 .24, 8.",
    ),
    "flat": (
        edit_tensors(MODEL, lambda a: a.update(embeddings=a["embeddings"].ravel())),
        MODEL,
    ),
    "more tensors": (
        edit_tensors(MODEL, lambda a: a.update(weights=np.ones(24, "f4"))),
        "expected only 'embeddings'",
    ),
    "unknown row not zero": (edit_tensors(MODEL, set_item("embeddings", (-1, 3), 1)), "last row"),
    "offsets of words fall": (edit_tensors(VOCABULARY, set_item("word_offsets", 3, 0)), VOCABULARY),
    "offsets of words negative": (
        edit_tensors(VOCABULARY, set_item("word_offsets", 0, -5)),
        VOCABULARY,
    ),
    "offsets of words too large": (
        edit_tensors(VOCABULARY, set_item("word_offsets", -1, 2**40)),
        VOCABULARY,
    ),
    "no free slot": (edit_tensors(VOCABULARY, set_item("slots", slice(None), 1)), VOCABULARY),
    "slot beyond the words": (
        edit_tensors(VOCABULARY, set_item("slots", slice(None), 2**32 - 1)),
        VOCABULARY,
    ),
    "slots of another type": (edit_tensors(VOCABULARY, cast("slots", "i8")), VOCABULARY),
    "no slots": (edit_tensors(VOCABULARY, lambda a: a.pop("slots")), VOCABULARY),
    "words not UTF-8": (edit_tensors(VOCABULARY, set_item("word_bytes", 0, 255)), VOCABULARY),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused_by_name(name: str, copied: Path) -> None:
    damage, message = DAMAGES[name]
    damage(copied)
    with pytest.raises(ModelFormatError, match=message) as caught:
        PinTextModel.from_pretrained(copied)
    assert str(copied) in str(caught.value)


def test_files_of_two_models_are_not_mixed(copied: Path, tmp_path: Path) -> None:
    model = trained_model()
    other = PinTextModel(model.vocabulary, model.embeddings * np.float32(2))
    other.save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / MODEL, copied / MODEL)
    with pytest.raises(ModelFormatError, match="belongs to the model"):
        PinTextModel.from_pretrained(copied)


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, found in ((tmp_path / "none", "no such folder"), (tmp_path / "file", "is a file")):
        with pytest.raises(ModelError, match=found):
            PinTextModel.from_pretrained(path)
    with pytest.raises(ModelFormatError, match=r"config.json: missing"):
        PinTextModel.from_pretrained(tmp_path)


def test_another_folder_of_ours_is_told_for_what_it_is(tmp_path: Path) -> None:
    write_pairs(small_pairs(), tmp_path / "pairs")
    make_small_store(tmp_path / "store")
    for name, kind in (
        ("pairs", "pairs, of which pintext train makes a model"),
        ("store", "a store of events"),
    ):
        with pytest.raises(ModelFormatError) as caught:
            PinTextModel.from_pretrained(tmp_path / name)
        expected = "expected the folder of a PinText model"
        assert str(caught.value) == f"{tmp_path / name}: {kind}; {expected}"


def test_settings_of_a_later_version_are_left_out(copied: Path) -> None:
    values = json.loads((copied / CONFIG).read_text())
    values["config"]["invented_later"] = 1
    values["invented_later"] = [1]
    (copied / CONFIG).write_text(json.dumps(values))
    assert PinTextModel.from_pretrained(copied).config == trained_model().config


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([*DIGESTED, CONFIG]),
    st.integers(0, 10**6),
    st.one_of(st.binary(min_size=1, max_size=12), st.just(None)),
)
def test_no_damage_crashes(
    saved: Path,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    place: int,
    noise: bytes | None,
) -> None:
    """Bytes changed anywhere, or a file cut anywhere: refused, or loaded and harmless."""
    folder = Path(shutil.copytree(saved, tmp_path_factory.mktemp("damaged") / "model"))
    content = (folder / name).read_bytes()
    place %= len(content)
    if noise is None:
        changed = content[:place]
    else:
        changed = content[:place] + noise + content[place + len(noise) :]
    (folder / name).write_bytes(changed)
    model, refusal = None, ""
    try:
        model = PinTextModel.from_pretrained(folder)
    except ModelFormatError as error:
        refusal = str(error)
    if model is None:
        assert str(folder) in refusal
    else:
        assert model.encode(["wood oak", "küche 木", *WORDS]).shape == (2 + len(WORDS), 8)
        assert len(model.vocabulary.words()) == len(WORDS)
    if name in DIGESTED and changed != content:
        with pytest.raises(ModelFormatError):
            verify(folder)


# ---------------------------------------------------------------------------------- verify


def test_verify_finds_one_bit(saved: Path, copied: Path) -> None:
    assert verify(saved).fingerprint == trained_model().fingerprint
    for name in DIGESTED:
        content = bytearray((saved / name).read_bytes())
        content[-3] ^= 1
        (copied / name).write_bytes(content)
        with pytest.raises(ModelFormatError, match=name):
            verify(copied)
        shutil.copy(saved / name, copied / name)
    assert verify(copied).card == CARD


def test_verify_finds_what_the_digests_do_not(copied: Path) -> None:
    import hashlib

    for change, message in (
        (set_item("embeddings", (2, 2), np.nan), "row 2 of the embeddings is not finite"),
        (set_item("embeddings", (2, 2), 7.5), "fingerprint"),
    ):
        edit_tensors(MODEL, change)(copied)
        values = json.loads((copied / CONFIG).read_text())
        values["sha256"][MODEL] = hashlib.sha256((copied / MODEL).read_bytes()).hexdigest()
        (copied / CONFIG).write_text(json.dumps(values))
        with pytest.raises(ModelFormatError, match=message):
            verify(copied)


# ---------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("one_step", [True, False])
def test_a_model_is_replaced_only_on_request(
    copied: Path, one_step: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not one_step:  # as on systems that cannot exchange two folders
        monkeypatch.setattr("pintext.files._exchange", lambda *_: False)
    before = files(copied)
    other = some_model(seed=5)
    with pytest.raises(ModelError, match="exists already"):
        other.save_pretrained(copied)
    assert files(copied) == before
    old = PinTextModel.from_pretrained(copied)
    kept = old.embeddings.copy()
    other.save_pretrained(copied, overwrite=True)
    assert PinTextModel.from_pretrained(copied).fingerprint == other.fingerprint
    assert np.array_equal(old.embeddings, kept)  # the reader of the old files is not disturbed
    assert names(copied.parent) == ["model"]


def test_other_things_in_the_folder_are_never_lost(copied: Path) -> None:
    (copied / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"notes.txt, which would be lost"):
        some_model().save_pretrained(copied, overwrite=True)
    assert (copied / "notes.txt").read_text() == "mine"
    assert PinTextModel.from_pretrained(copied).card == CARD


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    some_model().save_pretrained(tmp_path)
    assert len(PinTextModel.from_pretrained(tmp_path)) == len(WORDS)


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(ModelError, match="file"):
            some_model().save_pretrained(path, overwrite=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_the_target_of_a_link_is_replaced(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(copied)
    other = some_model(seed=5)
    other.save_pretrained(tmp_path / "current", overwrite=True)
    assert (tmp_path / "current").is_symlink()
    assert PinTextModel.from_pretrained(copied).fingerprint == other.fingerprint


def test_a_model_that_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    rows = np.ones((2, 3), np.float32)
    rows[1, 1] = np.inf
    broken = PinTextModel(Vocabulary.from_words(["a", "b"]), rows)
    with pytest.raises(ModelError, match="row 1 of the embeddings is not finite"):
        broken.save_pretrained(tmp_path / "model")
    model = some_model()
    model.card = {"made by": object()}
    with pytest.raises(ModelError, match="the card holds a object"):
        model.save_pretrained(tmp_path / "model")
    assert names(tmp_path) == []


SAVE = """
import os, resource, signal, sys
sys.path.insert(0, os.environ["TESTS"])
from pintext.errors import ModelError
from some_models import names, some_model

model = some_model(dim=2000)  # 192,000 bytes
if sys.argv[2] == "die":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
if sys.argv[2] != "whole":
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    model.save_pretrained(sys.argv[1], overwrite=True)
except ModelError as error:
    print(error)
    sys.exit(3)
"""


def save_in_a_process(folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SAVE, folder, how],
        env={**os.environ, "TESTS": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("before", [True, False])
def test_a_full_disk_leaves_what_was_there(before: bool, copied: Path) -> None:
    if not before:
        shutil.rmtree(copied)
    expected = files(copied) if before else None
    done = save_in_a_process(copied, "limit")
    assert done.returncode == 3, done.stderr
    assert done.stdout == f"{copied}: cannot be written: File too large\n"
    assert names(copied.parent) == (["model"] if before else [])
    assert expected is None or files(copied) == expected


def test_death_while_saving_leaves_what_was_there(copied: Path) -> None:
    expected = files(copied)
    done = save_in_a_process(copied, "die")
    assert done.returncode < 0
    assert files(copied) == expected
    left = set(names(copied.parent)) - {"model"}
    assert all(name.startswith(".pintext-") for name in left)
    assert save_in_a_process(copied, "whole").returncode == 0
    assert PinTextModel.from_pretrained(copied).dim == 2000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KB, where the tests may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root on Linux")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_small_disk(small_disk: Path) -> None:
    some_model().save_pretrained(small_disk / "model")
    with pytest.raises(ModelError, match="No space left on device"):
        some_model(dim=5000).save_pretrained(small_disk / "model", overwrite=True)
    with pytest.raises(ModelError, match="No space left on device"):
        some_model(dim=5000).save_pretrained(small_disk / "other")
    assert names(small_disk) == ["model"]
    assert verify(small_disk / "model").fingerprint == some_model().fingerprint
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(ModelError, match="Read-only file system"):
        some_model().save_pretrained(small_disk / "other")
    assert verify(small_disk / "model").fingerprint == some_model().fingerprint
