"""Our methods that read losses alone beside TorchJD's scalarizers of the same idea, by the gradient of their loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchjd import scalarization as peer

from gradops.base import GramianMethod
from gradops.methods import parse

STEPS = [torch.rand(3, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) + 0.1 for s in range(8)]


def ours(text: str, steps: list[Tensor]) -> list[Tensor]:
    method, found = parse(text), []
    assert isinstance(method, GramianMethod)
    state = method.start(3, torch.Generator())
    for losses_T in steps:
        weights_T, state = method.step(torch.eye(3), losses_T, state)
        found.append(weights_T)
    return found


def slope(scalarizer: peer.Scalarizer, losses_T: Tensor) -> Tensor:
    leaf_T = losses_T.clone().requires_grad_()
    (gradient_T,) = torch.autograd.grad(scalarizer(leaf_T), leaf_T)
    return gradient_T


def test_gls_is_three_times_the_geometric_means_gradient() -> None:
    for losses_T, found_T in zip(STEPS, ours("log_loss(common='geometric_mean')", STEPS), strict=True):
        torch.testing.assert_close(found_T, 3 * slope(peer.GeometricMean(), losses_T))


@pytest.mark.parametrize(("theirs", "factor"), [(peer.IMTLL(3), 1.0), (peer.UW(3), 2.0)])
def test_imtls_scales_are_learned_alike_and_are_twice_their_uncertainties(
    theirs: peer.IMTLL | peer.UW, factor: float
) -> None:
    """Adam without an epsilon does not see their factor of a half."""
    theirs = theirs.double()
    adam = torch.optim.Adam(theirs.parameters(), lr=0.05, eps=1e-14)
    for losses_T, found_T in zip(STEPS, ours("uncertainty(lr=0.05, loss='imtl')", STEPS), strict=True):
        torch.testing.assert_close(found_T, factor * slope(theirs, losses_T), rtol=1e-6, atol=0)
        adam.zero_grad()
        theirs(losses_T).backward()
        adam.step()


def test_dwa_is_theirs_with_a_window_for_an_epoch() -> None:
    theirs = peer.DWA(temperature=0.7)
    for step, (losses_T, found_T) in enumerate(zip(STEPS, ours("dwa(temperature=0.7, window=2)", STEPS), strict=True)):
        torch.testing.assert_close(found_T, slope(theirs, losses_T))
        if step % 2:
            theirs.step()


def test_famo_is_theirs_with_the_next_batch_for_the_same_one() -> None:
    theirs = peer.FAMO(3, lr=0.1).double()
    for losses_T, found_T in zip(STEPS, ours("famo(lr=0.1)", STEPS), strict=True):
        if losses_T is not STEPS[0]:
            theirs.update(losses_T)
        # They add 1e-8 to losses and to Adam's denominator.
        torch.testing.assert_close(found_T, 3 * slope(theirs, losses_T), rtol=1e-5, atol=0)


def test_stch_is_theirs_of_the_losses_logarithms() -> None:
    """The multi-task code of the authors gives its scalarization the logarithms of the ratios."""
    start_T, mu = STEPS[0], 0.4
    for losses_T, found_T in zip(STEPS[1:], ours(f"stch(mu={mu}, warmup=0, window=1)", STEPS)[1:], strict=True):
        leaf_T = losses_T.clone().requires_grad_()
        value = 3 * peer.STCH(mu=mu, weights=torch.ones(3).double())((leaf_T / start_T).log())
        torch.testing.assert_close(found_T, torch.autograd.grad(value, leaf_T)[0])
