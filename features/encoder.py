"""Fitted state, and the expressions that follow from it.

The same :class:`Encoder` encodes the training data and, loaded from JSON + Parquet, one request at serving time.
:class:`features.fitting.Fitter` makes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.datatypes import DataTypeClass
from pydantic import BaseModel, ConfigDict

from features import transforms
from features.contract import check_features
from features.errors import InputError
from features.kinds import Categorical, Cross, MultiHot, Numeric, Time
from features.spec import FeatureSpec

Use = Callable[[pl.Expr, pl.DataType | DataTypeClass], pl.Expr]
ID, WEIGHT, VALUE, LABEL, SAMPLE_WEIGHT, GROUP = "id.", "weight.", "value.", "label.", "sample_weight.", "group"
_JSON, _VOCABULARY = "encoder.json", "vocabulary.parquet"


class Scale(BaseModel):
    """Fitted state of one numeric feature: mean and standard deviation of its value, and its bucket edges."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    deviation: float
    edges: tuple[float, ...]


class _Fitted(BaseModel):
    # As null, an infinite end of `clip` or `range` could not be read again.
    model_config = ConfigDict(ser_json_inf_nan="strings")

    spec: FeatureSpec
    scales: dict[str, Scale]
    dtypes: dict[str, str]


@dataclass(frozen=True)
class Table:
    """One embedding table: name, rows (the three special ids included), width, and the features that read it."""

    name: str
    rows: int
    width: int
    features: tuple[str, ...]

    @property
    def weights_name(self) -> str:
        """Name of its weights; prefixed, since a feature may be called `type` or `items` and a torch module may not."""
        return f"table_{self.name}"


