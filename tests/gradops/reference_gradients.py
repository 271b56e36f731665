"""Newer gradient methods on full gradients, straight from their papers' text in numpy and scipy: the updates."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, nnls  # type: ignore[attr-defined]  # scipy has no list of its names for mypy

from tests.gradops.reference import Array


def nearest_without_conflict(jac_TP: Array, vector_P: Array) -> Array:
    """The projection on the dual cone: the vector and the nearest non-negative combination of gradients to add."""
    added_T, _ = nnls(jac_TP.T, -vector_P)
    update: Array = vector_P + added_T @ jac_TP
    return update


def upgrad(jac_TP: Array) -> Array:
    """Equation 4 of Jacobian descent, times T."""
    update: Array = np.sum([nearest_without_conflict(jac_TP, g) for g in jac_TP], axis=0)
    return update


def dualproj(jac_TP: Array) -> Array:
    """GEM's projection of the summed gradient."""
    return nearest_without_conflict(jac_TP, jac_TP.sum(axis=0))


def aligned_mtl(jac_TP: Array) -> Array:
    """Equation 11 of Aligned-MTL by singular values, scale "min", for independent gradients, times T."""
    left, values, right = np.linalg.svd(jac_TP, full_matrices=False)
    update: Array = values.min() * (left @ right).sum(axis=0)
    return update


def fairgrad(jac_TP: Array, alpha: float) -> Array:
    """Equation 4 of FairGrad: the minimum of the convex function whose slope it is, in logarithms of the weights."""
    gram_TT, power = jac_TP @ jac_TP.T, 1 - 1 / alpha

    def value(log_T: Array) -> tuple[float, Array]:
        weight = np.exp(log_T)
        slope = weight * (gram_TT @ weight - weight ** (-1 / alpha))
        return float(weight @ gram_TT @ weight / 2 - (weight**power / power).sum()), slope

    start = -np.log(np.linalg.norm(jac_TP, axis=1))
    found = minimize(value, start, jac=True, method="BFGS", options={"gtol": 1e-13, "maxiter": 5000})
    update: Array = np.exp(found.x) @ jac_TP
    return update
