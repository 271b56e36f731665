"""The error of a tracking server that is away."""

from __future__ import annotations


class AwayError(Exception):
    """The tracking server is away, and what was asked for cannot be done without it. What was trained is kept.

    Commands turn it into a message and exit code 1.
    """
