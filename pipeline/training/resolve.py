"""A config's file as every command reads it: its text, and the methods and the architecture that it names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.run import RunConfig
from pipeline.config.toml import read_config


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config and resolve the names in it.

    Args:
        path: The TOML file.
        overrides: ``section.key=value`` with a TOML value, as given to ``--set``.

    Raises:
        InputError: As :func:`pipeline.config.toml.read_config`.
    """
    return read_config(path, overrides)
