"""The two kinds of sources, fetched and generated, and the sources of each kind."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from pipeline.sources import SOURCES


@dataclass(frozen=True)
class FetchedSource:
    """Raw data that somebody publishes.

    Args:
        fetch: Puts the data into a folder and returns its files; existing files are kept. The second argument is a
            folder with a local copy of the published files; None to download them.
    """

    fetch: Callable[[Path, Path | None], list[Path]]


@dataclass(frozen=True)
class GeneratedSource:
    """Raw data generated from options and a seed.

    Args:
        options: A frozen dataclass of the options, each with a default and a line in the docstring's ``Args``. Its
            ``rows`` is the number of rows of the whole data.
        generate: Makes the data of some options in a folder, finishes interrupted data, or finds it complete. The last
            argument is called with the number of rows of each piece that exists. Returns ``rows``, ``days``,
            and by task ``positive_rates`` and, where it is known, ``ceiling_auc``: the best reachable AUC, None where
            a task has one class only.
        folders: Function from the data's folder to all folders that are written, by name.
    """

    options: type[Any]
    generate: Callable[[Any, Path, Callable[[int], None]], dict[str, Any]]
    folders: Callable[[Path], dict[str, Path]] = lambda out: {"out": out}

    def help(self) -> dict[str, str]:
        """Option to its description in the docstring."""
        text = (inspect.getdoc(self.options) or "").partition("Args:\n")[2]
        found = re.findall(r"^ +(\w+): (.*(?:\n {8,}\S.*)*)", text, flags=re.MULTILINE)
        return {name: " ".join(words.split()) for name, words in found}


SourceKind = TypeVar("SourceKind", FetchedSource, GeneratedSource)


def sources_of(kind: type[SourceKind]) -> dict[str, SourceKind]:
    """The sources of one kind, by name."""
    found = {name: import_module(f"pipeline.sources.{name}").SOURCE for name in SOURCES}
    return {name: source for name, source in found.items() if isinstance(source, kind)}
