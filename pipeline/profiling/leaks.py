"""Features that give a label away: the check of `gradops prepare`, made before the config is written."""

from __future__ import annotations

import polars as pl

from features.spec import FeatureSpec
from pipeline.validation.leakage import feature_aucs

# A little below the limit of `[contract] leak_auc`: prepare looks at other rows.
_LEAK, _STRONG = 0.975, 0.9
_ROWS = 100_000


def find_leaks(spec: FeatureSpec, training: pl.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """The features that alone tell a label, and those that tell it suspiciously well, each with the AUC in words.

    Args:
        spec: The features and the tasks.
        training: Raw training rows of a sample.
    """
    every = -(-training.height // _ROWS)
    leaks: dict[str, str] = {}
    strong: dict[str, str] = {}
    for name, task, auc, error in feature_aucs(spec, training.gather_every(max(every, 1)), ()):
        text = f"alone it has an AUC of {auc:.3f} on `{task}`"
        if auc - error >= _LEAK:
            leaks.setdefault(name, text)
        elif auc - error >= _STRONG:
            strong.setdefault(name, text)
    return leaks, strong
