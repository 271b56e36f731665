"""The encoding of a click log with pandas and scikit-learn, in memory, as a yardstick for `prepare`.

Same splits, same kinds of features, same columns; ids are numbered by sorted value instead of by first sight, and
buckets are scikit-learn's quantile bins.
"""
# mypy: disable-error-code="no-untyped-call, no-any-return, attr-defined"
# scikit-learn has no types.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import KBinsDiscretizer, OrdinalEncoder, StandardScaler

from features.spec import FeatureSpec
from pipeline.config.run import RunConfig
from pipeline.files.table import find_table

NULL, OUT_OF_VOCABULARY, FIRST_KNOWN = 1, 2, 3


@dataclass(frozen=True)
class Read:
    """The inputs of a feature's encoding.

    Args:
        name: The feature.
        keys: Its declaration.
        rows: The raw columns that it reads.
        encoder: The encoder of its table's vocabulary, if it has one.
        is_train: Whether each row is a training row.
    """

    name: str
    keys: dict[str, Any]
    rows: pd.DataFrame
    encoder: OrdinalEncoder | None
    is_train: np.ndarray

    @property
    def column(self) -> pd.Series:
        """The first of the raw columns."""
        return self.rows.iloc[:, 0]


def prepare(config: RunConfig, out: Path) -> None:
    """Encode the rows of a config and write a Parquet file a split."""
    rows = pd.concat([pd.read_parquet(path) for path in find_table(config.data.train).files], ignore_index=True)
    day = rows[config.split.time].dt.date
    is_train = (day < config.split.validation).to_numpy()
    encoded = pd.DataFrame(_columns(config.spec, rows, is_train))
    split = np.where(is_train, "train", np.where(day < config.split.test, "val", "test"))
    for name, part in encoded.groupby(split):
        part.to_parquet(out / f"{name}.parquet", row_group_size=65_536)


def _columns(spec: FeatureSpec, rows: pd.DataFrame, is_train: np.ndarray) -> dict[str, object]:
    encoders = {table: _vocabulary(spec, features, rows[is_train]) for table, features in spec.vocabularies.items()}
    columns: dict[str, object] = {}
    for name, declared in spec.features.items():
        read = Read(name, declared.model_dump(), rows[spec.columns(name)], encoders.get(spec.table(name)), is_train)
        columns |= _ENCODED[declared.kind](read)
    for name in spec.tasks:
        columns[f"label.{name}"] = rows[name].astype("Int8")
    return columns


def _vocabulary(spec: FeatureSpec, features: list[str], train: pd.DataFrame) -> OrdinalEncoder:
    values = [train[spec.columns(n)[0]] for n in features]
    values = [v.explode() if spec.features[n].is_multi_hot else v for n, v in zip(features, values, strict=True)]
    seen, counts = np.unique(np.concatenate([_plain(v.dropna()) for v in values]), return_counts=True)
    known = seen[counts >= spec.features[features[0]].model_dump()["min_count"]]
    encoder = OrdinalEncoder(
        categories=[known], handle_unknown="use_encoded_value", unknown_value=OUT_OF_VOCABULARY - FIRST_KNOWN
    )
    return encoder.fit(known[:1, None])


def _plain(values: pd.Series) -> np.ndarray:
    """Integers or texts; pandas turns integers into floats if a value is missing."""
    try:
        return values.to_numpy(np.int64)
    except ValueError:
        return values.to_numpy(object)


def _ids(encoder: OrdinalEncoder | None, values: pd.Series) -> np.ndarray:
    assert encoder is not None, "a feature without buckets has a vocabulary"
    known = values.notna().to_numpy()
    ids = np.full(len(values), NULL, np.int32)
    ids[known] = encoder.transform(_plain(values[known])[:, None])[:, 0] + FIRST_KNOWN
    return ids


def _hashed(texts: pd.Series, buckets: int) -> np.ndarray:
    return (pd.util.hash_array(texts.to_numpy()) % buckets).astype(np.int32) + FIRST_KNOWN


def _category(read: Read) -> dict[str, object]:
    buckets = read.keys["buckets"]
    ids = _hashed(read.column.astype(str), buckets) if buckets else _ids(read.encoder, read.column)
    return {f"id.{read.name}": ids}


def _weekday(read: Read) -> dict[str, object]:
    return {f"id.{read.name}": read.column.dt.weekday + FIRST_KNOWN}


def _crossed(read: Read) -> dict[str, object]:
    both = read.rows.iloc[:, 0].astype(str) + ":" + read.rows.iloc[:, 1].astype(str)
    return {f"id.{read.name}": _hashed(both, read.keys["buckets"])}


def _lists(read: Read) -> dict[str, object]:
    """Lists whose entries are encoded as one column and then joined again."""
    most = read.keys["max_length"]
    entries = (read.column.str[:most] if most else read.column).explode()
    row = entries.index.to_numpy()
    length = np.bincount(row, minlength=len(read.rows))
    ends = length.cumsum()[:-1]
    weight = 1 / length[row]
    if read.keys["weights"]:
        given = read.rows[read.keys["weights"]].explode().astype(float).to_numpy()
        whole = np.bincount(row, np.nan_to_num(given), minlength=len(read.rows))
        weight = np.where(whole[row] > 0, given / np.where(whole > 0, whole, 1)[row], 1.0)
    ids = np.split(_ids(read.encoder, entries), ends)
    return {f"id.{read.name}": ids, f"weight.{read.name}": np.split(weight.astype(np.float32), ends)}


def _number(read: Read) -> dict[str, object]:
    number = read.column.to_numpy(float)
    known = np.isfinite(number)
    value = (np.sign(number) * np.log1p(np.abs(number)) if read.keys["log1p"] else number)[:, None]
    scaler = StandardScaler().fit(value[read.is_train])
    binner = KBinsDiscretizer(read.keys["buckets"], encode="ordinal", strategy="quantile", subsample=1_000_000)
    binner.fit(number[read.is_train & known, None])
    ids = np.full(len(number), NULL, np.int32)
    ids[known] = binner.transform(number[known, None])[:, 0] + FIRST_KNOWN
    scaled = np.nan_to_num(scaler.transform(value)[:, 0]).astype(np.float32)
    return {f"id.{read.name}": ids, f"value.{read.name}": scaled}


_ENCODED: dict[str, Callable[[Read], dict[str, object]]] = {
    "categorical": _category,
    "multi_hot": _lists,
    "cross": _crossed,
    "time": _weekday,
    "numeric": _number,
}
