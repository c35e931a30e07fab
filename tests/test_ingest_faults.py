"""Killed ingesters, rebalances, broken brokers, full disks: nothing lost, nothing twice."""

import hashlib
import json
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer

from brokers import Broker, Noida
from event_data import Ingester, encoded, event, ingest, letters, stored, wait_for
from pintext.events import EventStore

KILLS = 500 if os.environ.get("PINTEXT_NIGHTLY") else 30
PARTITIONS = 6


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Noida]:
    broker = Noida(tmp_path)
    broker.start()
    yield broker
    broker.stop()


class Traffic:
    """A producer that sends until it is told to stop: events, repetitions, poison."""

    def __init__(self, broker: Broker, seed: int, poison: float = 0.01) -> None:
        self.sent: set[str] = set()
        self.bad = 0
        self._broker, self._poison = broker, poison
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._errors: list[object] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        producer = Producer(
            self._broker.client(
                **{"enable.idempotence": False, "message.timeout.ms": 120_000, "linger.ms": 5}
            )
        )
        number = 0
        while not self._stop.is_set():
            for _ in range(50):
                draw = self._random.random()
                if draw < self._poison:
                    value, self.bad = b'{"event_id": "x", "user_id": "user-4711"', self.bad + 1
                elif draw < 0.05 and number > 100:
                    value = encoded([event(number - self._random.randrange(1, 100))])[0]
                else:
                    value = encoded([event(number)])[0]
                    self.sent.add(f"e{number:07}")
                    number += 1
                producer.produce(
                    "events",
                    value,
                    partition=self._random.randrange(PARTITIONS),
                    on_delivery=self._delivered,
                )
            producer.poll(0)
            time.sleep(0.02)
        self._errors += [None] * producer.flush(60)

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self._errors.append(error)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        assert self._errors == []


def arguments(broker: Broker, store: Path, instance: str = "") -> list[object]:
    """A named member of the group, or one of many; this broker never gives up a killed one."""
    config = store.parent / f"config-{instance}.json"
    if not config.exists():  # an ingester may be reading it
        config.write_text(
            json.dumps({"kafka": {"group.instance.id": instance} if instance else {}})
        )
    limits = ("--commit-seconds", "0.05", "--max-bad-share", "0.2")
    where = ("--topic", "events", "--bootstrap-servers", broker.address, "--out", store)
    return [*where, *limits, "--config", config]


def check(store: Path, traffic: Traffic) -> None:
    """The set stored is the set sent, none twice; each poison message is one dead letter."""
    found = stored(store)["event_id"].to_list()
    assert len(found) == len(set(found))
    assert set(found) == traffic.sent
    places = [(letter["partition"], letter["offset"]) for letter in letters(store)]
    assert len(places) == len(set(places)) == traffic.bad
    assert {letter["reason"] for letter in letters(store)} <= {"invalid_json"}


class Victim:
    """An ingester that is to be killed when it holds the store's lock for the nth time.

    The first time it only opens the store; after that it commits.
    """

    def __init__(self, turn: int, *arguments: object) -> None:
        self.ingester = Ingester(*arguments)
        self._turn = turn
        self._held = False

    def due(self) -> bool:
        held = self.ingester.holds_lock()
        self._turn -= held and not self._held
        self._held = held
        return held and self._turn <= 0


