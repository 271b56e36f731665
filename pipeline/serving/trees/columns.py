"""The columns that boosted trees read, made of the rows as networks read them, in training and in serving alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from features.declared import Declared
from features.encoder import Encoder
from features.kinds import Feature
from features.kinds.base import Name
from features.transforms import NULL
from pipeline.data.windows import Window

CATEGORIES = 254  # and one for all others: libraries of boosting count categories in a byte
ENTRIES = 16

Array = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Arrays = Mapping[str, npt.NDArray[np.generic]]
Read = Literal["number", "bucket", "category", "entries", "rate"]


class Column(Declared):
    """How trees read a feature.

    - ``number``: the network's value, unknown where the network has an id for a missing one.
    - ``bucket``: the id of a feature that the network reads by its bucket alone, as a number.
    - ``category``: one of the most frequent of the training rows, or a last one for all others.
    - ``entries``: the length of a list and, for each of the most frequent entries, whether the list has it.
    - ``rate``: the share of positives among the training rows of the value;
      see :mod:`pipeline.comparison.boosting_rates`.

    Args:
        feature: The feature's name.
        read: How it is read.
    """

    feature: Name
    read: Read


@dataclass(frozen=True)
class Columns:
    """The columns of one task's trees.

    Args:
        columns: How each feature is read; a feature may be read in several ways.
        ids: For each category or list, its frequent ids in the order of their codes; for each rate none.
        rates: For each rate, the rate of each id of the feature's table.
    """

    columns: tuple[Column, ...]
    ids: Mapping[str, Ints] = field(default_factory=dict)
    rates: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def learnt(cls, window: Window) -> Columns:
        """Columns whose frequent values are counted on training rows."""
        columns, ids, reader = [], {}, _Reader(window)
        for name, feature in window.spec.features.items():
            read = _read(feature)
            columns.append(Column(feature=name, read=read))
            if read == "category":
                ids[name] = _frequent(reader.ids(name), CATEGORIES)
            elif read == "entries":
                ids[name] = _frequent(reader.entries(name)[0], ENTRIES)
        return cls(tuple(columns), ids)

    @classmethod
    def read(cls, arrays: Arrays, encoder: Encoder) -> Columns:
        """Columns of the arrays that :attr:`arrays` gave, from an untrusted place.

        Raises:
            ValueError: If they do not say what the columns are, or do not fit these, or these the encoder.
        """
        told = arrays.get(_TOLD, np.empty(0, np.uint8))
        if told.dtype != np.uint8 or told.ndim != 1:
            raise ValueError(f"`{_TOLD}` should be text in uint8")
        columns = _COLUMNS.validate_json(told.tobytes())
        problems = [p for column in columns for p in _problems(column, arrays, encoder)]
        if problems:
            raise ValueError("; ".join(problems))
        ids = {c.feature: arrays[_IDS + c.feature] for c in columns if c.read in ("category", "entries")}
        rates = {c.feature: arrays[_RATES + c.feature] for c in columns if c.read == "rate"}
        return cls(columns, ids, rates)  # type: ignore[arg-type]  # of the right types, as was just found

    @property
    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Its arrays by name, to be stored; what the columns are is among them, as JSON."""
        told = np.frombuffer(_COLUMNS.dump_json(self.columns), np.uint8)
        ids = {_IDS + name: array for name, array in self.ids.items()}
        return {_TOLD: told, **ids, **{_RATES + name: array for name, array in self.rates.items()}}

    @property
    def categorical(self) -> list[bool]:
        """Whether each column is a category."""
        return [column.read == "category" for column in self.columns for _ in range(self._width(column))]

    def __len__(self) -> int:
        return len(self.categorical)

    def without(self, features: Sequence[str]) -> Columns:
        """The columns of the other features."""
        ids = {name: array for name, array in self.ids.items() if name not in features}
        rates = {name: array for name, array in self.rates.items() if name not in features}
        return Columns(tuple(c for c in self.columns if c.feature not in features), ids, rates)

    def with_rates(self, rates: Mapping[str, Array]) -> Columns:
        """These columns, then the rates of some features."""
        more = tuple(Column(feature=name, read="rate") for name in rates)
        return Columns((*self.columns, *more), self.ids, {**self.rates, **rates})

    def of(self, window: Window) -> Array:
        """Rows x columns, NaN where unknown."""
        reader = _Reader(window)
        made = [np.empty((len(window), 0), np.float32), *(self._made(column, reader) for column in self.columns)]
        return np.concatenate(made, axis=1)

    def _width(self, column: Column) -> int:
        return 1 + len(self.ids[column.feature]) if column.read == "entries" else 1

    def _made(self, column: Column, reader: _Reader) -> Array:
        name = column.feature
        match column.read:
            case "number":
                return reader.number(name)[:, None]
            case "bucket":
                return reader.ids(name).astype(np.float32)[:, None]
            case "category":
                return _codes(reader.ids(name), self.ids[name])[:, None]
            case "rate":
                return self.rates[name][reader.ids(name)][:, None]
            case "entries":
                return np.stack([*_entries(*reader.entries(name), self.ids[name])], axis=1)


