"""The papers' algorithms on full gradients, written straight from their text in numpy; nothing shared with gradops."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations, product

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]


def gradops(jac_TP: Array, alpha: float) -> Array:
    """Algorithm 1 of GradOPS, for gradients that are not all in each other's span: the update."""
    modified = orthogonal(jac_TP)
    total = modified.sum(axis=0)
    advance = np.array([total @ g / np.linalg.norm(g) for g in jac_TP])
    ratio = advance / advance.mean()
    weight = ratio**alpha / np.mean(ratio**alpha)
    update: Array = weight @ modified
    return update


def orthogonal(jac_TP: Array) -> Array:
    """Those in conflict less their projection on the span of the others, the first step of GradOPS: one a row."""
    modified = []
    for i, g in enumerate(jac_TP):
        others = np.delete(jac_TP, i, axis=0)
        if len(others) and (others @ g < 0).any():
            coefficients, *_ = np.linalg.lstsq(others.T, g, rcond=None)
            g = g - others.T @ coefficients
        modified.append(g)
    return np.array(modified)


def pcgrad(jac_TP: Array, orders: Sequence[Sequence[int]]) -> Array:
    """Algorithm 1 of PCGrad with the order of every task's projections given: the update."""
    update: Array = projected(jac_TP, orders).sum(axis=0)
    return update


def projected(jac_TP: Array, orders: Sequence[Sequence[int]]) -> Array:
    """PCGrad's gradients before they are summed: one a row."""
    modified = []
    for g, order in zip(jac_TP, orders, strict=True):
        v = g.copy()
        for j in order:
            if v @ jac_TP[j] < 0:
                v = v - (v @ jac_TP[j]) / (jac_TP[j] @ jac_TP[j]) * jac_TP[j]
        modified.append(v)
    return np.array(modified)


def pcgrad_outcomes(jac_TP: Array) -> list[Array]:
    """The updates of every combination of orders."""
    tasks = range(len(jac_TP))
    every = [list(permutations([j for j in tasks if j != i])) for i in tasks]
    return [pcgrad(jac_TP, orders) for orders in product(*every)]


def mgda(jac_TP: Array) -> Array:
    """The shortest vector of the convex hull: the update."""
    update: Array = shortest(jac_TP) @ jac_TP
    return update


def shortest(jac_TP: Array) -> Array:
    """The weights of the shortest vector of the convex hull, by trying every face."""
    best: Array = np.eye(len(jac_TP))[np.argmin(np.linalg.norm(jac_TP, axis=1))]
    for size in range(2, len(jac_TP) + 1):
        for face in combinations(range(len(jac_TP)), size):
            corners = jac_TP[list(face)]
            edges = corners[1:] - corners[0]
            along, *_ = np.linalg.lstsq(edges.T, -corners[0], rcond=None)
            inside = (along >= 0).all() and along.sum() <= 1
            if inside and np.linalg.norm(corners[0] + along @ edges) < np.linalg.norm(best @ jac_TP):
                best = np.zeros(len(jac_TP))
                best[list(face)] = [1 - along.sum(), *along]
    return best


def mgda_normalised(jac_TP: Array, size_T: Array) -> Array:
    """The shortest vector of the gradients over their sizes, scaled so that the weights of the gradients sum to 1."""
    weight = shortest(jac_TP / size_T[:, None]) / size_T
    update: Array = weight / weight.sum() @ jac_TP
    return update


def gradvac(jac_TP: Array, orders: Sequence[Sequence[int]], target_TT: Array, beta: float) -> tuple[Array, Array]:
    """Equation 6 of Gradient Vaccine with the orders given: the update and the next targets."""
    update: Array = np.zeros(jac_TP.shape[1])
    target_TT = target_TT.copy()
    for i, (g, order) in enumerate(zip(jac_TP, orders, strict=True)):
        v = g.copy()
        for j in order:
            other, goal = jac_TP[j], target_TT[i, j]
            phi = v @ other / np.linalg.norm(v) / np.linalg.norm(other)
            if phi < goal:
                numerator = np.linalg.norm(v) * (goal * np.sqrt(1 - phi**2) - phi * np.sqrt(1 - goal**2))
                v = v + numerator / (np.linalg.norm(other) * np.sqrt(1 - goal**2)) * other
            target_TT[i, j] = (1 - beta) * goal + beta * phi
        update = update + v
    return update, target_TT


