"""Every method, its options and their ranges: `gradops methods`; `docs/methods.md` is its output."""

from __future__ import annotations

import sys

from rich.markdown import Markdown

from jobs.console import AsJson, out, show


def main(as_json: AsJson = False) -> None:
    """Describe each method as Markdown: its effect on the gradients, its cost and its options."""
    from gradops.catalogue import methods_page, search_space
    from gradops.methods import METHODS

    if as_json or out.is_terminal:
        show(Markdown(methods_page()), {name: search_space(kind()) for name, kind in METHODS.items()}, as_json)
    else:
        sys.stdout.write(methods_page())
