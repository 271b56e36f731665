"""Every link of a document leads somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.links import OUTSIDE, anchors, dead_links, links, pages

PAGES = pages(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_every_page_of_the_documents_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            targets = [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
            waiting += [target for target in targets if target.suffix == ".md"]
    assert set(PAGES) <= reached


@pytest.mark.parametrize("link", ["gone.md", "#gone", "page.md#gone", "../gone", "picture.png"])
def test_a_dead_link_is_found(tmp_path: Path, link: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        f"# There\n\nA [link]({link}) in a sentence, `[code](nowhere.md)` and [elsewhere](https://gradops.invalid).\n"
    )
    (problem,) = dead_links(page)
    assert f"`{link}`" in problem


def test_anchors_are_those_that_github_makes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Δm%\n\n## Exit codes, and `what_is` printed\n\n## Twice\n\n## Twice\n\n```\n# not this\n```\n")
    assert anchors(page) == {"δm", "exit-codes-and-what_is-printed", "twice", "twice-1"}


def test_pages_outside_of_docs_are_looked_at() -> None:
    assert {page.relative_to(ROOT).as_posix() for page in PAGES} >= set(OUTSIDE)
