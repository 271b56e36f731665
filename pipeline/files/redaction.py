"""Redaction: removes the passwords of URLs in a text, so that it may be printed, logged and saved."""

from __future__ import annotations

import re

# SQLAlchemy ends a password at the last @ before the host, whatever characters it has; a blank ends the URL.
_IN_LOGIN = re.compile(r"(//[^/@:\s]*):\S*@")
_NAMES = "password|passwd|pwd|secret|token|key|sig|signature"
_IN_QUERY = re.compile(rf"([?&;](?:[\w-]*(?:{_NAMES}))=)[^&;\s'\")]+", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """A text with every password in its URLs replaced by ``***``.

    Libraries quote URLs in the middle of their messages, where no parser of URLs finds them. An ``@`` late in a URL
    makes this hide more than the password, never less.
    """
    return _IN_QUERY.sub(r"\1***", _IN_LOGIN.sub(r"\1:***@", text))
