"""Take the pictures of `docs/pictures`: `make pictures`.

The report pages of the result files in `docs/results` are written anew, opened in headless Chromium and photographed:
`apt-get install chromium chromium-driver`.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from pipeline.report.report import write_report
from pipeline.report.results import load_result

DOCS = Path(__file__).parent.parent / "docs"
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
# Name of the picture: result file, selector of the page's first and last element in it, width of the page in pixels.
PICTURES = {
    "report": ("census-full", "h1", "#figures tbody tr:nth-child(4)", 1366),
    "trade-off": ("census-search", ".charts > :nth-child(2)", ".charts > :nth-child(2)", 640),
}
# A chart is drawn once it is as wide as its place on the page.
_DRAWN = """
return [...document.querySelectorAll('.plotly-graph-div')].every(
    e => e.querySelector('.main-svg') && e.querySelector('.main-svg').clientWidth == e.clientWidth)
"""
_AREA = """
const [first, last] = [...arguments].map(s => document.querySelector(s).getBoundingClientRect());
return {x: 0, y: first.top + scrollY - 8, width: innerWidth, height: last.bottom - first.top + 16, scale: 1}
"""


def main() -> None:
    """Take every picture."""
    (DOCS / "pictures").mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, _browser(Path(folder)) as driver:
        for name, (result, first, last, width) in PICTURES.items():
            page, target = Path(folder) / f"{name}.html", DOCS / "pictures" / f"{name}.png"
            write_report(load_result(DOCS / "results" / f"{result}.json"), page)
            target.write_bytes(_photograph(driver, page, first, last, width))
            print(f"{target.relative_to(DOCS.parent)}  {target.stat().st_size / 1024:.0f} KiB")


def _photograph(driver: webdriver.Chrome, page: Path, first: str, last: str, width: int) -> bytes:
    """The page from one element to another, as PNG."""
    size = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(page.as_uri())
    WebDriverWait(driver, 60).until(lambda _: driver.execute_script(_DRAWN))
    area: dict[str, Any] = driver.execute_script(_AREA, first, last)
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": area, "captureBeyondViewport": True})
    return base64.b64decode(shot["data"])


@contextmanager
def _browser(folder: Path) -> Iterator[webdriver.Chrome]:
    """A headless Chromium that keeps its profile in a folder."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        raise SystemExit("no Chromium with its chromedriver on PATH: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={folder}/profile"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options, Service(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
