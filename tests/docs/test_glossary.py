"""Words that a first-time reader may not know are explained, and linked from the pages that use them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.links import anchors, links

GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page != GLOSSARY)]
# How a word is written, and the heading that explains it.
WORDS = {
    "Δm%": "δm",
    "Mean Rank": "mean-rank",
    "GAUC": "gauc",
    "[Cc]otangents?": "cotangent",
    "Gram matri(x|ces)": "gram-matrix",
    "bottom": "bottom",
    "towers?": "tower",
    "gate": "gate",
    "champion": "champion",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_the_words_that_it_uses(page: Path) -> None:
    text, linked = _prose(page.read_text()), "\n".join(links(page))
    used = {anchor for word, anchor in WORDS.items() if re.search(rf"(?<!\w){word}(?!\w)", text)}
    assert not {anchor for anchor in used if f"glossary.md#{anchor}" not in linked}


def test_every_word_is_explained() -> None:
    assert set(WORDS.values()) <= anchors(GLOSSARY)


def test_the_words_are_in_alphabetical_order() -> None:
    words = re.findall(r"^## (.*)$", GLOSSARY.read_text(), flags=re.MULTILINE)
    assert words == sorted(words, key=lambda word: word.replace("Δ", "delta ").casefold())


def _prose(text: str) -> str:
    """A page without its code, headings and tables of numbers."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", "|")))
