"""The rules of docs/pairs.md in plain Python, one event after the other, as slow as they are plain.

Nothing here is shared with :mod:`pintext.pairing` but the settings and the rules of text.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pintext.pairing import PairsConfig
from pintext.text import split

DAY = 86_400_000

Event = dict[str, Any]


class Key(NamedTuple):
    """A pin under a query of a task; ``query`` is words if it was typed, else an id."""

    query: str
    typed: bool
    pin_id: str


class Made(NamedTuple):
    """What comes out for one task; rows in the order of the files."""

    pairs: list[dict[str, Any]]
    negatives: list[dict[str, Any]]
    dropped: Counter[str]
    votes: int


def make(
    events: Sequence[Event],
    pins: Mapping[str, str],
    interests: Mapping[str, str],
    config: PairsConfig,
) -> dict[str, Made]:
    """The pairs and known negatives of every task."""
    tasks = sorted({event["task"] for event in events})
    return {
        task: _Task(task, pins, interests, config).make(
            [event for event in events if event["task"] == task]
        )
        for task in tasks
    }


class _Task:
    def __init__(
        self,
        task: str,
        pins: Mapping[str, str],
        interests: Mapping[str, str],
        config: PairsConfig,
    ) -> None:
        self.task, self.pins, self.config = task, pins, config
        self.from_pins = config.query_from.get(task, "pins") == "pins"
        self.named = pins if self.from_pins else interests

    def make(self, events: Sequence[Event]) -> Made:
        by_key: dict[Key, list[Event]] = defaultdict(list)
        for event in events:
            typed = event["query"] is not None
            query = " ".join(split(event["query"])) if typed else event["query_id"]
            if query:
                by_key[Key(query, typed, event["pin_id"])].append(event)
        votes: dict[Key, dict[int, list[tuple[bool, bool]]]] = {}
        short: dict[Key, set[int]] = {}
        for key, mine in by_key.items():
            votes[key], short[key] = self.votes(mine)
        number = sum(len(some) for by_period in votes.values() for some in by_period.values())
        dropped: Counter[str] = Counter()
        pairs = self.capped(self.candidates(votes), dropped)
        negatives = self.negatives(by_key, votes, short)
        return Made(
            [self.texts(key, {"weight": w, "split": s}) for key, w, s in sorted(pairs)],
            [self.texts(key, row) for key, row in sorted(negatives, key=lambda one: one[0])],
            dropped,
            number,
        )

    def votes(self, events: Sequence[Event]) -> tuple[dict[int, list[tuple[bool, bool]]], set[int]]:
        """By period: (saved, clicked) of each window in which one of them stands; periods with
        clicks that were too short."""
        window = round(self.config.window_minutes * 60_000)
        gap = round(self.config.hide_minutes * 60_000)
        hides = [event["timestamp"] for event in events if event["action"] == "hide"]
        windows: dict[tuple[int, int], dict[str, list[int]]] = defaultdict(
            lambda: defaultdict(list)
        )
        short = set()
        for event in events:
            time, action = event["timestamp"], event["action"]
            dwell = event["dwell_ms"]
            if action == "click" and dwell is not None and dwell < self.config.min_dwell_ms:
                short.add(self.period(time))
            elif action in ("save", "click"):
                windows[time // DAY, time % DAY // window][action].append(time)
        found: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
        for (day, _), acts in windows.items():
            last = max(acts["click"], default=None)
            clicked = last is not None and not (
                gap and any(last <= hide <= last + gap for hide in hides)
            )
            if acts["save"] or clicked:
                found[self.period(day * DAY)].append((bool(acts["save"]), clicked))
        return found, short

    def period(self, time: int) -> int:
        if self.config.split != "time":
            return 0
        date = datetime.fromtimestamp(time / 1000, UTC).date().isoformat()
        if self.config.test_from and date >= self.config.test_from:
            return 2
        return int(bool(self.config.validation_from) and date >= self.config.validation_from)

    def candidates(
        self, votes: Mapping[Key, Mapping[int, list[tuple[bool, bool]]]]
    ) -> list[tuple[Key, float, str | None]]:
        save, click = self.config.save_weight, self.config.click_weight
        found = []
        for key, by_period in votes.items():
            for period in sorted(by_period):
                each = [max(save * s, click * c) for s, c in by_period[period]]
                weight = sum(sorted(each, reverse=True)[: self.config.max_repeats])
                if weight > 0:
                    found.append((key, weight, self.split(key, period)))
                    break
        return found

    def split(self, key: Key, period: int) -> str | None:
        if self.config.split == "none":
            return None
        if self.config.split == "time":
            return ("train", "validation", "test")[period]
        words = key.query if key.typed else " ".join(split(self.named.get(key.query, "")))
        if not key.typed and key.query not in self.named:
            words = key.query
        place = int(self.chance(words), 16) / 2**128
        if place < self.config.test:
            return "test"
        return "validation" if place < self.config.test + self.config.validation else "train"

    def chance(self, *parts: str) -> str:
        text = "\x1f".join((str(self.config.seed), *parts))
        return hashlib.md5(text.encode()).hexdigest()

    def reason(self, key: Key) -> str | None:
        if not key.typed and key.query not in self.named:
            return "query_not_in_catalogue"
        if not key.typed and not split(self.named[key.query]):
            return "query_without_text"
        if key.pin_id not in self.pins:
            return "pin_not_in_catalogue"
        if not split(self.pins[key.pin_id]):
            return "pin_without_text"
        if not key.typed and self.from_pins and key.query == key.pin_id:
            return "pin_is_query"
        return None

    def capped(
        self, candidates: list[tuple[Key, float, str | None]], dropped: Counter[str]
    ) -> list[tuple[Key, float, str | None]]:
        usable = []
        for one in candidates:
            reason = self.reason(one[0])
            if reason:
                dropped[reason] += 1
            else:
                usable.append(one)
        best = sorted(
            usable, key=lambda c: (-c[1], self.chance(self.task, c[0].query, c[0].pin_id), c[0])
        )
        for limit, reason, field in (
            (self.config.max_pins_per_query, "over_pins_of_query", lambda k: (k.query, k.typed)),
            (self.config.max_queries_per_pin, "over_queries_of_pin", lambda k: k.pin_id),
        ):
            seen: Counter[Any] = Counter()
            kept = []
            for key, weight, side in best:
                seen[field(key), side] += 1
                if limit and seen[field(key), side] > limit:
                    dropped[reason] += 1
                else:
                    kept.append((key, weight, side))
            best = kept
        return best

    def negatives(
        self,
        by_key: Mapping[Key, list[Event]],
        votes: Mapping[Key, Mapping[int, Any]],
        short: Mapping[Key, set[int]],
    ) -> list[tuple[Key, dict[str, Any]]]:
        found = []
        for key, events in by_key.items():
            shown = [e for e in events if e["action"] in ("impression", "hide")]
            if not shown or self.reason(key):
                continue
            period = min(self.period(event["timestamp"]) for event in shown)
            if any(touched <= period for touched in (*votes[key], *short[key])):
                continue
            mine = [event for event in shown if self.period(event["timestamp"]) == period]
            places = [e["position"] for e in mine if e["action"] == "impression"]
            row: dict[str, Any] = {
                "impressions": len(places),
                "hides": len(mine) - len(places),
                "position": min((p for p in places if p is not None), default=None),
                "split": self.split(key, period),
            }
            found.append((key, row))
        found.sort(
            key=lambda one: (
                -one[1]["hides"],
                -one[1]["impressions"],
                self.chance(self.task, one[0].query, one[0].pin_id),
                one[0],
            )
        )
        limit = self.config.max_negatives_per_query
        seen: Counter[Any] = Counter()
        kept = []
        for key, row in found:
            seen[key.query, key.typed, row["split"]] += 1
            if not limit or seen[key.query, key.typed, row["split"]] <= limit:
                kept.append((key, row))
        return kept

    def texts(self, key: Key, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "query": key.query if key.typed else self.named[key.query],
            "pin": self.pins[key.pin_id],
            "pin_id": key.pin_id,
            "query_id": None if key.typed else key.query,
            **row,
        }
