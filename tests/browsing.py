"""A real Chromium, and pages in it that tell what went wrong in them.

Chromium comes from the system (``apt-get install chromium``), Playwright drives it, axe-core looks
for what keeps people out. Nothing here reaches beyond this machine: a request to anywhere but the
page's own origin is a fault.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

ARTIFACTS = Path(__file__).resolve().parent.parent / "artifacts"
"""Screenshots, for whoever wants to look; not committed."""

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)
PATIENCE = 30_000
"""Milliseconds: on a machine with much else to do nothing fails for slowness."""

DESK = ViewportSize(width=1280, height=860)
PHONE = ViewportSize(width=360, height=740)


def start_browser() -> Iterator[Browser]:
    """The body of the fixture ``browser``: skips where Chromium is missing, fails in CI."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        program = next(filter(None, map(shutil.which, CHROMIUM)), None)
        if program is None and not Path(own).exists():
            missing = (
                "Chromium is not installed: apt-get install chromium, "
                "or .venv/bin/python -m playwright install chromium"
            )
            if os.environ.get("CI") == "true":
                pytest.fail(missing)
            pytest.skip(missing)
        running = playwright.chromium.launch(executable_path=program or own, args=list(QUIET))
        yield running
        running.close()


class Visits:
    """Opens pages, each in a context of its own, and collects their faults.

    A fault is an error or a warning in the console (a failed request makes one), an exception that
    nobody caught, or a request that left the page's origin.
    """

    def __init__(self, browser: Browser) -> None:
        self.faults: list[str] = []
        self._browser = browser
        self._forgiven: list[str] = []

    def open(self, url: str, *, dark: bool = False, phone: bool = False, **context: Any) -> Page:
        """Open a URL (``http:`` or ``file:``) at the width of a desk or of a phone."""
        opened = self._browser.new_context(
            viewport=PHONE if phone else DESK,
            color_scheme="dark" if dark else "light",
            has_touch=phone,
            **context,
        )
        opened.set_default_timeout(PATIENCE)
        page = opened.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("request", lambda request: self._request(url, request))
        page.goto(url)
        return page

    def forgive(self, pattern: str) -> None:
        """Expect faults whose text this regular expression finds, and leave them out."""
        self._forgiven.append(pattern)

    def close(self) -> list[str]:
        """Close what was opened; return the faults that nobody expected."""
        for context in self._browser.contexts:
            context.close()
        return [
            fault
            for fault in self.faults
            if not any(re.search(pattern, fault) for pattern in self._forgiven)
        ]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _request(self, url: str, request: Request) -> None:
        there, here = urlsplit(request.url), urlsplit(url)
        if there.scheme not in ("data", "blob") and there[:2] != here[:2]:
            self.faults.append(f"left the origin: {request.url}")


def accessibility_findings(page: Page) -> list[str]:
    """What axe-core finds on a page as it is now, as ``rule (impact): place``."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{violation['id']} ({violation['impact']}): {', '.join(map(str, node['target']))}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def wider_than_the_screen(page: Page) -> bool:
    """Whether a page has to be moved sideways to be read."""
    wide: bool = page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    return wide


def screenshot(page: Page, name: str) -> None:
    """Keep a picture of the whole page as ``artifacts/NAME.png``."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
