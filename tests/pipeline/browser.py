"""A real headless browser, as wide as a phone or a small laptop, that opens reports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()
PHONE, LAPTOP = 390, 1366


@dataclass(frozen=True)
class Page:
    """An opened report.

    Args:
        driver: The browser.
        errors: What it wrote to its console.
        requests: Addresses that it asked for.
    """

    driver: webdriver.Chrome
    errors: list[dict[str, Any]]
    requests: set[str]

    def says(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")

    def points(self, chart: str) -> int:
        """Points that are drawn and visible in a chart."""
        return int(self.says(f"document.querySelectorAll('#{chart} .scatterlayer .points path').length"))


def chromium(folder: Path) -> Iterator[webdriver.Chrome]:
    """A browser that ends with the iterator; the test is skipped where there is none.

    Args:
        folder: Where it keeps what it remembers.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("no Chromium with its chromedriver on PATH: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(chromedriver))
    try:
        yield driver
    finally:
        driver.quit()


def opened(driver: webdriver.Chrome, page: Path, width: int = PHONE) -> Page:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get("about:blank")
    for log in ("browser", "performance"):
        driver.get_log(log)
    driver.get(page.as_uri())
    drawn = "[...document.querySelectorAll('.plotly-graph-div')].every(e => e.querySelector('.main-svg'))"
    WebDriverWait(driver, 60).until(lambda _: driver.execute_script(f"return {drawn}"))
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    requests = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    return Page(driver, driver.get_log("browser"), requests)


def assert_is_whole(page: Page) -> None:
    assert not page.errors
    assert {address.partition(":")[0] for address in page.requests} <= {"file", "data", "blob"}
    assert page.says("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the screen"
    assert page.says("[...document.querySelectorAll('.main-svg')].every(e => e.clientWidth <= innerWidth)")
