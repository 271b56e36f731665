"""The standard error of an AUC that is known only as a number."""

from __future__ import annotations

from math import nan, sqrt


def auc_standard_error(auc: float, positives: int, negatives: int) -> float:
    """How far an AUC is from that of infinitely many rows like these, as a standard deviation.

    Rows that depend on each other, such as those of one user, make the true error larger.

    Args:
        auc: The AUC.
        positives: Number of rows with label 1.
        negatives: Number of rows with label 0.

    Returns:
        The error; NaN with a single class.

    References:
        Hanley, McNeil, `The meaning and use of the area under a receiver operating characteristic (ROC) curve
        <https://doi.org/10.1148/radiology.143.1.7063747>`_, 1982.
    """
    if not positives or not negatives:
        return nan
    by_positive, by_negative = auc / (2 - auc) - auc**2, 2 * auc**2 / (1 + auc) - auc**2
    variance = auc * (1 - auc) + (positives - 1) * by_positive + (negatives - 1) * by_negative
    return sqrt(max(variance, 0.0) / (positives * negatives))
