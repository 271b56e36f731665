"""Features that give a label away: the check of `gradops prepare`, made before the config is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import polars as pl

from features.spec import FeatureSpec
from pipeline.validation.leakage import feature_aucs

# A little below the limit of `[contract] leak_auc`: prepare looks at other rows.
_LEAK, _STRONG = 0.975, 0.9
_ROWS, _FEATURES = 100_000, 50


def find_leaks(spec: FeatureSpec, training: pl.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """The features that alone tell a label, and those that tell it suspiciously well, each with the AUC in words.

    Args:
        spec: The features and the tasks.
        training: Raw training rows of a sample.
    """
    rows = training.gather_every(max(-(-training.height // _ROWS), 1))
    leaks: dict[str, str] = {}
    strong: dict[str, str] = {}
    for name, task, auc, error in _aucs(spec, rows):
        text = f"alone it has an AUC of {auc:.3f} on `{task}`"
        if auc - error >= _LEAK:
            leaks.setdefault(name, text)
        elif auc - error >= _STRONG:
            strong.setdefault(name, text)
    return leaks, strong


def _aucs(spec: FeatureSpec, rows: pl.DataFrame) -> Iterator[tuple[str, str, float, float]]:
    """As the leak check's, some features at a time: the time of an encoder grows faster than its features."""
    for names in _batched(spec.features, _FEATURES):
        some = spec.model_copy(update={"features": {name: spec.features[name] for name in names}})
        yield from feature_aucs(some, rows.select(some.sources), ())


def _batched(names: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """The names, some at a time."""
    rest = iter(names)
    while some := tuple(islice(rest, size)):
        yield some
