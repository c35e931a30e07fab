"""``pintext simulate``: a stream with the statistics that the settings ask for, and labelled."""

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from backports import zstd
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers import Tansu
from event_data import stored
from pintext.cli import commands
from pintext.errors import ConfigError, DataError
from pintext.events import EventMapping, EventStore, IngestConfig
from pintext.events.decode import ValueDecoder
from pintext.events.judging import sort_out
from pintext.simulation import LABEL_KEY, Simulation, SimulationConfig, write_messages

N_TOPICS = 40
QUIET: dict[str, Any] = {"duplicates": 0, "late": 0, "malformed": 0}
"""Nothing goes wrong on the way."""


@pytest.fixture(scope="module")
def pins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 pins of 40 topics: each has five of its topic's 30 words and a word that all have."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(2000):
        words = [f"t{number % N_TOPICS}w{word}" for word in draw.permutation(30)[:5]]
        rows.append({"id": f"p{number}", "title": " ".join([*words, "the"])})
    path = tmp_path_factory.mktemp("catalogue") / "pins.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


def stream(pins: Path, **changed: Any) -> pl.DataFrame:
    return pl.concat(Simulation(pins, SimulationConfig(**{**QUIET, **changed})).messages())


def topic_of(column: str) -> pl.Expr:
    """The topic that a query of these pins is about, or that a pin is of."""
    if column == "query":
        return pl.col("query").str.extract(r"t(\d+)w").cast(pl.Int64)
    return pl.col(column).str.slice(1).cast(pl.Int64) % N_TOPICS


def share(flags: pl.Series) -> float:
    return float(flags.to_numpy().mean())


def close(found: float, expected: float, n: float) -> bool:
    """Whether a share of n independent trials is within five standard errors."""
    return bool(abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / n) + 1 / n)


@pytest.mark.parametrize("zipf", [0.0, 0.8, 1.2])
def test_queries_follow_zipf(pins: Path, zipf: float) -> None:
    frame = stream(
        pins, events=400_000, zipf=zipf, queries=300, results=1, click_rate=0, hide_rate=0
    )
    for column in ("query", "query_id"):
        counts = frame[column].drop_nulls().value_counts()["count"].sort(descending=True).to_numpy()
        assert len(counts) == 300
        weights = np.arange(1, 301) ** -zipf
        expected = counts.sum() * weights / weights.sum()
        # searches of one session share a topic, so counts vary more than independent draws would
        assert (np.abs(counts - expected)[:100] < 12 * np.sqrt(expected[:100])).all()
        slope = np.polyfit(np.log(np.arange(1, 101)), np.log(counts[:100]), 1)[0]
        assert slope == pytest.approx(-zipf, abs=0.12)


@pytest.mark.parametrize("bias", [0.0, 1.0, 2.0])
def test_clicks_follow_the_position(pins: Path, bias: float) -> None:
    frame = stream(pins, events=300_000, position_bias=bias, click_rate=0.4, results=6)
    shown = Counter(frame.filter(action="impression")["position"])
    clicks = Counter(frame.filter(action="click")["position"])
    assert set(shown) == {1, 2, 3, 4, 5, 6}
    for position, count in shown.items():
        # the appeal of the pins, 1 on average, is shown unevenly: allow for it
        expected = 0.4 * position**-bias
        tolerance = 0.08 * expected + 5 * np.sqrt(expected / count)
        assert abs(clicks[position] / count - expected) < tolerance


def test_shares_are_those_of_the_settings(pins: Path) -> None:
    frame = stream(
        pins, events=300_000, save_rate=0.3, hide_rate=0.02, impressions=0.5, dwell_seconds=20
    )
    counts = Counter(frame["action"])
    shown = counts["impression"] / 0.5
    assert close(counts["hide"] / shown, 0.02, shown / 2)
    assert close(counts["save"] / counts["click"], 0.3, counts["click"])
    dwell = frame.filter(action="click")["dwell_ms"]
    assert dwell.null_count() == 0
    assert dwell.median() == pytest.approx(20_000, rel=0.05)
    assert frame.filter(pl.col("action") != "click")["dwell_ms"].null_count() == len(
        frame.filter(pl.col("action") != "click")
    )


def test_related_pins_share_a_word_and_are_never_the_subject(pins: Path) -> None:
    frame = stream(pins, events=50_000, noise=0, task_weights={"related_pins": 1})
    assert set(frame["task"]) == {"related_pins"}
    same = frame.select(topic_of("query_id") == topic_of("pin_id")).to_series()
    assert share(same) > 0.98  # but for pins of few words, for which random ones are shown
    assert frame.filter(pl.col("query_id") == pl.col("pin_id")).height <= 0.01 * frame.height


