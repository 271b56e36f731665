"""The declared table: which columns are features, which expressions are tasks, which columns may be neither.

A :class:`FeatureSpec` is read from TOML. It is independent of files and of any fit: the state learnt from training
rows is in :class:`features.encoder.Encoder`.
"""

from __future__ import annotations

from typing import Annotated

import polars as pl
from pydantic import Field, model_validator

from features.declared import Declared
from features.kinds import Feature
from features.kinds.base import Name, Width
from features.tasks.binary import Task


class FeatureSpec(Declared):
    """The inputs and the targets of the model.

    Args:
        features: Feature name to its declaration, in the order the model sees them.
        tasks: Task name to its label, in the order of every result.
        excluded: Raw columns that may never be features. Label sources are always excluded.
        width: Embedding width of every table that declares none; by default a width that grows with the table's rows.
        group: Raw column with the groups that GAUC averages over, for example users; one value a row, of any type. GAUC
            leaves out rows without a value.

    Raises:
        pydantic.ValidationError: If a feature reads an excluded column, a label's source or a sample weight, or
            features that share a table declare it differently (all of them are named).
    """

    features: Annotated[dict[Name, Feature], Field(min_length=1)]
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    excluded: tuple[str, ...] = ()
    width: Width = None
    group: str | None = None

    @model_validator(mode="after")
    def _no_leak(self) -> FeatureSpec:
        reasons = dict.fromkeys(self.excluded, "is excluded")
        reasons |= {column: f"weighs the rows of task `{name}`" for name, column in self.sample_weights.items()}
        for name, task in self.tasks.items():
            reasons |= dict.fromkeys(task.answers, f"is what task `{name}` is read from")
        problems = [
            f"feature `{name}` reads column `{column}`, which {reasons[column]}"
            for name in self.features
            for column in self.columns(name)
            if column in reasons
        ]
        problems += self._differing_tables()
        if problems:
            raise ValueError("; ".join(problems))
        if not self.id_features:
            raise ValueError("no feature has an embedding table: declare a categorical, or `buckets` of a numeric")
        return self

    def _differing_tables(self) -> list[str]:
        first: dict[str, tuple[str, tuple[object, ...]]] = {}
        problems = []
        alone = [name for name, feature in self.features.items() if feature.has_ids and not feature.shared_keys]
        for name, feature in self.features.items():
            if feature.shared_keys and self.table(name) in alone:
                table, kind = self.table(name), self.features[self.table(name)].kind
                taken = f"the table `{table}`, which the feature of this name has, of kind `{kind}`"
                problems.append(f"feature `{name}` has {taken}: give one of them another name")
                continue
            if keys := feature.shared_keys:
                shape = tuple(getattr(feature, key) for key in keys)
                other, expected = first.setdefault(self.table(name), (name, shape))
                if shape != expected:
                    listed = " and ".join([", ".join(f"`{key}`" for key in keys[:-1]), f"`{keys[-1]}`"])
                    problems.append(f"features `{other}` and `{name}` share a table: give both the same {listed}")
        return problems

    def typed(self, schema: pl.Schema) -> dict[str, pl.DataType]:
        """The raw columns that have to be cast before features read them, and the types that they are cast to."""
        read = [(f, c) for n, f in self.features.items() for c in self.columns(n) if c in schema]
        return {c: dtype for f, c in read if (dtype := f.typed(schema[c])) != schema[c]}

    def columns(self, feature: str) -> list[str]:
        """The raw columns that a feature reads."""
        return self.features[feature].raw_columns(feature)

    @property
    def optional_columns(self) -> list[str]:
        """The raw columns that rows to score may lack: those that only optional features read."""
        optional = {c: True for name in self.features for c in self.columns(name)}
        for name, feature in self.features.items():
            optional |= {c: optional[c] and feature.optional for c in self.columns(name)}
        return [column for column, is_optional in optional.items() if is_optional]

    @property
    def sources(self) -> list[str]:
        """Every raw column that preparing data needs."""
        read = [column for name in self.features for column in self.columns(name)]
        labels = [column for task in self.tasks.values() for column in task.sources]
        beside = [*self.sample_weights.values(), *([self.group] if self.group else [])]
        return list(dict.fromkeys([*read, *labels, *beside]))

    @property
    def sample_weights(self) -> dict[str, str]:
        """The tasks whose rows are weighted, and the raw column of the weights."""
        return {name: task.sample_weight for name, task in self.tasks.items() if task.sample_weight}

    def table(self, feature: str) -> str:
        """The name of a feature's embedding table."""
        return self.features[feature].table_name(feature)

    @property
    def vocabularies(self) -> dict[str, list[str]]:
        """The tables with a vocabulary, and the features that share each."""
        tables: dict[str, list[str]] = {}
        for name, feature in self.features.items():
            if feature.has_vocabulary:
                tables.setdefault(self.table(name), []).append(name)
        return tables

    @property
    def id_features(self) -> list[str]:
        """The features with an embedding table; features that share a table are neighbours."""
        found = [name for name, feature in self.features.items() if feature.has_ids]
        tables = {name: self.table(name) for name in found}
        places = {table: place for place, table in enumerate(dict.fromkeys(tables.values()))}
        return sorted(found, key=lambda name: places[tables[name]])

    @property
    def multi_hot_features(self) -> list[str]:
        """The features with several ids a row."""
        return [name for name, feature in self.features.items() if feature.is_multi_hot]

    @property
    def scaled_features(self) -> list[str]:
        """The features with a scale fitted to training rows."""
        return [name for name, feature in self.features.items() if feature.has_scale]

    @property
    def weighted(self) -> bool:
        """Whether entries of some feature count unequally, so that bags need weights."""
        return any(feature.has_weights or feature.is_mean for feature in self.features.values())

    @property
    def value_encodings(self) -> set[str]:
        """The encodings of numbers that some feature declares."""
        return {e for feature in self.features.values() if (e := feature.value_encoding) is not None}

    @property
    def value_features(self) -> list[str]:
        """The features given as numbers."""
        return [name for name, feature in self.features.items() if feature.has_value]
