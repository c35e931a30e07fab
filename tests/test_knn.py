"""Neighbours in bulk: against brute force, killed and resumed, turned around."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from pintext.arrays import F32
from pintext.cli import commands
from pintext.errors import ConfigError, DataError, LockedError
from pintext.knn import Progress, Texts, TokenLists, expand_keywords, find_neighbors
from pintext.tokens import HyperplaneTokens, LearnedTokens, TokenScheme
from pintext.tokens.exact import exact_neighbors
from pintext.tokens.kernels import normalized
from some_models import some_model

WORDS = [f"w{number}" for number in range(300)]
MODEL = some_model(WORDS, dim=24, seed=5)


def texts(count: int, seed: int, words: int) -> list[str]:
    """Texts whose words stand near to each other in the list, as if of one topic."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        start = draw.randrange(len(WORDS) - 12)
        made.append(" ".join(draw.choices(WORDS[start : start + 12], k=words)))
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("knn")
    pins = pl.DataFrame({"id": [f"p{n}" for n in range(3000)], "text": texts(3000, 1, 8)})
    pins.write_parquet(made / "pins.parquet")
    asked = [*texts(400, 2, 3), "nothing known here"]
    (made / "queries.txt").write_text("\n".join(asked) + "\n", encoding="utf-8")
    MODEL.save_pretrained(made / "model")
    return made


@pytest.fixture
def pins(folder: Path) -> Texts:
    return Texts(folder / "pins.parquet")


@pytest.fixture
def queries(folder: Path) -> Texts:
    return Texts(folder / "queries.txt")


def vectors_of(source: Texts) -> tuple[list[str | int], F32]:
    batch = next(source.batches())
    return batch.ids.to_list(), normalized(MODEL.encode(batch.texts))


# --- what is found --------------------------------------------------------------------------------


def test_exact_neighbors_are_those_of_brute_force(
    pins: Texts, queries: Texts, tmp_path: Path
) -> None:
    rows = find_neighbors(MODEL, pins, tmp_path / "knn.parquet", queries=queries, k=7, exact=True)
    frame = pl.read_parquet(tmp_path / "knn.parquet")
    assert frame.height == rows == 400 * 7  # the query without a known word has none
    assert frame.schema == {
        "id": pl.Int64,
        "neighbor_id": pl.String,
        "rank": pl.Int32,
        "similarity": pl.Float32,
    }
    marks = pl.read_parquet_metadata(tmp_path / "knn.parquet")
    assert marks["pintext.fingerprint"] == MODEL.fingerprint
    assert frame["id"].to_list() == np.repeat(np.arange(400), 7).tolist()
    assert frame["rank"].to_list() == list(range(1, 8)) * 400
    names, pin_vectors = vectors_of(pins)
    cosines = vectors_of(queries)[1][:400].astype(np.float64) @ pin_vectors.T.astype(np.float64)
    best = -np.sort(-cosines, axis=1)[:, :7]
    assert np.allclose(frame["similarity"].to_numpy().reshape(400, 7), best, atol=1e-6)
    number = {name: place for place, name in enumerate(names)}
    found = np.array([number[name] for name in frame["neighbor_id"]]).reshape(400, 7)
    assert np.allclose(np.take_along_axis(cosines, found, axis=1), best, atol=1e-6)


def test_tokens_find_what_was_promised_with_exact_similarities(
    pins: Texts, queries: Texts, tmp_path: Path
) -> None:
    for name, exact in (("exact", True), ("tokens", False)):
        find_neighbors(MODEL, pins, tmp_path / name, queries=queries, exact=exact, recall=0.9)
    truth, frame = (pl.read_parquet(tmp_path / name) for name in ("exact", "tokens"))
    both = truth.join(frame, on=["id", "neighbor_id"], how="inner")
    assert both.height >= 0.87 * truth.height
    assert np.allclose(both["similarity"], both["similarity_right"], atol=1e-6)
    lists = frame.group_by("id", maintain_order=True).agg("rank", "similarity")
    assert all(ranks == list(range(1, len(ranks) + 1)) for ranks in lists["rank"].to_list())
    assert all((np.diff(found) <= 0).all() for found in lists["similarity"].to_list())