def test_noise_is_the_share_of_pins_from_elsewhere(pins: Path) -> None:
    for noise in (0.0, 0.3):
        frame = stream(pins, events=100_000, noise=noise, results=5, task_weights={"search": 1})
        for action in ("impression", "click"):
            of_action = frame.filter(action=action)
            other = of_action.select(topic_of("query") != topic_of("pin_id")).to_series()
            expected = noise * (1 - 1 / N_TOPICS)
            assert other.mean() == pytest.approx(expected, abs=0.02)


def test_a_session_stays_in_its_topic(pins: Path) -> None:
    """Sessions are far apart in a stream of few events in many days."""
    frame = stream(
        pins,
        events=20_000,
        days=3000,
        session_queries=3,
        task_weights={"search": 1},
        impressions=1,
        results=5,
    )
    asked = frame.filter((pl.col("position") == 1) & (pl.col("action") == "impression"))
    new = (asked["timestamp"].diff() > 3_600_000).fill_null(True).cum_sum()
    by_session = asked.with_columns(session=new).group_by("session")
    lengths = by_session.len()["len"]
    assert lengths.mean() == pytest.approx(3, rel=0.1)
    topics = by_session.agg(topic_of("query").n_unique().alias("n"))["n"]
    assert share(topics == 1) > 0.97  # a few sessions touch each other


def test_what_goes_wrong_on_the_way(pins: Path, tmp_path: Path) -> None:
    config = SimulationConfig(
        events=100_000, duplicates=0.05, late=0.03, late_hours=5, malformed=0.02, queries=500
    )
    simulation = Simulation(pins, config)
    path = tmp_path / "a.jsonl"
    write_messages(simulation, path)
    counts = simulation.counts
    assert counts["messages"] == 100_000
    assert close(counts["duplicates"] / 100_000, 0.05 / 1.05, 100_000)
    assert close(counts["late"] / 100_000, 0.03, 90_000)
    assert close(counts["malformed"] / 100_000, 0.02, 100_000)
    assert sum(n for name, n in counts.items() if "/" in name) == 100_000 - counts["malformed"]

    judged = sort_out(
        ValueDecoder(EventMapping()).decode(path.read_bytes().splitlines()), IngestConfig()
    )
    assert len(judged.bad) == counts["malformed"]
    reasons = Counter(reject.reason for reject in judged.bad)
    assert set(reasons) == {
        "missing_field",
        "unknown_action",
        "future_time",
        "invalid_json",
        "invalid_utf8",
    }
    assert min(reasons.values()) > 0.8 * counts["malformed"] / 5
    ids = judged.good["event_id"]
    assert ids.str.starts_with("simulated-0-").all()
    assert counts["duplicates"] * 0.9 < ids.len() - ids.n_unique() <= counts["duplicates"]
    moments = judged.good["timestamp"].dt.timestamp("ms")
    behind = (moments.cum_max() - moments) > 3_600_000
    assert behind.sum() == pytest.approx(counts["late"] * np.exp(-1 / 5), rel=0.15)
    days = (moments.max() - moments.min()) / 86_400_000  # type: ignore[operator]
    assert days == pytest.approx(config.days, abs=0.2)


def unpacked(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    return zstd.decompress(path.read_bytes()) if path.suffix == ".zst" else path.read_bytes()


def test_same_seed_same_bytes_in_every_format(pins: Path, tmp_path: Path) -> None:
    names = ("a.jsonl", "a.ndjson.gz", "a.jsonl.zst", "a.parquet")
    contents: dict[tuple[int, str], bytes] = {}
    for turn, seed in enumerate((3, 3, 4)):
        for name in names:
            path = tmp_path / f"{turn}" / name
            write_messages(Simulation(pins, SimulationConfig(events=20_000, seed=seed)), path)
            contents[turn, name] = path.read_bytes()
    for name in names:
        assert contents[0, name] == contents[1, name] != contents[2, name]
    lines = [unpacked(tmp_path / "0" / name) for name in names[:3]]
    assert lines[0] == lines[1] == lines[2]


def test_parquet_holds_what_the_lines_do_and_says_that_it_is_simulated(
    pins: Path, tmp_path: Path
) -> None:
    config = SimulationConfig(events=5_000, malformed=0, kafka={"sasl.password": "env:NOBODY"})
    for name in ("a.jsonl", "a.parquet"):
        write_messages(Simulation(pins, config), tmp_path / name)
    table = pl.read_parquet(tmp_path / "a.parquet")
    lines = pl.read_ndjson(tmp_path / "a.jsonl", schema={**table.schema, "timestamp": pl.Int64})
    assert lines.with_columns(pl.col("timestamp").cast(table.schema["timestamp"])).equals(table)
    label = json.loads(pl.read_parquet_metadata(tmp_path / "a.parquet")[LABEL_KEY])
    assert label["simulated"] is True
    assert label["events"] == 5_000
    assert label["kafka"] == {}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands, list(map(str, arguments)))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.parquet"])
