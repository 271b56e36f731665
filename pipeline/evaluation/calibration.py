"""A calibrator a task: from a network's logit to the probability that is shown and served. It needs numpy alone.

One more kind is one more class here, one more function of :mod:`pipeline.evaluation.calibration_fit`, and its name
among the choices of :class:`pipeline.config.train.TrainConfig`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, FiniteFloat, TypeAdapter, model_validator

from features.declared import Declared

Array = npt.NDArray[np.float64]


class Platt(Declared):
    """``sigmoid(slope * logit + intercept)``: strictly rising, so the order of rows, and the AUC, stay as they are.

    Args:
        kind: The calibrator.
        slope: Above 0.
        intercept: In units of log-odds.
    """

    kind: Literal["platt"] = "platt"
    slope: Annotated[FiniteFloat, Field(gt=0)]
    intercept: FiniteFloat

    def probabilities(self, logit_N: Array) -> Array:
        """Probabilities in [0, 1]; NaN of NaN."""
        scaled_N = self.slope * logit_N + self.intercept
        small_N = np.exp(-abs(scaled_N))  # at most 1, so nothing overflows
        result: Array = np.where(scaled_N >= 0, 1.0, small_N) / (1 + small_N)
        return result


class Isotonic(Declared):
    """Straight lines between points, constant beyond the first and the last one: rising, but flat in places.

    Rows within a flat stretch get one probability, so they are ties in the AUC.

    Args:
        kind: The calibrator.
        logits: The points' logits, each above the one before.
        values: The points' probabilities, none below the one before.
    """

    kind: Literal["isotonic"] = "isotonic"
    logits: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    values: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.logits) != len(self.values):
            raise ValueError(
                f"`logits` and `values` should be as many, found {len(self.logits)} and {len(self.values)}"
            )
        if not (np.diff(self.logits) > 0).all() or not (np.diff(self.values) >= 0).all():
            raise ValueError("`logits` should rise from point to point, and `values` should never fall")
        return self

    def probabilities(self, logit_N: Array) -> Array:
        """Probabilities in [0, 1]; NaN of NaN."""
        # Of a single point, numpy's own line gives its value to NaN, too.
        result: Array = np.where(np.isnan(logit_N), np.nan, np.interp(logit_N, self.logits, self.values))
        return result


Calibrator = Annotated[Platt | Isotonic, Field(discriminator="kind")]
_CALIBRATORS: TypeAdapter[dict[str, Platt | Isotonic]] = TypeAdapter(dict[str, Calibrator])


def parse_calibrators(written: Mapping[str, Any]) -> dict[str, Platt | Isotonic]:
    """Task to its calibrator, from JSON's types.

    Raises:
        ValidationError: If there is no such calibrator: pydantic's, which lists all problems.
    """
    return _CALIBRATORS.validate_python(written)


def calibrated(logit_NT: npt.NDArray[np.floating], calibrators: Sequence[Platt | Isotonic]) -> Array:
    """Probabilities of logits, rows x tasks, by a calibrator for each task, in float64."""
    columns = zip(calibrators, logit_NT.T.astype(np.float64), strict=True)
    return np.stack([calibrator.probabilities(logit_N) for calibrator, logit_N in columns], axis=1)
