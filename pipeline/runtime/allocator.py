"""Memory that a step of training frees stays with the process for the next step."""

from __future__ import annotations

import ctypes
import os

# Parameters of glibc's mallopt: see `man mallopt`.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_THRESHOLDS = ("trim_threshold", "mmap_threshold")  # as the environment names them
_FREE_AT_THE_TOP = 256 << 20  # bytes
_OWN_MAPPING_FROM = 32 << 20  # bytes; the largest that glibc takes


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, up to 256 MiB at the end of the heap; tensors above 32 MiB go back to the system.

    By default a tensor of some hundred kilobytes goes back when it is freed, and the system hands its pages out again
    one fault at a time: hundreds a step. No result changes.

    Returns:
        Whether it is so: not without glibc, and not where the environment sets glibc's own thresholds.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    own = any(f"MALLOC_{name.upper()}_" in os.environ or f"glibc.malloc.{name}" in tunables for name in _THRESHOLDS)
    if mallopt is None or own:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _OWN_MAPPING_FROM) and mallopt(_TRIM_THRESHOLD, _FREE_AT_THE_TOP))
