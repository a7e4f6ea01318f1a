"""The report as a browser sees it: nothing runs, nothing is fetched, nothing overflows."""

import os
from pathlib import Path

import pytest

from raypipe.report import write_report
from raypipe.report.escape import visible
from tests.report.browser import CHROMIUM, Browser
from tests.report.panels.ablations import write_ablation
from tests.report.synthetic import HOSTILE, make_run, write_rules
from tests.report.synthetic_training import write_training

ANCHORS = [
    "summary", "ablation", "score", "baselines", "heads", "selection", "rules", "documents", "rows", "training", "how",
]  # fmt: skip
OPEN_ALL = "document.querySelectorAll('details').forEach(part => part.open = true)"
# Everything visible that sticks out of the window, unless an ancestor scrolls or clips it.
STICKS_OUT = """[...document.querySelectorAll('main *')].filter(part =>
    part.getBoundingClientRect().right > innerWidth + 1 && !part.closest('.scroll, .excerpt, .snippet, svg'))
    .map(part => part.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        message = "Chromium isn't installed (Debian: apt-get install chromium)."
        pytest.fail(message) if os.environ.get("RAYPIPE_REQUIRE_CHROMIUM") == "1" else pytest.skip(message)
    made = make_run(tmp_path_factory.mktemp("browser") / "run")
    write_rules(made.folder, hostile=f" or domain = '{HOSTILE[0]}'")
    write_training(made.folder)
    write_ablation(made.folder)
    write_report(made.folder, read_text=made.read_text)
    with Browser() as browser:
        browser.resize(1280)
        browser.open(Path(made.folder.path("report.html")))
        browser.evaluate(OPEN_ALL)
        yield browser


def test_every_section_is_there_and_seen(browser):
    heights = browser.evaluate(
        "[...document.querySelectorAll('section')].map(part => [part.id, part.getBoundingClientRect().height])"
    )
    assert [anchor for anchor, _ in heights] == ANCHORS
    assert min(height for _, height in heights) > 100


def test_hostile_text_ran_nothing_and_made_no_element(browser):
    assert browser.evaluate("document.title") == "demo <i>&</i> · raypipe report"
    assert (
        browser.evaluate("document.querySelectorAll('script, img, iframe, object, embed, link, form, i > b').length")
        == 0
    )
    assert browser.evaluate("document.querySelectorAll('style').length") == 1
    names = browser.evaluate("[...document.querySelectorAll('*')].flatMap(part => part.getAttributeNames())")
    assert [name for name in names if name.startswith("on")] == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_can_be_read(browser, text):
    shown = browser.evaluate("[...document.querySelectorAll('article')].map(part => part.textContent).join('\\n')")
    assert visible(text, keep="\n\t") in shown


def test_nothing_is_fetched(browser):
    urls = {request["request"]["url"].split("#")[0] for request in browser.named("Network.requestWillBeSent")}
    assert len(urls) == 1
    assert urls.pop().endswith("/report.html")
    links = (
        "[...document.querySelectorAll('[src], [href]:not(use)')].map(part => part.getAttribute('href') ?? part.src)"
    )
    found = set(browser.evaluate(links))
    assert {link for link in found if link.startswith("#")} == {f"#{anchor}" for anchor in ANCHORS}
    beside = {link for link in found if not link.startswith("#")}
    assert {"./run.json", "./scores/card.json", "./heads/sample.json", "./train/card.json"} <= beside
    assert all(link.startswith("./") and ":" not in link for link in beside)
    missing = "[...document.querySelectorAll('use')].filter(part => !document.querySelector(part.getAttribute('href')))"
    assert browser.evaluate(f"{missing}.length") == 0


def test_the_console_stays_silent(browser):
    for kind in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
        assert browser.named(kind) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window(browser, width):
    browser.resize(width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(STICKS_OUT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_ground(browser, scheme):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    style = "getComputedStyle(document.{})"
    ground = browser.evaluate(style.format("body") + ".backgroundColor")
    for part in ("body", "querySelector('small')", "querySelector('nav a')", "querySelector('.sign')"):
        assert contrast(browser.evaluate(style.format(part) + ".color"), ground) >= 4.5  # WCAG 2.2, level AA


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two `rgb(r, g, b)` colours."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
