"""The site: built strictly, with every document, formula and module, and nothing from another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from selenium import webdriver

from tests.conftest import ROOT
from tests.docs.links import pages
from tests.pipeline.browser import chromium, opened

# What a tag of these loads as soon as the page is opened.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Loads(HTMLParser):
    """Collects the addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        address = dict(attributes).get(LOADED.get(tag, ""))
        if address and dict(attributes).get("rel") not in ("canonical", "next", "prev"):
            self.addresses.add(address)


def loads(page: Path) -> set[str]:
    parser = Loads()
    parser.feed(page.read_text())
    return parser.addresses


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make site` builds it."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    for page in pages(ROOT):
        place = page.relative_to(ROOT).with_suffix("")
        folder = place.parent if place.name == "README" else place
        assert (site / folder / "index.html").exists(), page


def test_every_tutorial_is_a_page(site: Path) -> None:
    for script in (ROOT / "docs" / "tutorials").glob("*.py"):
        html = (site / "docs" / "tutorials" / script.stem / "index.html").read_text()
        assert "<h1" in html
        assert "jupytext:" not in html


def test_every_module_of_gradops_is_documented(site: Path) -> None:
    for module in (ROOT / "gradops").rglob("*.py"):
        name = ".".join(part for part in module.relative_to(ROOT).with_suffix("").parts if part != "__init__")
        assert f'id="{name}"' in (site / "api" / name / "index.html").read_text()
    assert "so schedulers, clipping" in (site / "api" / "gradops.optimizer" / "index.html").read_text()


def test_formulas_and_roles_are_not_left_as_they_are_written(site: Path) -> None:
    for page in [site / "docs" / "methods" / "index.html", *(site / "api").rglob("index.html")]:
        html = page.read_text()
        assert not re.search(r":\w+:<code>|\$<code>|\.\. math|\\frac", re.sub(r"<annotation.*?</annotation>", "", html))
    assert "<math" in (site / "docs" / "methods" / "index.html").read_text()


def test_it_loads_nothing_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not [address for address in loads(page) if re.match(r"\w+:|//", address) and address != "data:,"], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", style.read_text()), style


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    yield from chromium(tmp_path_factory.mktemp("browser"))


@pytest.mark.parametrize("page", ["index.html", "docs/methods/index.html", "api/gradops.optimizer/index.html"])
def test_a_browser_asks_no_other_host(site: Path, browser: webdriver.Chrome, page: str) -> None:
    shown = opened(browser, site / page)
    assert {address.partition(":")[0] for address in shown.requests} <= {"file", "data", "blob"}
    assert shown.says("document.querySelector('h1').innerText")
