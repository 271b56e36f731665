"""The versions of packages that decide what a file holds."""

from __future__ import annotations

import platform
from importlib.metadata import version

_DATA = ("polars", "polars-hash", "gradops")
_RESULTS = ("gradops", "numpy", "polars", "scikit-learn", "torch", "torchrec")


def data_versions() -> dict[str, str]:
    """Package to version, for those that decide what is in prepared data."""
    return {package: version(package) for package in _DATA}


def result_versions() -> dict[str, str]:
    """Python's version and each package's, for those that decide a result's numbers."""
    return {"python": platform.python_version(), **{package: version(package) for package in _RESULTS}}
