"""A service as a process of its own, for tests that speak HTTP with it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

START_SECONDS = 600  # long, because a machine may be busy; a service that fails ends at once


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Served:
    """``pintext serve FOLDER OPTIONS`` in a process; ready when made."""

    def __init__(
        self, folder: Path, *options: Any, env: dict[str, str] | None = None, port: int = 0
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = folder.parent / f"log-{self.port}.jsonl"
        command = [sys.executable, "-m", "pintext", "serve", folder, "--port", self.port, *options]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stderr=log,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
            )
        self.client = httpx.Client(base_url=self.url, timeout=60)
        try:
            self.wait_until_ready()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                if self.client.get("/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise RuntimeError(f"not ready: {self.log_file.read_text()}")

    def worker_pids(self) -> list[int]:
        """The processes below the supervising one that answer requests."""
        pids = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            pids += [int(pid) for pid in (task / "children").read_text().split()]
        return [pid for pid in pids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def log(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON."""
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        total = 0.0
        for line in self.client.get("/metrics").text.splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(
                f'{key}="{wanted}"' in sample for key, wanted in labels.items()
            ):
                total += float(value)
        return total

    def kill(self) -> None:
        """End all of its processes at once, without a chance to finish anything."""
        pids = self.worker_pids()
        self.process.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and wait; the exit code."""
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def until(condition: Any, seconds: float = 60) -> None:
    """Wait until a condition holds; long, because a machine may be busy."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Load:
    """Threads that search without a pause, and what they were answered."""

    def __init__(self, service: Served, body: dict[str, Any], threads: int = 3) -> None:
        self.answers: list[tuple[int, str]] = []
        self._ended = threading.Event()
        self._service, self._body = service, body
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self._service.url, timeout=60) as client:
            while not self._ended.is_set():
                try:
                    answer = client.post("/v1/search", json=self._body)
                    self.answers.append((answer.status_code, answer.text))
                except httpx.TransportError as error:
                    self.answers.append((0, repr(error)))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def failures(self) -> list[tuple[int, str]]:
        """Answers other than 200, and requests that got none."""
        return [answer for answer in self.answers if answer[0] != 200]
