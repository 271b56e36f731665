"""A drafted config with the evidence for its choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.profiling.choice import Excluded, Feature
from pipeline.profiling.labels import Label
from pipeline.profiling.log import Log
from pipeline.profiling.splitting import Split
from pipeline.profiling.training import Training


@dataclass(frozen=True)
class Draft:
    """A config with the evidence for its choices.

    Args:
        name: Name of the experiment.
        log: The log.
        labels: The tasks.
        split: The split.
        features: Name to feature.
        excluded: The columns that are no features.
        group: The column of GAUC's groups and the evidence; None without one.
        unique: The column that identifies a row and the evidence; None without one.
        training: The network and the training.
        day_gap: Evidence of days without a file; empty if there are none.
    """

    name: str
    log: Log
    labels: Sequence[Label]
    split: Split
    features: Mapping[str, Feature]
    excluded: Sequence[Excluded]
    group: tuple[str, str] | None
    unique: tuple[str, str] | None
    training: Training
    day_gap: str = ""

    def config(self) -> dict[str, Any]:
        """Its content, as TOML has it."""
        partitions = {"partitions": dict(self.log.partitions)} if self.log.partitions else {}
        contract: dict[str, Any] = {"unique": [self.unique[0]]} if self.unique else {}
        contract |= {"empty_days": True} if self.day_gap else {}
        # The time of the event is no feature of its own, but hours until it may be one.
        read = {column for name in self.features for column in self.columns_of(name)}
        excluded = [one.column for one in self.excluded if one.column not in read]
        spec: dict[str, Any] = {"excluded": list(dict.fromkeys(excluded)), "width": 8}
        spec |= {"group": self.group[0]} if self.group else {}
        spec["tasks"] = {label.name: {"positive": label.positive} for label in self.labels}
        spec["features"] = {name: self.keys_of(name) for name in self.features}
        content: dict[str, Any] = {"name": self.name, "data": {"train": self.log.source, **partitions}}
        content |= {"split": dict(self.split.config)} | ({"contract": contract} if contract else {})
        return content | {"spec": spec, "model": dict(self.training.model), "train": dict(self.training.train)}

    def keys_of(self, name: str) -> dict[str, Any]:
        """The keys of a feature, with its column where that has another name."""
        feature = self.features[name]
        kind = {"kind": feature.keys["kind"]}
        rest = {key: value for key, value in feature.keys.items() if key != "kind"}
        has_column = "columns" not in feature.keys and name != feature.column
        return kind | ({"column": feature.column} if has_column else {}) | rest

    def columns_of(self, name: str) -> list[str]:
        """The columns that a feature reads."""
        feature = self.features[name]
        beside = [feature.keys[key] for key in ("until", "weights") if key in feature.keys]
        return [*feature.keys.get("columns", [feature.column]), *beside]

    @property
    def to_look_at(self) -> list[str]:
        """Sentences on choices that were guessed and may be wrong."""
        found = [f"label {one.name}: {one.evidence}" for one in self.labels if one.look]
        found += [f"{one.column} is left out: {one.reason}" for one in self.excluded if one.look]
        return found + [f"{name}: {one.evidence}" for name, one in self.features.items() if one.look]
