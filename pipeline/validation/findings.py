"""The findings of one look at the raw files: all problems, and those that remain without the newest day."""

from __future__ import annotations

from dataclasses import dataclass

from features.errors import InputError


@dataclass(frozen=True)
class Findings:
    """Problems of raw files; each text has the rule, the files that break it, and the fix.

    Args:
        problems: All problems of all files.
        without_newest: The problems that remain without the files of the newest day; all problems if no day was named
            as the newest.
    """

    problems: tuple[str, ...] = ()
    without_newest: tuple[str, ...] = ()

    @property
    def is_newest_at_fault(self) -> bool:
        """Whether the newest day alone breaks the contract: there are problems, and none without its files."""
        return bool(self.problems) and not self.without_newest

    @property
    def message(self) -> str:
        """All problems as one text, as an error shows them."""
        return str(self._error())

    def check(self) -> None:
        """Raise an error if there are problems.

        Raises:
            InputError: If there are problems; it lists all of them.
        """
        if self.problems:
            raise self._error()

    def _error(self) -> InputError:
        return InputError.of("raw data does not fit the config", list(self.problems))