@dataclass(frozen=True, eq=False)
class Encoder:
    """Fitted encoding of a :class:`~features.spec.FeatureSpec`.

    Args:
        spec: The declaration.
        vocabularies: Table to the texts of its known values, in first-seen order; ids start at 3.
        scales: Numeric feature to its fitted state.
        dtypes: Raw feature column to the name of its Polars type at fitting time (a served model's signature).
    """

    spec: FeatureSpec
    vocabularies: dict[str, pl.Series]
    scales: dict[str, Scale]
    dtypes: dict[str, str]

    def encode_features(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Raw rows to ``id.<feature>`` (int32, or a list of them) and ``value.<feature>`` (float32).

        Training and serving alike. A multi-hot feature has a list of ``weight.<feature>`` (float32) beside its ids, if
        a column gives its weights.

        Raises:
            InputError: If feature columns are missing or of a wrong type. All are listed.
        """
        kinds, features = self.steps(rows.collect_schema())
        return rows.cast(kinds).select(features)

    def steps(self, schema: pl.Schema) -> tuple[pl.Schema, list[pl.Expr]]:
        """What :meth:`encode_features` does to rows of a schema: first the columns to cast, then the features.

        Finding it out takes longer than encoding a few rows: who encodes many requests keeps it.
        """
        kinds = self._kinds(schema)
        return kinds, self._features(pl.Schema({**schema, **kinds}))

    def encode(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Encoded features, ``label.<task>`` (int8, null where unknown) and what the spec has beside them.

        That is ``sample_weight.<task>`` (float32) and ``group`` (int64).
        """
        schema = rows.collect_schema()
        kinds = self._kinds(schema)
        typed, schema = rows.cast(kinds), pl.Schema({**schema, **kinds})
        labels = [t.expression.cast(pl.Int8).alias(LABEL + n) for n, t in self.spec.tasks.items()]
        # NaN is greater than every number to Polars; in a label's source it is unknown, as it is in a feature.
        sources = {c for t in self.spec.tasks.values() for c in t.sources if schema[c].is_float()}
        known = typed.with_columns(pl.col(c).fill_nan(None) for c in sorted(sources))
        return known.select(*self._features(schema), *labels, *self._beside(schema))

    def _beside(self, schema: pl.Schema) -> list[pl.Expr]:
        weights = self.spec.sample_weights
        beside = [pl.col(column).cast(pl.Float32).alias(SAMPLE_WEIGHT + n) for n, column in weights.items()]
        if self.spec.group is not None:
            text = transforms.text(pl.col(self.spec.group), schema[self.spec.group])
            beside.append(transforms.group_number(text).alias(GROUP))
        return beside

    def tables(self) -> list[Table]:
        """The embedding tables; their features one after another are ``spec.id_features``."""
        served: dict[str, list[str]] = {}
        for name in self.spec.id_features:
            served.setdefault(self.spec.table(name), []).append(name)
        return [self._table(name, tuple(features)) for name, features in served.items()]

    def save(self, folder: Path) -> None:
        """Write ``encoder.json`` and ``vocabulary.parquet``. Never a pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        fitted = _Fitted(spec=self.spec, scales=self.scales, dtypes=self.dtypes)
        (folder / _JSON).write_text(fitted.model_dump_json(indent=1))
        empty = pl.DataFrame(schema={"table": pl.String, "id": pl.Int32, "value": pl.String})
        ids = pl.int_range(pl.len(), dtype=pl.Int32) + transforms.FIRST_KNOWN
        frames = [
            values.alias("value").to_frame().select(pl.lit(name).alias("table"), ids.alias("id"), "value")
            for name, values in self.vocabularies.items()
        ]
        pl.concat([empty, *frames]).write_parquet(folder / _VOCABULARY)

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """Read what :meth:`save` wrote."""
        fitted = _Fitted.model_validate_json((folder / _JSON).read_text())
        values = pl.read_parquet(folder / _VOCABULARY).sort("table", "id")
        vocabularies = {
            table: values.filter(pl.col("table") == table).get_column("value") for table in fitted.spec.vocabularies
        }
        return cls(fitted.spec, vocabularies, fitted.scales, fitted.dtypes)

    def _table(self, name: str, features: tuple[str, ...]) -> Table:
        rows, declared = transforms.FIRST_KNOWN + self._known(features[0]), self.spec.features[features[0]]
        return Table(name, rows, declared.width or self.spec.width or usual_width(rows), features)

    def _features(self, schema: pl.Schema) -> list[pl.Expr]:
        # A float where integers were fitted is an integer column with gaps that came through pandas.
        integers = {c: pl.Int64() if schema[c].is_float() else schema[c] for c in self._integer_categories(schema)}
        if problems := check_features(self.spec, pl.Schema({**schema, **integers}), "the rows to encode"):
            raise InputError.of("cannot encode", problems)
        columns = []
        for name in self.spec.id_features:
            columns.append(self._id(name, schema).alias(ID + name))
            if (given := self._given_weights(name)) is not None:
                columns.append(given.alias(WEIGHT + name))
        return columns + [self._value(n, schema).alias(VALUE + n) for n in self.spec.value_features]

    def _kinds(self, schema: pl.Schema) -> pl.Schema:
        """The types that columns of a request had when training, where its table format knew less of types."""
        # A list column without a single value has no type, and no list operation takes it.
        lists = [c for name in self.spec.multi_hot_features for c in self.spec.columns(name)]
        kinds: dict[str, pl.DataType] = {c: pl.List(pl.Null) for c in lists if schema.get(c) == pl.Null}
        # 0.3 is less than the nearest float32 number, and so below a bucket's edge that was fitted on that.
        kinds |= {
            c: pl.Float32() for c, kind in self.dtypes.items() if kind == "Float32" and schema.get(c) == pl.Float64
        }
        return pl.Schema(kinds)

    def _integer_categories(self, schema: pl.Schema) -> list[str]:
        kinds = (Categorical, Cross)
        columns = [c for n, f in self.spec.features.items() if isinstance(f, kinds) for c in self.spec.columns(n)]
        return [c for c in columns if c in schema and "Int" in self.dtypes[c]]

    def _known(self, name: str) -> int:
        """For how many known values a feature's table has rows."""
        declared = self.spec.features[name]
        if isinstance(declared, Numeric):
            return len(self.scales[name].edges) + 1
        if isinstance(declared, Time):
            return transforms.PARTS[declared.part][0]
        if declared.buckets:
            return declared.buckets
        assert not isinstance(declared, Cross), "a cross is hashed"
        return -(-len(self.vocabularies[self.spec.table(name)]) // declared.grow_by) * declared.grow_by

    def _id(self, name: str, schema: pl.Schema) -> pl.Expr:
        declared = self.spec.features[name]
        if isinstance(declared, Numeric):
            return transforms.bucket_id(number(self.spec, name, schema, plain=True), self.scales[name].edges)
        if isinstance(declared, Time):
            (column,) = self.spec.columns(name)
            return transforms.part_id(transforms.timestamp(column, schema[column]), declared.part)
        if isinstance(declared, Cross):
            texts = [transforms.text(pl.col(c), schema[c]) for c in declared.columns]
            return transforms.crossed_id(texts, declared.buckets)
        ids = each_value(self.spec, name, schema, self._value_id(name))
        if isinstance(declared, Categorical):
            return ids
        nothing = pl.lit([transforms.NULL], dtype=pl.List(pl.Int32))
        return pl.when(ids.list.len() > 0).then(ids).otherwise(nothing)

    def _value_id(self, name: str) -> Use:
        declared = self.spec.features[name]
        assert isinstance(declared, Categorical | MultiHot)
        if declared.buckets:
            return lambda value, dtype: transforms.hashed_id(transforms.text(value, dtype), declared.buckets)
        vocabulary = self.vocabularies[self.spec.table(name)]
        return lambda value, dtype: transforms.known_id(transforms.key(value, dtype), dtype, vocabulary)

    def _given_weights(self, name: str) -> pl.Expr | None:
        """The weights of a multi-hot's entries, where a column gives them; others follow from how many there are."""
        declared = self.spec.features[name]
        if not isinstance(declared, MultiHot) or declared.weights is None:
            return None
        entries, given = (transforms.entries(c, declared.max_length, all_kept=True) for c in self.spec.columns(name))
        weights = transforms.given_weights(given, mean=declared.pooling == "mean")
        nothing = pl.lit([1.0], dtype=pl.List(pl.Float32))
        return pl.when(entries.list.len() > 0).then(weights).otherwise(nothing)

    def _value(self, name: str, schema: pl.Schema) -> pl.Expr:
        scale, declared = self.scales[name], self.spec.features[name]
        assert isinstance(declared, Numeric)
        value = number(self.spec, name, schema)
        if declared.raw:
            return value.fill_null(0.0).cast(pl.Float32)
        return transforms.standard_value(value, scale.mean, scale.deviation)


def usual_width(rows: int) -> int:
    """Embedding width of a table without one of its own: the fourth root of its rows times 3, in fours, 4 to 64."""
    return min(max(4 * round(3 * math.sqrt(math.sqrt(rows)) / 4), 4), 64)


def each_value(spec: FeatureSpec, name: str, schema: pl.Schema, use: Use) -> pl.Expr:
    """A function of a categorical's value and its type, or of every entry of a multi-hot's lists."""
    declared, (column, *_) = spec.features[name], spec.columns(name)
    if not isinstance(declared, MultiHot):
        return use(pl.col(column), schema[column])
    kind = schema[column]
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else pl.Null()
    known = transforms.entries(column, declared.max_length, all_kept=declared.weights is not None)
    return known.list.eval(use(pl.element(), inner))


def measured(spec: FeatureSpec, name: str, schema: pl.Schema) -> pl.Expr:
    """The number of a feature as raw rows hold it, null where unknown: not clipped, no logarithm."""
    declared, columns = spec.features[name], spec.columns(name)
    assert isinstance(declared, Numeric)
    if declared.until:
        first, last = (transforms.timestamp(c, schema[c]) for c in columns)
        return transforms.hours_between(first, last)
    return transforms.finite(pl.col(columns[0]))


def number(spec: FeatureSpec, name: str, schema: pl.Schema, *, plain: bool = False) -> pl.Expr:
    """The number of a feature, null where unknown, clipped; with its logarithm taken unless plain."""
    declared, value = spec.features[name], measured(spec, name, schema)
    assert isinstance(declared, Numeric)
    value = value.clip(*declared.clip) if declared.clip else value
    return transforms.signed_log1p(value) if declared.log1p and not plain else value