@pytest.mark.parametrize("exact", [True, False])
def test_every_pin_looks_for_others(pins: Texts, tmp_path: Path, exact: bool) -> None:
    find_neighbors(MODEL, pins, tmp_path / "out", k=4, exact=exact, part_rows=1024)
    frame = pl.read_parquet(tmp_path / "out")
    assert (frame["id"] != frame["neighbor_id"]).all()
    order = [int(name[1:]) for name in frame["id"].unique(maintain_order=True)]
    assert order == sorted(order)
    assert len(order) >= (3000 if exact else 2950)  # a pin can share its tokens with none
    assert frame.group_by("id").len()["len"].max() == 4


@pytest.mark.parametrize(
    "scheme",
    [
        LearnedTokens.train(np.zeros((0, 24), np.float32)),
        HyperplaneTokens(24, tables=4, bits=4),
    ],
    ids=["one-token", "hyperplane"],
)
def test_lists_give_the_nearest_of_what_shares_a_token(scheme: TokenScheme, pins: Texts) -> None:
    vectors = vectors_of(pins)[1].copy()
    vectors[5] = 0
    asked = vectors[100:140]
    own = np.arange(100, 140)
    found = TokenLists(vectors, scheme).nearest(asked, 6, 5, own=own)
    carried, probes = scheme.assign(vectors), scheme.probe(asked, 5).tokens
    for query in range(40):
        shares = np.isin(carried, probes[query][probes[query] >= 0])
        rows = np.flatnonzero(shares.any(axis=1))
        rows = rows[rows != own[query]]
        truth = exact_neighbors(asked[query : query + 1], vectors[rows], 6)
        expected = [int(rows[row]) if row >= 0 else -1 for row in truth.rows[0]]
        assert np.allclose(found.similarities[query], truth.similarities[0], atol=1e-6)
        assert len(set(found.rows[query].tolist()) ^ set(expected)) <= 2  # near ties


def test_any_number_of_threads_writes_the_same_bytes(
    pins: Texts, queries: Texts, tmp_path: Path
) -> None:
    for threads in (1, 3):
        find_neighbors(MODEL, pins, tmp_path / f"{threads}", queries=queries, threads=threads)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "3").read_bytes()


@pytest.mark.parametrize("piece_rows", [1 << 20, 700], ids=["at once", "in pieces"])
def test_keywords_are_the_neighbors_turned_around(
    pins: Texts, queries: Texts, tmp_path: Path, piece_rows: int
) -> None:
    rows = expand_keywords(
        MODEL, queries, pins, tmp_path / "keywords", piece_rows=piece_rows, k=3, exact=True
    )
    frame = pl.read_parquet(tmp_path / "keywords")
    assert frame.columns == ["keyword", "pin_id", "rank", "similarity"]
    assert frame.height == rows == 3000 * 3
    find_neighbors(MODEL, queries, tmp_path / "plain", queries=pins, k=3, exact=True)
    expected: dict[int, list[tuple[float, str]]] = {}
    for pin, keyword, _, similarity in pl.read_parquet(tmp_path / "plain").iter_rows():
        expected.setdefault(keyword, []).append((-similarity, pin))
    got: dict[int, list[tuple[float, str]]] = {}
    for keyword, pin, rank, similarity in frame.iter_rows():
        got.setdefault(keyword, []).append((-similarity, pin))
        assert rank == len(got[keyword])
    assert got == {keyword: sorted(found) for keyword, found in sorted(expected.items())}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keywords", "plain"]


