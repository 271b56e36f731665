"""The findings of one look at the raw files: every problem, and which of them the newest day alone has brought."""

from __future__ import annotations

from dataclasses import dataclass

from features.errors import InputError


@dataclass(frozen=True)
class Findings:
    """Problems of raw files, each in words for a person: the rule, the files that break it, and the fix.

    Args:
        problems: All problems of all files.
        without_newest: The problems that the files of the newest day taken away would leave; all of them where no day
            was named as the newest.
    """

    problems: tuple[str, ...] = ()
    without_newest: tuple[str, ...] = ()

    @property
    def is_newest_at_fault(self) -> bool:
        """Whether the newest day breaks the contract: the files do so together, and without its files they do not."""
        return bool(self.problems) and not self.without_newest

    @property
    def message(self) -> str:
        """All problems as one text, as an error shows them."""
        return str(self._error())

    def check(self) -> None:
        """Let files without a problem pass.

        Raises:
            InputError: With all problems.
        """
        if self.problems:
            raise self._error()

    def _error(self) -> InputError:
        return InputError.of("raw data does not fit the config", list(self.problems))
