"""Raw rows become encoded ones: those of a request without a query, those of files by expressions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from features.encoder import ID, WEIGHT, Encoder
from features.errors import InputError
from features.request.column import UnreadError
from features.request.encoder import Encoded
from pipeline.data.windows import Window
from pipeline.serving.columns import RequestRows

_KEPT = 64
# From this number of rows on the expressions are faster: benchmarks/RESULTS.md.
_MANY = 2500


@dataclass(frozen=True)
class RowEncoder:
    """Encodes the raw rows that a model is asked for.

    Args:
        encoder: The encoder of its training rows.
    """

    encoder: Encoder

    def window(self, rows: pl.DataFrame | RequestRows) -> Window:
        """The rows as the model reads them.

        Raises:
            InputError: As :meth:`encoded` does.
        """
        if isinstance(rows, RequestRows):
            if (found := self.of_request(rows)) is not None:
                return self.window_of(found)
            rows = rows.frame()
        return Window.of(self.encoded(rows)[1], self.encoder.spec, ())

    def window_of(self, encoded: Encoded) -> Window:
        """The encoded rows of a request as the model reads them."""
        return Window.of_parts(encoded.whole().parts, self.encoder.spec)

    def of_request(self, rows: RequestRows) -> Encoded | None:
        """The rows of a request encoded; None if the expressions have to read or to refuse them."""
        if rows.rows >= _MANY:
            return None
        try:
            return self.encoder.request_encoder.encode(rows.read(), rows.rows)
        except UnreadError:
            return None

    def encoded(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The columns that the model reads, in the types that it reads, and the same rows encoded."""
        known = self._known(rows)
        # No streaming: each of its many pieces would build the map of a vocabulary, and a request has few rows.
        plan = pl.QueryOptFlags(comm_subexpr_elim=False)
        kinds, features = self._steps(known.schema)
        typed = known.cast(kinds)
        encoded = typed.lazy().select(features).collect(engine="in-memory", optimizations=plan)
        if problems := self._unequal(encoded):
            raise InputError.of("cannot score", problems)
        return typed, encoded

    @cached_property
    def _kept(self) -> dict[Any, tuple[pl.Schema, list[pl.Expr]]]:
        return {}

    @property
    def _columns(self) -> list[str]:
        spec = self.encoder.spec
        return list(dict.fromkeys(c for name in spec.features for c in spec.columns(name)))

    def _steps(self, schema: pl.Schema) -> tuple[pl.Schema, list[pl.Expr]]:
        key = tuple(schema.items())
        steps = self._kept.get(key)
        if steps is None:
            # Callers decide which columns are null, so the number of schemas is unbounded: the cache needs a limit.
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            steps = self._kept[key] = self.encoder.steps(schema)
        return steps

    def _known(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The columns that the model reads; optional columns that are missing are filled in."""
        spec = self.encoder.spec
        found = rows.select(c for c in self._columns if c in rows.columns)
        if not found.columns:
            raise InputError(f"cannot score: the rows have none of the columns {', '.join(self._columns)}")
        # The type of a column without a single value comes from its table format and has no meaning.
        untyped = [n for n in found.columns if found.height and found.get_column(n).null_count() == found.height]
        untyped += [c for c in spec.optional_columns if c not in rows.columns]
        required = {c: name for name, feature in spec.features.items() if feature.required for c in spec.columns(name)}
        problems = []
        for column, name in required.items():
            if column in found.columns and (missing := _missing(found.get_column(column))):
                rule = "it is `required`; give every row a value"
                problems.append(f"column `{column}` (feature `{name}`) is null in {missing} row(s); {rule}")
        if problems:
            raise InputError.of("cannot score", problems)
        return found.with_columns(pl.lit(None).alias(name) for name in untyped)

    def _unequal(self, encoded: pl.DataFrame) -> list[str]:
        """Problems of lists of weights whose length differs from that of the weighted lists."""
        spec, problems = self.encoder.spec, []
        for name in spec.multi_hot_features:
            if WEIGHT + name in encoded.columns:
                lengths = [encoded.get_column(kind + name).list.len().fill_null(0) for kind in (ID, WEIGHT)]
                if differing := (lengths[0] != lengths[1]).sum():
                    listed, weights = spec.columns(name)
                    rule = f"give one number an entry of `{listed}`"
                    problems.append(
                        f"column `{weights}` (feature `{name}`) has the wrong length in {differing} row(s); {rule}"
                    )
        return problems


def _missing(values: pl.Series) -> int:
    """The number of rows without a value; NaN and infinities of floats count as missing."""
    return len(values) - int(values.is_finite().sum()) if values.dtype.is_float() else values.null_count()
