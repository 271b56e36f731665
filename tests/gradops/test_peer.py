"""Our methods beside TorchJD's of the same name, an implementation by other people.

Where they differ by choice, the difference is held here and told in our method's docstring.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchjd import aggregation as peer
from torchjd.linalg import QuadprogProjector

from gradops.base import GramianMethod
from gradops.linalg import gramian
from gradops.methods import IMTLG, MGDA, PCD, GradVac, PCGrad, Static, Uniform, parse
from tests.gradops import reference


def gradients(tasks: int, seed: int) -> Tensor:
    """In conflict in even seeds, in agreement in odd ones."""
    generator = torch.Generator().manual_seed(seed)
    jac_TP = torch.randn(tasks, 20, dtype=torch.float64, generator=generator)
    return jac_TP + (0.6 * (seed % 2) - 0.3) * jac_TP.mean(0)


def update(method: GramianMethod, jac_TP: Tensor) -> Tensor:
    state = method.start(len(jac_TP), torch.Generator().manual_seed(0))
    return method.step(gramian(jac_TP), torch.ones(len(jac_TP)), state)[0] @ jac_TP


def pair_of(name: str, tasks: int) -> tuple[GramianMethod, peer.Aggregator]:
    """Ours and theirs."""
    weight = torch.linspace(0.5, 1.5, tasks, dtype=torch.float64)
    pairs: dict[str, tuple[GramianMethod, peer.Aggregator]] = {
        "uniform": (Uniform(), peer.Sum()),
        "mean": (Static(weight=(1 / tasks,) * tasks), peer.Mean()),
        "static": (Static(weight=tuple(weight.tolist())), peer.Constant(weight)),
        "imtl_g": (IMTLG(), peer.IMTLG()),
    }
    return pairs[name]


@pytest.mark.parametrize("tasks", [2, 3, 8])
@pytest.mark.parametrize("name", ["uniform", "mean", "static", "imtl_g"])
def test_closed_forms_agree(name: str, tasks: int) -> None:
    ours, theirs = pair_of(name, tasks)
    for seed in range(10):
        jac_TP = gradients(tasks, seed)
        torch.testing.assert_close(update(ours, jac_TP), theirs(jac_TP), rtol=1e-9, atol=1e-12)


# Their quadratic programs without the constants that they add for the solver's sake; it needs a little.
PROJECTOR = QuadprogProjector(norm_eps=0.0, reg_eps=1e-12)
# Theirs, and whether it is a mean where ours is a sum.
SOLVED: dict[str, tuple[peer.Aggregator, bool]] = {
    "upgrad": (peer.UPGrad(projector=PROJECTOR), True),
    "dualproj": (peer.DualProj(projector=PROJECTOR), True),
    "aligned_mtl": (peer.AlignedMTL(), True),
    "aligned_mtl(scale='median')": (peer.AlignedMTL(scale_mode="median"), True),
    "aligned_mtl(scale='rmse')": (peer.AlignedMTL(scale_mode="rmse"), True),
    "imtl_g(length='sum')": (peer.ConFIG(), False),
    "fairgrad(alpha=0.5)": (peer.FairGrad(0.5), False),
    "fairgrad(alpha=1)": (peer.FairGrad(1.0), False),
    "fairgrad(alpha=2)": (peer.FairGrad(2.0), False),
}


@pytest.mark.parametrize("tasks", [2, 3, 8])
@pytest.mark.parametrize("name", SOLVED)
def test_solved_problems_agree(name: str, tasks: int) -> None:
    theirs, is_mean = SOLVED[name]
    for seed in range(4):
        jac_TP = gradients(tasks, seed)
        expected_P = theirs(jac_TP) * (tasks if is_mean else 1)
        method = parse(name)
        assert isinstance(method, GramianMethod)
        # scipy stops at 1e-8, and quadprog's problem is not quite ours.
        torch.testing.assert_close(update(method, jac_TP), expected_P, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("tasks", [2, 3, 8])
def test_pcd_agrees_over_steps(tasks: int) -> None:
    ours, theirs = PCD(tau=0.3, beta=0.9), peer.PCD(tau=0.3, beta=0.9, eps=0.0)
    state = ours.start(tasks, torch.Generator())
    for seed in range(8):
        jac_TP = gradients(tasks, seed) * torch.linspace(1, 1 + seed, tasks, dtype=torch.float64)[:, None]
        weights_T, state = ours.step(gramian(jac_TP), torch.ones(tasks), state)
        torch.testing.assert_close(weights_T @ jac_TP, theirs(jac_TP), rtol=1e-9, atol=1e-10)


def test_a_moving_average_of_weights_is_theirs() -> None:
    ours, theirs = parse("mgda + smooth(0.7)"), peer.CRMOGMWeighting(SmallestFirst(), alpha=0.7)
    assert isinstance(ours, GramianMethod)
    state = ours.start(3, torch.Generator())
    for seed in range(5):
        gram_TT = gramian(gradients(3, seed))
        weights_T, state = ours.step(gram_TT, torch.ones(3), state)
        torch.testing.assert_close(weights_T, theirs(gram_TT), rtol=1e-12, atol=1e-12)


class SmallestFirst(peer.Weighting[Tensor]):
    """Our MGDA as one of their weightings, since theirs is approximate."""

    def forward(self, gram_TT: Tensor, /) -> Tensor:
        return MGDA().weights(gram_TT, torch.ones(len(gram_TT)), {})[0]


def test_imtl_g_differs_between_opposite_gradients() -> None:
    """No combination has equal projections but zero: ours stands still, theirs climbs one of the two."""
    jac_TP = torch.tensor([[1.0, 0.0], [-3.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(update(IMTLG(), jac_TP), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(peer.IMTLG()(jac_TP), torch.tensor([-5.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("tasks", [2, 3, 8])
def test_mgda_agrees_with_frank_wolfe_as_far_as_that_comes(tasks: int) -> None:
    steps = 500
    theirs = peer.MGDA(epsilon=1e-12, max_iters=steps)
    for seed in range(4):
        jac_TP = gradients(tasks, seed)
        shortest_P, close_P = update(MGDA(), jac_TP), theirs(jac_TP)
        # Two gradients are one line search. With more, its squared length is known to come within 4 d^2 / (k + 2), d
        # the hull's diameter, and no point of the hull is further from the shortest than that.
        bound = 1e-24 if tasks == 2 else 4 * torch.cdist(jac_TP, jac_TP).max().square() / (steps + 2)
        assert (shortest_P - close_P).square().sum() <= bound
        assert shortest_P.norm() <= close_P.norm() * (1 + 1e-12)


def test_pcgrad_agrees_for_two_tasks() -> None:
    for seed in range(10):
        jac_TP = gradients(2, seed)
        torch.testing.assert_close(update(PCGrad(), jac_TP), peer.PCGrad()(jac_TP), rtol=1e-12, atol=1e-12)


def test_pcgrad_of_three_tasks_is_one_of_the_references_outcomes() -> None:
    for seed in range(10):
        jac_TP = gradients(3, seed)
        outcomes = np.stack(reference.pcgrad_outcomes(jac_TP.numpy()))
        for found_P in (update(PCGrad(), jac_TP), peer.PCGrad()(jac_TP)):
            assert np.abs(outcomes - found_P.numpy()).max(axis=1).min() < 1e-12


def by_randperm(tasks: int, seed: int, own: bool) -> list[list[int]]:
    """The orders that TorchJD draws from torch's own generator: of all tasks, or of the others alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        others = [[j for j in range(tasks) if own or j != i] for i in range(tasks)]
        drawn = [[rest[k] for k in torch.randperm(len(rest)).tolist()] for rest in others]
    return [[j for j in order if j != i] for i, order in enumerate(drawn)]


