"""What was learnt from training rows, and the expressions that follow from it.

The same :class:`Encoder` encodes the training data and, loaded from JSON + Parquet, one request at serving time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from pydantic import BaseModel, ConfigDict

from features import transforms
from features.contract import InputError, check_features
from features.spec import Categorical, FeatureSpec, Numeric

ID, VALUE, LABEL = "id.", "value.", "label."
_JSON, _VOCABULARY = "encoder.json", "vocabulary.parquet"


class Scale(BaseModel):
    """Fitted state of one numeric feature: mean and standard deviation of its value, and its bucket edges."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: float
    deviation: float
    edges: tuple[float, ...]


class _Fitted(BaseModel):
    spec: FeatureSpec
    scales: dict[str, Scale]
    dtypes: dict[str, str]


@dataclass(frozen=True)
class Table:
    """One embedding table: its name, the number of rows (the three special ids included) and its width."""

    name: str
    rows: int
    width: int

    @property
    def weights_name(self) -> str:
        """Name of its weights; prefixed, since a feature may be called `type` or `items` and a torch module may not."""
        return f"table_{self.name}"


@dataclass(frozen=True)
class Encoder:
    """Fitted encoding of a :class:`~features.spec.FeatureSpec`.

    Args:
        spec: The declaration.
        vocabularies: Categorical feature to its known values in first-seen order; ids start at 3.
        scales: Numeric feature to its fitted state.
        dtypes: Raw feature column to the name of its Polars type at fitting time (a served model's signature).
    """

    spec: FeatureSpec
    vocabularies: dict[str, tuple[str, ...]]
    scales: dict[str, Scale]
    dtypes: dict[str, str]

    @classmethod
    def fit(cls, spec: FeatureSpec, rows: pl.LazyFrame) -> Encoder:
        """Learn vocabularies, scales and buckets from training rows, and from nothing else."""
        schema = rows.collect_schema()
        categorical = [n for n, f in spec.features.items() if isinstance(f, Categorical)]
        frames = pl.collect_all([_vocabulary(spec, n, rows, schema) for n in categorical])
        vocabularies = {n: tuple(f.to_series().to_list()) for n, f in zip(categorical, frames, strict=True)}
        scales = {n: _scale(spec, n, f, rows) for n, f in spec.features.items() if isinstance(f, Numeric)}
        return cls(spec, vocabularies, scales, {c: str(schema[c]) for c in map(spec.column, spec.features)})

    def encode_features(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Raw rows to ``id.<feature>`` (int32) and ``value.<feature>`` (float32), for training and serving alike.

        Raises:
            InputError: If feature columns are missing or of a wrong type. All are listed.
        """
        return rows.select(self._features(rows.collect_schema()))

    def encode(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Encoded features beside ``label.<task>`` columns (int8, null where unknown)."""
        schema = rows.collect_schema()
        labels = [t.expression.cast(pl.Int8).alias(LABEL + n) for n, t in self.spec.tasks.items()]
        # NaN is greater than every number to Polars; in a label's source it is unknown, as it is in a feature.
        sources = {c for t in self.spec.tasks.values() for c in t.sources if schema[c].is_float()}
        known = rows.with_columns(pl.col(c).fill_nan(None) for c in sorted(sources))
        return known.select(*self._features(schema), *labels)

    def tables(self) -> list[Table]:
        """The embedding tables, one per id feature, in the order of ``spec.id_features``."""
        return [
            Table(n, transforms.FIRST_KNOWN + self._known(n), self.spec.features[n].width)
            for n in self.spec.id_features
        ]

    def save(self, folder: Path) -> None:
        """Write ``encoder.json`` and ``vocabulary.parquet``. Never a pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        fitted = _Fitted(spec=self.spec, scales=self.scales, dtypes=self.dtypes)
        (folder / _JSON).write_text(fitted.model_dump_json(indent=1))
        columns = [(n, i + transforms.FIRST_KNOWN, v) for n, vs in self.vocabularies.items() for i, v in enumerate(vs)]
        schema = {"feature": pl.String, "id": pl.Int32, "value": pl.String}
        pl.DataFrame(columns, schema=schema, orient="row").write_parquet(folder / _VOCABULARY)

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """Read what :meth:`save` wrote."""
        fitted = _Fitted.model_validate_json((folder / _JSON).read_text())
        values = pl.read_parquet(folder / _VOCABULARY).group_by("feature").agg(pl.col("value").sort_by("id"))
        known = {feature: tuple(vocabulary) for feature, vocabulary in values.iter_rows()}
        categorical = [n for n, f in fitted.spec.features.items() if isinstance(f, Categorical)]
        return cls(fitted.spec, {n: known.get(n, ()) for n in categorical}, fitted.scales, fitted.dtypes)

    def _features(self, schema: pl.Schema) -> list[pl.Expr]:
        # A float where integers were fitted is an integer column with gaps that came through pandas.
        integers = {c: pl.Int64() if schema[c].is_float() else schema[c] for c in self._integer_categories(schema)}
        if problems := check_features(self.spec, pl.Schema({**schema, **integers}), "the rows to encode"):
            raise InputError.of("cannot encode", problems)
        ids = [self._id(n, schema).alias(ID + n) for n in self.spec.id_features]
        return ids + [self._value(n).alias(VALUE + n) for n in self.spec.value_features]

    def _integer_categories(self, schema: pl.Schema) -> list[str]:
        columns = map(self.spec.column, self.vocabularies)
        return [c for c in columns if c in schema and "Int" in self.dtypes[c]]

    def _known(self, feature: str) -> int:
        if feature in self.vocabularies:
            return len(self.vocabularies[feature])
        return len(self.scales[feature].edges) + 1

    def _id(self, feature: str, schema: pl.Schema) -> pl.Expr:
        column = self.spec.column(feature)
        if feature in self.vocabularies:
            text = transforms.category_text(column, schema[column])
            return transforms.category_id(text, self.vocabularies[feature])
        return transforms.bucket_id(transforms.known_number(column), self.scales[feature].edges)

    def _value(self, feature: str) -> pl.Expr:
        scale = self.scales[feature]
        return transforms.standard_value(_number(self.spec, feature), scale.mean, scale.deviation)


def _number(spec: FeatureSpec, feature: str) -> pl.Expr:
    declared = spec.features[feature]
    value = transforms.known_number(spec.column(feature))
    return transforms.signed_log1p(value) if isinstance(declared, Numeric) and declared.log1p else value


def _vocabulary(spec: FeatureSpec, feature: str, rows: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """Values of one categorical feature in first-seen order, whatever order the engine groups in."""
    declared, column = spec.features[feature], spec.column(feature)
    assert isinstance(declared, Categorical)
    return (
        rows.select(value=transforms.category_text(column, schema[column]))
        .with_row_index("row")
        .drop_nulls()
        .group_by("value")
        .agg(pl.len().alias("count"), pl.col("row").min())
        .filter(pl.col("count") >= declared.min_count)
        .sort("row")
        .select("value")
    )


def _scale(spec: FeatureSpec, feature: str, declared: Numeric, rows: pl.LazyFrame) -> Scale:
    frame = rows.select(value=_number(spec, feature), raw=transforms.known_number(spec.column(feature))).collect()
    value = frame.get_column("value")
    mean, deviation = value.mean(), value.std(ddof=0)
    constant = value.drop_nulls().n_unique() <= 1  # its deviation is rounding, not 0
    edges = transforms.bucket_edges(frame.get_column("raw"), declared.buckets) if declared.buckets else []
    return Scale(
        mean=float(mean) if isinstance(mean, float) else 0.0,
        deviation=float(deviation) if isinstance(deviation, float) and not constant else 1.0,
        edges=tuple(edges),
    )
