"""The report's page in a real browser: it works, nobody is kept out, and no text can break it."""

import re

import pytest

from browsing import Visits, accessibility_findings, screenshot, wider_than_the_screen
from pintext import PinTextModel, TrainConfig, train
from pintext.evaluation import EvaluateConfig, Report, evaluate, write_report
from small_data import make_small_folder

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'&"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("small")
    make_small_folder(folder)
    (folder / HOSTILE.replace("/", "")).write_text("wood 1 0\ntrain 0 1\n")
    train(folder / "split-pairs", TrainConfig(dim=8, epochs=3), out=folder / "model")
    return evaluate(
        PinTextModel.from_pretrained(folder / "model"),
        folder / "split-pairs",
        [folder / "interests.txt"],
        against=[str(folder / HOSTILE.replace("/", ""))],
        texts={HOSTILE: ["wood", HOSTILE]},
        retrain=True,
        name=HOSTILE,
        config=EvaluateConfig(resamples=200),
    )


@pytest.fixture(scope="module")
def url(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "report"
    write_report(report, out)
    return (out / "report.html").as_uri()


@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_read_it(visit: Visits, url: str, dark: bool) -> None:
    page = visit.open(url, dark=dark)
    screenshot(page, f"report-{'dark' if dark else 'light'}")
    assert accessibility_findings(page) == []
    assert not wider_than_the_screen(page)
    assert page.locator("h2").all_text_contents() == [
        "Held-out retrieval: related_pins",
        "Held-out retrieval: search",
        "Interest classification: text",
        "Which tasks help each other",
        "Similarity of pairs",
        "Words and coverage",
        "Map of the vocabulary",
        "How to read this",
    ]


def test_on_a_phone(visit: Visits, url: str) -> None:
    page = visit.open(url, phone=True)
    screenshot(page, "report-phone")
    assert not wider_than_the_screen(page)


def test_no_text_is_taken_for_markup(visit: Visits, url: str) -> None:
    page = visit.open(url)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.locator("h1").text_content() == f"How good is {HOSTILE}?"


def test_no_label_of_a_chart_is_cut(visit: Visits, url: str) -> None:
    page = visit.open(url)
    cut = page.locator("svg text").evaluate_all(
        """texts => texts.filter(text => {
            const box = text.getBBox(), all = text.ownerSVGElement.viewBox.baseVal;
            return box.x < 0 || box.x + box.width > all.width;
        }).map(text => text.textContent)"""
    )
    assert cut == []


def test_tables_sort_by_number_and_back(visit: Visits, url: str, report: Report) -> None:
    page = visit.open(url)
    rows = report.result("retrieval", "search").rows
    table = page.get_by_role("region", name="Figures, Held-out retrieval: search, all").locator(
        "table"
    )
    assert table.locator("tbody th").all_text_contents() == [row.ranker for row in rows]
    table.get_by_role("button", name=re.compile(r"recall@10\b")).click()
    means = [
        float(cell.split()[0])
        for cell in table.locator("tbody td:nth-child(2)").all_text_contents()
    ]
    assert means == sorted(means, reverse=True)
    table.get_by_role("button", name=re.compile(r"recall@10\b")).click()
    means = [
        float(cell.split()[0])
        for cell in table.locator("tbody td:nth-child(2)").all_text_contents()
    ]
    assert means == sorted(means)
    assert table.locator("th[aria-sort]").all_text_contents() == ["recall@10"]


def test_one_slice_is_shown_at_a_time(visit: Visits, url: str, report: Report) -> None:
    page = visit.open(url)
    names = [r.slice for r in report.results if (r.protocol, r.task) == ("retrieval", "search")]
    assert len(names) > 2
    select = page.get_by_role("combobox", name="Slice of Held-out retrieval: search")
    for index, name in enumerate(names):
        select.select_option(index=index)
        regions = page.get_by_role("region", name="Figures, Held-out retrieval: search")
        shown = [r.get_attribute("aria-label") or "" for r in regions.all() if r.is_visible()]
        assert len(shown) == 1
        assert shown[0].endswith(f", {name}")


def test_it_says_what_was_measured(visit: Visits, url: str, report: Report) -> None:
    page = visit.open(url)
    figure = report.result("retrieval", "search").rows[-1].metrics["recall@10"]
    card = page.locator(".card", has_text="Held-out retrieval: search")
    assert card.locator(".figure").text_content() == f"{figure.mean:.3f}"
    table = page.get_by_role("region", name="Figures, Held-out retrieval: search, all")
    last = table.locator("tbody tr.model td").first
    assert f"{figure.mean:.4f} {figure.low:.3f}–{figure.high:.3f}" in (last.text_content() or "")
    assert page.locator("svg circle[class^=task-]").count() == len(report.map)