def test_ingest_takes_it_and_keeps_the_label(pins: Path, tmp_path: Path, name: str) -> None:
    file, store = tmp_path / name, tmp_path / "store"
    made = json.loads(
        run("simulate", pins, "--out", file, "--events", 20_000, "--duplicates", 0.1).stdout
    )
    assert made["simulated"] is True
    done = json.loads(run("ingest", file, "--out", store).stdout)
    assert sum(done["run"]["dead"].values()) == made["malformed"]
    assert done["simulated"] == done["events"] == stored(store)["event_id"].n_unique()
    assert EventStore(store).simulated == done["events"]
    assert done["events"] + done["run"]["duplicates"] + made["malformed"] == 20_000
    assert stored(store)["position"].min() == 1


def test_pairs_of_it_say_so(pins: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    write_messages(Simulation(pins, SimulationConfig(events=5_000)), file)
    done = run("pairs", file, "--pins", pins, "--out", tmp_path / "pairs")
    assert done.exit_code == 0, done.stderr
    summary = json.loads((tmp_path / "pairs" / "_summary.json").read_bytes())
    assert "of the events are simulated" in summary["warnings"][0]["message"]


def test_home_feed_asks_by_interests(pins: Path, tmp_path: Path) -> None:
    interests = tmp_path / "interests.jsonl"
    rows = [{"id": f"i{n}", "likes": [f"t{n}w{word}" for word in range(9)]} for n in range(9)]
    interests.write_bytes(msgspec.json.Encoder().encode_lines(rows))
    config = SimulationConfig(**QUIET, events=5_000, noise=0, task_weights={"home_feed": 1})
    frame = pl.concat(Simulation(pins, config, interests=interests).messages())
    assert set(frame["task"]) == {"home_feed"}
    assert set(frame["query_id"]) == {f"i{n}" for n in range(9)}
    assert frame["query"].null_count() == frame.height
    same = frame.select(topic_of("query_id") == topic_of("pin_id")).to_series()
    assert share(same) > 0.98
    with pytest.raises(ConfigError, match="needs a catalogue of interests"):
        Simulation(pins, config)


def test_any_catalogue_will_do(tmp_path: Path) -> None:
    """Words that all or one have, other scripts, ids that are numbers, lists, rows without text."""
    rows = [
        {"id": n, "title": "the same" if n % 2 else None, "tags": ["木製 キッチン", f"Größe{n}"]}
        for n in range(9)
    ]
    rows.append({"id": 9, "title": None, "tags": None})
    frame = pl.DataFrame(rows)
    flat = frame.with_columns(pl.col("tags").list.join(" "))
    frame.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(frame.write_ndjson().encode()))
    flat.write_csv(tmp_path / "a.csv")
    (tmp_path / "a.tsv.zst").write_bytes(zstd.compress(flat.write_csv(separator="\t").encode()))
    texts, config = [], SimulationConfig(events=3_000)
    for name in ("a.parquet", "a.jsonl.gz", "a.csv", "a.tsv.zst"):
        made = Simulation(tmp_path / name, config, columns=["title", "tags"])
        texts.append(pl.concat(made.messages()))
    assert all(text.equals(texts[0]) for text in texts)
    assert set(texts[0]["pin_id"]) == {str(n) for n in range(9)}


@pytest.mark.parametrize(
    ("there", "read"),
    [
        (["text", "day", "title"], ["title", "text"]),
        (["day", "name"], ["day", "name"]),
    ],
)
def test_the_usual_columns_are_read_where_none_is_named(
    tmp_path: Path, there: list[str], read: list[str]
) -> None:
    words = {"title": "oak table", "text": "elm stool", "day": "2026 11", "name": "ash bench"}
    file = tmp_path / "pins.csv"
    pl.DataFrame({"id": ["1", "2"], **{n: [words[n]] * 2 for n in there}}).write_csv(file)
    config = SimulationConfig(events=500)
    found, named = (Simulation(file, config, columns=chosen) for chosen in ((), read))
    assert pl.concat(found.messages()).equals(pl.concat(named.messages()))


