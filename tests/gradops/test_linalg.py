"""The T x T algebra against numpy and against its optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradops import linalg


@pytest.mark.parametrize(
    ("columns", "dtype", "tolerance"), [(10_000_000, torch.float32, 1e-7), (9_999, torch.float64, 1e-14)]
)
def test_gramian_is_accurate_over_many_columns(columns: int, dtype: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    jac_TP = torch.randn(3, columns, generator=generator, dtype=dtype) + 0.1
    exact_TT = jac_TP.double() @ jac_TP.double().T
    error = ((linalg.gramian(jac_TP) - exact_TT).abs() / exact_TT.diagonal().max()).max()
    assert error < tolerance


@pytest.mark.parametrize("columns", [0, 1, 4095, 4096, 4097])
def test_gramian_takes_any_number_of_columns(columns: int) -> None:
    jac_TP = torch.ones(2, columns)
    assert linalg.gramian(jac_TP).tolist() == [[columns, columns], [columns, columns]]


@pytest.mark.parametrize("tasks", [2, 3, 8, 32])
@pytest.mark.parametrize("seed", range(5))
def test_min_norm_point_meets_the_optimality_conditions(tasks: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    jac_TP = torch.randn(tasks, 40, generator=generator, dtype=torch.float64)
    jac_TP = jac_TP * torch.logspace(-3, 3, tasks, dtype=torch.float64)[:, None] + seed * 0.1
    gram_TT = linalg.gramian(jac_TP)
    weights_T = linalg.min_norm_point(gram_TT)
    # At the shortest point of the hull no corner is closer to the origin along it; those in use are equal.
    value, product_T = weights_T @ gram_TT @ weights_T, gram_TT @ weights_T
    scale_T = gram_TT.diagonal().sqrt() * gram_TT.diagonal().min().sqrt()
    assert (product_T - value >= -1e-9 * scale_T).all()
    assert ((product_T - value).abs() <= 1e-9 * scale_T)[weights_T > 0].all()


def test_span_coefficients_project() -> None:
    jac_TP = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients_TT = linalg.span_coefficients(linalg.gramian(jac_TP))
    for i, g in enumerate(jac_TP.numpy()):
        others = np.delete(jac_TP.numpy(), i, axis=0)
        expected, *_ = np.linalg.lstsq(others.T, g, rcond=None)
        np.testing.assert_allclose(np.delete(coefficients_TT[i].numpy(), i), expected, atol=1e-12)
        assert coefficients_TT[i, i] == 0
