"""The report of a real comparison as a reader sees it: phone and desktop, light and dark, and on paper."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from selenium import webdriver

from pipeline.comparison.summary import summary
from pipeline.report.report import write_report
from pipeline.report.results import load_result
from tests.conftest import ROOT
from tests.pipeline.browser import LAPTOP, PHONE, Page, assert_is_whole, chromium, opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    yield from chromium(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the comparison of all methods on Census-income."""
    target = tmp_path_factory.mktemp("report") / "page.html"
    write_report(load_result(ROOT / "docs" / "results" / "census-paper.json"), target)
    return target


def emulate(browser: webdriver.Chrome, scheme: str, media: str = "screen") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def brightness(browser: webdriver.Chrome) -> float:
    """The median brightness of a screenshot, from 0 to 1."""
    pixel_HWC = image.imread(io.BytesIO(browser.get_screenshot_as_png()), format="png")
    assert pixel_HWC.std() > 0.02, "something is drawn"
    return float(np.median(pixel_HWC[..., :3]))


def top(page: Page, selector: str) -> float:
    return float(page.says(f"document.querySelector('{selector}').getBoundingClientRect().top + scrollY"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, LAPTOP])
def test_it_fits_the_screen_in_the_readers_colours(
    browser: webdriver.Chrome, report: Path, width: int, scheme: str
) -> None:
    emulate(browser, scheme)
    page = opened(browser, report, width)
    assert_is_whole(page)
    charts = "[...document.querySelectorAll('.plotly-graph-div')]"
    assert page.says(f"{charts}.every(e => e.getBoundingClientRect().right <= innerWidth)")
    assert (brightness(browser) < 0.3) == (scheme == "dark")
    text = page.says("getComputedStyle(document.body).color")
    inked = page.says(f"{charts}.map(e => getComputedStyle(e.querySelector('.ytick text')).fill)")
    assert {*inked} == {text}, "charts take the page's colours"
    browser.execute_script("document.querySelector('#pair-0').scrollIntoView()")
    assert (brightness(browser) < 0.3) == (scheme == "dark"), "so does what is behind them"


def test_it_opens_with_the_summary_and_the_picture(browser: webdriver.Chrome, report: Path) -> None:
    emulate(browser, "light")
    page = opened(browser, report, LAPTOP)
    effect, serve = summary(load_result(ROOT / "docs" / "results" / "census-paper.json").file)
    assert page.says("document.querySelector('#summary').innerText.trim()") == f"{effect} {serve}".replace("`", "")
    assert top(page, "#summary") < top(page, "#pair-0") < top(page, "#figures")
    assert top(page, "#pair-0") < 768, "the picture begins on the first screen of a laptop"


def test_it_prints(browser: webdriver.Chrome, report: Path) -> None:
    emulate(browser, "dark", "print")
    page = opened(browser, report, 794)  # A4 at 96 dots an inch
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.says("document.documentElement.scrollWidth <= innerWidth")
    assert brightness(browser) > 0.9, "paper is light"
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert len(printed["data"]) > 100_000
    emulate(browser, "light")
