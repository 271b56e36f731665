"""Defaults that were others before: a config that leaves one unsaid means another run now, and is told so."""

from __future__ import annotations

from typing import Any

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import checkpoints_of, run_folder

# Keys of [train] to their default of before; the changelog has the reasons.
_BEFORE: dict[str, Any] = {"prior_bias": False}


def run_of_before(config: RunConfig, prepared: Prepared) -> str | None:
    """A sentence on the run that a config meant under the defaults of before, if it was begun; else None.

    Args:
        config: A config whose own run is not finished.
        prepared: The data.
    """
    unsaid = {key: value for key, value in _BEFORE.items() if key not in config.train.model_fields_set}
    if not unsaid:
        return None
    before = config.model_copy(update={"train": config.train.model_copy(update=unsaid)})
    begun = [path for path in (run_folder(before, prepared), checkpoints_of(before, prepared)) if path.exists()]
    if not begun:
        return None
    keys = ", ".join(f"train.{key} = {str(value).lower()}" for key, value in unsaid.items())
    return f"{begun[0]} is the run of this config under the defaults of before ({keys}); write these to keep to it"
