"""The answers of `mlflow models serve`: requests read by our own code, and errors that a caller can mend."""

from __future__ import annotations

import inspect
import json
import logging
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
from mlflow.pyfunc import scoring_server

from features.errors import InputError
from pipeline.serving.requests import Limits, Request, read_request

if TYPE_CHECKING:
    from pipeline.serving.scorer import Scorer

_JSON = "application/json"
_log = logging.getLogger(__name__)


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
    scoring_server.invocations = Answers(scorer, Limits.of(os.environ))
    return True


class Answers:
    """A replacement of MLflow's ``invocations``.

    Args:
        scorer: The model.
        limits: Limits of a request.
    """

    def __init__(self, scorer: Scorer, limits: Limits) -> None:
        self._scorer, self._limits = scorer, limits
        # MLflow calls from many threads; bounding the number of requests in progress bounds their memory.
        self._slots = threading.BoundedSemaphore(os.cpu_count() or 1)

    def __call__(
        self, data: bytes, content_type: str | None, model: object, input_schema: object
    ) -> scoring_server.InvocationsResponse:
        """The scores of a request's rows in MLflow's form, or an error."""
        del model, input_schema
        kind, _, charset = (part.strip().lower() for part in (content_type or "").partition(";"))
        if kind != _JSON or charset.replace('"', "") not in ("", "charset=utf-8"):
            return _error(415, f"the request's content type should be {_JSON} in UTF-8, found {content_type!r}")
        try:
            with self._slots:
                request = read_request(data, self._scorer.columns, self._limits)
                probability_NO = self._scorer.probability_NO(self._scorer.window(request.rows))
            return _response(200, {"predictions": _predictions(request, self._scorer.outputs, probability_NO)})
        except InputError as error:
            return _error(400, str(error))
        except (Exception, pl.exceptions.PanicException):
            _log.exception("a request could not be answered")
            return _error(500, "the model could not score this request; the server's log says why")


def _predictions(request: Request, outputs: Sequence[str], probability_NO: npt.NDArray[np.float64]) -> Any:
    """A list an output for candidates, otherwise an object a row."""
    if request.by_column:
        return dict(zip(outputs, probability_NO.T.tolist(), strict=True))
    return [dict(zip(outputs, row, strict=True)) for row in probability_NO.tolist()]


def _error(status: int, message: str) -> scoring_server.InvocationsResponse:
    code = "INTERNAL_ERROR" if status >= 500 else "INVALID_PARAMETER_VALUE"  # HTTP: from 500 on the server's fault
    return _response(status, {"error_code": code, "message": message})


def _response(status: int, content: dict[str, Any]) -> scoring_server.InvocationsResponse:
    return scoring_server.InvocationsResponse(json.dumps(content), status, _JSON)
