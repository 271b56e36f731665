"""The memory and the disk space left on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch


def available_memory(device: str = "cpu", root: Path = Path("/")) -> int | None:
    """Bytes of a device's memory that new processes can take.

    A CPU's memory is the minimum of the system's memory left without swapping and of that left by containers' limits.

    Args:
        device: The device.
        root: Folder under which ``/proc`` and ``/sys`` are read.

    Returns:
        The bytes; None if unknown: outside Linux there is no ``/proc/meminfo``, and a GPU may be missing.
    """
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0] if torch.cuda.is_available() else None
    free = [_of_the_system(root), *_of_the_containers(root)]
    return min((size for size in free if size is not None), default=None)


def free_disk(folder: Path) -> int:
    """Bytes left on the disk of a folder, which need not exist yet."""
    whole = folder.absolute()
    return shutil.disk_usage(next(p for p in (whole, *whole.parents) if p.exists())).free


def _of_the_system(root: Path) -> int | None:
    text = _text(root / "proc/meminfo")
    return next((1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("MemAvailable:")), None)


def _of_the_containers(root: Path) -> list[int]:
    """Bytes that each control group (version 2) above this process leaves of its limit."""
    mine = next((line[3:] for line in _text(root / "proc/self/cgroup").splitlines() if line.startswith("0::")), "/")
    top = root / "sys/fs/cgroup"
    group = top / mine.strip("/")
    return [left for folder in (group, *group.parents) if (left := _left(folder)) is not None]


def _left(group: Path) -> int | None:
    limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    if not limit.isdigit() or not used.isdigit():  # "max", or no such file
        return None
    # The cache of files counts as used, but is freed when memory is needed.
    lines = _text(group / "memory.stat").splitlines()
    cached = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    return max(int(limit) - int(used) + cached, 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
