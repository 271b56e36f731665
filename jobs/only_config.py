"""The config of a command that names none: the folder's only gradops TOML."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import typer

from features.errors import InputError


def only_config() -> Path:
    """The one TOML file of the working folder that is a gradops config, named on standard error.

    Raises:
        InputError: If there is none, or several; it lists them.
    """
    if "_GRADOPS_COMPLETE" in os.environ:
        return Path()  # a shell asks which words may follow, and runs no command
    found = [path for path in sorted(Path().glob("*.toml")) if _is_config(path)]
    if len(found) == 1:
        typer.echo(f"config: {found[0]}", err=True)
        return found[0]
    if not found:
        raise InputError(
            f"no config is named, and {Path.cwd()} has none; give its path, or write one with `gradops init DATA`"
        )
    raise InputError(
        f"no config is named, and {Path.cwd()} has several: {', '.join(map(str, found))}; give one of them"
    )


def only_champion() -> str:
    """The model URI of the champion of the only config.

    Raises:
        InputError: If there is no config, or several, or it is none.
    """
    if "_GRADOPS_COMPLETE" in os.environ:
        return ""
    from pipeline.config.toml import read_config

    return f"models:/{read_config(only_config()).name}@champion"


def _is_config(path: Path) -> bool:
    """Whether a file looks like a config: it has the sections of data and features, or extends another file.

    A file that is no TOML counts as one: the command that reads it says what is wrong in it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return True
    return isinstance(content.get("extends"), str) or {"data", "spec"} <= content.keys()
