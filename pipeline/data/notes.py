"""Sentences about prepared or scored rows: features of which little is known, and labels that are few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# A feature of which less is missing in every part is not named; of many that are, the worst.
_LEAST, _MOST = 0.01, 20
# An AUC of 0.75 has a standard error of 0.025 then.
FEW_LABELS = 100

Features = Mapping[str, Mapping[str, Any]]


def feature_notes(features: Features) -> list[str]:
    """A line for each feature with something to say, the worst first, and one for the rest.

    Args:
        features: The result of :func:`pipeline.data.counts.feature_counts`.
    """
    if not features:
        return []
    named = noted_features(features)
    lines = [f"{name}: {'; '.join(_findings(features[name]))}" for name in named[:_MOST]]
    if left := named[_MOST:]:
        lines.append(f"{len(left)} more features have unknown or unseen values: `--json` and the manifest have all")
    if rest := len(features) - len(named):
        whose = f"{rest} other feature{'s' * (rest > 1)}" if named else f"all {rest} features"
        lines.append(f"{whose}: known in more than {1 - _LEAST:.0%} of the rows")
    return lines


def noted_features(features: Features) -> list[str]:
    """The features with something to say, the worst first: little is known of them, or they have one value."""
    worst = {n: max((_share(part) for part in _parts(found).values()), default=0) for n, found in features.items()}
    named = [n for n, found in features.items() if worst[n] >= _LEAST or found.get("constant")]
    return sorted(named, key=lambda name: -worst[name])


def _findings(found: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("unknown", "unseen"):
        parts = {split: part[kind] / part["rows"] for split, part in _parts(found).items() if part[kind]}
        if parts:
            shares = ", ".join(f"{share:.1%} of {split}" for split, share in parts.items())
            yield f"{kind} in {shares}"
    if found.get("constant"):
        yield "one value in all training rows"


def _parts(found: Mapping[str, Any]) -> dict[str, Mapping[str, int]]:
    return {split: part for split, part in found.items() if split != "constant"}


def _share(part: Mapping[str, int]) -> float:
    return (part["unknown"] + part["unseen"]) / part["rows"]


def label_notes(splits: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each split and task with so few labels of a class that its AUC is uncertain.

    Args:
        splits: Split to its rows and labels, as the manifest has them.
    """
    found = []
    for split, counts in splits.items():
        for task, labels in counts["tasks"].items():
            positives, negatives = labels["positives"], labels["known"] - labels["positives"]
            if (fewest := min(positives, negatives)) < FEW_LABELS:
                kind = "positives" if fewest == positives else "negatives"
                effect = "little to learn from" if split == "train" else "its AUC there is uncertain"
                found.append(f"{split} has only {fewest} {kind} of {task}: {effect}")
    return found
