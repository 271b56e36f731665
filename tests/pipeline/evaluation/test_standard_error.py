"""The standard error of an AUC, against DeLong's and by hand."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest

from pipeline.evaluation.intervals import auc_influence
from pipeline.evaluation.standard_error import auc_standard_error


@pytest.mark.parametrize(("positives", "negatives"), [(9, 2000), (100, 100), (500, 4000)])
def test_it_is_near_that_of_delong_on_scores_of_the_exponential_law(positives: int, negatives: int) -> None:
    generator = np.random.default_rng(0)
    label = np.repeat([1.0, 0.0], [positives, negatives])
    errors, aucs = [], []
    for _ in range(50):
        auc, influence_N = auc_influence(label, generator.exponential(np.where(label == 1, 3.0, 1.0)))
        errors.append(sqrt((influence_N**2).sum()))
        aucs.append(auc)
    # A share of 0.2: nine positives tell DeLong's estimate little, too.
    assert auc_standard_error(float(np.mean(aucs)), positives, negatives) == pytest.approx(np.mean(errors), rel=0.2)


def test_one_positive_beats_each_negative_or_not() -> None:
    assert auc_standard_error(0.5, 1, 1) == 0.5


def test_a_single_class_has_none() -> None:
    assert isnan(auc_standard_error(0.5, 0, 10))
    assert isnan(auc_standard_error(0.5, 10, 0))


def test_a_perfect_order_has_no_error() -> None:
    assert auc_standard_error(1.0, 10, 10) == 0
