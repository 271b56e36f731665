"""How much memory and disk this machine has left."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")


def available_memory(device: str = "cpu") -> int | None:
    """Bytes that new processes can take of a device's memory.

    Of the CPU's, without swapping: what the system says, or what a container's limit leaves. None where nobody says:
    outside Linux there is no ``/proc/meminfo``, and a device may not be there.
    """
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0] if torch.cuda.is_available() else None
    free = [_of_the_system(), *_of_the_containers()]
    return min((size for size in free if size is not None), default=None)


def free_disk(folder: Path) -> int:
    """Bytes left on the disk of a folder, which need not be there yet."""
    whole = folder.absolute()
    return shutil.disk_usage(next(p for p in (whole, *whole.parents) if p.exists())).free


def _of_the_system() -> int | None:
    text = _text(Path("/proc/meminfo"))
    return next((1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("MemAvailable:")), None)


def _of_the_containers() -> list[int]:
    """What each control group (version 2) above this process leaves of its limit."""
    mine = next((line[3:] for line in _text(Path("/proc/self/cgroup")).splitlines() if line.startswith("0::")), "/")
    group = _CGROUP / mine.strip("/")
    return [left for folder in (group, *group.parents) if (left := _left(folder)) is not None]


def _left(group: Path) -> int | None:
    limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    if not limit.isdigit() or not used.isdigit():  # "max", or no such file
        return None
    # Files that were read once count as used and are given back when memory is wanted.
    lines = _text(group / "memory.stat").splitlines()
    cached = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    return max(int(limit) - int(used) + cached, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
