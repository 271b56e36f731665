"""Memory that a step of training frees stays with the process for the next step."""

from __future__ import annotations

import ctypes
import os

# Parameters of glibc's mallopt: see `man mallopt`.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_FREE_AT_THE_TOP = 256 << 20  # bytes
_OWN_MAPPING_FROM = 32 << 20  # bytes; the largest that glibc takes


def keep_freed_memory() -> bool:
    """Let glibc keep up to 256 MiB that were freed; larger tensors than 32 MiB still go back to the system at once.

    By default a tensor of some hundred kilobytes goes back when it is freed, and the system hands its pages out again
    one fault at a time: hundreds a step. No result changes.

    Returns:
        Whether it is so: not without glibc, and not where the environment sets glibc's own thresholds.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _OWN_MAPPING_FROM) and mallopt(_TRIM_THRESHOLD, _FREE_AT_THE_TOP))