def dw(jac_TP: Array, modified_TP: Array, alpha: float) -> Array:
    """Section 4.5 of GradOPS: given gradients reweighted by exp(R) of their sum: the update."""
    advance = np.exp([modified_TP.sum(0) @ g / np.linalg.norm(g) for g in jac_TP])
    ratio = (advance / advance.mean()) ** alpha
    update: Array = (ratio / ratio.mean()) @ modified_TP
    return update


def gradnorm(
    jacs: Sequence[Array], losses: Sequence[Array], tau: float, lr: float, *, combined: bool = False
) -> list[Array]:
    """Algorithm 1 of GradNorm, the weights learned by Adam without its epsilon: the update of every step.

    RotoGrad's version 1 has the length of the combined gradient where GradNorm has the mean of the lengths.
    """
    tasks, updates = len(losses[0]), []
    weight, mean, square = np.ones(tasks), np.zeros(tasks), np.zeros(tasks)
    for step, (jac_TP, loss) in enumerate(zip(jacs, losses, strict=True), start=1):
        updates.append(weight @ jac_TP)
        norm = np.linalg.norm(jac_TP, axis=1)
        rate = (loss / losses[0]) / np.mean(loss / losses[0])
        middle = np.linalg.norm(updates[-1]) if combined else np.mean(weight * norm)
        slope = norm * np.sign(weight * norm - middle * rate**tau)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        weight = weight - lr * (mean / (1 - 0.9**step)) / np.sqrt(square / (1 - 0.999**step))
        weight = weight * tasks / weight.sum()
    return updates


def rotograd(jacs: Sequence[Array]) -> list[Array]:
    """Section 4.1 of RotoGrad, ICLR 2022, lengths relative to those of the first step: the update of every step."""
    updates, first = [], np.linalg.norm(jacs[0], axis=1)
    for jac_TP in jacs:
        norm = np.linalg.norm(jac_TP, axis=1)
        alpha = (norm / first) / np.sum(norm / first)
        updates.append((alpha @ norm) * np.sum(jac_TP / norm[:, None], axis=0))
    return updates


def imtl_g(jac_TP: Array) -> Array:
    """Equation 6 of IMTL, with its inverse: the update."""
    unit = jac_TP / np.linalg.norm(jac_TP, axis=1, keepdims=True)
    differences, unit_differences = jac_TP[0] - jac_TP[1:], unit[0] - unit[1:]
    rest = jac_TP[0] @ unit_differences.T @ np.linalg.inv(differences @ unit_differences.T)
    update: Array = np.concatenate([[1 - rest.sum()], rest]) @ jac_TP
    return update


def cagrad(jac_TP: Array, c: float) -> Array:
    """Algorithm 1 of CAGrad with a general-purpose optimizer, times T: the update."""
    mean = jac_TP.mean(0)
    root = c * np.linalg.norm(mean)

    def value(w: Array) -> float:
        return float((w @ jac_TP) @ mean + root * np.linalg.norm(w @ jac_TP))

    start = np.full(len(jac_TP), 1 / len(jac_TP))
    simplex = {"type": "eq", "fun": lambda w: w.sum() - 1}
    options = {"ftol": 1e-16, "maxiter": 1000}
    found = minimize(value, start, bounds=[(0, 1)] * len(jac_TP), constraints=simplex, options=options, method="SLSQP")
    point = found.x @ jac_TP
    update: Array = len(jac_TP) * (mean + root * point / np.linalg.norm(point))
    return update
