"""Finds and removes what nothing needs any more: runs, prepared data, checkpoints, drafts and files of models.

Everything is read before anything is removed: if the registry or a study cannot be read, nothing is. An entry goes if
it is older than an age and no alias, unfinished study, unsent run, day in progress or younger run needs it. Results of
comparisons, journals of studies and records of days are small, and stay.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from features.errors import InputError
from pipeline.cleaning.data import judge_data
from pipeline.cleaning.entry import UNNEEDED, Entry, last_change, measured
from pipeline.cleaning.needs import Needs
from pipeline.cleaning.runs import judge_checkpoints, judge_runs
from pipeline.config.run import RunConfig
from pipeline.registry.retention import files_of_versions, is_aliased, remove_files
from pipeline.tracking.connection import is_away


@dataclass(frozen=True)
class Cleaning:
    """The entries that cleaning has judged.

    Args:
        entries: All of them, each with the reason why it goes or stays.
    """

    entries: Sequence[Entry]

    @property
    def going(self) -> list[Entry]:
        """The entries that are removed."""
        return [entry for entry in self.entries if entry.goes]

    def carry_out(self) -> None:
        """Remove the entries that go.

        Raises:
            InputError: If one cannot be removed; those before it are gone.
        """
        for entry in self.going:
            try:
                entry.remove()
            except OSError as error:
                if is_away(error):  # errors of HTTP are OSErrors, too
                    raise
                fix = "see who owns it and its folder; the entries after it stay until the next time"
                raise InputError(f"{entry.name} cannot be removed ({error.strerror or error}); {fix}") from error


def clean(config: RunConfig, keep: timedelta, *, dry_run: bool = False, now: float | None = None) -> Cleaning:
    """Remove everything of a config that is older than an age and that nothing needs.

    The caller holds the config's lock. While another command prepares data in the same folder or trains in the same
    folder of runs, prepared data stays. Runs of other configs always stay.

    Args:
        config: The config; its name, its folder of runs and its folder of prepared data are cleaned.
        keep: The age.
        dry_run: Whether to judge and remove nothing.
        now: The time that ages are counted to, in seconds since 1970; by default the present.

    Raises:
        InputError: If a study or a manifest cannot be read, or the registry is another one than the days were recorded
            in: then nothing is removed. Also if something cannot be removed.
        MlflowException: If the registry cannot be reached. Nothing is removed then.
    """
    with ExitStack() as stack:
        needs, before = Needs.of(config), (now or time.time()) - keep.total_seconds()
        preparing = _locked(config.data.prepared, stack)
        cleaning = Cleaning(measured(_judged(config, needs, before, preparing)))
        if not dry_run:
            cleaning.carry_out()
    return cleaning


def _judged(config: RunConfig, needs: Needs, before: float, preparing: str) -> Iterator[Entry]:
    runs = list(judge_runs(config, needs, before))
    yield from runs
    yield from judge_checkpoints(config, needs, before)
    yield from judge_data(config, needs, before, [Path(run.name) for run in runs if not run.goes], preparing)
    yield from _drafts(config, before, preparing)
    yield from _versions(config, needs, before)


def _locked(prepared: Path, stack: ExitStack) -> str:
    """Lock a folder of prepared data; the reason why its data stays, if another command has locked it."""
    if prepared.is_dir():
        try:
            stack.enter_context(FileLock(prepared / ".lock", timeout=0))
        except Timeout:
            return "another command prepares data there"
    return ""


def _drafts(config: RunConfig, before: float, preparing: str) -> Iterator[Entry]:
    """Leftovers of killed processes."""
    for folder, stays in ((config.runs, ""), (config.data.prepared, preparing)):
        for draft in sorted([*folder.glob(".*.draft"), *folder.glob("*/.*.draft"), *folder.glob("daily/*/.*.draft")]):
            new = "newer" if last_change(draft) > before else ""
            yield Entry.at("draft", draft, stays=stays or new, goes="left by a killed process")


def _versions(config: RunConfig, needs: Needs, before: float) -> Iterator[Entry]:
    """The files of the registered model's versions."""
    for files in files_of_versions(config.name):
        stays = "newer" if files.created > before else ""
        if is_aliased(files, needs.aliased):
            stays = "an alias points at it"
        name = f"{files.model} version {files.number}"
        yield Entry("model files", name, not stays, stays or UNNEEDED, partial(remove_files, files), files.size)
