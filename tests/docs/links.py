"""Links of the documents that lead nowhere: `python -m tests.docs.links` names them and exits with 1.

Files, folders and anchors inside the repository are looked at, as GitHub shows them; other hosts are not asked.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
OUTSIDE = ("README.md", "CONTRIBUTING.md", "DECISIONS.md", "CHANGELOG.md", "benchmarks/RESULTS.md")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", flags=re.IGNORECASE)


def main() -> int:
    """Print every dead link; the exit code."""
    found = [problem for page in pages(ROOT) for problem in dead_links(page)]
    sys.stdout.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


def pages(root: Path) -> list[Path]:
    """Every document of the project."""
    return [*(root / name for name in OUTSIDE), *sorted((root / "docs").rglob("*.md"))]


def dead_links(page: Path) -> list[str]:
    """What is wrong with a page's links, one line each."""
    return [problem for link in links(page) if (problem := _problem(page, link))]


def links(page: Path) -> list[str]:
    """Where the links and pictures of a page lead, as written."""
    targets = [token.attrGet("href") or token.attrGet("src") for token in _tokens(page)]
    return [unquote(str(target)) for target in targets if target]


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives a page's headings."""
    tokens, seen, found = MarkdownIt().enable("table").parse(page.read_text()), Counter[str](), set()
    for opening, text in pairwise(tokens):
        if opening.type == "heading_open":
            words = "".join(part.content for part in text.children or () if part.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(found)


def _problem(page: Path, link: str) -> str | None:
    if _ELSEWHERE.match(link):
        return None
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return f"{page}: `{link}` leads to no file"
    if anchor and anchor not in (anchors(target) if target.suffix == ".md" else ()):
        return f"{page}: `{link}` leads to no heading"
    return None


def _tokens(page: Path) -> Iterator[Token]:
    for block in MarkdownIt().enable("table").parse(page.read_text()):
        yield from block.children or ()


if __name__ == "__main__":
    sys.exit(main())
