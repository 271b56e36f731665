"""Docstrings are reStructuredText where they have roles and formulas; the API pages are Markdown."""

from __future__ import annotations

from typing import Any

from griffe import Extension, Object

from gradops.catalogue import to_markdown


class Restructured(Extension):
    """Turns every docstring into Markdown before it is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            # Only under the plural does the parser know the lines after >>> as code.
            obj.docstring.value = to_markdown(obj.docstring.value).replace("\nExample:\n", "\nExamples:\n")
