"""The command line, in this process through click's runner and as a real process."""

import inspect
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from pintext import PinTextModel, TrainConfig
from pintext.cli import commands
from pintext.cli.options import config_from
from pintext.cli.progress import progress_line
from pintext.config import settings
from pintext.training.progress import Progress
from small_data import TASKS, make_small_folder, small_pairs

PINTEXT = [sys.executable, "-m", "pintext"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small data and a model of it. Tests must not change what is in it."""
    folder = tmp_path_factory.mktemp("small")
    make_small_folder(folder)
    done = run("train", folder / "pairs", "--out", folder / "model", "--dim", 16, "--quiet")
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def model(trained: Path) -> PinTextModel:
    return PinTextModel.from_pretrained(trained / "model")


def run(*arguments: Any, stdin: str | bytes | None = None) -> Result:
    """Run a command in this process; anything but a clean exit is a failure of the test."""
    result = CliRunner().invoke(commands, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def process(*arguments: Any, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [*PINTEXT, *map(str, arguments)], cwd=cwd, input=stdin, capture_output=True, timeout=300
    )


def json_lines(text: str | bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- help -----------------------------------------------------------------------------------------


def test_the_verbs() -> None:
    assert sorted(commands.commands) == [
        "calibrate",
        "compact",
        "delete",
        "demo",
        "embed",
        "evaluate",
        "explain",
        "export",
        "index",
        "info",
        "ingest",
        "knn",
        "nn",
        "pairs",
        "plan",
        "search",
        "serve",
        "simulate",
        "train",
        "tune",
        "upsert",
    ]


@pytest.mark.parametrize("name", [*commands.commands, None])
def test_every_command_and_option_is_explained_with_an_example(name: str | None) -> None:
    command = commands.commands[name] if name else commands
    told = inspect.cleandoc(command.help or "")
    assert f"\n  pintext {name or 'train'}" in told.partition("\nExample:")[2]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
        elif parameter.name != "model":
            assert str(parameter.name).upper() in told


def examples() -> Iterator[str]:
    """The examples, but for those that have tests of their own: ``demo``, and what does not end."""
    others = ("pintext demo", "pintext serve", "--topic", "--watch", "--engine spark")
    for command in commands.commands.values():
        for line in (command.help or "").partition("Example:")[2].splitlines():
            if "pintext " in line and not any(other in line for other in others):
                yield line.strip()


@pytest.mark.parametrize("example", list(examples()))
def test_examples_of_the_help_run(
    example: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    before, _, command = example.rpartition("pintext ")
    stdin = subprocess.run(["bash", "-c", before.strip(" |")], capture_output=True).stdout
    arguments = shlex.split(command)
    if arguments[0] != "train":
        (tmp_path / "model").symlink_to(trained / "model")
    read = [name for before, name in pairwise(arguments) if before != "--out"]
    for name in {"index/", "index-1/", "index-2/"}.intersection(read):
        made = run("index", "model", "pins.parquet", "--out", name, "--filter-column", "topic")
        assert made.exit_code == 0, made.stderr
    done = run(*arguments, stdin=stdin)
    assert done.exit_code == 0, done.stderr
    assert done.stdout or "written" in done.stderr


def test_a_deletion_counts_the_ids_that_nobody_has(trained: Path, tmp_path: Path) -> None:
    pl.DataFrame({"id": ["1", "2"], "title": ["wood", "train"]}).write_csv(tmp_path / "pins.csv")
    made = run("index", trained / "model", tmp_path / "pins.csv", "--out", tmp_path / "index")
    assert made.exit_code == 0, made.stderr
    done = run("delete", tmp_path / "index", "2", "nobody", "2")
    facts = json.loads(done.stdout)
    assert {name: facts[name] for name in ("deleted", "unknown", "pins")} == {
        "deleted": 1,
        "unknown": 1,
        "pins": 1,
    }


def test_help_needs_no_heavy_library() -> None:
    program = (
        "import sys\n"
        "from pintext.cli import commands\n"
        "commands.main(['train', '--help'], standalone_mode=False)\n"
        "heavy = {'numba', 'polars', 'numpy', 'rich', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_setting_is_an_option_with_its_symbol_range_and_default() -> None:
    options = {parameter.name: parameter for parameter in commands.commands["train"].params}
    for setting in settings(TrainConfig):
        option = options[setting.name]
        assert isinstance(option, click.Option)
        assert option.help is not None
        assert setting.description in option.help
        assert setting.symbol in option.help
        assert f"default {setting.default}" in option.help or not setting.default


# --- settings -------------------------------------------------------------------------------------


def test_typed_beats_file_beats_default(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text("dim = 8\nmargin = 0.5\n[task_weights]\nsearch = 3.0\nhome_feed = 4.0\n")
    typed = {"dim": 9, "margin": None, "task_weights": {"search": 2.0}}
    config = config_from(TrainConfig, path, typed)
    assert (config.dim, config.margin, config.epochs) == (9, 0.5, TrainConfig().epochs)
    assert config.task_weights == {"search": 2.0, "home_feed": 4.0}


def test_options_reach_the_model(trained: Path, tmp_path: Path) -> None:
    words = tmp_path / "stop.txt"
    words.write_text("wood\n\n  Glacier \n")
    arguments = ("--config", trained / "train.toml", "--epochs", 1, "--task-weight", "search=2")
    done = run(
        *("train", trained / "pairs", "--out", tmp_path / "model", "--quiet", "--background"),
        *("engagement", "--stop-words", words, *arguments),
    )
    assert done.exit_code == 0, done.stderr
    config = PinTextModel.from_pretrained(tmp_path / "model").config
    assert config == TrainConfig(
        dim=16,
        epochs=1,
        background="engagement",
        task_weights={"search": 2.0},
        stop_words=("wood", "Glacier"),
    )
    assert TrainConfig.from_dict(json.loads(done.stdout)["config"]) == config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dim", "0"], "dim = 0"),
        (["--margin", "nan"], "margin"),
        (["--background", "gauss"], "uniform"),
        (["--task-weight", "search"], "NAME=WEIGHT"),
        (["--task-weight", "search=much"], "NAME=WEIGHT"),
        (["--task-weight", "search=-1"], "task_weights"),
        (["--stop-words", "no-such-file"], "no-such-file"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_options_typed_wrong(arguments: list[str], message: str) -> None:
    done = run("train", "pairs", "--out", "model", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""


# --- train ----------------------------------------------------------------------------------------


def test_train_tells_what_it_did(trained: Path, tmp_path: Path) -> None:
    done = run("train", trained / "pairs", "--out", tmp_path / "model", "--dim", 16)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "model" / "config.json").is_file()
    told = json.loads(done.stdout)
    assert told["words"] == 16
    assert told["dim"] == 16
    assert sorted(told["tasks"]) == sorted(TASKS)
    assert "pairs/s" in done.stderr
    info = run("info", tmp_path / "model")
    assert json.loads(info.stdout) == told


def test_train_reports_rejected_rows(tmp_path: Path) -> None:
    rows = [
        "task,query,pin",
        *["search,oak wood,wood cabinets"] * 20,
        "search,,wood",
        "search,a,b,c",
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    done = run("train", tmp_path / "pairs.csv", "--out", tmp_path / "model", "--epochs", 1)
    assert done.exit_code == 0, done.stderr
    assert sum(json.loads(done.stdout)["rejected"].values()) == 2
    assert "pairs.csv:22" in done.stderr
    assert "pairs.csv:23" in done.stderr


def test_quiet_train_says_nothing(trained: Path, tmp_path: Path) -> None:
    asked = ("--epochs", 1, "--validation", 0, "-q")
    done = run("train", trained / "pairs", "--out", tmp_path / "m", *asked)
    assert (done.exit_code, done.stderr) == (0, "")


def test_nothing_is_replaced_unless_asked(trained: Path) -> None:
    before = (trained / "model" / "model.safetensors").stat().st_mtime_ns
    done = run("train", trained / "pairs", "--out", trained / "model")
    assert done.exit_code == 1
    assert "exists" in done.stderr
    assert (trained / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_ctrl_c_stops_and_resume_goes_on(trained: Path, tmp_path: Path) -> None:
    arguments = [
        *("train", str(trained / "pairs"), "--out", str(tmp_path / "model")),
        *("--epochs", "2000", "--validation", "0", "--dim", "128", "--threads", "1"),
    ]
    with subprocess.Popen(
        [*PINTEXT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as training:
        assert training.stderr is not None
        assert training.stdout is not None
        last_epoch = 0
        for line in training.stderr:
            if found := re.match(r"epoch (\d+)/2000", line):
                last_epoch = int(found[1])
                break
        training.send_signal(signal.SIGINT)
        rest = training.stderr.read().splitlines()
        assert training.stdout.read() == ""
        assert training.wait(60) == 130
    assert last_epoch > 0
    assert rest[-1] == "interrupted; to go on, give the same command with --resume"
    assert not (tmp_path / "model").exists()

    resumed = process(*arguments, "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["epochs"] == 2000
    first = re.search(rb"epoch (\d+)/2000", resumed.stderr)
    assert first is not None
    assert int(first[1]) >= last_epoch


def test_progress_line() -> None:
    progress = Progress(
        phase="epoch",
        epoch=3,
        epochs=10,
        pairs_done=250,
        pairs_total=1000,
        pairs_per_second=123456.7,
        seconds_left=3725.0,
        loss={"search": 0.25, "home_feed": 0.5},
        violated={"search": 0.0712, "home_feed": 1.0},
        recall={"search": 0.6667},
    )
    assert progress_line(progress) == (
        "epoch 3/10   25%  123,457 pairs/s  1:02:05 left  |  "
        "search: loss 0.2500, violated 7.1%, recall@10 0.667  |  "
        "home_feed: loss 0.5000, violated 100.0%"
    )
    assert progress_line(Progress(phase="reading", rows_read=12_345)) == "reading: 12,345 rows"


# --- nn, explain ----------------------------------------------------------------------------------


def test_nn_is_what_the_library_says(trained: Path, model: PinTextModel) -> None:
    done = run("nn", trained / "model", "wood cabinets", "-k", 3)
    expected = [
        {"query": "wood cabinets", "word": near.word, "similarity": round(near.similarity, 6)}
        for near in model.most_similar("wood cabinets", k=3)
    ]
    assert len(expected) == 3
    assert json_lines(done.stdout) == expected


def test_nn_answers_standard_input_line_by_line(trained: Path) -> None:
    done = run("nn", trained / "model", "-", "-k", 1, stdin=b"wood\r\nzebra\n\xff\xfe alaska")
    assert [row["query"] for row in json_lines(done.stdout)] == ["wood", "�� alaska"]
    assert "'zebra': no known word" in done.stderr
    assert done.exit_code == 0


def test_nn_answers_before_its_input_ends(trained: Path) -> None:
    with subprocess.Popen(
        [*PINTEXT, "nn", str(trained / "model"), "-", "-k", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as asking:
        assert asking.stdin is not None
        assert asking.stdout is not None
        asking.stdin.write(b"wood\n")
        asking.stdin.flush()
        assert json.loads(asking.stdout.readline())["query"] == "wood"
        asking.stdin.close()
        assert asking.wait(60) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such an argument")
def test_an_argument_that_is_not_utf8(trained: Path) -> None:
    done = subprocess.run(
        [*(part.encode() for part in PINTEXT), b"nn", bytes(trained / "model"), b"wood \xff"],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert {row["query"] for row in json_lines(done.stdout)} == {"wood ?"}


def test_explain_adds_up(trained: Path, model: PinTextModel) -> None:
    done = run("explain", trained / "model", "wood cabinets", "oak kitchen zebra")
    told = json.loads(done.stdout)
    assert told["similarity"] == pytest.approx(
        model.similarity("wood cabinets", "oak kitchen zebra"), abs=1e-6
    )
    parts = told["contributions"]
    assert {(part["query_word"], part["pin_word"]) for part in parts} == {
        (query, pin) for query in ("wood", "cabinets") for pin in ("oak", "kitchen")
    }
    assert sum(part["contribution"] for part in parts) == pytest.approx(
        told["similarity"], abs=1e-5
    )


def test_explain_without_known_words(trained: Path) -> None:
    done = run("explain", trained / "model", "zebra", "oak")
    assert json.loads(done.stdout) == {
        "query": "zebra",
        "pin": "oak",
        "similarity": 0.0,
        "contributions": [],
        "unknown_query_words": ["zebra"],
        "unknown_pin_words": [],
    }


# --- embed ----------------------------------------------------------------------------------------


def test_embed_texts(trained: Path, model: PinTextModel) -> None:
    texts = ["wood cabinets", "zebra", ""]
    done = run("embed", trained / "model", *texts)
    rows = json_lines(done.stdout)
    assert [row["text"] for row in rows] == texts
    np.testing.assert_allclose([row["vector"] for row in rows], model.encode(texts), atol=1e-7)


def test_embed_standard_input(trained: Path) -> None:
    given = run("embed", trained / "model", "alaska", "train ride").stdout
    for stdin in ("alaska\ntrain ride\n", "alaska\r\ntrain ride"):
        assert run("embed", trained / "model", "--input", "-", stdin=stdin).stdout == given


@pytest.mark.parametrize("name", ["pins.parquet", "pins.csv", "pins.jsonl"])
def test_embed_a_file(name: str, trained: Path, model: PinTextModel, tmp_path: Path) -> None:
    out = tmp_path / "vectors.parquet"
    source = trained / name
    done = run(
        "embed", trained / "model", "--input", source, "--text-column", "title", "--out", out
    )
    assert done.exit_code == 0, done.stderr
    texts = pl.read_parquet(trained / "pins.parquet")["title"]
    written = pl.read_parquet(out)
    assert written["id"].cast(pl.String).to_list() == [str(row) for row in range(40)]
    np.testing.assert_allclose(written["vector"].to_numpy(), model.encode(texts), atol=1e-7)

    printed = run("embed", trained / "model", "--input", source, "--text-column", "title")
    vectors = [row["vector"] for row in json_lines(printed.stdout)]
    np.testing.assert_allclose(vectors, model.encode(texts), atol=1e-7)


@pytest.mark.parametrize("given", ["texts", "stdin"])
def test_embed_texts_to_a_file(
    given: str, trained: Path, model: PinTextModel, tmp_path: Path
) -> None:
    out = tmp_path / "vectors.parquet"
    arguments = ["wood", "alaska train"] if given == "texts" else ["--input", "-"]
    done = run("embed", trained / "model", *arguments, "--out", out, stdin="wood\nalaska train\n")
    assert done.exit_code == 0, done.stderr
    vectors = pl.read_parquet(out)["vector"].to_numpy()
    np.testing.assert_allclose(vectors, model.encode(["wood", "alaska train"]), atol=1e-7)
    again = run("embed", trained / "model", *arguments, "--out", out, stdin="wood\n")
    assert again.exit_code == 1
    assert "exists" in again.stderr


@pytest.mark.parametrize("arguments", [[], ["wood", "--input", "pins.csv"]])
def test_embed_wants_texts_or_input(arguments: list[str], trained: Path) -> None:
    done = run("embed", trained / "model", *arguments)
    assert done.exit_code == 2
    assert "TEXTS or --input" in done.stderr


# --- info, export ---------------------------------------------------------------------------------


def test_info_on_coverage(trained: Path) -> None:
    expected = {"words": 3, "known_words": 2, "tokens": 4, "known_tokens": 3}
    done = run("info", trained / "model", "--coverage", "-", stdin="wood oak\nwood zebra\n")
    told = json.loads(done.stdout)["coverage"]
    assert {name: told[name] for name in expected} == expected
    assert told["word_coverage"] == pytest.approx(2 / 3)
    assert told["token_coverage"] == pytest.approx(3 / 4)
    done = run(
        "info", trained / "model", "--coverage", trained / "pins.csv", "--text-column", "title"
    )
    assert json.loads(done.stdout)["coverage"]["word_coverage"] == 1.0


def test_info_of_a_store_of_events(tmp_path: Path) -> None:
    days = ("2026-03-01", "2026-03-02", "2026-03-02")
    lines = [
        {"event_id": f"e{n}", "timestamp": f"{day}T10:00:00Z", "task": "search", "query": "wood",
         "pin_id": "1", "action": "save"} for n, day in enumerate(days)
    ]  # fmt: skip
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert run("ingest", tmp_path / "events.jsonl", "--out", tmp_path / "store").exit_code == 0
    told = json.loads(run("info", tmp_path / "store").stdout)
    assert told["events"] == 3
    assert told["tasks"] == {"search": {"events": 3, "first": days[0], "last": days[2]}}


def test_info_says_what_each_task_brought(trained: Path) -> None:
    told = json.loads(run("info", trained / "model").stdout)["tasks"]
    assert sum(task["pairs"] + task["validation_pairs"] for task in told.values()) == 600
    assert {task["words"] for task in told.values()} == {16}
    assert {task["own_words"] for task in told.values()} == {0}


def test_info_verifies_every_byte(trained: Path, tmp_path: Path) -> None:
    assert json.loads(run("info", trained / "model", "--verify").stdout)["verified"] is True
    copy = tmp_path / "model"
    copy.mkdir()
    for file in (trained / "model").iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    damaged = bytearray((copy / "model.safetensors").read_bytes())
    damaged[-5] ^= 1
    (copy / "model.safetensors").write_bytes(damaged)
    done = run("info", copy, "--verify")
    assert done.exit_code == 1
    assert "model.safetensors" in done.stderr


def test_export_word2vec(trained: Path, model: PinTextModel, tmp_path: Path) -> None:
    out = tmp_path / "words.vec"
    assert run("export", trained / "model", out).exit_code == 0
    head, *lines = out.read_text(encoding="utf-8").splitlines()
    assert head == "16 16"
    rows = {line.split(" ")[0]: [float(x) for x in line.split(" ")[1:]] for line in lines}
    for word in model.vocabulary.words():
        np.testing.assert_allclose(rows[word], model[word], rtol=1e-5, atol=1e-7)
    assert run("export", trained / "model", out).exit_code == 1
    assert run("export", trained / "model", out, "--overwrite").exit_code == 0


def test_export_projector(trained: Path, model: PinTextModel, tmp_path: Path) -> None:
    done = run("export", trained / "model", tmp_path / "out", "--format", "projector")
    assert done.exit_code == 0, done.stderr
    vectors = np.loadtxt(tmp_path / "out" / "vectors.tsv", delimiter="\t")
    assert vectors.shape == (16, 16)
    words = (tmp_path / "out" / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert words[-16:] == model.vocabulary.words()


# --- a process among others -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Usage: "),
        (["fly"], 2, "No such command 'fly'"),
        (["nn"], 2, "Missing argument"),
        (["nn", "model", "wood", "-k", "0"], 2, "-k"),
        (["nn", "no-model", "wood"], 1, "error: no-model"),
        (["train", "no-pairs", "--out", "new"], 1, "error: no-pairs"),
        (["train", "pairs", "--out", "new", "--config", "pins.csv"], 1, "error: pins.csv"),
        (["train", "pairs", "--out", "new", "--task-weight", "x=1"], 1, "error: task_weights"),
        (["embed", "model", "--input", "pins.csv", "--text-column", "x"], 1, "error: pins.csv"),
        (["embed", "model", "--input", "no-file.csv"], 1, "error: no-file.csv"),
        (["search", "model", "wood"], 1, "error: model: a model, of which pintext index makes"),
        (["export", "model", "pins.csv"], 1, "error: "),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, message: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    done = run(*arguments)
    assert done.exit_code == code
    assert done.stdout == ""
    assert message in done.stderr
    assert code == 2 or (done.stderr.startswith(message) and done.stderr.count("\n") == 1)


def test_an_index_without_pins_is_made_and_told(trained: Path, tmp_path: Path) -> None:
    header = tmp_path / "header.csv"
    header.write_text("id,title\n")
    done = run("index", trained / "model", header, "--out", tmp_path / "index")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["pins"] == 0
    assert f"no pins in {header}" in done.stderr


def test_exit_codes_of_the_process(trained: Path) -> None:
    for arguments, code in ((["--version"], 0), (["nn", "none", "wood"], 1), (["fly"], 2)):
        done = process(*arguments, cwd=trained)
        assert (done.returncode, bool(done.stdout)) == (code, code == 0)
        assert b"Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error(trained: Path) -> None:
    shell = f"yes wood | {' '.join(PINTEXT)} nn model - | head -n 1; echo ${{PIPESTATUS[1]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=trained, capture_output=True, timeout=300)
    line, status = done.stdout.splitlines()
    assert json.loads(line)["query"] == "wood"
    assert status == b"141"
    assert done.stderr == b""


def test_a_pipe_closed_before_the_first_line(trained: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*PINTEXT, "nn", "model", "wood"], cwd=trained, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def in_terminal(*arguments: str, cwd: Path) -> str:
    """What a command prints when standard output and standard error are a terminal."""
    terminal, inside = pty.openpty()
    with subprocess.Popen([*PINTEXT, *arguments], cwd=cwd, stdout=inside, stderr=inside) as running:
        os.close(inside)
        shown = b""
        try:
            while part := os.read(terminal, 65536):
                shown += part
        except OSError:  # Linux says so when the other side is closed
            pass
        assert running.wait(60) == 0
    os.close(terminal)
    return shown.decode()


def test_people_get_tables_and_programs_json(trained: Path) -> None:
    shown = in_terminal("nn", "model", "wood", "-k", "2", cwd=trained)
    assert "similarity" in shown
    assert "{" not in shown
    shown = in_terminal("nn", "model", "wood", "-k", "2", "--json", cwd=trained)
    assert len(json_lines(shown)) == 2
    shown = in_terminal("explain", "model", "wood", "oak", cwd=trained)
    assert "contribution" in shown
    assert "know" not in shown
    assert "{" not in shown
    shown = in_terminal("explain", "model", "zebra Yak zebra", "oak gnu", cwd=trained)
    assert "similarity 0: no known word in the query\r\n" in shown
    assert "words of the query that the model does not know: zebra, yak\r\n" in shown
    assert "words of the pin that the model does not know: gnu\r\n" in shown
    shown = in_terminal("info", "model", cwd=trained)
    assert "recall@10" in shown
    assert "{" not in shown


def test_tables_of_an_index(trained: Path, tmp_path: Path) -> None:
    pins = {"id": ["a", "b"], "title": ["oak", "wood"], "text": ["kitchen", "alaska"]}
    pl.DataFrame(pins).write_csv(tmp_path / "pins.csv")
    made = in_terminal("index", str(trained / "model"), "pins.csv", "--out", "i", cwd=tmp_path)
    assert "title, text " in made
    assert "0/100" not in made
    order = "reciprocal rank fusion"
    assert order in in_terminal("search", "i", "oak", cwd=tmp_path)
    assert order not in in_terminal("search", "i", "oak", "--json", cwd=tmp_path)
    assert order not in in_terminal("search", "i", "oak", "--mode", "text", cwd=tmp_path)


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    task = "[/b] 猫 [red]"  # rich would take it for markup
    small_pairs().with_columns(task=pl.lit(task)).write_csv(tmp_path / "pairs.csv")
    shown = in_terminal("train", "pairs.csv", "--out", "model", cwd=tmp_path)
    assert "pairs/s" in shown
    assert "violated" in shown
    assert task in shown
    assert (tmp_path / "model" / "config.json").is_file()
