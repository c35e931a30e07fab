"""Searching in the web page, in a real browser, against the real service with an index."""

import json
import re
from collections.abc import Iterator

import msgspec
import pytest
from playwright.sync_api import Page, Route, expect

from browsing import DESK, PHONE, Visits, accessibility_findings, screenshot, wider_than_the_screen
from page_data import HOSTILE, pins, topic_model
from pintext import PinIndex
from pintext.server.problems import MEDIA_TYPE, problem_of, retry_later
from serving import Served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a service with an index of friendly and of hostile pins."""
    folder = tmp_path_factory.mktemp("page")
    lines = [json.dumps(pin) for pin in pins()]
    (folder / "pins.jsonl").write_text("\n".join(lines), encoding="utf-8")
    PinIndex.build(folder / "pins.jsonl", topic_model(), folder / "index")
    (folder / "examples.txt").write_text("wood cabinets\nalaska train\n", encoding="utf-8")
    with Served(folder / "index", "--examples", folder / "examples.txt") as served:
        yield f"{served.url}/"


def titles(page: Page) -> list[str]:
    return page.locator(".card h2, .card h3").all_inner_texts()


def test_from_an_example_to_results_that_explain_themselves(visit: Visits, site: str) -> None:
    page = visit.open(site)
    expect(page.get_by_role("heading", level=1)).to_have_text("Find pins by what they mean")
    page.get_by_role("link", name="wood cabinets").click()
    expect(page).to_have_url(re.compile(r"\?q=wood\+cabinets$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("10 pins for “wood cabinets”")
    expect(page).to_have_title("wood cabinets · PinText")
    card = page.locator(".card").first
    similarity = float(card.locator(".measure .number").inner_text().split()[-1])
    # what the words give adds up to the similarity
    answer = page.request.post(
        f"{site}v1/search",
        data={"query": "wood cabinets", "k": 10, "mode": "hybrid", "explain": True},
    ).json()
    parts = answer["hits"][0]["explanation"]["contributions"]
    assert sum(part["contribution"] for part in parts) == pytest.approx(similarity, abs=0.006)
    word = card.locator(".words button").first
    name, given = word.locator("span").all_inner_texts()
    expected = sum(part["contribution"] for part in parts if part["pin_word"] == name)
    assert float(given.replace("−", "-")) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("how", ["hover", "focus"])
def test_a_word_shows_what_it_gives_in_query_and_pin(visit: Visits, site: str, how: str) -> None:
    page = visit.open(f"{site}?q=wood+cabinets")
    card = page.locator(".card").first
    button = card.locator(".words button").first
    getattr(button, how)()
    word = button.locator("span").first.inner_text()
    expect(card.locator(".readout")).to_contain_text(f"{word} with")
    lit = "e => Number(getComputedStyle(e).getPropertyValue('--strength'))"
    assert any(button.evaluate(lit) > 0 for button in page.locator(".strip button").all())
    for mark in card.locator("mark").all():
        assert (mark.evaluate(lit) > 0) == (mark.inner_text().lower() == word)
    page.get_by_role("heading", level=1).hover()
    page.locator("#query").focus()
    expect(card.locator(".readout")).to_be_empty()


def test_typing_searches_and_back_leads_out(visit: Visits, site: str) -> None:
    page = visit.open(site)
    page.keyboard.press("Control+k")
    page.keyboard.type("alaska train", delay=20)
    expect(page.get_by_role("heading", level=1)).to_contain_text("alaska train")
    page.keyboard.press("Enter")
    expect(page.locator("#query")).to_be_focused()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Find pins by what they mean")
    page.go_forward()
    expect(page.locator("#query")).to_have_value("alaska train")


def test_kinds_of_search_alone_and_side_by_side(visit: Visits, site: str) -> None:
    page = visit.open(f"{site}?q=kitchen+oak")
    page.get_by_role("radio", name="Text", exact=True).check()
    expect(page).to_have_url(re.compile("mode=text"))
    expect(page.locator(".card .measure").first).to_contain_text("BM25")
    cards = [card.lower() for card in page.locator(".card").all_inner_texts()]
    assert all("kitchen" in card or "oak" in card for card in cards)
    page.get_by_role("radio", name="Side by side").check()
    columns = page.locator(".columns section")
    expect(columns).to_have_count(3)
    expect(columns.locator("h2")).to_contain_text(["Hybrid", "Embedding", "Text"])
    expect(columns.locator(".only").first).to_have_text("only here")
    page.locator(".card").first.hover()
    expect(page.locator(".card.twin").first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("radio", name="Text", exact=True)).to_be_checked()


def test_a_walk_over_related_pins_and_back(visit: Visits, site: str) -> None:
    page = visit.open(f"{site}?q=wood+cabinets")
    expect(page.locator(".card a").first).to_be_visible()
    first = titles(page)[0]
    page.locator(".card a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(first)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    second = titles(page)[0]
    page.locator(".card a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(second)
    trail = page.get_by_role("navigation", name="The walk so far")
    assert trail.locator("li").all_inner_texts() == ["“wood cabinets”", first, second]
    shared = visit.open(page.url)  # by somebody else, who has not walked
    expect(shared.get_by_role("navigation", name="The walk so far")).to_contain_text(first)
    trail.get_by_role("link", name="wood cabinets").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("pins for")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(second)


def test_only_what_may_help_is_offered_where_no_pin_is_found(visit: Visits, site: str) -> None:
    page = visit.open(f"{site}?q=zebra&mode=text")
    expect(page.locator(".state")).to_contain_text("None of its words is in the dictionary")
    expect(page.locator(".state a")).to_have_count(0)


@pytest.mark.parametrize("mode", ["hybrid", "compare"])
def test_what_people_wrote_stays_text(visit: Visits, site: str, mode: str) -> None:
    page = visit.open(f"{site}?q=cupboards&k=60&mode={mode}")
    expect(page.locator(".card").first).to_be_visible()
    for text in HOSTILE:  # the cards are drawn again as answers arrive
        expect(page.locator("main")).to_contain_text(text, use_inner_text=True)
    for element in page.locator("main mark, main button").all()[:40]:
        element.hover()
    page.locator(".card a", has_text="<script>").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main :is(script, img, svg, iframe, style)").count() == 0


# --- for everybody --------------------------------------------------------------------------------

VIEWS = {
    "start": ("", ".examples"),
    "results": ("?q=wood+cabinets", ".card:not(.ghost)"),
    "compare": ("?q=wood+train&mode=compare", ".card:not(.ghost)"),
    "pin": ("?q=wood&pin=7", ".card:not(.ghost)"),
    "nothing": ("?q=zebra&mode=text", ".state"),
}


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_search_is_accessible(visit: Visits, site: str, view: str) -> None:
    address, sign = VIEWS[view]
    page = visit.open(site + address)
    expect(page.locator(sign).first).to_be_visible()
    for look in ("light", "dark", "phone"):
        page.emulate_media(color_scheme="dark" if look == "dark" else "light")
        page.set_viewport_size(PHONE if look == "phone" else DESK)
        page.wait_for_timeout(200)  # colours fade
        screenshot(page, f"search-{view}-{look}")
        assert accessibility_findings(page) == [], look
        assert not wider_than_the_screen(page), look


def test_a_search_and_a_walk_by_keyboard_alone(visit: Visits, site: str) -> None:
    page = visit.open(site)
    press = page.keyboard.press
    press("Control+k")
    page.keyboard.type("wood cabinets")
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("pins for “wood cabinets”")
    card = page.locator(".card").first
    title = card.locator("a").first
    for _ in range(20):  # through the kinds of search and the words of the query
        if title.evaluate("e => e === document.activeElement"):
            break
        press("Tab")
    expect(title).to_be_focused()
    press("Tab")
    words = card.locator(".words button")
    expect(words.first).to_be_focused()
    expect(card.locator(".readout")).to_contain_text(words.first.locator("span").first.inner_text())
    press("ArrowRight")
    expect(words.nth(1)).to_be_focused()
    press("Shift+Tab")
    name = title.inner_text()
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    press("Shift+Tab")
    expect(page.get_by_role("link", name="wood cabinets")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("pins for “wood cabinets”")


def test_a_busy_service_is_asked_again_when_it_said(visit: Visits, site: str) -> None:
    page = visit.open(site)
    visit.forgive("503")
    refusals = []

    def refuse(route: Route) -> None:
        error = retry_later("the service has more to do than it can; try again", "overloaded", 2)
        refusals.append(error)
        body = msgspec.json.encode(problem_of(error, "1f-2", "/v1/search"))
        route.fulfill(status=503, headers=error.headers, content_type=MEDIA_TYPE, body=body)

    page.route("**/v1/search", refuse, times=2)
    page.locator("#query").fill("wood cabinets")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Busy just now")
    left = page.locator(".busy b")
    expect(left).to_have_text(re.compile(r"[12] s"))
    assert accessibility_findings(page) == []
    screenshot(page, "search-busy")
    expect(page.get_by_role("heading", level=1)).to_contain_text("10 pins")  # by itself
    assert refusals
