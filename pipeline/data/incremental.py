"""Prepared data that grows: a new day is added to the data of earlier days, whose ids keep their meaning.

The newest prepared data of the same spec whose training period is not later is the base. Its vocabularies are only
added to, its scales and buckets stay, and files that were training data then and still are, are linked instead of
prepared again. In such a file, values that the vocabulary did not yet know stay out of vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.run import RunConfig
from pipeline.config.split import SplitConfig
from pipeline.data.prepared import Prepared

Parts = Mapping[str, Mapping[str, Sequence[str]]]
# The format of prepared folders, then the earlier ones that are still found and grown. Add a number when equal inputs
# give other content, and remove those whose folders are not to be found any more.
# In format 5 values have their names by the first rule of `features.naming`; data that grows from it keeps that rule.
FORMATS = (6, 5)


def find_same(config: RunConfig, inputs: Mapping[str, Any]) -> Prepared | None:
    """The newest data that was prepared from exactly these inputs, regardless of the data it was grown from."""
    same = [p for p in Prepared.all(config.data.prepared) if is_same(p, inputs)]
    return max(same, key=lambda p: p.written, default=None)


def find_base(config: RunConfig, inputs: Mapping[str, Any]) -> Prepared | None:
    """The newest data to grow from.

    Args:
        config: Gives the folder of prepared data and the present split, a split by time with moments.
        inputs: All that the data depends on, except the data that it was grown from.
    """
    fitting = [p for p in Prepared.all(config.data.prepared) if _fits(config.split, inputs, p)]
    return max(fitting, key=lambda p: p.written, default=None)


def is_same(prepared: Prepared, inputs: Mapping[str, Any]) -> bool:
    """Whether data was prepared from these inputs, regardless of the data it was grown from."""
    manifest = prepared.manifest
    wanted = {key: value for key, value in inputs.items() if key != "format"}
    return manifest["format"] in FORMATS and all(manifest.get(key) == value for key, value in wanted.items())


def _fits(split: SplitConfig, inputs: Mapping[str, Any], prepared: Prepared) -> bool:
    manifest = prepared.manifest
    if manifest["format"] not in FORMATS or any(manifest.get(k) != inputs.get(k) for k in ("spec", "partitions")):
        return False
    before = prepared.split_config
    if split.time is None or (before.time, before.unit) != (split.time, split.unit):
        return bool(prepared.manifest["split"] == inputs["split"])
    # Its scales and ids come from rows before its validation, which now train; none of them is held out.
    return before.moments[0] <= split.moments[0]


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
