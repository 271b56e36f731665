"""The maps and their pull-backs against torch's solver and exponential, and autograd through these."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gradops.skew import Pull, cayley, exponential

MapOf = Callable[[Tensor], tuple[Tensor, Pull]]


def by_solver(skew_TSS: Tensor) -> Tensor:
    identity_SS = torch.eye(skew_TSS.shape[1], dtype=skew_TSS.dtype)
    return torch.stack([torch.linalg.solve(identity_SS - m / 2, identity_SS + m / 2) for m in skew_TSS])


MAPS = {"cayley": (cayley, by_solver), "exponential": (exponential, torch.matrix_exp)}


def skew(size: int, norm: float, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Three skew-symmetric matrices; the spectral norm of the largest is the one given, the others are shorter."""
    normal_TSS = torch.randn(3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    skew_TSS = normal_TSS - normal_TSS.mT
    length_T11 = torch.linalg.matrix_norm(skew_TSS, 2)[:, None, None]
    shares_T11 = torch.tensor([1.0, 0.1, 1e-6], dtype=torch.float64)[:, None, None]
    scaled_TSS: Tensor = norm * shares_T11 * skew_TSS / length_T11
    return scaled_TSS.to(dtype)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("size", [2, 3, 17, 64])
@pytest.mark.parametrize("norm", [1e-8, 1e-3, 0.35, 0.36, 3.0, 100.0])
def test_maps_and_pull_backs_are_those_of_torch(name: str, size: int, norm: float) -> None:
    ours, torchs = MAPS[name]
    skew_TSS = skew(size, norm).requires_grad_()
    slope_TSS = torch.randn(3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected_TSS = torchs(skew_TSS)
    (expected_slope_TSS,) = torch.autograd.grad(expected_TSS, skew_TSS, slope_TSS)
    rotation_TSS, pull = ours(skew_TSS.detach())
    torch.testing.assert_close(rotation_TSS, expected_TSS.detach(), rtol=0, atol=1e-12)
    for _ in range(2):  # a cooperative leader pulls twice
        torch.testing.assert_close(pull(slope_TSS), expected_slope_TSS, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("norm", [0.0, 1e-20, 1e-3, 1.6, 1.7, 30.0])
def test_in_float32_errors_are_those_of_rounding(name: str, norm: float) -> None:
    skew_TSS = skew(96, norm, dtype=torch.float32)
    rotation_TSS, _ = MAPS[name][0](skew_TSS)
    error_TSS = rotation_TSS.double() - MAPS[name][1](skew_TSS.double())
    assert error_TSS.abs().max() <= 1e-6 * max(1.0, norm)  # squaring doubles an error, as often as the norm was halved


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_what_has_diverged_is_no_error_here(name: str, value: float) -> None:
    """The losses tell: training names it there."""
    rotation_TSS, pull = MAPS[name][0](torch.tensor([[[0.0, -value], [value, 0.0]]]))
    assert rotation_TSS.shape == pull(torch.ones(1, 2, 2)).shape == (1, 2, 2)


TWO_THREADS = """
import torch
from gradops.skew import {name}
torch.set_num_threads(2)
normal_TSS = torch.randn(3, 192, 192, generator=torch.Generator().manual_seed(0)) / 20
rotation_TSS, pull = {name}(normal_TSS - normal_TSS.mT)
assert pull(normal_TSS).isfinite().all()
print(float((rotation_TSS @ rotation_TSS.mT - torch.eye(192)).abs().max()))
"""


@pytest.mark.parametrize("name", MAPS)
def test_two_threads_come_to_an_end(name: str) -> None:
    """In a process of its own: MKL's batched solver never returns, and takes the process with it."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_THREADS.format(name=name)], capture_output=True, text=True, timeout=60, check=True
    )
    assert float(done.stdout) < 1e-5  # 192 products of float32 rounding
