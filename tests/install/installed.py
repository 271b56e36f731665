"""The project's wheel, and an environment that has it and its requirements, but no torchrec and no fbgemm."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import ROOT


def build_wheel(folder: Path) -> Path:
    """Build the wheel by the backend that is installed, without a network."""
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment_with(wheel: Path, folder: Path) -> Path:
    """Make an environment of a wheel beside the packages that are installed here, without torchrec and fbgemm.

    Returns:
        The environment's folder of commands.
    """
    commands = linked_environment(folder, without=("torchrec", "fbgemm"))
    install = ("install", "--no-deps", "--no-index", "--quiet", wheel)
    subprocess.run([commands / "python", "-m", "pip", *install], check=True)
    return commands


def linked_environment(folder: Path, without: Sequence[str] = ()) -> Path:
    """Make an environment of links to the packages that are installed here, since a download of torch takes minutes.

    Args:
        folder: The environment's folder.
        without: How the names of packages begin that are left out, beside the project itself.

    Returns:
        The environment's folder of commands.
    """
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.suffix != ".pth" and not entry.name.startswith((*without, "gradops", "_editable")):
            (packages / entry.name).symlink_to(entry)
    commands = folder / "bin"
    pip = commands / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{commands}/python" -m pip "$@"\n')
    pip.chmod(0o755)
    return commands


def typed(commands: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command of an environment, outside of the repository."""
    return subprocess.run(
        [commands / words[0], *words[1:]], env=own_variables(), capture_output=True, text=True, check=False
    )


def own_variables() -> dict[str, str]:
    """The variables of this process, without those that show a Python to the project's files."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