@pytest.mark.parametrize("tasks", [3, 8])
def test_the_reference_with_their_orders_is_theirs(tasks: int) -> None:
    """Ours is held to the reference with our orders; so all three are one method."""
    for seed in range(10):
        jac_TP = gradients(tasks, seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            projected_P = peer.PCGrad()(jac_TP)
            torch.manual_seed(seed)
            vaccinated_P = peer.GradVac()(jac_TP)
        expected_P = reference.pcgrad(jac_TP.numpy(), by_randperm(tasks, seed, own=True))
        np.testing.assert_allclose(projected_P.numpy(), expected_P, rtol=0, atol=1e-12)
        orders = by_randperm(tasks, seed, own=False)
        expected_P, _ = reference.gradvac(jac_TP.numpy(), orders, np.zeros((tasks, tasks)), beta=0.5)
        np.testing.assert_allclose(vaccinated_P.numpy(), expected_P, rtol=0, atol=1e-7)


def test_gradvac_agrees_for_two_tasks_over_many_steps() -> None:
    ours, theirs = GradVac(beta=0.3), peer.GradVac(beta=0.3)
    state = ours.init(2, torch.Generator())
    for seed in range(20):
        jac_TP = gradients(2, seed)
        weights_T, state = ours.weights(gramian(jac_TP), torch.ones(2), state)
        # They add 1e-8 to every denominator; ours are never 0.
        torch.testing.assert_close(weights_T @ jac_TP, theirs(jac_TP), rtol=1e-6, atol=1e-7)
    assert state["target"].abs().max() > 0.05


def test_gradvac_differs_where_gradients_are_short() -> None:
    """Their 1e-8 is no longer small; ours knows no scale."""
    jac_TP = gradients(2, 0)
    ours_P, theirs_P = update(GradVac(), jac_TP * 1e-6), peer.GradVac()(jac_TP * 1e-6)
    torch.testing.assert_close(ours_P, update(GradVac(), jac_TP) * 1e-6)
    assert (ours_P - theirs_P).norm() > 1e-4 * ours_P.norm()
