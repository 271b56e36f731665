"""The encoding of a click log as one writes it with pandas and scikit-learn, in memory: what `prepare` is measured by.

Same splits, same kinds of features, same columns; ids are numbered by sorted value instead of by first sight, and
buckets are scikit-learn's quantile bins.
"""
# mypy: disable-error-code="no-untyped-call, no-any-return, attr-defined"
# scikit-learn has no types.

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import KBinsDiscretizer, OrdinalEncoder, StandardScaler

from features.kinds import Categorical, Cross, MultiHot, Numeric, Time
from features.spec import FeatureSpec
from pipeline.config.run import RunConfig
from pipeline.files import parquet

NULL, OUT_OF_VOCABULARY, FIRST_KNOWN = 1, 2, 3


def prepare(config: RunConfig, out: Path) -> None:
    """Encode the rows of a config and write a Parquet file a split."""
    rows = pd.concat([pd.read_parquet(path) for path in parquet.find_files(config.data.train)], ignore_index=True)
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
        column = rows[spec.columns(name)[0]]
        if isinstance(declared, Numeric):
            columns |= _number(name, declared, column, is_train)
        elif isinstance(declared, Time):
            columns[f"id.{name}"] = column.dt.weekday + FIRST_KNOWN
        elif isinstance(declared, Cross):
            both = rows[declared.columns[0]].astype(str) + ":" + rows[declared.columns[1]].astype(str)
            columns[f"id.{name}"] = _hashed(both, declared.buckets)
        elif declared.buckets:
            columns[f"id.{name}"] = _hashed(column.astype(str), declared.buckets)
        elif isinstance(declared, Categorical):
            columns[f"id.{name}"] = _ids(encoders[spec.table(name)], column)
        else:
            columns |= _lists(name, declared, rows, encoders[spec.table(name)])
    for name in spec.tasks:
        columns[f"label.{name}"] = rows[name].astype("Int8")
    return columns


def _vocabulary(spec: FeatureSpec, features: list[str], train: pd.DataFrame) -> OrdinalEncoder:
    values = [train[spec.columns(n)[0]] for n in features]
    values = [
        v.explode() if isinstance(spec.features[n], MultiHot) else v for n, v in zip(features, values, strict=True)
    ]
    seen, counts = np.unique(np.concatenate([_plain(v.dropna()) for v in values]), return_counts=True)
    known = seen[counts >= getattr(spec.features[features[0]], "min_count", 1)]
    encoder = OrdinalEncoder(
        categories=[known], handle_unknown="use_encoded_value", unknown_value=OUT_OF_VOCABULARY - FIRST_KNOWN
    )
    return encoder.fit(known[:1, None])


def _plain(values: pd.Series) -> np.ndarray:
    """Integers, which pandas makes floats where one is missing, or texts."""
    try:
        return values.to_numpy(np.int64)
    except ValueError:
        return values.to_numpy(object)


def _ids(encoder: OrdinalEncoder, values: pd.Series) -> np.ndarray:
    known = values.notna().to_numpy()
    ids = np.full(len(values), NULL, np.int32)
    ids[known] = encoder.transform(_plain(values[known])[:, None])[:, 0] + FIRST_KNOWN
    return ids


def _hashed(texts: pd.Series, buckets: int) -> np.ndarray:
    return (pd.util.hash_array(texts.to_numpy()) % buckets).astype(np.int32) + FIRST_KNOWN


def _lists(name: str, declared: MultiHot, rows: pd.DataFrame, encoder: OrdinalEncoder) -> dict[str, object]:
    """Entries one below the other, encoded, and put together again."""
    lists = rows[declared.column or name]
    entries = (lists.str[: declared.max_length] if declared.max_length else lists).explode()
    row = entries.index.to_numpy()
    length = np.bincount(row, minlength=len(rows))
    ends = length.cumsum()[:-1]
    weight = 1 / length[row]
    if declared.weights:
        given = rows[declared.weights].explode().astype(float).to_numpy()
        whole = np.bincount(row, np.nan_to_num(given), minlength=len(rows))
        weight = np.where(whole[row] > 0, given / np.where(whole > 0, whole, 1)[row], 1.0)
    ids = np.split(_ids(encoder, entries), ends)
    return {f"id.{name}": ids, f"weight.{name}": np.split(weight.astype(np.float32), ends)}


def _number(name: str, declared: Numeric, column: pd.Series, is_train: np.ndarray) -> dict[str, object]:
    number = column.to_numpy(float)
    known = np.isfinite(number)
    value = (np.sign(number) * np.log1p(np.abs(number)) if declared.log1p else number)[:, None]
    scaler = StandardScaler().fit(value[is_train])
    binner = KBinsDiscretizer(declared.buckets, encode="ordinal", strategy="quantile", subsample=1_000_000)
    binner.fit(number[is_train & known, None])
    ids = np.full(len(number), NULL, np.int32)
    ids[known] = binner.transform(number[known, None])[:, 0] + FIRST_KNOWN
    scaled = np.nan_to_num(scaler.transform(value)[:, 0]).astype(np.float32)
    return {f"id.{name}": ids, f"value.{name}": scaled}
