"""The web page in a real browser, against the real service: what a dictionary alone can show."""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from browsing import (
    DESK,
    PHONE,
    Visits,
    accessibility_findings,
    screenshot,
    wider_than_the_screen,
)
from colour_vision import VISIONS, contrast, difference
from page_data import HOSTILE
from pintext import TrainConfig, train
from serving import Served
from small_data import make_small_folder

pytestmark = pytest.mark.browser

FOLDER = Path(__file__).resolve().parent.parent / "src" / "pintext" / "server" / "page"
VIEWS = {
    "home": "?",
    "word": "?word=wood&word=oak",
    "words": "?word=",
    "map": "?map=",
    "unknown": "?word=zebra",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a service that has a model and no index."""
    folder = tmp_path_factory.mktemp("page")
    make_small_folder(folder)
    train(folder / "pairs", TrainConfig(dim=16, epochs=3), out=folder / "model")
    with Served(folder / "model") as served:
        yield f"{served.url}/"


def test_a_service_without_an_index_offers_its_words(visit: Visits, site: str) -> None:
    page = visit.open(site)
    expect(page.locator("main")).to_contain_text("no index to search")
    expect(page.get_by_role("searchbox")).to_be_hidden()
    page.locator("main").get_by_role("link", name="Words").click()
    page.get_by_role("link", name="oak", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("oak")
    expect(page.get_by_role("link", name="Search pins for it")).to_be_hidden()


def test_words_lead_to_words(visit: Visits, site: str) -> None:
    page = visit.open(site)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Words").click()
    page.get_by_label("Look up a word").fill("Wood")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("wood")
    near = page.locator(".near a").first
    name = near.inner_text()
    assert name in {"cabinets", "kitchen", "oak", "cupboards", "shaker", "island", "white"}
    near.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.get_by_role("navigation", name="The words so far")).to_contain_text(name)


# --- the map -------------------------------------------------------------------------------------


def place(page: Page) -> list[float]:
    page.wait_for_timeout(250)  # the address follows at a distance
    found = re.search(r"map=([^&]*)", page.url)
    assert found is not None
    return (
        [float(part) for part in found[1].replace("%2C", ",").split(",")] if found[1] else [0, 0, 1]
    )


def test_the_map_by_mouse(visit: Visits, site: str) -> None:
    page = visit.open(f"{site}?map=")
    canvas = page.locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -600)
    x, _, zoom = place(page)
    assert zoom > 2
    page.mouse.down()
    page.mouse.move(middle[0] + 100, middle[1], steps=4)
    page.mouse.up()
    moved, _, still = place(page)
    assert moved < x
    assert still == zoom
    page.get_by_label("Find a word on the map").fill("oak")
    page.keyboard.press("Enter")
    expect(page.locator(".panel h2")).to_have_text("oak")
    page.mouse.click(*middle)  # where the word is now
    expect(page.locator(".panel h2")).to_have_text("oak")
    expect(page.locator(".panel .word").first).to_be_visible()
    assert "find=oak" in (place(page), page.url)[1]
    shared = visit.open(page.url)
    expect(shared.locator(".panel h2")).to_have_text("oak")
    page.get_by_role("button", name="Show everything").click()
    assert place(page) == [0, 0, 1]
    page.locator(".panel").get_by_role("link", name="All near words").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("oak")


def test_the_map_by_keyboard(visit: Visits, site: str) -> None:
    page = visit.open(f"{site}?map=")
    page.locator("canvas").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    x, _, zoom = place(page)
    assert zoom == 1.4
    assert x > 0
    expect(page.locator("#announcer")).not_to_be_empty()
    page.keyboard.press("Enter")
    expect(page.locator(".panel h2")).to_be_visible()
    page.keyboard.press("0")
    assert place(page) == [0, 0, 1]


def test_the_map_shows_and_hides_tasks_in_their_colours(visit: Visits, site: str) -> None:
    page = visit.open(f"{site}?map=")
    marks = """() => {
        const { width, height } = document.querySelector('canvas');
        const copy = new OffscreenCanvas(width, height).getContext('2d');
        copy.drawImage(document.querySelector('canvas'), 0, 0);
        const { data } = copy.getImageData(0, 0, width, height);
        let colourful = 0;
        for (let i = 0; i < data.length; i += 4) {
          const rgb = [data[i], data[i + 1], data[i + 2]];
          if (data[i + 3] && Math.max(...rgb) - Math.min(...rgb) > 40) colourful++;
        }
        return colourful;
    }"""
    expect(page.locator(".panel")).to_be_visible()
    page.wait_for_timeout(200)
    every = page.evaluate(marks)
    assert every > 50
    tasks = page.locator(".legend button")
    for button in tasks.all():
        button.click()
        expect(button).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(100)
    assert page.evaluate(marks) == 0
    tasks.first.click()
    page.wait_for_timeout(100)
    assert 0 < page.evaluate(marks) < every


def test_the_map_as_text(visit: Visits, site: str) -> None:
    page = visit.open(f"{site}?map=")
    page.get_by_text("The map as lists of words").click()
    page.locator(".aslist").get_by_role("link", name="glacier", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("glacier")


# --- nothing gets in -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q", "word", "pin", "map=&find"])
def test_a_hostile_address_stays_text(visit: Visits, site: str, name: str) -> None:
    visit.forgive("status of 404")  # of a pin that is not there
    text = " ".join(HOSTILE)
    page = visit.open(f"{site}?{name}={quote(text)}")
    expect(page.locator("main > *").first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main :is(script, img, iframe, style)").count() == 0


def test_markup_is_never_made_of_text() -> None:
    for path in FOLDER.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        makers = (
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\("
        )
        assert not re.search(makers, text), path.name
        assert not re.search(r"https?:(?!//www\.w3\.org/2000/svg)", text), path.name
    html = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=|https?:", html)


# --- for everyone --------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible(visit: Visits, site: str, view: str) -> None:
    page = visit.open(site + VIEWS[view])
    expect(page.locator("main > *").first).to_be_visible()
    expect(page.locator("#foot span").first).to_be_visible()
    for look in ("light", "dark", "phone"):
        page.emulate_media(color_scheme="dark" if look == "dark" else "light")
        page.set_viewport_size(PHONE if look == "phone" else DESK)
        page.wait_for_timeout(200)  # colours fade, the map is drawn
        screenshot(page, f"{view}-{look}")
        assert accessibility_findings(page) == [], look
        assert not wider_than_the_screen(page), look


def test_an_open_list_is_accessible(visit: Visits, site: str) -> None:
    page = visit.open(f"{site}?map=&find=oak")
    page.get_by_text("The map as lists of words").click()
    expect(page.locator(".panel .word").first).to_be_visible()
    assert accessibility_findings(page) == []


def test_the_theme_can_be_chosen_and_stays(visit: Visits, site: str) -> None:
    page = visit.open(site, dark=True)
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(paper)
    button = page.get_by_role("button", name="Dark theme")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    light = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == light
    expect(button).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_for_every_kind_of_vision(visit: Visits, site: str, dark: bool) -> None:
    page = visit.open(site, dark=dark)
    names = [
        *(f"task-{number}" for number in range(6)),
        "for",
        "against",
        "edge",
        "accent",
        "surface",
    ]
    read = """names => names.map((name) => {
        document.body.style.color = `var(--${name})`;
        return getComputedStyle(document.body).color;
    })"""
    colors = dict(zip(names, page.evaluate(read, names), strict=True))
    surface = colors.pop("surface")
    for name, color in colors.items():
        assert contrast(color, surface) >= 3, name
    pairs = [*combinations(names[:3], 2), ("for", "against")]
    for vision in VISIONS:
        for one, other in pairs:
            assert difference(colors[one], colors[other], vision) > 0.1, (vision, one, other)
