"""Text that may be printed, logged and saved: URLs in it lose their passwords."""

from __future__ import annotations

import re

# SQLAlchemy ends a password at the last @ before the host, whatever it holds; a text goes on after the URL's blank.
_IN_LOGIN = re.compile(r"(//[^/@:\s]*):\S*@")
_IN_QUERY = re.compile(r"([?&;](?:[\w-]*(?:password|passwd|pwd|secret|token|key))=)[^&;\s'\")]+", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """A text with every password in its URLs replaced by ``***``.

    Libraries quote URLs in the middle of their messages, where no parser of URLs finds them. More is hidden than is
    needed where an ``@`` comes late in a URL, never less.
    """
    return _IN_QUERY.sub(r"\1***", _IN_LOGIN.sub(r"\1:***@", text))
