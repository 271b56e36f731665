"""Checks for everything that could stop a run on this machine, with a fix for each problem."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.doctor.finding import Finding
from pipeline.doctor.local_store import examine_new_store
from pipeline.doctor.trio import examine_versions, imported_meanwhile

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig

_PORT = 5000  # MLflow's default port


def examine(folder: Path, configs: Sequence[RunConfig] = ()) -> Iterator[Finding]:
    """Check the installed trio, the stores, unsent runs, a port, the disk and the device; nothing is written.

    Each finding is yielded as soon as it is known. Meanwhile torch is imported in its own process; MLflow is imported
    only if there is a store to ask.

    Args:
        folder: The folder for runs and prepared data.
        configs: Configs whose folders of runs and studies are checked; without any, the folders `runs` in the folder
            and one level below it.
    """
    with imported_meanwhile() as imports:
        yield _python()
        yield from examine_versions()
        yield from examine_stores(configs)
        yield examine_unsent(folder, [config.runs for config in configs])
        yield _port()
        yield examine_disk(folder)
        yield from imports()


def _python() -> Finding:
    found, ok = ".".join(map(str, sys.version_info[:3])), sys.version_info >= (3, 11)
    return Finding("python", ok, found, "" if ok else "use Python 3.11 or newer")


def examine_stores(configs: Sequence[RunConfig]) -> Iterator[Finding]:
    """Check the tracking store, its registry and artifacts, and the databases of searches.

    Args:
        configs: The configs whose experiments and searches are meant.
    """
    new = examine_new_store()
    yield from new
    urls = [config.search.storage for config in configs if config.search.storage]
    if urls or not new:
        from pipeline.doctor.stores import examine_studies, examine_tracking  # they import MLflow and SQLAlchemy

        yield from () if new else examine_tracking([config.name for config in configs])
        yield from examine_studies(urls)
    if configs:
        from pipeline.doctor.studies import examine_journals  # imports Optuna

        yield from examine_journals(configs)


def examine_unsent(folder: Path, runs: Sequence[Path]) -> Finding:
    """Count the finished runs that MLflow does not have yet.

    Args:
        folder: The folder that is searched for folders of runs.
        runs: The folders of runs, if they are known.
    """
    found = runs or [path for pattern in ("runs", "*/runs") for path in sorted(folder.glob(pattern))]
    if not found:
        return Finding("unsent runs", True, "none")
    from pipeline.tracking.pending import PendingRuns

    waiting = {pending.folder: len(pending.waiting()) for pending in map(PendingRuns, found)}
    places = [f"{number} in {place}" for place, number in waiting.items() if number]
    if not places:
        return Finding("unsent runs", True, "none")
    fix = "any command that trains or compares there sends them, once the tracking store is reached"
    return Finding("unsent runs", False, f"finished, not recorded in MLflow: {', '.join(places)}", fix)


def _port() -> Finding:
    with socket.socket() as port:
        is_free = port.connect_ex(("127.0.0.1", _PORT)) != 0
    found = "free" if is_free else "in use; `mlflow ui`, `server` and `models serve` take another one by --port"
    return Finding(f"port {_PORT}", True, found)


def examine_disk(folder: Path, least: float = 2.0) -> Finding:
    """Compare the free disk space with the least that runs need.

    Args:
        folder: The folder for runs.
        least: GiB that should be free.
    """
    free = shutil.disk_usage(folder).free / 2**30
    ok = free >= least
    return Finding("free disk", ok, f"{free:.1f} GiB", "" if ok else f"make room in {folder}: at least {least:g} GiB")
