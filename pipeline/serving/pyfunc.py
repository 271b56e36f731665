"""The served model: raw columns in, probabilities out. MLflow runs this file itself (models from code)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from features.errors import InputError
from pipeline.serving.columns import RequestRows
from pipeline.serving.http_server import answer_requests
from pipeline.serving.scorer import ARTIFACT, Scorer


class ServedModel(PythonModel):
    """A :class:`pipeline.serving.scorer.Scorer` behind MLflow's pyfunc interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model's files. MLflow calls this by keyword: the parameter must keep its name."""
        self.scorer = Scorer.load(Path(context.artifacts[ARTIFACT]))
        answer_requests(self.scorer)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Probabilities of the rows of a pandas frame, under its index.

        Raises:
            MlflowException: If the rows are not what the model was trained on; all problems at once.
        """
        del context, params
        try:
            asked = [c for c in self.scorer.columns if c in model_input.columns]
            scores = self.scorer.score(RequestRows.of({c: model_input[c] for c in asked}))
        except InputError as error:
            # MLflow's server answers this type with the message alone, and any other with a traceback.
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        return pd.DataFrame({column.name: column.to_numpy() for column in scores}, model_input.index)


set_model(ServedModel())
