"""How far a sample is from its own source by chance alone, with rows that come in requests."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri

from pipeline.data.distributions import LEAST_SHARE, Entries, Whole, shares

# One of a hundred samples without any skew is further away.
_LEVEL = 0.99
# Fewer requests tell too little of how alike the rows of one are.
_FEWEST_REQUESTS = 20


def index_by_chance(group_E: Whole, request_E: Whole, before_G: Whole, rows_before: int) -> float:
    """The stability index that 99 of 100 samples of the same size stay below if nothing has changed.

    For shares close to each other the index is a sum of squares, (p - q)² / ((p + q) / 2), so it is distributed as a
    weighted sum of chi-squares. Its moments follow from the covariance of the shares, in which the rows of a request
    count as one draw (one user's candidates have the user's values in common), and which the distribution of that sum
    is matched to (Satterthwaite). For independent rows, the mean is (groups - 1) (1/n + 1/m).

    Args:
        group_E: The group of each entry of the sample.
        request_E: The number of its request.
        before_G: The number of training entries in each group.
        rows_before: The number of training rows.

    Returns:
        The index; infinite for fewer than 20 requests.
    """
    groups, request_E = len(before_G), _numbered(request_E)
    requests = int(request_E.max(initial=-1)) + 1
    if requests < _FEWEST_REQUESTS:
        return math.inf
    count_CG = np.bincount(request_E * groups + group_E, minlength=requests * groups).reshape(requests, groups)
    p_G, q_G = shares(count_CG.sum(0)), shares(before_G)
    apart_CG = (count_CG - count_CG.sum(1, keepdims=True) * p_G) / len(group_E)
    covariance_GG = apart_CG.T @ apart_CG * requests / (requests - 1)
    covariance_GG += (np.diag(q_G) - np.outer(q_G, q_G)) / rows_before
    root_G = np.sqrt((np.maximum(p_G, LEAST_SHARE) + np.maximum(q_G, LEAST_SHARE)) / 2)
    scaled_GG = covariance_GG / np.outer(root_G, root_G)
    mean, square = float(np.trace(scaled_GG)), float((scaled_GG**2).sum())
    return float(square / mean * chdtri(mean**2 / square, 1 - _LEVEL)) if square else 0.0


def shift_by_chance(number_E: Entries, request_E: Whole, deviation: float, rows_before: int) -> float:
    """The shift of a mean, in training deviations, that 99 of 100 such samples stay within if nothing has changed.

    Args:
        number_E: The numbers of the sample.
        request_E: The number of the request of each.
        deviation: The standard deviation of the training rows.
        rows_before: Their number.
    """
    request_E = _numbered(request_E)
    requests = int(request_E.max(initial=-1)) + 1
    if requests < _FEWEST_REQUESTS:
        return math.inf
    apart_E: npt.NDArray[np.float64] = number_E - number_E.mean(dtype=np.float64)
    apart_C = np.bincount(request_E, weights=apart_E) / len(number_E)
    variance = float((apart_C**2).sum()) * requests / (requests - 1) / deviation**2 + 1 / rows_before
    return float(ndtri((1 + _LEVEL) / 2)) * math.sqrt(variance)


def _numbered(request_E: Whole) -> Whole:
    """The requests that have an entry, numbered from 0 on."""
    return np.unique(request_E, return_inverse=True)[1].astype(np.int64)
