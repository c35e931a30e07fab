"""What README and docs say is true: their examples run, their links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from small_data import make_small_folder

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block of a page; ``line`` is where its text starts."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)
        for found in FENCE.finditer(text)
    ]


def run_shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


def page_id(page: Path) -> str:
    return page.name


RUNNABLE = [page for page in PAGES if any(b.language in ("python", "sh") for b in blocks(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=page_id)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_small_folder(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        first_line = block.text.partition("\n")[0]
        if block.language == "toml" and first_line.startswith("# "):
            (tmp_path / first_line[2:]).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)
        elif block.language == "sh":
            done = run_shell(block.text, tmp_path)
            assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"


def test_readme_and_the_page_of_the_library_have_examples() -> None:
    assert {"README.md", "api.md"} <= {page.name for page in RUNNABLE}


def test_every_block_says_what_it_is() -> None:
    known = {"python", "sh", "console", "text", "toml", "json"}
    strange = [
        f"{page.name}:{block.line}: {block.language or 'no language'}"
        for page in PAGES
        for block in blocks(page)
        if block.language not in known
    ]
    assert strange == []


def test_generated_parts_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "make_reference.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def test_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index]
    assert missing in ([], ["index.md"])


def test_settings_page_has_every_setting() -> None:
    from pintext.config import TrainConfig, settings

    table = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert rows == [setting.name for setting in settings(TrainConfig)]


def test_command_line_page_has_every_command() -> None:
    from pintext.cli import commands

    headings = re.findall(
        r"^## pintext (\w+)$", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE
    )
    assert headings == sorted(commands.commands)


def test_format_page_lists_the_files_of_a_model(tmp_path: Path) -> None:
    from pintext import TrainConfig, train

    make_small_folder(tmp_path)
    train(tmp_path / "pairs", TrainConfig(dim=8, epochs=1), out=tmp_path / "model")
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    listing = next(
        text for _, text, _ in blocks(ROOT / "docs" / "formats.md") if "model/\n" in text
    )
    listed = re.findall(r"^  (\S+) ", listing, re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (tmp_path / "model").iterdir())
    assert page.count("## Model folder") == 1
