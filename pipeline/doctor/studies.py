"""Checks of the journals of searches. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.doctor.finding import Finding
from pipeline.search.journal import REMEDY, damage, journal_of

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig


def examine_journals(configs: Sequence[RunConfig]) -> Iterator[Finding]:
    """Look for damaged lines in the journals of configs that have one."""
    journals = dict.fromkeys(journal_of(config) for config in configs if not config.search.storage)
    for journal in filter(lambda path: path.exists(), journals):
        problem = damage(journal)
        yield Finding("study", not problem, problem or f"{journal} is whole", REMEDY if problem else "")
