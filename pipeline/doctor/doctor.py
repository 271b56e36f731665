"""What could stop a run on this machine, and the fix for each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.doctor.finding import Finding
from pipeline.doctor.stores import examine_stores
from pipeline.tracking.pending import Outbox

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig

_FBGEMM_BUILDS = ("fbgemm-gpu-cpu", "fbgemm-gpu")
_LEAST_FREE_GIB = 2.0
_PORT = 5000  # MLflow's, unless it is told another


def examine(folder: Path, configs: Sequence[RunConfig] = ()) -> Iterator[Finding]:
    """Look at the installed trio, the device, the stores, what waits to be sent, a port and the disk; write nothing.

    Args:
        folder: Where runs and prepared data will be written.
        configs: Whose folders of runs and studies are looked at; without any, the folders `runs` in the folder and in
            those below it.
    """
    yield _python()
    yield from _versions()
    yield _imports()
    yield _device()
    yield from examine_stores(configs)
    yield _unsent(folder, [config.runs for config in configs])
    yield _port()
    yield _disk(folder)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "python", sys.version_info >= (3, 11), found, "" if sys.version_info >= (3, 11) else "use Python 3.11 or newer"
    )


def _versions() -> Iterator[Finding]:
    builds = {name: v for name in _FBGEMM_BUILDS if (v := _version(name))}
    if len(builds) > 1:
        found = " and ".join(f"{name} {v}" for name, v in builds.items())
        fix = "both own the package fbgemm_gpu: uninstall both, then `make setup` (or `make setup VARIANT=cuda`)"
        yield Finding("fbgemm builds", False, found, fix)
    installed = {
        "torch": _version("torch"),
        "torchrec": _version("torchrec"),
        "fbgemm": next(iter(builds.values()), None),
    }
    for name, wanted in _trio().items():
        found_version = installed[name]
        ok = found_version is not None and found_version.split("+")[0] == wanted
        fix = "" if ok else f"{name} {wanted} belongs with the others of the trio: run `make setup`"
        yield Finding(name, ok, found_version or "not installed", fix)


def _trio() -> dict[str, str]:
    """The versions that are built together, from our own requirements; fbgemm has torchrec's number.

    Another combination imports with an undefined symbol, or not at all.
    """
    pinned = dict(r.split("==") for r in requires("gradops") or [] if r.startswith(("torch==", "torchrec==")))
    return {**pinned, "fbgemm": pinned["torchrec"]}


def _imports() -> Finding:
    # In a process of its own: a broken build may abort the interpreter instead of raising.
    code = "import torch, fbgemm_gpu, torchrec\n"
    code += "torch.ops.fbgemm.asynchronous_complete_cumsum(torch.ones(1, dtype=torch.int64))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Finding("trio import", True, "torch, fbgemm_gpu and torchrec load together")
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding("trio import", False, reason, "the builds do not belong together: delete .venv and run `make setup`")


def _device() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("device", False, f"torch does not load: {error}", "delete .venv and run `make setup`")
    if torch.version.cuda is None:
        return Finding("device", True, f"cpu build, {os.cpu_count()} cores")
    if torch.cuda.is_available():
        return Finding("device", True, f"cuda {torch.version.cuda}, {torch.cuda.get_device_name()}")
    return Finding("device", True, f"cuda {torch.version.cuda} build, but no GPU is visible: runs use the CPU")


def _unsent(folder: Path, runs: Sequence[Path]) -> Finding:
    found = runs or [path for pattern in ("runs", "*/runs") for path in sorted(folder.glob(pattern))]
    waiting = {outbox.folder: len(outbox.waiting()) for outbox in map(Outbox, found)}
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


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / 2**30
    ok = free >= _LEAST_FREE_GIB
    return Finding(
        "free disk", ok, f"{free:.1f} GiB", "" if ok else f"free at least {_LEAST_FREE_GIB:g} GiB in {folder}"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
