"""The T x T algebra against numpy and against its optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradops import linalg


@pytest.mark.parametrize(
    ("columns", "dtype", "tolerance"), [(10_000_000, torch.float32, 2e-8), (9_999, torch.float64, 1e-14)]
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


def test_span_coefficients_project() -> None:
    jac_TP = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients_TT = linalg.span_coefficients(linalg.gramian(jac_TP).numpy())
    for i, g in enumerate(jac_TP.numpy()):
        others = np.delete(jac_TP.numpy(), i, axis=0)
        expected, *_ = np.linalg.lstsq(others.T, g, rcond=None)
        np.testing.assert_allclose(np.delete(coefficients_TT[i], i), expected, atol=1e-12)
        assert coefficients_TT[i, i] == 0


@pytest.mark.parametrize("scale_T", [(1.0, 1.0), (1e30, 1e-30), (1e37, 1e-40), (0.0, 1e25), (0.0, 0.0)])
def test_scaled_products_are_those_of_float64(scale_T: tuple[float, float]) -> None:
    jac_TP = torch.randn(2, 5000, generator=torch.Generator().manual_seed(0)) * torch.tensor(scale_T)[:, None]
    exact_TT = jac_TP.double() @ jac_TP.double().T
    length_T = exact_TT.diagonal().sqrt()
    error_TT = (linalg.scaled_gramian(jac_TP) - exact_TT).abs()
    assert (error_TT <= 1e-6 * length_T * length_T[:, None]).all()


def test_scaled_products_of_no_columns_are_zero() -> None:
    assert torch.equal(linalg.scaled_gramian(torch.empty(3, 0)), torch.zeros(3, 3, dtype=torch.float64))
