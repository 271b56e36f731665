"""Names of features, tasks and experiments that a config may have, from names that columns and files have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection


def plain_name(text: str, otherwise: str, taken: Collection[str] = ()) -> str:
    """A name of letters, digits and _ that begins with a letter.

    Args:
        text: Any text. Accents are dropped; letters that are not Latin cannot be kept.
        otherwise: The name if nothing of the text can be kept.
        taken: Names that are in use: a number is put behind the new one.
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    # Half of a name says less than none: it would be that of another column.
    is_kept = len(ascii_text) >= len(text) - sum(map(_is_accent, unicodedata.normalize("NFKD", text)))
    name = re.sub(r"\W+", "_", ascii_text).strip("_") if is_kept else ""
    if not name:
        name = otherwise
    elif not name[0].isalpha():
        name = f"{otherwise}_{name}"
    unused = name
    number = 2
    while unused in taken:
        unused, number = f"{name}_{number}", number + 1
    return unused


def _is_accent(character: str) -> bool:
    return unicodedata.combining(character) > 0
