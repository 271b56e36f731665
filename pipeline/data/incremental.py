"""Prepared data that grows: a new day is added to the data of earlier days, whose ids keep their meaning.

The newest prepared data of the same spec whose training period is not later is the base. Its vocabularies are only
added to, its scales and buckets stay, and files that were training data then and still are, are linked instead of
prepared again. In such a file, values that the vocabulary did not yet know stay out of vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.config.run import RunConfig
from pipeline.config.split import SplitConfig
from pipeline.data.prepared import Prepared

Parts = Mapping[str, Mapping[str, Sequence[str]]]


def find_base(config: RunConfig, inputs: Mapping[str, Any]) -> Prepared | None:
    """Data prepared from exactly these inputs, else the base to grow from, else None.

    Args:
        config: Gives the folder of prepared data and the present split.
        inputs: All that the data depends on, except the data that it was grown from.
    """
    fitting = [p for p in Prepared.all(config.data.prepared) if _fits(config.split, inputs, p.manifest)]
    return max(fitting, key=lambda p: (is_same(p, inputs), p.written), default=None)


def is_same(prepared: Prepared, inputs: Mapping[str, Any]) -> bool:
    """Whether data was prepared from these inputs, regardless of the data it was grown from."""
    return all(prepared.manifest[key] == value for key, value in inputs.items())


def _fits(split: SplitConfig, inputs: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    if any(manifest[key] != inputs[key] for key in ("format", "spec")):
        return False
    before = manifest["split"]
    if split.time is None or before["time"] != split.time:
        return bool(before == inputs["split"])
    # Its scales and ids come from days before its validation, which now train; none of them is held out.
    assert isinstance(split.validation, date), "a split by time has days"
    return date.fromisoformat(before["validation"]) <= split.validation


@dataclass(frozen=True)
class Base:
    """The prepared data from which new data takes ids, scales and parts.

    Args:
        prepared: The data to grow from; None for a new beginning.
        by_time: Whether rows are split by time, so that held-out rows later become training rows.
    """

    prepared: Prepared | None
    by_time: bool

    @property
    def inputs(self) -> dict[str, str]:
        """The additional input of the new data: the data that it is grown from."""
        return {} if self.prepared is None else {"grown_from": self.prepared.fingerprint}

    def kept(self, role: str, digest: str) -> Sequence[Path] | None:
        """The existing parts of a raw file; None if the file has to be prepared.

        Args:
            role: The file's role.
            digest: SHA-256 of the file's content.
        """
        if self.prepared is None:
            return None
        found = self.prepared.manifest["files"].get(role, {}).get(digest)
        if found is None or (self.by_time and any(not part.startswith("train/") for part in found)):
            return None
        return [self.prepared.folder / part for part in found]


def link(part: Path, target: Path) -> None:
    """Give a part's file one more name; nothing ever writes to it again."""
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(part, target)
