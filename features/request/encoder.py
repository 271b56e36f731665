"""The encoder of requests: the same ids and numbers as the expressions give, without a query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.request.column import Column, UnreadError
from features.request.form import Form, Part


@dataclass(frozen=True)
class Encoded:
    """Encoded rows.

    Args:
        rows: The number of rows.
        parts: Feature to what it has of the rows. A part of a single row holds for all of them.
    """

    rows: int
    parts: Mapping[str, Part]

    def whole(self) -> Encoded:
        """The same with all rows in each part."""
        parts = {n: part if part.rows == self.rows else part.repeated(self.rows) for n, part in self.parts.items()}
        return Encoded(self.rows, parts)


@dataclass(frozen=True, eq=False)
class FeatureForm:
    """A feature as requests are encoded.

    Args:
        columns: The raw columns that it reads.
        form: Encodes them.
    """

    columns: Sequence[str]
    form: Form


@dataclass(frozen=True, eq=False)
class RequestEncoder:
    """Encodes columns of Python values; :attr:`features.encoder.Encoder.request_encoder` makes it.

    Args:
        features: The features by name.
        required: Columns without a missing value.
        optional: Columns that a request may leave out.
        single: Columns of float32 in the training rows: floats are rounded to it.
    """

    features: Mapping[str, FeatureForm]
    required: frozenset[str]
    optional: frozenset[str]
    single: frozenset[str]

    def encode(self, columns: Mapping[str, Column], rows: int) -> Encoded:
        """Encode a request.

        Args:
            columns: The raw columns by name; others than those of the features are not read. Each has all rows, or a
                single value for all of them.
            rows: The number of rows.

        Raises:
            UnreadError: If the expressions have to read the request: a type is unusual, or something is wrong with it.
        """
        if not rows or not columns:
            # The type of a column without a row is told, of one without a value it is not.
            raise UnreadError("there is no row, or no column")
        if missing := [n for n in self.required if n in columns and not columns[n].is_complete()]:
            raise UnreadError(f"a value is required in each row of {_listed(missing)}")
        nothing = Column("null", (None,))
        with np.errstate(all="ignore"):
            read = {name: column.in_float32() if name in self.single else column for name, column in columns.items()}
            read |= {name: nothing for name in self.optional if name not in columns}
            return Encoded(rows, {name: self._part(name, feature, read) for name, feature in self.features.items()})

    @staticmethod
    def _part(name: str, feature: FeatureForm, columns: Mapping[str, Column]) -> Part:
        if missing := [column for column in feature.columns if column not in columns]:
            raise UnreadError(f"the rows lack {_listed(missing)}, which feature `{name}` reads")
        try:
            return feature.form.part([columns[column] for column in feature.columns])
        except UnreadError as error:
            raise UnreadError(f"feature `{name}` does not read the values of {_listed(feature.columns)}") from error


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in sorted(columns))
