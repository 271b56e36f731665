"""Code in documents."""

from __future__ import annotations

import re


def blocks(language: str, text: str) -> list[str]:
    """The code blocks of a language in a Markdown text."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)