@settings(deadline=None, max_examples=25)
@given(
    changed=st.fixed_dictionaries(
        {"events": st.integers(1, 300)},
        optional={
            "zipf": st.floats(0, 3),
            "queries": st.integers(1, 50),
            "results": st.integers(1, 30),
            "days": st.floats(0.01, 100),
            "session_queries": st.floats(1, 10),
            "duplicates": st.sampled_from([0, 1]),
            "late": st.sampled_from([0, 1]),
            "malformed": st.sampled_from([0, 1]),
            "impressions": st.sampled_from([0, 1]),
            "seed": st.integers(0, 2**63 - 1),
        },
    )
)
def test_any_settings_give_as_many_messages_as_asked(pins: Path, changed: dict[str, Any]) -> None:
    config = SimulationConfig(**changed)
    frame = pl.concat(Simulation(pins, config).messages())
    assert frame.height == config.events
    repeated = frame.height - frame["event_id"].n_unique()
    assert repeated <= frame.height // 2 if config.duplicates else repeated == 0
    assert (frame["fault"] > 0).all() if config.malformed == 1 else True
    assert (frame["timestamp"] >= config.first_moment()).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.parquet"], "cannot be read"),
        (["pins.txt"], "ends with .parquet"),
        (["bad.parquet"], "not readable as a catalogue"),
        (["bad.jsonl"], "bad.jsonl:2: JSON is malformed"),
        (["one.csv"], "only one entry"),
        (["empty.csv"], "no entry has both an id and a word"),
        (["pins.csv", "--text-column", "titel"], "no column 'titel'"),
        (["pins.csv", "--id-column", "key"], "no column 'key'"),
        (["numbers.parquet"], "expected columns of text"),
        (["pins.csv", "--task-weight", "shop=1"], "cannot simulate 'shop'"),
        (["pins.csv", "--start", "yesterday"], "expected a date"),
        (["pins.csv", "--out", "traffic.csv"], "ends with .parquet, .jsonl"),
    ],
)
def test_what_will_not_do_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pins.txt").write_text("id\n")
    Path("bad.parquet").write_bytes(b"PAR1 no")
    Path("bad.jsonl").write_text('{"id": "1", "title": "oak"}\nno json\n')
    Path("one.csv").write_text("id,title\n1,oak\n")
    Path("empty.csv").write_text("id,title\n1,\n,oak\n")
    Path("pins.csv").write_text("id,title\n1,oak\n2,oak table\n")
    pl.DataFrame({"id": [1, 2], "price": [1, 2]}).write_parquet("numbers.parquet")
    done = run("simulate", *(["--out", "a.jsonl"] if "--out" not in arguments else []), *arguments)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert not Path("a.jsonl").exists()
    assert list(tmp_path.glob(".pintext-*")) == []


def test_nothing_that_could_happen_is_refused(pins: Path) -> None:
    config = SimulationConfig(click_rate=0, hide_rate=0, impressions=0)
    with pytest.raises(ConfigError, match="nothing would happen"):
        next(Simulation(pins, config).messages())


def test_an_existing_file_is_kept(pins: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        write_messages(Simulation(pins, SimulationConfig(events=10)), file)
    assert file.read_text() == "mine"


# --- Kafka --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tansu]:
    broker = Tansu(tmp_path_factory.mktemp("tansu"))
    broker.start()
    yield broker
    broker.stop()


def consumed(broker: Tansu, topic: str, partitions: int, count: int) -> list[bytes]:
    """The messages of a topic in the order in which they were sent round robin."""
    consumer = Consumer(broker.client(**{"group.id": "test"}))
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: dict[int, bytes] = {}
    deadline = time.monotonic() + 60
    while len(found) < count and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.5):
            assert message.error() is None
            place = (message.offset() or 0) * partitions + (message.partition() or 0)
            found[place] = message.value() or b""
    consumer.close()
    return [found[place] for place in sorted(found)]


def test_to_a_broker_the_same_as_to_a_file(broker: Tansu, pins: Path, tmp_path: Path) -> None:
    broker.create("all", 3)
    where = ["--topic", "all", "--bootstrap-servers", broker.address]
    done = run("simulate", pins, *where, "--events", 3_000)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["messages"] == 3_000
    run("simulate", pins, "--out", tmp_path / "a.jsonl", "--events", 3_000)
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines()
    assert consumed(broker, "all", 3, 3_000) == lines


def test_the_rate_is_kept(broker: Tansu, pins: Path) -> None:
    """Never faster than asked; how much slower depends on the machine."""
    broker.create("slow", 1)
    began = time.monotonic()
    where = ["--topic", "slow", "--bootstrap-servers", broker.address]
    done = run("simulate", pins, *where, "--events", 200, "--rate", 100)
    assert done.exit_code == 0, done.stderr
    assert time.monotonic() - began >= 2
    assert len(consumed(broker, "slow", 1, 200)) == 200


def test_a_broker_that_will_not_do(broker: Tansu, pins: Path) -> None:
    where = ["--topic", "nowhere", "--bootstrap-servers", broker.address]
    done = run("simulate", pins, *where)
    assert (done.exit_code, "no topic 'nowhere'" in done.stderr) == (1, True)
    done = run("simulate", pins, "--topic", "all")
    assert (done.exit_code, "--bootstrap-servers" in done.stderr) == (1, True)
    assert run("simulate", pins, "--out", "a.jsonl", "--rate", 5).exit_code == 2
    assert run("simulate", pins).exit_code == 2
