"""Calibrators in torch's operations, for graphs. One more calibrator is one more function here."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from features.errors import InputError
from pipeline.evaluation.calibration import Isotonic, Platt


@singledispatch
def calibrated_graph(calibrator: object, logit_B: Tensor) -> Tensor:
    """Probabilities of logits in float64, as the calibrator gives them.

    Raises:
        InputError: If there is no graph of a calibrator of this kind.
    """
    del logit_B
    raise InputError(f"a model with the calibrator `{type(calibrator).__name__}` cannot be exported: it has no graph")


@calibrated_graph.register
def _platt(calibrator: Platt, logit_B: Tensor) -> Tensor:
    return (calibrator.slope * logit_B + calibrator.intercept).sigmoid()


@calibrated_graph.register
def _isotonic(calibrator: Isotonic, logit_B: Tensor) -> Tensor:
    logit_P, value_P = (torch.tensor(points, dtype=torch.float64) for points in (calibrator.logits, calibrator.values))
    within_B = logit_B.clamp(calibrator.logits[0], calibrator.logits[-1])
    if len(calibrator.logits) == 1:
        return 0 * within_B + calibrator.values[0]  # NaN of NaN
    # The last point at or below each logit; the last stretch ends with its point.
    place_B = (within_B.unsqueeze(1) >= logit_P[1:-1]).sum(1)
    slope_P = value_P.diff() / logit_P.diff()
    return value_P[place_B] + slope_P[place_B] * (within_B - logit_P[place_B])
