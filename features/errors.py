"""The error that a command turns into exit code 2."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave is wrong. The message lists every problem found, the rule and the fix.

    Commands turn it into exit code 2, which is why it is a type of its own.
    """

    @classmethod
    def of(cls, subject: str, problems: list[str]) -> InputError:
        """One error for all the problems of one subject."""
        return cls("\n".join([f"{subject}: {len(problems)} problem(s)", *(f"  - {p}" for p in problems)]))
