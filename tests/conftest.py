"""What must hold before any test runs, and the browser and the Spark that several tests share."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser

import pintext
from browsing import Visits, start_browser
from sparking import start_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def pytest_configure(config: pytest.Config) -> None:
    """Let tests interrupt programs; forget compiled kernels older than a module with kernels.

    Numba looks only at the file of the kernel itself; a constant or a kernel that it takes from
    another such module may have changed since. Only before the first process of tests.
    """
    # A shell has what it starts in the background ignore interrupts, and so all that this starts.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return
    package = Path(pintext.__file__).parent
    kernels = [source for source in package.rglob("*.py") if b"compiled" in source.read_bytes()]
    newest = max(source.stat().st_mtime for source in kernels)
    for kernel in package.rglob("__pycache__/*.nb[ci]"):
        if kernel.stat().st_mtime < newest:
            kernel.unlink(missing_ok=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process of tests ends long before another."""
    items.sort(key=lambda item: not item.get_closest_marker("spark"))


# For a module, not for the session: Playwright keeps an event loop running while it is open, beside
# which no other test could call asyncio.run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    yield from start_browser()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visits]:
    """Open pages; when the test is over, nothing may have gone wrong in any of them."""
    visits = Visits(browser)
    yield visits
    assert visits.close() == []


@pytest.fixture(scope="module")
def session() -> "Iterator[SparkSession]":
    """Spark on the cores of this machine."""
    yield from start_spark()