def test_a_keyword_of_all_pins_is_cut_too(tmp_path: Path) -> None:
    """Ranks count on from piece to piece; pins without a name come first among equals."""
    names = pl.Series([None if row % 50 == 7 else f"p{row}" for row in range(3000)])
    alike = pl.DataFrame({"id": names, "text": ["w1 w2", "w3"] * 1500})
    alike.write_parquet(tmp_path / "pins.parquet")
    (tmp_path / "one.txt").write_text("w1\n")
    some, one = Texts(tmp_path / "pins.parquet"), Texts(tmp_path / "one.txt")
    for rows in (1 << 20, 100):
        out = tmp_path / f"{rows}"
        assert expand_keywords(MODEL, one, some, out, exact=True, piece_rows=rows) == 3000
    frame = pl.read_parquet(tmp_path / "100")
    assert frame.equals(pl.read_parquet(tmp_path / f"{1 << 20}"))
    assert frame["rank"].to_list() == list(range(1, 3001))
    expected = sorted(
        zip((-frame["similarity"]).to_list(), frame["pin_id"].fill_null("").to_list(), strict=True)
    )
    assert frame["pin_id"].fill_null("").to_list() == [name for _, name in expected]


@pytest.mark.parametrize("exact", [True, False])
def test_nothing_to_find_and_nothing_to_look_for(tmp_path: Path, exact: bool) -> None:
    (tmp_path / "none.txt").write_text("")
    (tmp_path / "some.txt").write_text("w1 w2\nw3\n")
    none, some = Texts(tmp_path / "none.txt"), Texts(tmp_path / "some.txt")
    for sought, asked in ((none, some), (some, none), (none, None)):
        out = tmp_path / "out.parquet"
        assert find_neighbors(MODEL, sought, out, queries=asked, exact=exact, overwrite=True) == 0
        assert pl.read_parquet(out).height == 0


# --- stopped and resumed --------------------------------------------------------------------------


def command(folder: Path, out: Path, *more: str) -> list[str]:
    given = ["--pins", str(folder / "pins.parquet"), "--out", str(out), "-k", "5", *more]
    return [sys.executable, "-m", "pintext", "knn", str(folder / "model"), *given]


PROGRAM = """
import sys
from pathlib import Path
from pintext.knn import Texts, find_neighbors
from pintext.model import PinTextModel
folder, out, exact = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "exact"
model = PinTextModel.from_pretrained(folder / "model")
find_neighbors(model, Texts(folder / "pins.parquet"), out, exact=exact, part_rows=50, resume=True)
"""


