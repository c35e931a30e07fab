"""A small HTTP load generator, run as a process of its own by ``server_load.py``.

    python benchmarks/load_client.py < wanted.json   # {"port": 8080, "path": "/v1/search", ...}

Closed loop: every connection sends its next request when the answer has come. Open loop (``rate``):
requests are due at fixed times whatever the answers do, and latency counts from when one was due,
so that a server that stalls cannot hide it. Prints one JSON object.
"""

import asyncio
import json
import sys
import time
from typing import Any


class Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._data = b""
        self._answered: asyncio.Future[int] | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect an answer."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self._data = b""
            if self._answered and not self._answered.done():
                self._answered.set_result(int(head.split(b" ", 2)[1]))

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell whoever waits."""
        self.transport = None
        if self._answered and not self._answered.done():
            self._answered.set_result(0)

    async def ask(self, request: bytes) -> int:
        """The status of the answer; 0 where the connection broke."""
        if self.transport is None:
            return 0
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answered


def requests_of(wanted: dict[str, Any]) -> list[bytes]:
    made = []
    for body in wanted["bodies"]:
        data = json.dumps(body).encode()
        head = (
            f"POST {wanted['path']} HTTP/1.1\r\nhost: x\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        made.append(head.encode() + data)
    return made


async def load(wanted: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    requests, rate = requests_of(wanted), wanted.get("rate")
    times: dict[int, list[float]] = {}
    begun = time.perf_counter()
    end = begun + wanted["seconds"]
    number = 0

    async def connect() -> Connection:
        _, made = await loop.create_connection(Connection, "127.0.0.1", wanted["port"])
        return made

    async def worker() -> None:
        nonlocal number
        connection = await connect()
        while True:
            number += 1
            due = begun + number / rate if rate else time.perf_counter()
            if due >= end:
                return
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            status = await connection.ask(requests[number % len(requests)])
            times.setdefault(status, []).append(time.perf_counter() - due)
            if connection.transport is None:
                connection = await connect()

    await asyncio.gather(*(worker() for _ in range(wanted["connections"])))
    seconds = time.perf_counter() - begun
    answers = {str(status): len(found) for status, found in sorted(times.items())}
    served = sorted(times.get(200, []))
    return {"seconds": seconds, "answers": answers} | {
        f"p{p}_ms": round(served[min(len(served) - 1, len(served) * p // 100)] * 1000, 2)
        for p in (50, 99)
        if served
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(load(json.load(sys.stdin)))) + "\n")
