"""The fast runs in the plane equal those by the methods, autograd and the optimizer."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from benchmarks.problems import gradops_landscape, pcgrad_valley, plane
from benchmarks.problems.plane import Weigh
from gradops import MultiTaskOptimizer
from gradops.base import GramianMethod
from gradops.linalg import gramian
from gradops.methods import GradOPS, PCGrad, Uniform

PAIRS: list[tuple[GramianMethod, Weigh]] = [
    (Uniform(), plane.plain),
    (PCGrad(), plane.pcgrad),
    *((GradOPS(alpha=alpha), plane.gradops(alpha)) for alpha in gradops_landscape.ALPHAS),
]
PROBLEMS = [gradops_landscape, pcgrad_valley]


def name(value: object) -> str:
    return value.__name__.rpartition(".")[2] if isinstance(value, ModuleType) else str(value)


@pytest.mark.parametrize(("method", "weigh"), PAIRS)
def test_closed_forms_are_the_methods(method: GramianMethod, weigh: Weigh) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        scale_T1 = 10 ** (4 * torch.rand(2, 1, generator=generator).double())
        jac_TP = scale_T1 * torch.randn(2, 2, generator=generator).double()
        gram_TT = gramian(jac_TP)
        expected_T, _ = method.weights(gram_TT, torch.ones(2), method.init(2, generator))
        weights_T = torch.tensor(weigh(*gram_TT.flatten()[[0, 1, 3]].tolist()), dtype=torch.float64)
        length_T = jac_TP.norm(dim=1)
        # Rounding of a squared sine, raised to the power alpha.
        assert (weights_T - expected_T).abs() @ length_T <= 1e-10 * (expected_T.abs() @ length_T)


@pytest.mark.parametrize(("k11", "k12", "k22"), [(0.0, 0.0, 4.0), (4.0, 0.0, 0.0), (4.0, -2.0, 1.0), (4.0, 0.0, 1.0)])
@pytest.mark.parametrize(("method", "weigh"), PAIRS)
def test_closed_forms_at_zero_and_opposite_gradients(
    method: GramianMethod, weigh: Weigh, k11: float, k12: float, k22: float
) -> None:
    gram_TT = torch.tensor([[k11, k12], [k12, k22]], dtype=torch.float64)
    expected_T, _ = method.weights(gram_TT, torch.ones(2), method.init(2, torch.Generator()))
    torch.testing.assert_close(torch.tensor(weigh(k11, k12, k22), dtype=torch.float64), expected_T)


@pytest.mark.parametrize("problem", PROBLEMS, ids=name)
def test_slopes_are_autograds(problem: ModuleType) -> None:
    point_NP = 4 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0)).double() - 2
    copy_NTP = point_NP[:, None].repeat(1, 2, 1).requires_grad_()
    (jac_NTP,) = torch.autograd.grad(problem.losses(copy_NTP).sum(), copy_NTP)
    slopes_N4 = torch.tensor([problem.slopes(*point) for point in point_NP.tolist()], dtype=torch.float64)
    torch.testing.assert_close(slopes_N4.view(-1, 2, 2), jac_NTP, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("problem", PROBLEMS, ids=name)
@pytest.mark.parametrize(("method", "weigh"), PAIRS)
def test_runs_are_the_optimizers(problem: ModuleType, method: GramianMethod, weigh: Weigh) -> None:
    start = problem.START if problem is pcgrad_valley else problem.STARTS[0]
    point_P = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = MultiTaskOptimizer(torch.optim.Adam([point_P], lr=1e-3), method, shared=[point_P])
    path = plane.descend(problem.slopes, weigh, start, 200)
    for a, b in path[1:]:
        optimizer.step(problem.losses(point_P[None]))
        # Bouncing between the walls of a ravine multiplies rounding; a wrong step would be off by 1e-5 at once.
        assert point_P.tolist() == pytest.approx([a, b], abs=1e-8)
