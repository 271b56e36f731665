"""The served model: raw columns in, one probability a task out. MLflow runs this file itself (models from code)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from pipeline.scoring import ARTIFACT, Scorer


class ServedModel(PythonModel):
    """A :class:`pipeline.scoring.Scorer` behind MLflow's pyfunc interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model's files. MLflow calls this by keyword: the parameter must keep its name."""
        self.scorer = Scorer.load(Path(context.artifacts[ARTIFACT]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Probabilities of the rows of a pandas frame, under its index."""
        del context, params
        rows = pl.from_pandas(model_input.reset_index(drop=True))
        scores = self.scorer.score(rows)
        return pd.DataFrame({task: scores.get_column(task).to_numpy() for task in self.scorer.tasks}, model_input.index)


set_model(ServedModel())
