"""What a process does that changes an index until it is killed."""

import random
from multiprocessing.connection import Connection

import polars as pl

from index_data import topic_model
from pintext.index.pin_index import PinIndex

topic_model().encode("w1")  # loads the compiler here, once, not in each process that is forked


def change(draw: random.Random) -> dict[str, object]:
    """A change to make."""
    kind = draw.choices(["upsert", "delete", "compact"], [6, 3, 1])[0]
    names = [f"pin-{draw.randrange(120)}" for _ in range(draw.randrange(1, 40))]
    words = [f"w{draw.randrange(600)} w{draw.randrange(600)}" for _ in names]
    return {"kind": kind, "pins": dict(zip(names, words, strict=True))}


def change_until_killed(folder: str, seed: int, report: Connection) -> None:
    """Say what is about to be changed, change it, say that it is done; for ever."""
    draw = random.Random(seed)
    index = PinIndex.open(folder)
    while True:
        step = change(draw)
        report.send(("begin", step))
        pins: dict[str, str] = step["pins"]  # type: ignore[assignment]
        if step["kind"] == "upsert":
            index.upsert(pl.DataFrame({"id": list(pins), "title": list(pins.values())}))
        elif step["kind"] == "delete":
            index.delete(pins)
        else:
            index.compact()
        report.send(("done", step))
