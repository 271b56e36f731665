"""Checks of the trio torch, torchrec and fbgemm: do their versions match, do they load, and on which device."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires, version

from pipeline.doctor.finding import Finding
from pipeline.runtime.cores import available_cores
from pipeline.runtime.trio import HOW_TO_ADD, MODULES, TORCHREC

_FBGEMM_BUILDS = ("fbgemm-gpu-cpu", "fbgemm-gpu")
_ANEW = f"delete .venv and run `make setup`; without a clone, make a new environment with gradops, then {HOW_TO_ADD}"
_TRIAL = """
import json
import torch
is_there = torch.cuda.is_available()
print(json.dumps({"cuda": torch.version.cuda, "gpu": torch.cuda.get_device_name() if is_there else None}), flush=True)
import fbgemm_gpu, torchrec
torch.ops.fbgemm.asynchronous_complete_cumsum(torch.ones(1, dtype=torch.int64))
"""


def installed_version(package: str) -> str | None:
    """A package's version, read from its metadata; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def examine_versions(installed: Callable[[str], str | None] = installed_version) -> Iterator[Finding]:
    """Compare the installed versions with those that our requirements pin.

    Args:
        installed: A package's version; None if it is not installed.
    """
    builds = {name: v for name in _FBGEMM_BUILDS if (v := installed(name))}
    if len(builds) > 1:
        found = " and ".join(f"{name} {v}" for name, v in builds.items())
        fix = f"both own the package fbgemm_gpu: uninstall both, then {HOW_TO_ADD}"
        yield Finding("fbgemm builds", False, found, fix)
    versions = {name: installed(name) for name in ("torch", "torchrec")} | {"fbgemm": next(iter(builds.values()), None)}
    for name, wanted in _trio().items():
        found_version = versions[name]
        ok = found_version is not None and found_version.split("+")[0] == wanted
        yield Finding(name, ok, found_version or "not installed", "" if ok else _fix(name, wanted))


def _trio() -> dict[str, str]:
    """The versions that are built for each other, from our own requirements; fbgemm has torchrec's number.

    Other combinations fail at import, often with an undefined symbol.
    """
    (torch,) = (found[1] for need in requires("gradops") or [] if (found := re.fullmatch(r"torch==([\w.]+)", need)))
    return {"torch": torch, "torchrec": TORCHREC, "fbgemm": TORCHREC}


def _fix(name: str, wanted: str) -> str:
    belongs = f"{name} {wanted} belongs with the others of the trio"
    if name == "torch":
        return f"{belongs}: run `pip install torch=={wanted}`"
    return f"{belongs}, to train; all else works without: {HOW_TO_ADD}"


@contextmanager
def imported_meanwhile() -> Iterator[Callable[[], list[Finding]]]:
    """Import the trio while the block runs; the block gets a function that waits for the findings.

    The import runs in its own process: it takes seconds, and a broken build may abort the interpreter instead of
    raising.
    """
    command = [sys.executable, "-W", "ignore", "-c", _TRIAL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as trial:
        try:
            yield lambda: _findings(*trial.communicate(), trial.returncode)
        finally:
            if trial.poll() is None:
                trial.kill()


def _findings(printed: str, errors: str, code: int) -> list[Finding]:
    """The findings on the import and on the device, from the output of the trial."""
    reason = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
    together = Finding("trio import", True, "torch, fbgemm_gpu and torchrec load together")
    if code:
        is_absent = any(f"No module named '{module}'" in reason for module in MODULES)
        fix = HOW_TO_ADD if is_absent else f"the builds do not belong together: {_ANEW}"
        together = Finding("trio import", False, reason, fix)
    if not printed:
        return [together, Finding("device", False, f"torch does not load: {reason}", _ANEW)]
    device = json.loads(printed)
    if device["cuda"] is None:
        return [together, Finding("device", True, f"cpu build, {available_cores()} cores")]
    gpu = device["gpu"]
    found = (
        f"cuda {device['cuda']}, {gpu}" if gpu else f"cuda {device['cuda']} build, no GPU is visible: runs use the CPU"
    )
    return [together, Finding("device", True, found)]
