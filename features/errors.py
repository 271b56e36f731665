"""The error that a command turns into exit code 2."""

from __future__ import annotations


class InputError(ValueError):
    """Wrong input from the user. The message lists every problem found, with the rule and the fix.

    It is a type of its own because commands turn it into exit code 2.
    """

    @classmethod
    def of(cls, subject: str, problems: list[str]) -> InputError:
        """An error that lists all problems of one subject."""
        return cls("\n".join([f"{subject}: {len(problems)} problem(s)", *(f"  - {p}" for p in problems)]))
