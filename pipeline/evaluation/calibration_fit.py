"""Fits a calibrator to the logits and labels of rows that a network was not trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression  # type: ignore[attr-defined]  # its stubs lack it
from scipy.special import expit

from pipeline.evaluation.calibration import Array, Isotonic, Platt

_POINTS = 1000
_ITERATIONS, _CLOSE = 100, 1e-12
Fit = Callable[[Array, npt.NDArray[np.bool_]], Platt | Isotonic]


def fit_platt(logit_N: Array, positive_N: npt.NDArray[np.bool_]) -> Platt:
    """The slope and the intercept of the least log loss, with Platt's targets (Platt, 1999, section 2.2).

    The targets are (positives + 1) / (positives + 2) and 1 / (negatives + 2) in place of 1 and 0, so that rows that a
    threshold separates have finite parameters too. Should the best slope not be above 0, since the order of a network
    that has learnt nothing is that of chance, the slope stays 1 and the intercept alone is fitted: no order is ever
    turned around.

    Args:
        logit_N: Logits, at least one of each class.
        positive_N: Whether each label is 1.
    """
    above, below = int(positive_N.sum()), int((~positive_N).sum())
    target_N = np.where(positive_N, (above + 1) / (above + 2), 1 / (below + 2))
    middle, spread = float(logit_N.mean()), float(logit_N.std())
    if spread > 0:
        # Standardised, so that Newton's steps are well conditioned.
        slope, intercept = _newton(np.stack([(logit_N - middle) / spread, np.ones(len(logit_N))]), target_N)
        if slope > 0:
            return Platt(slope=slope / spread, intercept=intercept - slope * middle / spread)
    (intercept,) = _newton(np.ones((1, len(logit_N))), target_N, logit_N)
    return Platt(slope=1.0, intercept=intercept)


def fit_isotonic(logit_N: Array, positive_N: npt.NDArray[np.bool_], points: int = _POINTS) -> Isotonic:
    """The rising curve of the least squared error, by pooling neighbours that would fall.

    Values are held between Platt's targets, since a probability of 0 or 1 would make one later row's log loss infinite.

    Args:
        logit_N: Logits, at least one of each class.
        positive_N: Whether each label is 1.
        points: Largest number of points of the curve that are kept, evenly; no stretch in between bends by much.
    """
    above, below = int(positive_N.sum()), int((~positive_N).sum())
    place_K, inverse_N, count_K = np.unique(logit_N, return_inverse=True, return_counts=True)
    rate_K = np.bincount(inverse_N, positive_N) / count_K
    value_K = isotonic_regression(rate_K, weights=count_K).x.clip(1 / (below + 2), (above + 1) / (above + 2))
    # Points within a flat stretch say nothing that its two ends do not say.
    bends_K = np.ones(len(value_K), bool)
    bends_K[1:-1] = (value_K[1:-1] != value_K[:-2]) | (value_K[1:-1] != value_K[2:])
    kept = np.flatnonzero(bends_K)
    kept = kept[np.unique(np.linspace(0, len(kept) - 1, min(points, len(kept))).round().astype(int))]
    return Isotonic(logits=tuple(place_K[kept].tolist()), values=tuple(value_K[kept].tolist()))


FITS: dict[str, Fit] = {"platt": fit_platt, "isotonic": fit_isotonic}


def fit_calibrators(
    kind: str, logit_NT: npt.NDArray[np.floating], labels_NT: npt.NDArray[np.floating]
) -> list[Platt | Isotonic]:
    """A calibrator for each task.

    Args:
        kind: ``"platt"`` or ``"isotonic"``.
        logit_NT: Finite logits.
        labels_NT: 0, 1, or NaN where unknown.
    """
    found = []
    for logit_N, label_N in zip(logit_NT.T.astype(np.float64), labels_NT.T, strict=True):
        known_N = ~np.isnan(label_N)
        found.append(FITS[kind](logit_N[known_N], label_N[known_N] == 1))
    return found


def _newton(input_DN: Array, target_N: Array, offset_N: Array | float = 0.0) -> list[float]:
    """The weights of the least log loss of ``sigmoid(weights @ input + offset)``; a convex problem."""
    weight_D = np.zeros(len(input_DN))
    loss = _log_loss(weight_D @ input_DN + offset_N, target_N)
    for _ in range(_ITERATIONS):
        predicted_N = expit(weight_D @ input_DN + offset_N)
        slope_D = input_DN @ (predicted_N - target_N) / len(target_N)
        curvature_DD = (input_DN * (predicted_N * (1 - predicted_N))) @ input_DN.T / len(target_N)
        step_D = np.linalg.lstsq(curvature_DD, slope_D, rcond=None)[0]
        # A full step may leave the region where the loss is like its parabola; a part of it comes nearer.
        while (after := _log_loss((weight_D - step_D) @ input_DN + offset_N, target_N)) > loss:
            step_D = step_D / 2
            if abs(step_D).max() < _CLOSE:
                return [float(weight) for weight in weight_D]
        weight_D, loss = weight_D - step_D, after
        if abs(step_D).max() < _CLOSE:
            break
    return [float(weight) for weight in weight_D]


def _log_loss(logit_N: Array, target_N: Array) -> float:
    return float((np.logaddexp(0, logit_N) - target_N * logit_N).mean())