@pytest.mark.parametrize("way", ["exact", "tokens"])
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    folder: Path, pins: Texts, tmp_path: Path, way: str
) -> None:
    find_neighbors(MODEL, pins, tmp_path / "whole", exact=way == "exact", part_rows=50)
    out, work = tmp_path / "out", tmp_path / "out.parts"
    run = [sys.executable, "-c", PROGRAM, str(folder), str(out), way]
    draw = random.Random(3)
    kills = 8 if os.environ.get("PINTEXT_NIGHTLY") else 3
    for kill in range(kills):
        process = subprocess.Popen(run, stderr=subprocess.PIPE)
        wanted = kill * 60 // kills + draw.randrange(3)
        while process.poll() is None and len(list(work.glob("part-*"))) < wanted:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
        assert not out.exists()
    done = subprocess.run(run, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


class StopError(Exception):
    """Raised by a callback."""


def stopped(pins: Texts, out: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.phase == "searching":
            raise StopError

    with pytest.raises(StopError):
        find_neighbors(MODEL, pins, out, k=5, exact=True, callback=stop)


def test_a_stopped_run_is_forgotten_only_when_asked(pins: Texts, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stopped(pins, out)
    with pytest.raises(DataError, match=r"a stopped run waits here.*--resume.*--overwrite"):
        find_neighbors(MODEL, pins, out, k=5, exact=True)
    with pytest.raises(DataError, match="with other inputs or settings; give the same"):
        find_neighbors(MODEL, pins, out, k=6, exact=True, resume=True)
    with pytest.raises(DataError, match="with other inputs or settings; give the same"):
        find_neighbors(some_model(WORDS, 24, 6), pins, out, k=5, exact=True, resume=True)
    assert find_neighbors(MODEL, pins, out, k=5, exact=True, resume=True) == 15_000
    with pytest.raises(DataError, match="exists already"):
        find_neighbors(MODEL, pins, out, k=5, exact=True)
    assert find_neighbors(MODEL, pins, out, k=1, exact=True, overwrite=True) == 3000


def test_two_cannot_work_on_one_file(pins: Texts, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def second(progress: Progress) -> None:
        if progress.phase == "searching":
            with pytest.raises(LockedError, match="another process works here"):
                find_neighbors(MODEL, pins, out, k=5, exact=True, resume=True)

    find_neighbors(MODEL, pins, out, k=5, exact=True, callback=second)


def test_what_cannot_be_used_is_refused(pins: Texts, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="k = 0"):
        find_neighbors(MODEL, pins, tmp_path / "out", k=0)
    with pytest.raises(DataError, match=r"none\.parquet: cannot be read"):
        find_neighbors(MODEL, Texts(tmp_path / "none.parquet"), tmp_path / "out")
    wrong = pins._replace(text_column="title")
    for found, asked in ((wrong, None), (pins, wrong)):
        with pytest.raises(DataError, match="no column 'title'"):
            find_neighbors(MODEL, found, tmp_path / "out", queries=asked)
    with pytest.raises(DataError, match="no column 'title'"):
        expand_keywords(MODEL, wrong, pins, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []  # so that the corrected command just runs


# --- memory ---------------------------------------------------------------------------------------

MANY = """
import sys
from pathlib import Path
from pintext.knn import Texts, expand_keywords, find_neighbors
from pintext.model import PinTextModel

folder, count, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
many, few = folder / "many.txt", Texts(folder / "few.txt")
with many.open("w") as file:
    file.writelines(f"w{n % 300} w{n * 7 % 300}\\n" for n in range(count))
model = PinTextModel.from_pretrained(folder / "model")
if way == "keywords":
    rows = expand_keywords(
        model, few, Texts(many), folder / "out", part_rows=8192, piece_rows=131_072
    )
else:
    rows = find_neighbors(model, few, folder / "out", queries=Texts(many), part_rows=8192)
status = Path("/proc/self/status").read_text().split()
print(rows, int(status[status.index("VmHWM:") + 1]) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("way", ["neighbors", "keywords"])
def test_memory_does_not_grow_with_the_queries(tmp_path: Path, way: str) -> None:
    """Not the peak of getrusage, which begins with that of the process that starts another.

    2.6 million rows more take 200 MB more where they are looked up, or turned around, at once. In
    pieces they take 20 to 30 MB.
    """
    MODEL.save_pretrained(tmp_path / "model")
    (tmp_path / "few.txt").write_text("\n".join(texts(500, 4, 3)) + "\n")
    peaks = []
    for count in (40_000, 300_000):
        run = [sys.executable, "-c", MANY, str(tmp_path), str(count), way]
        done = subprocess.run(run, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        rows, peak = map(int, done.stdout.split())
        assert rows > 9 * count
        peaks.append(peak)
        (tmp_path / "out").unlink()
    assert peaks[1] - peaks[0] < 90


# --- the command line -----------------------------------------------------------------------------


def test_the_command_says_what_it_wrote(folder: Path, tmp_path: Path) -> None:
    asked = ["--queries", str(folder / "queries.txt")]
    run = command(folder, tmp_path / "out.parquet", *asked)[3:]
    done = CliRunner().invoke(commands, run)
    assert done.exit_code == 0, done.output
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert json.loads(done.stdout) == {"out": str(tmp_path / "out.parquet"), "rows": frame.height}
    assert CliRunner().invoke(commands, run).exit_code == 1
    wrong = command(folder, tmp_path / "keywords.parquet", "--expand")[3:]
    refused = CliRunner().invoke(commands, wrong)
    assert refused.exit_code == 2
    assert "--expand needs --queries" in refused.stderr