class _Reader:
    """The features of a window as arrays."""

    def __init__(self, window: Window) -> None:
        self._window, spec = window, window.spec
        single = (name for name in spec.id_features if name not in spec.multi_hot_features)
        self._ids = {name: place for place, name in enumerate(single)}
        self._values = {name: place for place, name in enumerate(spec.value_features)}

    def ids(self, name: str) -> Ints:
        """The ids of a feature with one value a row."""
        ids: Ints = self._window.ids_FN[self._ids[name]].numpy()
        return ids

    def number(self, name: str) -> Array:
        """The values of a feature; NaN where its id is that of a missing value."""
        value_N: Array = self._window.value_NV[:, self._values[name]].numpy()
        return np.where(self.ids(name) == NULL, np.float32("nan"), value_N) if name in self._ids else value_N

    def entries(self, name: str) -> tuple[Ints, npt.NDArray[np.int64]]:
        """The entries of all rows' lists, and the number of each row's."""
        found = self._window.entries[name]
        return found.ids_E.numpy(), found.begin_M.diff().numpy()


_IDS, _RATES, _TOLD = "ids.", "rates.", "columns"
_COLUMNS: TypeAdapter[tuple[Column, ...]] = TypeAdapter(tuple[Column, ...])


def many_valued(window: Window) -> list[str]:
    """The features that are read as a category and have more values in training rows than categories of their own.

    These are ids of users or items, and crosses of ids.
    """
    features, reader = window.spec.features, _Reader(window)
    read = [name for name, feature in features.items() if _read(feature) == "category"]
    return [name for name in read if len(np.unique(reader.ids(name))) > CATEGORIES]


def ids_of(window: Window, feature: str) -> Ints:
    """Each row's id of a feature with one value a row."""
    return _Reader(window).ids(feature)


def _read(feature: Feature) -> Read:
    if feature.is_multi_hot:
        return "entries"
    if feature.is_ordered:
        return "number" if feature.has_value else "bucket"
    return "category"


def _frequent(ids_N: Ints, most: int) -> Ints:
    """The most frequent ids, most frequent first; of equally frequent ids the smaller comes first."""
    ids, counts = np.unique(ids_N, return_counts=True)
    return ids[np.argsort(-counts, kind="stable")][:most].astype(np.int32)


def _codes(ids_N: Ints, frequent: Ints) -> Array:
    """A category's code: 0 for the most frequent id, 1 for the next, a last code for all rare ids."""
    if not len(frequent):
        return np.zeros(len(ids_N), np.float32)
    order = np.argsort(frequent)
    place_N = np.searchsorted(frequent, ids_N, sorter=order).clip(max=len(frequent) - 1)
    code_N = order[place_N]
    return np.where(frequent[code_N] == ids_N, code_N, len(frequent)).astype(np.float32)


def _entries(ids_E: Ints, length_N: npt.NDArray[np.int64], frequent: Ints) -> Iterator[Array]:
    yield length_N.astype(np.float32)
    row_E = np.repeat(np.arange(len(length_N)), length_N)
    for entry in frequent:
        has_N = np.zeros(len(length_N), np.float32)
        has_N[row_E[ids_E == entry]] = 1
        yield has_N


def _problems(column: Column, arrays: Arrays, encoder: Encoder) -> Iterator[str]:
    name, spec = column.feature, encoder.spec
    if name not in spec.features:
        yield f"there is no feature `{name}`"
        return
    own = _read(spec.features[name])
    if column.read != own and (own, column.read) != ("category", "rate"):
        yield f"feature `{name}` cannot be read as `{column.read}`"
    elif column.read in ("category", "entries"):
        ids, most = arrays.get(_IDS + name), CATEGORIES if column.read == "category" else ENTRIES
        if ids is None or ids.dtype != np.int32 or ids.ndim != 1 or len(ids) > most:
            yield f"`{_IDS}{name}` should be at most {most} numbers in int32"
    elif column.read == "rate":
        rates, rows = arrays.get(_RATES + name), rows_of_table(encoder, name)
        if rates is None or rates.dtype != np.float32 or rates.shape != (rows,) or not np.isfinite(rates).all():
            yield f"`{_RATES}{name}` should be {rows} finite numbers in float32"


def rows_of_table(encoder: Encoder, feature: str) -> int:
    """The number of ids of a feature: all are below it."""
    return next(table.rows for table in encoder.tables() if feature in table.features)
