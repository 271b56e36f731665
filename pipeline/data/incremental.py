"""Prepared data that grows: a new day is added to the data of earlier days, whose ids keep their meaning.

The newest prepared data of the same spec whose training period is not later is the base. Its vocabularies are only
added to, its scales and buckets stay, and files that were trained on then and are trained on now are linked, not
prepared again. What a vocabulary did not know yet when such a file was prepared stays out of vocabulary in it.
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
        config: Where prepared data is, and how rows are split now.
        inputs: All that the data depends on, but for the data that it was grown from.
    """
    fitting = [p for p in Prepared.all(config.data.prepared) if _fits(config.split, inputs, p.manifest)]
    return max(fitting, key=lambda p: (is_same(p, inputs), p.written), default=None)


def is_same(prepared: Prepared, inputs: Mapping[str, Any]) -> bool:
    """Whether data was prepared from these inputs, grown from whatever."""
    return all(prepared.manifest[key] == value for key, value in inputs.items())


def _fits(split: SplitConfig, inputs: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    if any(manifest[key] != inputs[key] for key in ("format", "spec")):
        return False
    before = manifest["split"]
    if split.time is None or before["time"] != split.time:
        return bool(before == inputs["split"])
    # Its scales and ids are of days before its validation: of what is trained on now, and not of what is held out.
    assert isinstance(split.validation, date), "a split by time has days"
    return date.fromisoformat(before["validation"]) <= split.validation


@dataclass(frozen=True)
class Base:
    """The prepared data that new data takes ids, scales and parts from; none for a new beginning.

    Args:
        prepared: The data to grow from.
        by_time: Whether rows are split by time, so that held out rows become training rows.
    """

    prepared: Prepared | None
    by_time: bool

    @property
    def inputs(self) -> dict[str, str]:
        """The further input of the new data: the data that it is grown from."""
        return {} if self.prepared is None else {"grown_from": self.prepared.fingerprint}

    def kept(self, role: str, digest: str) -> Sequence[Path] | None:
        """The parts that a raw file was prepared to; None if it has to be prepared.

        Args:
            role: The file's.
            digest: SHA-256 of its content.
        """
        if self.prepared is None:
            return None
        found = self.prepared.manifest["files"].get(role, {}).get(digest)
        if found is None or (self.by_time and any(not part.startswith("train/") for part in found)):
            return None
        return [self.prepared.folder / part for part in found]


def link(part: Path, target: Path) -> None:
    """One more name for a part's file, which nothing ever writes to again."""
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(part, target)
