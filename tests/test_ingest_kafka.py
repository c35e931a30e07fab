"""``pintext ingest`` against real brokers: what is stored, refused, replayed, reported."""

import json
import shutil
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from brokers import Broker, Noida, Tansu, TansuProxy, free_port
from event_data import (
    SECRETS,
    START,
    Ingester,
    encoded,
    event,
    ingest,
    letters,
    stored,
    wait_for,
    write_lines,
)
from pintext.events import EventStore

TLS = Path(__file__).parent / "tls"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noida]:
    broker = Noida(tmp_path_factory.mktemp("noida"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def topic(broker: Noida, request: pytest.FixtureRequest) -> str:
    name = str(request.node.name).replace("[", "-").replace("]", "")
    broker.create(name, 3)
    return name


def where(broker: Broker, topic: str, store: Path) -> list[object]:
    """Arguments; each test is a group of its own, as every store should be."""
    return [
        "--topic",
        topic,
        "--bootstrap-servers",
        broker.address,
        "--out",
        store,
        "--group",
        topic,
    ]


def every_byte(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


BAD = [
    (None, "empty_message"),
    (b"", "empty_message"),
    (b'{"event_id": "a", "email": "jane.doe@example.com"', "invalid_json"),
    (b'jane.doe@example.com {"x": 1}', "invalid_json"),
    (b'["user-4711"]', "wrong_type"),
    (b'{"event_id": "\xff\xfe", "user_id": "user-4711"}', "invalid_utf8"),
    (encoded([event(1, pin_id={"email": "jane.doe@example.com"})])[0], "wrong_type"),
    (encoded([event(2, pin_id=None)])[0], "missing_field"),
    (encoded([event(3, query="  ")])[0], "missing_field"),
    (encoded([event(4, event_id="x" * 300)])[0], "oversized_field"),
    (encoded([event(5, query="y" * 5000)])[0], "oversized_field"),
    (encoded([event(6, pin_id="p\0q")])[0], "nul"),
    (encoded([event(7, task="user-page")])[0], "unknown_task"),
    (encoded([event(8, action="repin")])[0], "unknown_action"),
    (encoded([event(9, timestamp=START // 1000)])[0], "bad_time"),
    (encoded([event(10, timestamp="yesterday")])[0], "bad_time"),
    (encoded([event(11, timestamp="2099-01-01T00:00:00Z")])[0], "future_time"),
    (encoded([event(12, position=-3)])[0], "out_of_range"),
    (encoded([event(13, dwell_ms=2**40)])[0], "out_of_range"),
    (b'{"deep": ' + b"[" * 100_000, "invalid_json"),
]


def test_bad_messages_are_dead_letters_and_secrets_touch_no_disk(
    broker: Noida, topic: str, tmp_path: Path
) -> None:
    values = [value for value, _ in BAD] + encoded(event(n) for n in range(100, 1100))
    broker.produce(topic, values, 3)
    done = ingest(*where(broker, topic, tmp_path / "store"), "--until-end")
    assert done.returncode == 0, done.stderr
    assert stored(tmp_path / "store").height == 1000
    found = {(one["partition"], one["offset"]): one for one in letters(tmp_path / "store")}
    expected = {(n % 3, n // 3): reason for n, (_, reason) in enumerate(BAD)}
    assert {place: letter["reason"] for place, letter in found.items()} == expected
    assert {letter["topic"] for letter in found.values()} == {topic}
    written = every_byte(tmp_path) + (done.stdout + done.stderr).encode()
    for secret in SECRETS:
        assert secret.encode() not in written
    summary = json.loads(done.stdout)
    assert summary["run"]["stored"] == 1000
    assert sum(summary["run"]["dead"].values()) == summary["dead_letters"] == len(BAD)


def test_the_same_again_stores_nothing(broker: Noida, topic: str, tmp_path: Path) -> None:
    broker.produce(topic, encoded(map(event, range(300))), 3)
    command = [*where(broker, topic, tmp_path / "store"), "--until-end"]
    assert ingest(*command).returncode == 0
    before = EventStore(tmp_path / "store").generation
    assert json.loads(ingest(*command).stdout)["run"] == {"stored": 0, "dead": {}}
    assert EventStore(tmp_path / "store").generation == before
    # even where the group's own offsets are lost: the manifest decides
    again = json.loads(ingest(*command, "--group", f"{topic}-2").stdout)
    assert again["run"] == {"stored": 0, "dead": {}}


def test_the_groups_offsets_follow_the_store(broker: Noida, topic: str, tmp_path: Path) -> None:
    broker.produce(topic, encoded(map(event, range(300))), 3)
    ingester = Ingester(*where(broker, topic, tmp_path / "store"), "--commit-seconds", "0.2")
    watcher = Consumer(broker.client(**{"group.id": topic}))
    places = [TopicPartition(topic, partition) for partition in range(3)]
    wait_for(lambda: [place.offset for place in watcher.committed(places)] == [100] * 3)
    watcher.close()
    assert ingester.stop()[0] == 0


def test_sigterm_stores_what_was_read(broker: Noida, topic: str, tmp_path: Path) -> None:
    port = free_port()
    ingester = Ingester(
        *where(broker, topic, tmp_path / "store"),
        *("--commit-seconds", "3600", "--metrics-port", port, "--metrics-host", "127.0.0.2"),
    )

    def read() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.2:{port}/metrics") as page:
                return b"pintext_ingest_read_total 250.0" in page.read()
        except OSError:
            return False

    broker.produce(topic, encoded(map(event, range(250))), 3)
    wait_for(read)
    assert not (tmp_path / "store" / "manifest.json").exists()
    code, output, errors = ingester.stop()
    assert (code, errors) == (0, "")
    assert json.loads(output)["run"]["stored"] == stored(tmp_path / "store").height == 250


def test_a_flood_of_bad_events_stops_before_it_is_stored(
    broker: Noida, topic: str, tmp_path: Path
) -> None:
    """The team's own names: every event is bad until the settings say what they are called."""
    values = [
        json.dumps(
            {
                "uuid": f"u{n}",
                "ts": (START + n) / 1000,
                "text": "oak table",
                "item": n,
                "verb": "repin" if n % 2 else "scroll",
            }
        ).encode()
        for n in range(2000)
    ]
    broker.produce(topic, values, 3)
    command = [*where(broker, topic, tmp_path / "store"), "--until-end"]
    done = ingest(*command)
    assert done.returncode == 1
    assert "100% of the latest" in done.stderr
    assert "missing_field event_id" in done.stderr
    assert not (tmp_path / "store" / "manifest.json").exists()
    config = tmp_path / "ingest.toml"
    config.write_text(
        f"""
        [topics.{topic}]
        task = "search"
        epoch = "s"
        actions = {{ repin = "save", scroll = "ignore" }}
        [topics.{topic}.fields]
        event_id = "uuid"
        timestamp = "ts"
        query = "text"
        pin_id = "item"
        action = "verb"
        """
    )
    done = ingest(*command, "--config", config)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == {"stored": 1000, "ignored": 1000, "dead": {}}
    found = stored(tmp_path / "store").sort("timestamp")
    assert found["pin_id"].to_list() == [str(n) for n in range(1, 2000, 2)]
    assert found["timestamp"].dt.timestamp("ms").to_list() == [START + n for n in range(1, 2000, 2)]
    assert set(found["action"]) == {"save"}


def test_replay_after_mending_the_settings(broker: Noida, topic: str, tmp_path: Path) -> None:
    """What the letter keeps is enough for an action; a renamed field is fetched from the broker."""
    values = encoded(event(n) for n in range(1000))
    renamed = {**event(2000), "pin": "pin-7"}
    del renamed["pin_id"]
    values += encoded([event(1000, action="repin"), renamed])
    values += [b"{broken"]
    broker.produce(topic, list(values), 3)
    store = tmp_path / "store"
    assert ingest(*where(broker, topic, store), "--until-end").returncode == 0
    assert len(letters(store)) == 3
    config = tmp_path / "ingest.json"
    config.write_text(json.dumps({"mapping": {"actions": {"repin": "save"}}}))
    again = ["--replay", "--out", store, "--config", config]
    assert json.loads(ingest(*again).stdout)["run"] == {"stored": 1, "replayed": 3, "dead": {}}
    config.write_text(json.dumps({"mapping": {"fields": {"pin_id": "pin"}}}))
    done = ingest(*again, "--bootstrap-servers", broker.address)
    assert json.loads(done.stdout)["run"] == {"stored": 1, "replayed": 2, "dead": {}}
    assert {"e0001000", "e0002000"} <= set(stored(store)["event_id"])
    assert [letter["reason"] for letter in letters(store)] == ["invalid_json"]


def test_several_topics_and_a_file_share_a_store(broker: Noida, topic: str, tmp_path: Path) -> None:
    broker.create(f"{topic}-2", 2)
    broker.produce(topic, encoded(map(event, range(100))), 3)
    broker.produce(f"{topic}-2", encoded(map(event, range(50, 150))), 2)
    store = tmp_path / "store"
    command = [*where(broker, topic, store), "--topic", f"{topic}-2", "--until-end"]
    done = json.loads(ingest(*command).stdout)
    assert done["run"] == {"stored": 150, "duplicates": 50, "dead": {}}
    lines = write_lines(tmp_path / "late.jsonl", encoded(map(event, range(140, 160))))
    done = json.loads(ingest(lines, "--out", store).stdout)
    assert done["run"] == {"stored": 10, "duplicates": 10, "dead": {}}


def test_what_is_wrong_is_said(broker: Noida, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = ingest("--topic", "nowhere", "--out", store)
    assert done.returncode == 1
    assert "bootstrap.servers" in done.stderr
    done = ingest(*where(broker, "nowhere", store))
    assert done.returncode == 1
    assert "no topic 'nowhere'" in done.stderr
    assert ingest("--out", store).returncode == 2


@pytest.mark.parametrize(
    ("kafka", "said"),
    [
        ({"sasl.password": "hunter2-secret"}, "is a secret"),
        ({"sasl.password": "env:NO_SUCH_VARIABLE"}, "no variable 'NO_SUCH_VARIABLE'"),
        ({"sasl.password": "file:/no/such/file"}, "No such file"),
        ({"enable.auto.commit": True}, "cannot be set"),
        ({"no.such.property": 1}, "No such configuration property"),
    ],
)
def test_properties_that_will_not_do(
    broker: Noida, tmp_path: Path, kafka: dict[str, object], said: str
) -> None:
    config = tmp_path / "ingest.json"
    config.write_text(json.dumps({"kafka": kafka}))
    done = ingest(*where(broker, "any", tmp_path / "store"), "--config", config)
    assert done.returncode == 1
    assert said in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("mechanism", "said"),
    [("PLAIN", "handshake failed"), ("SCRAM-SHA-256", "unknown-user")],
)
def test_a_broker_that_refuses_our_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mechanism: str, said: str
) -> None:
    """The run ends and says so; secrets come from a file and the environment, and stay there."""
    guarded = Tansu(tmp_path)
    guarded.options = ["--authentication"]
    guarded.start(answers=False)
    monkeypatch.setenv("KAFKA_USER", "hunter1-user")
    (tmp_path / "password").write_text("hunter2-secret\n")
    config = tmp_path / "ingest.toml"
    config.write_text(
        f"""
        [kafka]
        "security.protocol" = "SASL_PLAINTEXT"
        "sasl.mechanism" = "{mechanism}"
        "sasl.username" = "env:KAFKA_USER"
        "sasl.password" = "file:{tmp_path / "password"}"
        "debug" = "conf,security"
        """
    )
    done = ingest(*where(guarded, "events", tmp_path / "store"), "--config", config)
    guarded.stop()
    assert done.returncode == 1
    assert said in done.stderr
    assert "hunter" not in done.stderr + done.stdout
    assert b"hunter" not in every_byte(tmp_path / "store")


# --- TLS ----------------------------------------------------------------------------------------


class TlsFront:
    """Takes TLS connections and hands their bytes to a port without; keeps what clients send."""

    def __init__(self, behind: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
        self.received = bytearray()
        self._behind = behind
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            outer = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            return
        inner = socket.create_connection(("127.0.0.1", self._behind))
        back = threading.Thread(target=self._pump, args=(inner, outer), daemon=True)
        back.start()
        self._pump(outer, inner, self.received)
        back.join()
        outer.close()
        inner.close()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, kept: bytearray | None = None) -> None:
        try:
            while data := source.recv(65_536):
                if kept is not None:
                    kept += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[Tansu]:
    broker = Tansu(tmp_path)
    front = TlsFront(broker.port)
    broker.advertised = front.port
    broker.start()
    yield broker
    broker.stop()
    front.close()


def test_tls_and_another_broker(
    tls_broker: Tansu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = f"127.0.0.1:{tls_broker.advertised}"
    tls = {"security.protocol": "ssl", "ssl.ca.location": str(TLS / "cert.pem")}
    tls_broker.address = front
    tls_broker.settings = tls
    tls_broker.create("events", 2)
    tls_broker.produce("events", encoded(map(event, range(500))), 2)
    shutil.copy(TLS / "cert.pem", tmp_path / "ca.pem")
    monkeypatch.setenv("WHERE_THE_CA_IS", str(tmp_path / "ca.pem"))
    config = tmp_path / "ingest.toml"
    config.write_text(
        f"""
        [kafka]
        "bootstrap.servers" = "{front}"
        "security.protocol" = "ssl"
        "ssl.ca.location" = "env:WHERE_THE_CA_IS"
        "session.timeout.ms" = 6000  # this broker lets a group wait for half of it
        """
    )
    store = tmp_path / "store"
    ingester = Ingester(
        "--topic", "events", "--out", store, "--config", config, "--commit-seconds", "0.5"
    )
    wait_for(lambda: (store / "manifest.json").exists() and stored(store).height == 500, 100)
    code, _, errors = ingester.stop()
    assert code == 0, errors


@pytest.fixture
def login_front(broker: Noida, tmp_path: Path) -> Iterator[TlsFront]:
    """TLS before the broker that keeps its data and knows the mechanism PLAIN."""
    proxy = TansuProxy(tmp_path, broker)
    front = TlsFront(proxy.port)
    proxy.advertised = front.port
    proxy.start(answers=False)  # it sends clients on to the front, which takes none without TLS
    yield front
    proxy.stop()
    front.close()


@pytest.mark.parametrize("place", ["env", "file"])
def test_a_login_that_succeeds(
    broker: Noida,
    topic: str,
    login_front: TlsFront,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """This broker takes any password, so what it was sent is compared with RFC 4616."""
    broker.produce(topic, encoded(map(event, range(500))), 3)
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2-secret")
    (tmp_path / "password").write_text("hunter2-secret\n")
    where_it_is = {"env": "env:KAFKA_PASSWORD", "file": f"file:{tmp_path / 'password'}"}[place]
    config = tmp_path / "ingest.toml"
    config.write_text(
        f"""
        [kafka]
        "bootstrap.servers" = "127.0.0.1:{login_front.port}"
        "security.protocol" = "SASL_SSL"
        "ssl.ca.location" = "{TLS / "cert.pem"}"
        "sasl.mechanism" = "PLAIN"
        "sasl.username" = "hunter1-user"
        "sasl.password" = "{where_it_is}"
        "debug" = "conf,security"
        """
    )
    store, port = tmp_path / "store", free_port()
    ingester = Ingester(
        *("--topic", topic, "--group", topic, "--out", store, "--config", config),
        *("--commit-seconds", "0.2", "--metrics-port", port),
    )
    wait_for(lambda: (store / "manifest.json").exists() and stored(store).height == 500, 100)

    def read_metrics() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            return bytes(page.read())

    # They are brought up to date once a second, not with each commit.
    wait_for(lambda: b"pintext_ingest_read_total 500.0" in read_metrics(), 100)
    metrics = read_metrics()
    code, output, errors = ingester.stop()
    assert code == 0, errors
    assert set(stored(store)["event_id"]) == {event(n)["event_id"] for n in range(500)}
    token = b"\0hunter1-user\0hunter2-secret"
    assert len(token).to_bytes(4, "big") + token in login_front.received
    assert b"hunter" not in metrics + (output + errors).encode() + every_byte(store)
