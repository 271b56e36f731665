"""An encoder: fitted state, and the expressions that follow from it.

The same :class:`Encoder` encodes the training data and, loaded from JSON + Parquet, one request at serving time.
:class:`features.fitting.Fitter` makes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from features import naming, transforms
from features.contract import check_features
from features.errors import InputError
from features.kinds.base import NO_SCALE, NO_VOCABULARY, FittedFeature, Scale
from features.naming import NEWEST, Naming
from features.request.encoder import FeatureForm, RequestEncoder
from features.request.vocabulary import Vocabulary
from features.spec import FeatureSpec

ID, WEIGHT, VALUE, LABEL, SAMPLE_WEIGHT, GROUP = "id.", "weight.", "value.", "label.", "sample_weight.", "group"
_JSON, _VOCABULARY = "encoder.json", "vocabulary.parquet"


class _Saved(BaseModel):
    # Written as null, an infinite end of `clip` or `range` could not be read back.
    model_config = ConfigDict(ser_json_inf_nan="strings")

    spec: FeatureSpec
    scales: dict[str, Scale]
    dtypes: dict[str, str]
    # The first rule had no number.
    naming: Annotated[Naming, Field(exclude_if=lambda rule: rule == 1)] = 1


@dataclass(frozen=True)
class Table:
    """One embedding table: name, rows (the three special ids included), width, and the features that read it."""

    name: str
    rows: int
    width: int
    features: tuple[str, ...]

    @property
    def weights_name(self) -> str:
        """Name of its weights, with a prefix: a feature may be called `type` or `items`, a torch module may not."""
        return f"table_{self.name}"


@dataclass(frozen=True)
class EncodedValue:
    """A number that the network encodes.

    Args:
        place: Its place among the features given as numbers.
        encoding: The name of the encoding.
        bin_edges: The edges of its fitted bins in the units of the encoded number, ascending; empty without bins.
    """

    place: int
    encoding: str
    bin_edges: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Encoder:
    """Fitted encoding of a :class:`~features.spec.FeatureSpec`.

    Args:
        spec: The declaration.
        vocabularies: Table to the names of its known values, in first-seen order; ids start at 3.
        scales: Numeric feature to its fitted state.
        dtypes: Raw feature column to the name of its Polars type at fitting time (a served model's signature).
        naming: The rule of :mod:`features.naming` that says which values are the same.
    """

    spec: FeatureSpec
    vocabularies: dict[str, pl.Series]
    scales: dict[str, Scale]
    dtypes: dict[str, str]
    naming: Naming = NEWEST

    def encode_features(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Raw rows to ``id.<feature>`` (int32, or a list of them) and ``value.<feature>`` (float32).

        Training and serving call the same method. A multi-hot feature whose weights a column gives also has a list of
        ``weight.<feature>`` (float32).

        Raises:
            InputError: If feature columns are missing or of a wrong type. All are listed.
        """
        dtypes, features = self.steps(rows.collect_schema())
        return rows.cast(dtypes).select(features)

    def steps(self, schema: pl.Schema) -> tuple[pl.Schema, list[pl.Expr]]:
        """The steps of :meth:`encode_features` for rows of a schema: the columns to cast, then the features.

        Making them takes longer than encoding a few rows, so a server keeps them between requests.
        """
        dtypes = self._restored(schema)
        return dtypes, self._features(pl.Schema({**schema, **dtypes}))

    @cached_property
    def request_encoder(self) -> RequestEncoder:
        """What :meth:`encode_features` gives, for the few rows of a request. It is made once, with its vocabularies."""
        spec = self.spec
        lookups = {table: Vocabulary(known.to_list(), self.naming) for table, known in self.vocabularies.items()}
        features = {}
        for name, feature in spec.features.items():
            fitted = self._fitted(name)
            fitted = replace(fitted, lookup=lookups.get(spec.table(name), fitted.lookup))
            features[name] = FeatureForm(spec.columns(name), feature.request_form(fitted))
        required = frozenset(c for n, feature in spec.features.items() if feature.required for c in spec.columns(n))
        single = frozenset(c for c, dtype in self.dtypes.items() if dtype == "Float32" and c not in self._categories)
        return RequestEncoder(features, required, frozenset(spec.optional_columns), single)

    def encode(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Encoded features, labels, and the sample weights and groups that the spec declares.

        Labels are ``label.<task>`` (int8, null where unknown), sample weights ``sample_weight.<task>`` (float32), the
        group is ``group`` (int64).
        """
        schema = rows.collect_schema()
        dtypes = self._restored(schema)
        typed, schema = rows.cast(dtypes), pl.Schema({**schema, **dtypes})
        labels = [t.expression.cast(pl.Int8).alias(LABEL + n) for n, t in self.spec.tasks.items()]
        # Polars orders NaN above every number. In a label's source it counts as unknown, as in a feature.
        sources = {c for t in self.spec.tasks.values() for c in t.sources if schema[c].is_float()}
        known = typed.with_columns(pl.col(c).fill_nan(None) for c in sorted(sources))
        return known.select(*self._features(schema), *labels, *self._beside(schema))

    def _beside(self, schema: pl.Schema) -> list[pl.Expr]:
        weights = self.spec.sample_weights
        beside = [pl.col(column).cast(pl.Float32).alias(SAMPLE_WEIGHT + n) for n, column in weights.items()]
        if self.spec.group is not None:
            group = naming.name(pl.col(self.spec.group), schema[self.spec.group], self.naming)
            beside.append(transforms.group_number(group).alias(GROUP))
        return beside

    def tables(self) -> list[Table]:
        """The embedding tables, in the order of ``spec.id_features``."""
        served: dict[str, list[str]] = {}
        for name in self.spec.id_features:
            served.setdefault(self.spec.table(name), []).append(name)
        return [self._table(name, tuple(features)) for name, features in served.items()]

    def encoded_values(self) -> list[EncodedValue]:
        """The numbers that the network encodes, in the order of ``spec.value_features``."""
        named = [(i, name, self.spec.features[name]) for i, name in enumerate(self.spec.value_features)]
        return [
            EncodedValue(place, feature.value_encoding, tuple(feature.bin_edges(self._fitted(name))))
            for place, name, feature in named
            if feature.value_encoding is not None
        ]

    def save(self, folder: Path) -> None:
        """Write ``encoder.json`` and ``vocabulary.parquet``, both readable without pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        fitted = _Saved(spec=self.spec, scales=self.scales, dtypes=self.dtypes, naming=self.naming)
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
        """Read an encoder that :meth:`save` wrote."""
        fitted = _Saved.model_validate_json((folder / _JSON).read_text())
        values = pl.scan_parquet(folder / _VOCABULARY, glob=False).collect().sort("table", "id")
        vocabularies = {
            table: values.filter(pl.col("table") == table).get_column("value") for table in fitted.spec.vocabularies
        }
        return cls(fitted.spec, vocabularies, fitted.scales, fitted.dtypes, fitted.naming)

    def _table(self, name: str, features: tuple[str, ...]) -> Table:
        first = self.spec.features[features[0]]
        rows = transforms.FIRST_KNOWN + first.known_values(self._fitted(features[0]))
        return Table(name, rows, first.width or self.spec.width or usual_width(rows), features)

    def _features(self, schema: pl.Schema) -> list[pl.Expr]:
        if problems := check_features(self.spec, schema, "the rows to encode"):
            raise InputError.of("cannot encode", problems)
        columns = []
        for name in self.spec.id_features:
            feature = self.spec.features[name]
            columns.append(feature.id_expression(name, schema, self._fitted(name)).alias(ID + name))
            if feature.has_weights:
                columns.append(feature.weight_expression(name, schema).alias(WEIGHT + name))
        for name in self.spec.value_features:
            value = self.spec.features[name].value_expression(name, schema, self._fitted(name))
            columns.append(value.alias(VALUE + name))
        return columns

    def _restored(self, schema: pl.Schema) -> pl.Schema:
        """The columns to cast, to the type that a feature reads or to the one that they had in training."""
        # 0.3 is below the nearest float32 number, and so below a bucket's edge that was fitted on the float32 number.
        # An id beyond float32 would become another one.
        single = [
            c
            for c, dtype in self.dtypes.items()
            if dtype == "Float32" and schema.get(c) == pl.Float64 and c not in self._categories
        ]
        return pl.Schema({**self.spec.typed(schema), **dict.fromkeys(single, pl.Float32())})

    @property
    def _categories(self) -> set[str]:
        """The raw columns that some feature reads as names."""
        return {c for name, feature in self.spec.features.items() for c in feature.categories(name)}

    def _fitted(self, name: str) -> FittedFeature:
        vocabulary = self.vocabularies.get(self.spec.table(name), NO_VOCABULARY)
        return FittedFeature(vocabulary, self.scales.get(name, NO_SCALE), self.naming)


def usual_width(rows: int) -> int:
    """Embedding width of a table that declares none: 3 * rows ** (1/4), as a multiple of 4 from 4 to 64."""
    return min(max(4 * round(3 * math.sqrt(math.sqrt(rows)) / 4), 4), 64)
