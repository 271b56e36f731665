"""The answers of `mlflow models serve`: requests read by our own code, and errors that a caller can mend."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING

from mlflow.pyfunc import scoring_server

from pipeline.serving.answers import JSON, Answers
from pipeline.serving.requests import Limits

if TYPE_CHECKING:
    from pipeline.serving.scorer import Scorer


def answer_requests(scorer: Scorer) -> bool:
    """Answer this process's requests, if it is MLflow's scoring server.

    MLflow's own code reads requests by pandas, refuses a column's numbers where one is missing, has no limits, and
    answers unexpected input with a traceback. It offers no hook, so the function that its server calls is replaced.
    An MLflow without a function of that name and signature answers as usual.

    Returns:
        Whether the function was replaced.
    """
    known = list(inspect.signature(getattr(scoring_server, "invocations", lambda: None)).parameters)
    if scoring_server._SERVER_MODEL_PATH not in os.environ or known != [
        "data",
        "content_type",
        "model",
        "input_schema",
    ]:
        return False
    scoring_server.invocations = MLflowAnswers(Answers(scorer, Limits.of(os.environ)))
    return True


class MLflowAnswers:
    """A replacement of MLflow's ``invocations``.

    Args:
        answers: Answers the requests.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def __call__(
        self, data: bytes, content_type: str | None, model: object, input_schema: object
    ) -> scoring_server.InvocationsResponse:
        """An answer in MLflow's form."""
        del model, input_schema
        answer = self._answers(data, content_type)
        return scoring_server.InvocationsResponse(answer.content, answer.status, JSON)
