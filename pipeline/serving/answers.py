"""Answers to requests: scores, or an error that a caller can mend; the same behind every server."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features.errors import InputError
from pipeline.runtime.cores import available_cores
from pipeline.serving.counted import Counted
from pipeline.serving.json_text import written_json
from pipeline.serving.requests import Limits, Request, read_request

if TYPE_CHECKING:
    from pipeline.serving.sample.live import LiveSample
    from pipeline.serving.scorer import Scorer

JSON = "application/json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """An answer.

    Args:
        status: Its HTTP status.
        content: Its content, JSON.
        counted: Counts of the rows that it scores; None for an error.
    """

    status: int
    content: str
    counted: Counted | None = None

    @classmethod
    def error(cls, status: int, message: str) -> Answer:
        """An error, in MLflow's form."""
        code = "INTERNAL_ERROR" if status >= 500 else "INVALID_PARAMETER_VALUE"  # HTTP: from 500 on the server's fault
        return cls(status, json.dumps({"error_code": code, "message": message}))


class Answers:
    """Answers requests, as many at a time as there are cores.

    Args:
        scorer: The model.
        limits: Limits of a request.
        sample: A sample of the rows is given to it; None for no sample.
    """

    def __init__(self, scorer: Scorer, limits: Limits, sample: LiveSample | None = None) -> None:
        self.scorer, self._limits, self._sample = scorer, limits, sample
        # Servers call from many threads; bounding the number of requests in progress bounds their memory.
        self._slots = threading.BoundedSemaphore(available_cores())

    def __call__(self, body: bytes, content_type: str | None) -> Answer:
        """The scores of a request's rows, or an error."""
        kind, _, charset = (part.strip().lower() for part in (content_type or "").partition(";"))
        if kind != JSON or charset.replace('"', "") not in ("", "charset=utf-8"):
            return Answer.error(415, f"the request's content type should be {JSON} in UTF-8, found {content_type!r}")
        scorer = self.scorer  # one for the whole request, should it be replaced meanwhile
        try:
            with self._slots:
                request = read_request(body, scorer.columns, self._limits)
                scored = scorer.request(request.rows)
                if self._sample is not None:
                    self._sample.offer(scorer, scored)
            predictions = _predictions(request, scorer.outputs, scored.probability_NO)
            return Answer(200, written_json({"predictions": predictions}), scored.counted)
        except InputError as error:
            return Answer.error(400, str(error))
        except (Exception, pl.exceptions.PanicException):
            _log.exception("a request could not be answered")
            return Answer.error(500, "the model could not score this request; the server's log says why")


def _predictions(request: Request, outputs: Sequence[str], probability_NO: npt.NDArray[np.float64]) -> Any:
    """A list an output for candidates, otherwise an object a row."""
    if request.by_column:
        return dict(zip(outputs, probability_NO.T.tolist(), strict=True))
    return [dict(zip(outputs, row, strict=True)) for row in probability_NO.tolist()]
