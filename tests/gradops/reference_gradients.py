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


def pcd(jacs: list[Array], tau: float, beta: float) -> list[Array]:
    """Priority-constrained descent as a quadratic program in the direction; the last task is the primary one."""
    updates, square = [], np.zeros(len(jacs[0]))
    for number, jac_TP in enumerate(jacs, 1):
        square = beta * square + (1 - beta) * (jac_TP**2).sum(axis=1)
        unit_TP = jac_TP / np.sqrt(square / (1 - beta**number))[:, None]
        *others, primary = unit_TP
        limits = [{"type": "ineq", "fun": lambda d, g=g: g @ d - tau * g @ g, "jac": lambda d, g=g: g} for g in others]
        found = minimize(
            lambda d, g=primary: (d - g) @ (d - g) / 2,
            primary,
            jac=lambda d, g=primary: d - g,
            constraints=limits,
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 1000},
        )
        direction = found.x if found.success else primary
        updates.append(direction / np.linalg.norm(direction) * np.linalg.norm(jac_TP[-1]))
    return updates
