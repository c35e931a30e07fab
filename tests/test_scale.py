"""``pintext plan`` and the numbers of docs/scale.md."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pintext.cli import commands
from pintext.scale import PlanConfig, measured, plan

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
STAGES = ["pairs", "train", "embed", "index", "serve"]


def rows(*arguments: str) -> dict[str, dict[str, Any]]:
    """What the command prints, by stage."""
    done = CliRunner().invoke(commands, ["plan", *arguments])
    assert done.exit_code == 0, done.output
    return {row["stage"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_little_is_told_as_little() -> None:
    done = CliRunner().invoke(commands, ["plan", "--pins", "1e4", "--pairs", "1e4"])
    assert not re.search(r"\de-\d", done.stdout)
    assert rows("--pins", "1e4", "--pairs", "1e4")["embed"]["hours"] == 0.001


def test_every_stage_is_one_line_of_json() -> None:
    found = rows("--pins", "1e9", "--pairs", "1e10", "--dim", "128")
    assert list(found) == STAGES
    keys = ["stage", "core_hours", "machines", "hours", "memory_gb", "disk_gb", "note"]
    assert all(list(row) == keys for row in found.values())


@pytest.mark.parametrize(
    ("by", "decades"), [("pins", range(6, 11)), ("pairs", range(8, 12))], ids=["pins", "pairs"]
)
def test_the_page_says_what_the_command_says(by: str, decades: range) -> None:
    told = re.findall(r"^\| 10\^(\d+) \| `(\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    wanted = ("pairs", "train") if by == "pairs" else ("embed", "index", "serve")
    for decade in decades:
        found = rows(f"--{by}", f"1e{decade}")
        for stage in wanted:
            (cells,) = (
                cells.split(" | ")
                for exponent, name, cells in told
                if (int(exponent), name) == (decade, stage)
            )
            row = found[stage]
            numbers = [row["core_hours"], row["machines"], row["hours"], row["memory_gb"]]
            for cell, number in zip(cells, [*numbers, row["disk_gb"]], strict=False):
                shown = float(cell.replace(",", "")) if cell else None
                # the page has two digits, the command three
                assert shown == (None if number is None else pytest.approx(number, rel=0.055))
            assert cells[-1] == row["note"]


def test_the_page_has_the_constants() -> None:
    page = PAGE.read_text()
    for name in ("pairs", "train", "embed", "index", "query"):
        cost = getattr(measured, name.upper())
        assert re.search(
            rf"^\| `{name}` \| .* \| {cost.unit:g} \| {cost.exponent:g} \|", page, re.MULTILINE
        )
        assert cost.exponent >= (0 if name == "query" else 1)
        assert 0 <= cost.by_dim <= 1
    for said in (
        f"{measured.INDEX_BYTES} bytes of a pin",
        f"{measured.BUILD_BYTES:,} in memory",
        f"{measured.TRAIN_BYTES} bytes of a pair",
        f"{1e3 * measured.SHARD_SECONDS:g} ms of a core",
        f"its front {1e3 * measured.FRONT_SECONDS:g} ms",
    ):
        assert said in page


def test_the_arithmetic_by_hand() -> None:
    config = PlanConfig(pins=4e7, pairs=1e8, queries=100, cores=8, memory_gb=32, dim=64)
    pairs, train, embed, index, serve = plan(config)
    million = measured.TRAIN.unit * 100**measured.TRAIN.exponent + measured.TRAIN.fixed
    by_dim = 1 - measured.TRAIN.by_dim / 2
    assert train.core_hours == pytest.approx(million * by_dim * 10 / 3600)
    assert train.hours == pytest.approx(train.core_hours / 8)
    assert pairs.disk_gb == pytest.approx(7e8 * measured.EVENT_BYTES / 1e9)
    assert embed.disk_gb == pytest.approx(4e7 * (256 + measured.EMBED_BYTES) / 1e9)
    one = measured.INDEX.unit * 10**measured.INDEX.exponent + measured.INDEX.fixed
    assert index.core_hours == pytest.approx(4 * one * (1 - measured.INDEX.by_dim / 2) / 3600)
    assert index.note == "4 shards of 10,000,000 pins"
    whole = 4e7 * (256 + measured.INDEX_BYTES) / 1e9
    assert index.disk_gb == pytest.approx(2 * whole)
    room = 0.7 * 32 - 1e6 * (256 + 50) / 1e9 - 8 * 0.3
    assert serve.machines % math.ceil(whole / room) == 0
    assert serve.hours is None


@given(st.floats(3, 11), st.floats(3, 12), st.integers(1, 1024), st.floats(0, 1e5))
def test_more_never_takes_less(pins: float, pairs: float, dim: int, queries: float) -> None:
    config = PlanConfig(pins=10**pins, pairs=10**pairs, dim=dim, queries=queries)
    larger = PlanConfig(pins=3 * 10**pins, pairs=3 * 10**pairs, dim=2 * dim, queries=2 * queries)
    for less, more in zip(plan(config), plan(larger), strict=True):
        assert less.machines >= 1
        assert less.core_hours <= more.core_hours
        assert less.disk_gb <= more.disk_gb
        assert less.machines <= more.machines


@pytest.mark.parametrize(("option", "value"), [("--pins", "0"), ("--dim", "0"), ("--hours", "0")])
def test_nonsense_is_refused(option: str, value: str) -> None:
    done = CliRunner().invoke(commands, ["plan", option, value])
    assert done.exit_code == 2
    assert option.removeprefix("--") in done.output
