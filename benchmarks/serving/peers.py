"""Models of LightGBM and scikit-learn of as many columns, for `mlflow models serve`, beside which ours are measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from features.encoder import ID, VALUE
from pipeline.serving.scorer import Scorer

TREES = 200


def save_peers(scorer: Scorer, rows: pl.DataFrame, folder: Path) -> dict[str, Path]:
    """Train both on one task's labels and save them as MLflow's own flavours.

    Args:
        scorer: Our model, whose encoder makes a number of each feature of theirs.
        rows: Raw rows.
        folder: Where the models go.

    Returns:
        The name of each model to its folder.
    """
    number_NF = _numbers(scorer, rows)
    label_N = rows.select(scorer.encoder.spec.tasks[scorer.tasks[0]].expression.fill_null(0)).to_series().to_numpy()
    boosted = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(number_NF, label_N), TREES
    )
    histogram = HistGradientBoostingClassifier(max_iter=TREES, early_stopping=False).fit(number_NF, label_N)
    mlflow.lightgbm.save_model(boosted, folder / "lightgbm", pip_requirements=[])
    mlflow.sklearn.save_model(
        histogram,
        folder / "scikit-learn",
        pip_requirements=[],
        serialization_format="cloudpickle",
        pyfunc_predict_fn="predict_proba",
    )
    return {name: folder / name for name in ("lightgbm", "scikit-learn")}


def peer_bodies(scorer: Scorer, rows: pl.DataFrame, sizes: Sequence[int]) -> Mapping[int, bytes]:
    """Number of rows of a request to the request's body, in the shortest of MLflow's forms: a list a row."""
    number_NF = _numbers(scorer, rows)
    columns = [f"c{place}" for place in range(number_NF.shape[1])]
    return {
        n: json.dumps({"dataframe_split": {"columns": columns, "data": number_NF[:n].tolist()}}).encode() for n in sizes
    }


def _numbers(scorer: Scorer, rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    """A number a feature: its value, its id, or the length of its list; rows x features."""
    encoded, spec = scorer.rows.encoded(rows)[1], scorer.encoder.spec
    return (
        encoded.select(
            pl.col(VALUE + name)
            if name in spec.value_features
            else pl.col(ID + name).list.len()
            if name in spec.multi_hot_features
            else pl.col(ID + name)
            for name in spec.features
        )
        .to_numpy()
        .astype(np.float64)
    )
