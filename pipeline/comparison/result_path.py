"""Where the results of a comparison or a search lie."""

from __future__ import annotations

from pathlib import Path


def result_path(folder: Path, name: str, fingerprint: str) -> Path:
    """A result file by the config's name, for people, and a part of the fingerprint.

    Results of before have the whole fingerprint for a name; they are read as ever.

    Args:
        folder: Folder of comparisons or of studies.
        name: The config's name.
        fingerprint: The comparison's or study's fingerprint.
    """
    return folder / f"{name}-{fingerprint[:8]}.json"
