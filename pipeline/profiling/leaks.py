"""Features that give a label away: the check of `gradops prepare`, made before the config is written."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from features.errors import InputError
from features.spec import FeatureSpec
from pipeline.config.run import RunConfig
from pipeline.profiling.choice import Excluded
from pipeline.profiling.draft import Draft
from pipeline.runtime.progress import Progress
from pipeline.validation.leakage import feature_aucs

# A little below the limit of `[contract] leak_auc`: prepare looks at other rows.
_LEAK, _STRONG = 0.975, 0.9
_ROWS = 100_000


def find_leaks(spec: FeatureSpec, training: pl.DataFrame, progress: Progress) -> tuple[dict[str, str], dict[str, str]]:
    """The features that alone tell a label, and those that tell it suspiciously well, each with the AUC in words.

    Args:
        spec: The features and the tasks.
        training: Raw training rows of a sample.
        progress: Shows how many are looked at.
    """
    rows = training.gather_every(max(-(-training.height // _ROWS), 1))
    leaks: dict[str, str] = {}
    strong: dict[str, str] = {}
    most = len(spec.features) * len(spec.tasks)
    for name, task, auc, error in progress.each("looking for leaks", feature_aucs(spec, rows, ()), most):
        text = f"alone it has an AUC of {auc:.3f} on `{task}`"
        if auc - error >= _LEAK:
            leaks.setdefault(name, text)
        elif auc - error >= _STRONG:
            strong.setdefault(name, text)
    return leaks, strong


def without_leaks(drafted: Draft, progress: Progress) -> Draft:
    """The draft without features that alone tell a label; those that tell it well are to be looked at."""
    spec = RunConfig.model_validate(drafted.config()).spec
    rows = drafted.log.sample.filter(drafted.split.part == "train").select(spec.sources)
    leaks, strong = find_leaks(spec, rows, progress)
    columns = {column: text for name, text in leaks.items() for column in [drafted.features[name].column]}
    crossed = {n for n, one in drafted.features.items() if columns.keys() & {*one.keys.get("columns", ())}}
    kept = {
        name: replace(one, evidence=f"{one.evidence}; {strong[name]}: is it known before?", look=True)
        if name in strong
        else one
        for name, one in drafted.features.items()
        if one.column not in columns and name not in crossed
    }
    found = [
        Excluded(column, f"{text}: it was probably written after the row's event", look=True)
        for column, text in columns.items()
        if column in drafted.log.schema
    ]
    if not kept:
        reasons = "; ".join(f"{one.column}: {one.reason}" for one in found)
        raise InputError(f"every feature tells a label alone ({reasons}); add columns that are known before the event")
    return replace(drafted, features=kept, excluded=[*drafted.excluded, *found])
