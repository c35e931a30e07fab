"""The instrument itself: a visit tells of what is wrong with a page, and of nothing else."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from browsing import Visits, accessibility_findings, screenshot, wider_than_the_screen

pytestmark = pytest.mark.browser

GOOD = """<!doctype html><html lang="en"><head><title>Good</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>Good</h1><p>Nothing is wrong here.</p></main></body></html>"""


@pytest.fixture
def visits(browser: Browser) -> Visits:
    """Visits of which nobody asks whether they had faults."""
    return Visits(browser)


def written(folder: Path, html: str) -> str:
    page = folder / "page.html"
    page.write_text(html, encoding="utf-8")
    return page.as_uri()


def test_a_good_page_has_no_faults(visit: Visits, tmp_path: Path) -> None:
    for dark in (False, True):
        page = visit.open(written(tmp_path, GOOD), dark=dark, phone=True)
        assert accessibility_findings(page) == []
        assert not wider_than_the_screen(page)
        dark_now = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert dark_now is dark


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("console.error('broken')", "console: broken"),
        ("console.warn('odd')", "console: odd"),
        ("throw new Error('oops')", "exception: oops"),
        ("fetch('http://127.0.0.2:9/')", "left the origin: http://127.0.0.2:9/"),
    ],
)
def test_what_goes_wrong_is_a_fault(
    visits: Visits, tmp_path: Path, script: str, fault: str
) -> None:
    page = visits.open(written(tmp_path, f"{GOOD}<script>setTimeout(() => {{{script}}})</script>"))
    page.wait_for_timeout(100)
    assert fault in visits.close()


def test_an_expected_fault_is_forgiven(visits: Visits, tmp_path: Path) -> None:
    visits.forgive("status of 503")
    script = "console.error('a status of 503'); console.error('other')"
    visits.open(written(tmp_path, f"{GOOD}<script>{script}</script>"))
    assert visits.close() == ["console: other"]


def test_what_keeps_people_out_is_found(visits: Visits, tmp_path: Path) -> None:
    bad = GOOD.replace("<p>", "<input><p style='color: #aaa; background: #fff; width: 900px'>")
    page = visits.open(written(tmp_path, bad), phone=True)
    findings = accessibility_findings(page)
    assert "label (critical): input" in findings
    assert any(finding.startswith("color-contrast (serious)") for finding in findings)
    assert wider_than_the_screen(page)
    visits.close()


def test_a_screenshot_is_kept(
    visit: Visits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browsing.ARTIFACTS", tmp_path / "artifacts")
    screenshot(visit.open(written(tmp_path, GOOD)), "good")
    assert (tmp_path / "artifacts" / "good.png").read_bytes().startswith(b"\x89PNG")
