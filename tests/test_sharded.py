"""Shards are searched like one index."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from index_data import FILTER_COLUMNS, Plain, some_pins, topic_model
from pintext import IndexConfig, PinIndex, PinTextModel
from pintext.cli import commands
from pintext.errors import ConfigError, DataError, ModelMismatchError, PinIndexError
from pintext.index import Hits, ShardedIndex
from pintext.index.hits import Mode
from pintext.shards import in_shard

CONFIG = IndexConfig(filter_columns=FILTER_COLUMNS)
SHARDS = 3
COUNT = 4000


@pytest.fixture(scope="module")
def model() -> PinTextModel:
    return topic_model()


@pytest.fixture(scope="module")
def pins(model: PinTextModel) -> pl.DataFrame:
    return some_pins(COUNT, model)


@pytest.fixture(scope="module")
def one(
    tmp_path_factory: pytest.TempPathFactory, pins: pl.DataFrame, model: PinTextModel
) -> PinIndex:
    return PinIndex.build(pins, model, tmp_path_factory.mktemp("one") / "index", config=CONFIG)


@pytest.fixture(scope="module")
def folders(one: PinIndex, pins: pl.DataFrame, model: PinTextModel) -> list[Path]:
    made = [one.folder.parent / f"shard-{part}" for part in range(1, SHARDS + 1)]
    for part, folder in enumerate(made, 1):
        PinIndex.build(pins, model, folder, config=CONFIG, shard=(part, SHARDS), tokens=one)
    return made


@pytest.fixture(scope="module")
def many(folders: list[Path]) -> ShardedIndex:
    return ShardedIndex.open(folders)


def queries(count: int) -> list[str]:
    draw = np.random.default_rng(11)
    return [" ".join(f"w{w}" for w in row) for row in draw.integers(0, 600, (count, 3)).tolist()]


def same(first: Hits, second: Hits) -> None:
    """The same hits to the bit, equally good ones in the same order."""
    assert list(second) == list(first)
    assert second.mode == first.mode


def test_shards_have_each_pin_once_and_the_tokens_of_the_index(
    one: PinIndex, many: ShardedIndex
) -> None:
    assert len(many) == COUNT == len(one)
    for shard in many.shards:
        assert shard.state
        assert 0 < shard.state.pins < COUNT
        assert shard.state.manifest.tokens_sha256 == one.snapshot.manifest.tokens_sha256
        assert shard.state.manifest.retrieval.probes == one.retrieval.probes
    assert many.columns == one.columns
    assert many.fingerprint == one.fingerprint
    assert "pin-7" in many
    assert "nobody" not in many


def test_nearest_pins_are_those_of_one_index(one: PinIndex, many: ShardedIndex) -> None:
    for query in queries(300):
        same(one.search(query, mode="embedding"), many.search(query, mode="embedding"))


def test_exact_nearest_pins_are_those_of_one_index(one: PinIndex, many: ShardedIndex) -> None:
    for query in queries(40):
        vector = one.model.encode(query)
        same(one.exact(vector, 25), many.exact(vector, 25))


@pytest.mark.parametrize("k", [1, 3, 50, 1000, COUNT + 5])
def test_any_number_of_hits(one: PinIndex, many: ShardedIndex, k: int) -> None:
    for query in queries(5):
        same(one.search(query, k, mode="embedding"), many.search(query, k, mode="embedding"))


def test_a_compacted_shard_keeps_tokens_or_plans_its_own(
    tmp_path: Path, one: PinIndex, pins: pl.DataFrame, model: PinTextModel
) -> None:
    shard = PinIndex.build(pins, model, tmp_path / "a", config=CONFIG, shard=(1, 2), tokens=one)
    rest = PinIndex.build(pins, model, tmp_path / "b", config=CONFIG, shard=(2, 2), tokens=one)
    shared = one.snapshot.manifest.tokens_sha256
    shard.compact(tokens=shard)
    assert shard.snapshot.manifest.tokens_sha256 == shared
    assert shard.config == one.config
    both = ShardedIndex.open([shard.folder, rest.folder])
    for query in queries(100):
        same(one.search(query), both.search(query))
    done = CliRunner().invoke(commands, ["compact", str(rest.folder), "--tokens", str(one.folder)])
    assert done.exit_code == 0, done.stderr
    rest.reload()
    assert rest.snapshot.manifest.tokens_sha256 == shared
    rest.compact()
    assert rest.snapshot.manifest.tokens_sha256 != shared
    other = PinIndex.build(pins, topic_model(seed=5), tmp_path / "other", config=CONFIG)
    with pytest.raises(ModelMismatchError, match="its tokens belong to the model"):
        rest.compact(tokens=other)


def test_related_pins_are_those_of_one_index(one: PinIndex, many: ShardedIndex) -> None:
    for number in range(0, 400, 9):
        name = f"pin-{number}"
        vector = one.vector(name)
        assert np.array_equal(vector, many.vector(name))
        found = many.search_vector(vector, exclude=(name, "nobody"))
        same(one.search_vector(vector, exclude=(name, "nobody")), found)
        assert name not in [hit.id for hit in found]


def test_words_are_weighed_by_all_shards(
    model: PinTextModel, pins: pl.DataFrame, many: ShardedIndex
) -> None:
    plain = Plain(model, pins)
    for query in queries(50):
        truth = plain.bm25(query)
        hits = many.search(query, mode="text")
        assert [hit.bm25 for hit in hits] == pytest.approx(
            sorted(truth.values(), reverse=True)[: len(hits)]
        )
        assert all(hit.bm25 == pytest.approx(truth[hit.id]) for hit in hits)


@pytest.mark.parametrize("mode", ["text", "hybrid"])
def test_hits_by_words_are_those_of_one_index(
    one: PinIndex, many: ShardedIndex, mode: Mode
) -> None:
    common = ["w1", "w3 unknown", "unknown", "w2 w2 w5", "unknown w1 w2 w3 w4 w5 w6"]
    for query in queries(500) + common:
        same(one.search(query, mode=mode), many.search(query, mode=mode))
    for k in (1, 300, COUNT):
        same(one.search("w1 w2", k, mode=mode), many.search("w1 w2", k, mode=mode))


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("min_similarity", [None, 0.3])
@pytest.mark.parametrize(
    "filters", [{"color": "red"}, {"price": {"gte": 0}, "sold": True}, {"tags": ["t1", "t6"]}]
)
def test_filters_and_a_cut_off_hold_in_every_shard(
    one: PinIndex,
    many: ShardedIndex,
    mode: Mode,
    min_similarity: float | None,
    filters: dict[str, Any],
) -> None:
    for query in [*queries(50), "w3", "unknown"]:
        options: dict[str, Any] = {"filters": filters, "min_similarity": min_similarity}
        first, second = (index.search(query, 8, mode=mode, **options) for index in (one, many))
        assert all(hit.similarity >= (min_similarity or -1) for hit in second)
        same(first, second)


def test_changed_shards_answer_like_one_changed_index(
    tmp_path: Path, pins: pl.DataFrame, model: PinTextModel
) -> None:
    """Tantivy still counts deleted pins, each index others; the answers do not."""
    start, later = pins.head(1500), pins[1400:1900].with_columns(title=pl.col("title") + " w5 w5")
    one = PinIndex.build(start, model, tmp_path / "one", config=CONFIG)
    parts = [
        PinIndex.build(
            start, model, tmp_path / f"{part}", config=CONFIG, shard=(part, 2), tokens=one
        )
        for part in (1, 2)
    ]
    gone = [f"pin-{row}" for row in range(0, 1900, 3)]
    one.upsert(later)
    one.delete(gone)
    for number, part in enumerate(parts, 1):
        part.upsert(later.filter(in_shard(later["id"], (number, 2))))
        part.delete(gone)
    many = ShardedIndex.open([part.folder for part in parts])
    left = pl.concat([start.head(1400), later]).filter(~pl.col("id").is_in(gone))
    assert len(one) == len(many) == left.height
    truth = Plain(model, left).bm25("w5 w1")
    for hit in one.search("w5 w1", 500, mode="text"):
        assert hit.bm25 == pytest.approx(truth[hit.id])
    for mode in get_args(Mode):
        for query in [*queries(100), "w5", "unknown"]:
            same(one.search(query, mode=mode), many.search(query, mode=mode))


def test_equally_good_pins_stand_in_the_order_of_their_ids(
    tmp_path: Path, model: PinTextModel
) -> None:
    names = [f"{row}" for row in np.random.default_rng(1).permutation(900).tolist()]
    pins = pl.DataFrame({"id": names, "title": ["w1 w2"] * 899 + ["w1 w2 w2"]})
    index = PinIndex.build(pins, model, tmp_path / "index")
    alike = sorted(names[:-1])
    assert [hit.id for hit in index.search("w1", 300, mode="text")] == alike[:300]
    assert [hit.id for hit in index.search("w2", 20, mode="text")] == [names[-1], *alike[:19]]
    vector = model.encode("w1 w2")
    assert [hit.id for hit in index.exact(vector, 20)] == alike[:20]


def test_a_match_is_explained(one: PinIndex, many: ShardedIndex) -> None:
    hit = one.search("w1 w31 w61")[0]
    first, second = (index.explain("w1 w31 w61", hit.id) for index in (one, many))
    assert second == first
    with pytest.raises(DataError, match="no pin 'nobody'"):
        many.explain("w1", "nobody")


def test_documents_come_in_the_order_that_was_asked_for(one: PinIndex, many: ShardedIndex) -> None:
    names = ["pin-9", "pin-1", "pin-5", "pin-300"]
    assert many.documents(names) == one.documents(names)
    with pytest.raises(DataError, match="no pin 'nobody'"):
        many.documents(["pin-1", "nobody"])


def test_queries_without_a_known_word_are_searched_by_words(many: ShardedIndex) -> None:
    hits = many.search("unknown")
    assert hits.mode == "text"
    assert hits.notice
    assert len(hits) == 10
    assert not len(many.search("nothing at all"))


def test_wrong_questions(many: ShardedIndex) -> None:
    with pytest.raises(ConfigError, match="k = 0"):
        many.search("w1", 0)
    with pytest.raises(ConfigError, match="mode = 'best'"):
        many.search("w1", mode="best")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no field 'taste'"):
        many.search("w1", filters={"taste": "sweet"})
    with pytest.raises(DataError, match="finite numbers"):
        many.search_vector(np.zeros(3, np.float32))


def test_a_shard_is_given_once(folders: list[Path]) -> None:
    with pytest.raises(PinIndexError, match=r"shard-1.*given twice"):
        ShardedIndex.open([*folders, folders[0]])


def test_a_shard_takes_its_own_pins_only(
    folders: list[Path], model: PinTextModel, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders[0], tmp_path / "shard"))
    shard, changes = PinIndex.open(folder, model), some_pins(40, model, seed=8)
    own = changes.filter(in_shard(changes["id"], (1, SHARDS)))
    stranger = changes.filter(in_shard(changes["id"], (2, SHARDS)))["id"][0]
    before = len(shard)
    with pytest.raises(DataError, match=rf"pin '{stranger}' belongs to shard 2/3, and this is 1/3"):
        shard.upsert(changes.filter(pl.col("id").is_in([*own["id"], stranger])))
    assert (len(shard), shard.generation) == (before, PinIndex.open(folders[0], model).generation)
    assert shard.upsert(own) == len(own)
    changes.write_parquet(tmp_path / "changes.parquet")
    words = ["upsert", str(folder), str(tmp_path / "changes.parquet"), "--json"]
    done = CliRunner().invoke(commands, words)
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["upserted"], told["of_other_shards"]) == (len(own), 40 - len(own))
    shard.reload()
    shard.compact()
    with pytest.raises(DataError, match=r"belongs to shard [23]/3, and this is 1/3"):
        shard.upsert(changes)
    with pytest.raises(DataError, match="no column 'id'"):
        shard.upsert(changes.drop("id"))


def test_shards_that_would_find_pins_twice_are_refused(
    folders: list[Path], one: PinIndex, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folders[0], tmp_path / "shard"))
    with pytest.raises(PinIndexError, match=r"shard-1 is shard 1/3 and .*shard is shard 1/3, so"):
        ShardedIndex.open([*folders, copy])
    with pytest.raises(PinIndexError, match=r"shard-1 is shard 1/3 and .*index is no shard, so"):
        ShardedIndex.open([*folders, one.folder])


def test_shards_must_belong_together(
    tmp_path: Path, pins: pl.DataFrame, model: PinTextModel, one: PinIndex, folders: list[Path]
) -> None:
    other = topic_model(seed=4)
    with pytest.raises(ModelMismatchError, match="its tokens belong to the model"):
        PinIndex.build(pins, other, tmp_path / "a", tokens=one)
    PinIndex.build(pins.head(50), other, tmp_path / "b", config=CONFIG)
    with pytest.raises(ModelMismatchError):
        ShardedIndex.open([folders[0], tmp_path / "b"])
    PinIndex.build(pins.head(50), model, tmp_path / "c")
    with pytest.raises(PinIndexError, match="other columns"):
        ShardedIndex.open([folders[0], tmp_path / "c"])


def test_commits_of_a_shard_are_followed(
    tmp_path: Path, pins: pl.DataFrame, model: PinTextModel
) -> None:
    parts = [
        PinIndex.build(pins.head(60), model, tmp_path / f"{part}", config=CONFIG, shard=(part, 2))
        for part in (1, 2)
    ]
    many = ShardedIndex.open([part.folder for part in parts], model)
    before = many.generation
    assert not many.reload()
    later = pins[100:]
    new = later.filter(in_shard(later["id"], (2, 2))).head(1)
    parts[1].upsert(new)
    assert many.reload()
    assert many.generation > before
    assert len(many) == 61
    assert many.search(str(new["title"][0]), 1)[0].id == new["id"][0]


def test_search_of_the_command_line_takes_shards(folders: list[Path], one: PinIndex) -> None:
    command = ["search", *map(str, folders), "w1 w31 w61", "--mode", "embedding", "--json"]
    found = CliRunner().invoke(commands, command)
    assert found.exit_code == 0, found.output
    alone = CliRunner().invoke(commands, ["search", str(one.folder), *command[-4:]])
    first, second = (
        [json.loads(line) for line in done.stdout.splitlines()] for done in (alone, found)
    )
    assert len(second) == 10
    assert [hit["similarity"] for hit in second] == [hit["similarity"] for hit in first]
    assert all(hit["document"]["id"] == hit["id"] for hit in second)
