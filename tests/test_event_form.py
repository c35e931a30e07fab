"""From values to events: the columns against a plain Python reading of the same rules."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_data import START, event
from pintext.errors import ConfigError
from pintext.events import ACTIONS, EVENT_SCHEMA, EventMapping, IngestConfig
from pintext.events.decode import ValueDecoder, table
from pintext.events.form import EARLIEST, RAW_SCHEMA
from pintext.events.judging import sort_out
from pintext.events.settings import FIELDS

CONFIG = IngestConfig(tasks=("search", "feed"), max_id_bytes=8, max_query_bytes=12)
NOW = START + 1_000


def wrong_type(value: Any) -> bool:
    types = {"dwell_ms": (int,), "position": (int,), "timestamp": (str, int, float)}
    if not isinstance(value, dict):
        return True
    for name in FIELDS:
        kinds = types.get(name, (str, int) if name.endswith("_id") else (str,))
        found = value.get(name)
        if found is not None and (isinstance(found, bool) or not isinstance(found, kinds)):
            return True
    return False


def python_reason(value: Any) -> str | None:
    """The rules, read one event at a time; only the first word of the reason."""
    if wrong_type(value):
        return "wrong_type"
    texts = {n: None if value.get(n) is None else str(value[n]) for n in FIELDS}
    texts = {name: text if text and text.strip() else None for name, text in texts.items()}
    long = {name: text or "" for name, text in texts.items()}
    ids = ("event_id", "pin_id", "query_id")
    time, dwell, position = (value.get(n) for n in ("timestamp", "dwell_ms", "position"))
    rules = [
        ("missing_field", not all(texts[n] for n in ("event_id", "pin_id", "task", "action"))),
        ("missing_field", not (texts["query"] or texts["query_id"])),
        ("oversized_field", max(len(long[name].encode()) for name in ids) > 8),
        ("oversized_field", len(long["query"].encode()) > 12),
        ("nul", any("\0" in long[name] for name in (*ids, "query"))),
        ("unknown_task", texts["task"] not in CONFIG.tasks),
        ("unknown_action", texts["action"] not in ACTIONS),
        ("bad_time", time is None or time < EARLIEST),
        ("future_time", time is not None and time > NOW + 600_000),
        ("out_of_range", dwell is not None and not 0 <= dwell < 2**31),
        ("out_of_range", position is not None and not 0 <= position < 2**31),
    ]
    return next((reason for reason, applies in rules if applies), None)


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(-1e9, 1e9))
words = st.text(st.sampled_from("ab é\0\t\u2009"), max_size=14)
fields = st.fixed_dictionaries(
    {},
    optional={
        "event_id": words | st.integers(0, 10**9) | st.just("e1"),
        "timestamp": st.integers(EARLIEST - 10, NOW + 600_010) | st.floats(0, 1e13),
        "task": st.sampled_from(["search", "feed", "other", "", " "]),
        "query": words | anything,
        "query_id": words | anything,
        "pin_id": words | st.just("p1"),
        "action": st.sampled_from([*ACTIONS, "repin", ""]),
        "dwell_ms": st.integers(-2, 2) | st.integers() | st.none(),
        "position": st.integers(2**31 - 2, 2**31 + 1) | anything,
        "user_id": words,
    },
)
complete = fields.map(lambda changed: {**event(0, event_id="e", query="oak"), **changed})


@settings(deadline=None, max_examples=300)
@given(st.lists(complete | fields | anything, max_size=8))
def test_judged_as_python_would(values: list[Any]) -> None:
    raw = ValueDecoder(EventMapping()).decode([json.dumps(value).encode() for value in values])
    good, bad, _, _ = sort_out(raw, CONFIG, NOW)
    expected = {n: python_reason(value) for n, value in enumerate(values)}
    assert {r.row: r.reason for r in bad} == {n: why for n, why in expected.items() if why}
    assert good["index"].to_list() == [n for n, why in expected.items() if why is None]
    assert good.drop("task", "index").schema == EVENT_SCHEMA
    for row in good.iter_rows(named=True):
        value = values[row["index"]]
        assert row["event_id"] == str(value["event_id"])
        assert row["dwell_ms"] == value.get("dwell_ms")
        stamp = row["timestamp"] - datetime(1970, 1, 1, tzinfo=UTC)
        assert abs(stamp / timedelta(milliseconds=1) - value["timestamp"]) <= 0.5


pieces = st.sampled_from(
    [
        b"{",
        b"}",
        b"{}",
        b",",
        b":",
        b'"pin_id"',
        b'"p1"',
        b'"',
        b"\\",
        b"[",
        b"]",
        b" ",
        b"\r",
        b"1",
    ]
)
lines = st.one_of(
    (complete | fields | anything).map(lambda value: json.dumps(value).encode()),
    st.lists(pieces, min_size=1, max_size=6).map(b"".join),
    st.sampled_from(
        [b'{"pin_id":', b'"p1"}', b'{"query":{}', b',"x":{}}', b"{}{}", b"\xff{}", b"\0"]
    ),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(lines, min_size=1, max_size=6))
def test_lines_in_one_call_as_line_by_line(given_lines: list[bytes]) -> None:
    data = b"".join(line + b"\n" for line in given_lines)
    starts = np.cumsum([0, *(len(line) + 1 for line in given_lines)])
    decoder = ValueDecoder(EventMapping())
    together, alone = decoder.decode_lines(data, starts), decoder.decode(given_lines)
    assert together.frame.equals(alone.frame)
    assert together.rejects == alone.rejects
    numbers = range(len(given_lines))
    assert [together.original(n) for n in numbers] == [alone.original(n) for n in numbers]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(2000, 1, 2), datetime(2030, 1, 1)),
            st.integers(-14 * 60, 14 * 60),
            st.sampled_from(["T", "t", " "]),
            st.integers(0, 9),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_rfc_3339_as_the_standard_library_reads_it(
    given_times: list[tuple[datetime, int, str, int]],
) -> None:
    texts, expected = [], []
    for moment, offset, separator, digits in given_times:
        sign = "-" if offset < 0 else "+"
        zone = f"{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}" if offset else "Z"
        fraction = f".{moment.microsecond:06}000"[: digits + 1] if digits else ""
        texts.append(moment.strftime(f"%Y-%m-%d{separator}%H:%M:%S{fraction}{zone}"))
        kept = float(f"0{fraction}") if digits else 0
        utc = (moment.replace(microsecond=0, tzinfo=UTC) - timedelta(minutes=offset)).timestamp()
        expected.append(int(utc) * 1000 + int(kept * 1000 + 1e-7))
    raw = ValueDecoder(EventMapping()).decode(
        [json.dumps({"timestamp": text}).encode() for text in texts]
    )
    assert raw.frame["timestamp"].to_list() == expected


@pytest.mark.parametrize(
    ("time", "epoch", "expected"),
    [
        (1_772_366_400, "s", START),
        (1_772_366_400.1234, "s", START + 123),
        (1_772_366_400_123, "ms", START + 123),
        (1_772_366_400_123.4, "ms", START + 123),
        (1_772_366_400_123_999, "us", START + 123),
        (1_772_366_400_123_999_999, "ns", START + 123),
        ("1772366400123", "ms", START + 123),
        ("1772366400.123", "s", START + 123),
        (" 1772366400 ", "s", START),
        ("2026-03-01T12:00:00.123456Z", "s", START + 123),
        ("2026-03-01T12:00:00", "ms", None),  # no offset: nobody knows when that was
        ("2026-03-01", "ms", None),
        ("", "ms", None),
        ("tomorrow", "ms", None),
        (10**30, "ms", None),
    ],
)
def test_times(time: Any, epoch: Any, expected: int | None) -> None:
    raw = ValueDecoder(EventMapping(epoch=epoch)).decode([json.dumps({"timestamp": time}).encode()])
    found = raw.frame["timestamp"].to_list()
    assert found == [expected] or (expected is None and found[0] > 10**15)


def test_times_of_all_kinds_in_one_batch() -> None:
    times: list[Any] = [START, START + 0.4, "2026-03-01T12:00:00Z", None, str(START)]
    values = [json.dumps({"timestamp": time}).encode() for time in times]
    raw = ValueDecoder(EventMapping()).decode(values)
    assert raw.frame["timestamp"].to_list() == [START, START, START, None, START]


def test_bad_values_do_not_move_their_neighbours() -> None:
    values: list[bytes | None] = [
        b"{",
        *[json.dumps(event(n)).encode() for n in range(5)],
        None,
        b"",
        json.dumps(event(5)).encode(),
        b"\xff",
        b'{"event_id": "x\xff"}',
    ]
    raw = ValueDecoder(EventMapping()).decode(values)
    assert [(r.row, r.reason) for r in raw.rejects] == [
        (0, "invalid_json"),
        (6, "empty_message"),
        (7, "empty_message"),
        (9, "invalid_utf8"),
        (10, "invalid_utf8"),
    ]
    assert raw.frame["index"].to_list() == [1, 2, 3, 4, 5, 8]
    assert raw.frame["event_id"].to_list() == [f"e{n:07}" for n in range(6)]


def test_a_mapping_names_fields_tasks_and_actions() -> None:
    mapping = EventMapping(
        fields={"pin_id": "pin", "action": "verb"},
        actions={"repin": "save", "view": "impression", "scroll": "ignore"},
        tasks={"srp": "search"},
        task="home_feed",
    )
    values = [
        {"pin": 17, "verb": "repin", "task": "srp", "pin_id": "not this"},
        {"pin": "18", "verb": "scroll"},
        {"pin": "19", "verb": "hide", "task": None},
    ]
    raw = ValueDecoder(mapping).decode([json.dumps(value).encode() for value in values])
    expected = {
        "pin_id": ["17", "18", "19"],
        "action": ["save", "ignore", "hide"],
        "task": ["search", "home_feed", "home_feed"],
        "ignored": [False, True, False],
    }
    assert raw.frame.select(expected.keys()).to_dict(as_series=False) == expected
    frame = pl.DataFrame({"pin": [17], "verb": ["scroll"]}).with_columns(
        pl.lit(None).alias(name) for name in FIELDS if name not in ("pin_id", "action")
    )
    assert table(frame, mapping).frame["ignored"].to_list() == [True]


def test_an_action_that_is_called_ignore_is_unknown() -> None:
    raw = ValueDecoder(EventMapping()).decode([json.dumps(event(0, action="ignore")).encode()])
    judged = sort_out(raw, IngestConfig(), NOW + 10**10)
    assert [reject.reason for reject in judged.bad] == ["unknown_action"]


def test_the_form_is_declared_once() -> None:
    assert tuple(RAW_SCHEMA) == FIELDS
    assert set(FIELDS) == {*EVENT_SCHEMA, "task"}


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"mapping": {"fields": {"user_id": "uid"}}}, "no field 'user_id'"),
        ({"mapping": {"actions": {"repin": "like"}}}, "'like' is not an action"),
        ({"mapping": {"fields": {"query": "pin_id"}}}, "stands for two fields"),
        ({"topics": {"clicks": {"epoch": "minutes"}}}, "minutes"),
        ({"tasks": []}, "tasks"),
        ({"tasks": ["x" * 65]}, "tasks"),
    ],
)
def test_settings_that_will_not_do(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        IngestConfig.from_dict(settings_)


def test_settings_survive_a_round_trip() -> None:
    config = IngestConfig.from_dict(
        {"topics": {"a.b": {"epoch": "s"}}, "mapping": {"actions": {"repin": "save"}}}
    )
    again = IngestConfig.from_dict(msgspec.json.decode(msgspec.json.encode(config)))
    assert again == config
    assert again.topics["a.b"].epoch == "s"
