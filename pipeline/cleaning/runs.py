"""Finished runs and checkpoints: which go and which stay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.cleaning.entry import Entry, last_change, remove_whole
from pipeline.cleaning.needs import Needs, data_of, is_held
from pipeline.config.run import RunConfig
from pipeline.runs.run import CONFIG, RESULT


def fingerprinted(folder: Path) -> Iterator[Path]:
    """The folders within a folder that have a fingerprint as their name; nothing else there is ours to judge."""
    for path in sorted(folder.glob("*/")):
        if re.fullmatch("[0-9a-f]{16}", path.name) and not path.is_symlink():
            yield path


def trained_config(run: Path) -> RunConfig | None:
    """The config that a run was trained by; None if it cannot be read."""
    with suppress(OSError, ValueError):
        return RunConfig.model_validate_json((run / CONFIG).read_text())
    return None


def judge_runs(config: RunConfig, needs: Needs, before: float) -> Iterator[Entry]:
    """Judge the finished runs in a config's folder of runs.

    Args:
        config: The config.
        needs: Everything that stays.
        before: Runs that are younger stay; in seconds since 1970.
    """
    for folder in fingerprinted(config.runs):
        if (folder / RESULT).exists():
            yield Entry.at("run", folder, stays=_reason(config, folder, needs, before))


def _reason(config: RunConfig, folder: Path, needs: Needs, before: float) -> str:
    """The reason why a run stays; empty if it goes."""
    if reason := needs.runs.get(folder.name):
        return reason
    if (folder / RESULT).stat().st_mtime > before:
        return "newer"
    trained = trained_config(folder)
    if trained is None:
        return "its config cannot be read"
    if trained.name != config.name:
        return f"of the config `{trained.name}`"
    data = data_of(trained, folder.name, list(needs.studies))
    return needs.studies[data] if data else ""


def judge_checkpoints(config: RunConfig, needs: Needs, before: float) -> Iterator[Entry]:
    """Judge the checkpoints of unfinished runs, of whatever config: they do not tell its name.

    Args:
        config: The config.
        needs: Everything that stays.
        before: Checkpoints that are younger stay; in seconds since 1970.
    """
    for folder in fingerprinted(config.runs / "checkpoints"):
        lock = folder.with_suffix(".lock")
        stays = "newer" if last_change(folder) > before else needs.studies.get(_data(folder), "")
        if lock.exists() and is_held(lock):
            stays = "the run is in progress"
        entry = Entry.at("checkpoints", folder, stays=stays)
        yield replace(entry, remove=partial(_remove_checkpoints, folder, lock))


def _data(checkpoints: Path) -> str:
    """Fingerprint of the data of an unfinished run; empty if it cannot be read."""
    for state in checkpoints.glob("step-*/state.json"):
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads(state.read_text())["run"]["data"])
    return ""


def _remove_checkpoints(folder: Path, lock: Path) -> None:
    """Remove checkpoints, unless a command has taken their run up meanwhile."""
    with suppress(Timeout), FileLock(lock, timeout=0):
        remove_whole(folder)
        lock.unlink(missing_ok=True)
