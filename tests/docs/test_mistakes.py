"""The page of mistakes says what the commands say."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import blocks
from tests.docs.mistakes import MISTAKES
from tests.pipeline.small_shop import shop_log, write

PAGE = (ROOT / "docs" / "mistakes.md").read_text()


def test_the_page_has_twenty_mistakes_and_the_table_names_them() -> None:
    assert re.findall(r"^### (.*)$", PAGE, flags=re.MULTILINE) == [*MISTAKES]
    assert re.findall(r"^\| \[(.*?)\]\(#", PAGE, flags=re.MULTILINE) == [*MISTAKES]
    assert len(MISTAKES) == 20


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_as_the_page_has_it(mistake: str) -> None:
    write(shop_log())
    section = PAGE.partition(f"\n### {mistake}\n")[2].partition("\n### ")[0]
    assert MISTAKES[mistake]().strip() == blocks("", section)[-1].strip()
