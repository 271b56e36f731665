"""Versions of the packages that decide the content of prepared data and of results."""

from __future__ import annotations

import platform
from importlib.metadata import version

_DATA = ("polars", "polars-hash", "gradops")
_RESULTS = ("gradops", "lightgbm", "numpy", "polars", "torch", "torchrec")


def data_versions() -> dict[str, str]:
    """Package to version, for the packages that decide the content of prepared data."""
    return {package: version(package) for package in _DATA}


def result_versions() -> dict[str, str]:
    """Python's version, and package to version for the packages that decide a result's numbers."""
    return {"python": platform.python_version(), **{package: version(package) for package in _RESULTS}}
