"""The error of a tracking server that is away."""

from __future__ import annotations


class AwayError(Exception):
    """The error that the tracking server is away and the command cannot be finished without it. Trained runs are kept.

    Commands turn it into a message and exit code 1.
    """