def await_due(slots: Mapping[str, Victim]) -> str | None:
    """Wait for one whose turn it is; None if there is none within a while."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for name, slot in slots.items():
            if slot.due():
                return name
        time.sleep(0.0005)
    return None


def test_killed_ingesters_lose_and_double_nothing(broker: Noida, tmp_path: Path) -> None:
    broker.create("events", PARTITIONS)
    store = tmp_path / "store"
    traffic = Traffic(broker, seed=1)
    dice = random.Random(2)

    def start(name: str) -> Victim:
        return Victim(dice.randrange(1, 6), *arguments(broker, store, name))

    slots = {name: start(name) for name in ("a", "b")}
    in_commit, kills, generations = 0, 0, set()
    while kills < KILLS:
        due = await_due(slots) if dice.random() < 0.7 else None
        in_commit += due is not None
        time.sleep(dice.uniform(0, 0.01 if due else 1))
        name = due or dice.choice("ab")
        victim = slots[name].ingester
        assert victim.running, victim.wait()
        victim.kill()
        kills += 1
        if (store / "manifest.json").exists():
            generations.add(EventStore(store).generation)
        slots[name] = start(name)
    traffic.stop()
    for name, slot in slots.items():
        code, _, errors = slot.ingester.stop()
        assert code in (0, -signal.SIGTERM), errors  # it may not have begun yet
        done = ingest(*arguments(broker, store, name), "--until-end")
        assert done.returncode == 0, done.stderr
    check(store, traffic)
    assert in_commit > kills // 3
    assert len(generations) > kills // 4


def test_rebalances_lose_and_double_nothing(broker: Noida, tmp_path: Path) -> None:
    broker.create("events", PARTITIONS)
    store = tmp_path / "store"
    traffic = Traffic(broker, seed=3)
    running = [Ingester(*arguments(broker, store))]
    for number in range(3):
        running.append(Ingester(*arguments(broker, store)))
        time.sleep(2)
        code, _, errors = running.pop(number % 2).stop()
        assert code in (0, -signal.SIGTERM), errors
    traffic.stop()
    running[0].stop()
    assert ingest(*arguments(broker, store), "--until-end").returncode == 0
    check(store, traffic)


def test_two_ingesters_that_own_the_same_partitions(broker: Noida, tmp_path: Path) -> None:
    """As if each had slept through a rebalance: all of them read, and try to store, everything."""
    broker.create("events", PARTITIONS)
    store = tmp_path / "store"
    traffic = Traffic(broker, seed=4)
    groups = [Ingester(*arguments(broker, store), "--group", group) for group in ("a", "b", "c")]
    time.sleep(5)
    traffic.stop()
    for ingester in groups:
        code, _, errors = ingester.stop()
        assert code == 0, errors
    for group in ("a", "b"):
        done = ingest(*arguments(broker, store), "--group", group, "--until-end")
        assert done.returncode == 0, done.stderr
    check(store, traffic)


def test_broker_restarts(broker: Noida, tmp_path: Path) -> None:
    """While it restarts nothing is sent: this broker forgets what it has only just acknowledged."""
    broker.create("events", PARTITIONS)
    store = tmp_path / "store"
    ingester = Ingester(*arguments(broker, store))
    for burst in range(3):
        numbers = range(4_000 * burst, 4_000 * burst + 4_000)
        broker.produce("events", encoded(map(event, numbers)), PARTITIONS)
        time.sleep(1)
        broker.stop()
        time.sleep(1)
        broker.start()
    wait_for(lambda: stored(store).height == 12_000)
    code, _, errors = ingester.stop()
    assert code == 0, errors
    assert sorted(stored(store)["event_id"]) == [f"e{number:07}" for number in range(12_000)]


def test_broker_comes_after_the_ingester(broker: Noida, tmp_path: Path) -> None:
    broker.create("events", PARTITIONS)
    broker.produce("events", encoded(map(event, range(500))), PARTITIONS)
    broker.stop()
    ingester = Ingester(*arguments(broker, tmp_path / "store"))
    time.sleep(4)
    assert ingester.running
    broker.start()
    wait_for(lambda: (tmp_path / "store" / "manifest.json").exists())
    wait_for(lambda: stored(tmp_path / "store").height == 500)
    code, _, errors = ingester.stop()
    assert code == 0
    assert "still trying" in errors


def test_full_disk_stops_and_loses_nothing(broker: Noida, tmp_path: Path) -> None:
    broker.create("events", PARTITIONS)
    events = [event(n, query=hashlib.sha256(b"%d" % n).hexdigest()) for n in range(20_000)]
    broker.produce("events", encoded(events), PARTITIONS)
    store = tmp_path / "store"
    command = [*arguments(broker, store), "--until-end", "--commit-events", "5000"]

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = ingest(*command, preexec_fn=small_files)
    assert done.returncode == 1
    assert "nothing is lost" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(store.glob("task=*/*/*.parquet")) == []
    assert ingest(*command).returncode == 0
    assert sorted(stored(store)["event_id"]) == [f"e{number:07}" for number in range(20_000)]


def test_a_topic_made_anew_is_noticed(broker: Noida, tmp_path: Path) -> None:
    broker.create("events", 1)
    broker.produce("events", encoded(map(event, range(100))))
    store = tmp_path / "store"
    assert ingest(*arguments(broker, store), "--until-end").returncode == 0
    broker.delete("events")
    broker.create("events", 1)
    broker.produce("events", encoded(map(event, range(100, 150))))
    done = ingest(*arguments(broker, store), "--until-end")
    assert done.returncode == 1
    assert "goes on at offset 100" in done.stderr
    assert "--from-oldest" in done.stderr
    done = ingest(*arguments(broker, store), "--until-end", "--from-oldest")
    assert done.returncode == 0, done.stderr
    assert stored(store).height == 150
