"""Gram matrices estimated from some rows, some steps or the features: what methods and reports get from them."""

from __future__ import annotations

import copy
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

from gradops import GramEstimator, MultiTaskOptimizer, StepReport, jacobian
from gradops.base import Method
from gradops.gram_estimator import Measure
from gradops.linalg import gramian
from gradops.methods import GradOPS, Uniform
from gradops.methods.rotograd_scale import RotoGradScale

ROWS, TASKS = 24, 3


class Net(nn.Module):
    """A shared layer, a chain or not, and one linear tower a task."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Sequential(nn.Linear(5, 6), activation)
        self.towers = nn.Linear(6, TASKS)
        self.double()

    def loss_NT(self, z_BD: Tensor, seed: int) -> Tensor:
        targets = torch.randn(ROWS, TASKS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        loss_NT: Tensor = (self.towers(z_BD) - targets).square()
        return loss_NT

    def optimizer(self, estimator: GramEstimator, method: Method | None = None) -> MultiTaskOptimizer:
        sgd = torch.optim.SGD(self.parameters(), lr=0.1)
        return MultiTaskOptimizer(
            sgd, method or GradOPS(alpha=-2.0), shared=self.shared.parameters(), estimator=estimator
        )


def rows(seed: int) -> Tensor:
    return torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(100 + seed), dtype=torch.float64)


def step(net: Net, optimizer: MultiTaskOptimizer, seed: int, *, diagnose: bool = False) -> StepReport:
    z_BD = net.shared(rows(seed))
    return optimizer.step(net.loss_NT(z_BD, seed).mean(0), features=z_BD, diagnose=diagnose)


def gram_of(net: Net, seed: int, first: int = ROWS) -> Tensor:
    """By a backward pass a task over the first rows alone."""
    losses_T = net.loss_NT(net.shared(rows(seed)), seed)[:first].mean(0)
    passes = [torch.autograd.grad(loss, list(net.shared.parameters()), retain_graph=True) for loss in losses_T]
    return gramian(torch.stack([torch.cat([g.flatten() for g in grads]) for grads in passes]))


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh()], ids=["chain", "autograd"])
@pytest.mark.parametrize(("share", "first"), [(0.25, 6), (0.3, 7), (0.001, 1)])
def test_a_share_is_measured_as_a_batch_of_its_own(activation: nn.Module, share: float, first: int) -> None:
    net = Net(activation)
    expected_TT, before = gram_of(net, 0, first), copy.deepcopy(net)
    report = step(net, net.optimizer(GramEstimator(share=share)), 0)
    torch.testing.assert_close(report.gram_TT, expected_TT)
    assert report.exact_TT is None
    # The update is that of all rows, with these weights.
    losses_T = before.loss_NT(before.shared(rows(0)), 0).mean(0)
    (report.weights_T @ losses_T).backward()
    for ours, old in zip(net.shared.parameters(), before.shared.parameters(), strict=True):
        assert old.grad is not None
        torch.testing.assert_close(ours, old - 0.1 * old.grad)


def test_a_matrix_serves_several_steps() -> None:
    net = Net(nn.ReLU())
    optimizer, exact_TT = net.optimizer(GramEstimator(every=3)), torch.empty(0)
    for number in range(7):
        exact_TT = gram_of(net, number) if number % 3 == 0 else exact_TT
        torch.testing.assert_close(step(net, optimizer, number).gram_TT, exact_TT)
        assert not torch.allclose(gram_of(net, number), exact_TT, rtol=1e-3)


@pytest.mark.parametrize("measure", ["parameters", "features"])
def test_smoothing_is_a_mean_in_which_older_matrices_count_less(measure: Measure) -> None:
    nets = [Net(nn.ReLU()) for _ in range(2)]
    alone, smooth = (
        net.optimizer(GramEstimator(measure=measure, smoothing=smoothing))
        for net, smoothing in zip(nets, (0.0, 0.75), strict=True)
    )
    found: list[torch.Tensor] = []
    for number in range(4):
        nets[0].load_state_dict(nets[1].state_dict())
        gram_TT = step(nets[0], alone, number).gram_TT
        assert gram_TT is not None
        found.append(gram_TT)
        share_N = 0.75 ** torch.arange(number, -1, -1, dtype=torch.float64)
        mean_TT = torch.einsum("n,nij->ij", share_N / share_N.sum(), torch.stack(found))
        torch.testing.assert_close(step(nets[1], smooth, number).gram_TT, mean_TT)


def test_other_steps_pay_for_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    each = Mock(wraps=jacobian.gradients_apart)
    monkeypatch.setattr(jacobian, "gradients_apart", each)
    net = Net(nn.ReLU())
    for estimator in (GramEstimator(every=3), GramEstimator(every=3, share=0.5)):
        optimizer, before = net.optimizer(estimator), each.call_count
        for number in range(6):
            step(net, optimizer, number)
        assert each.call_count - before == 2


def test_a_matrix_that_is_not_finite_serves_one_step() -> None:
    net = Net(nn.ReLU())
    optimizer = net.optimizer(GramEstimator(every=4))
    start = copy.deepcopy(net.state_dict())
    z_BD = net.shared(rows(0))
    report = optimizer.backward(net.loss_NT(z_BD, 0).mean(0) * torch.inf, features=z_BD)
    assert report.weights_T.isnan().all()
    net.load_state_dict(start)
    exact_TT = gram_of(net, 1)
    torch.testing.assert_close(step(net, optimizer, 1).gram_TT, exact_TT)


def test_it_goes_on_where_it_was_saved() -> None:
    net = Net(nn.ReLU())
    optimizer = net.optimizer(GramEstimator(every=2, share=0.5, smoothing=0.6))
    for number in range(2):
        step(net, optimizer, number)
    resumed = copy.deepcopy(net)
    second = resumed.optimizer(GramEstimator(every=2, share=0.5, smoothing=0.6))
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for number in range(2, 6):
        step(net, optimizer, number)
        step(resumed, second, number)
    for ours, theirs in zip(net.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "estimator", [GramEstimator(share=0.25), GramEstimator(every=3), GramEstimator(measure="features")], ids=str
)
def test_the_error_is_told_on_demand_and_changes_nothing(estimator: GramEstimator) -> None:
    net = Net(nn.ReLU())
    plain = copy.deepcopy(net)
    optimizer, silent = net.optimizer(estimator), plain.optimizer(estimator)
    step(net, optimizer, 0)
    step(plain, silent, 0)
    exact_TT = gram_of(net, 1)
    report, other = step(net, optimizer, 1, diagnose=True), step(plain, silent, 1)
    torch.testing.assert_close(report.weights_T, other.weights_T)
    for ours, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert report.gram_TT is not None
    assert report.exact_TT is not None
    torch.testing.assert_close(report.exact_TT, exact_TT)
    torch.testing.assert_close(report.known_gram_TT, exact_TT)

    def cosine_TT(gram_TT: Tensor) -> Tensor:
        length_T = gram_TT.diagonal().sqrt()
        return gram_TT / length_T / length_T[:, None]

    off_TT = (cosine_TT(report.gram_TT) - cosine_TT(exact_TT)).abs()
    assert float(report.gram_cosine_error) == pytest.approx(float(off_TT.sum() / 6))
    assert float(report.gram_cosine_error) > 1e-3
    ratio_T = (report.gram_TT.diagonal() / exact_TT.diagonal()).sqrt()
    torch.testing.assert_close(report.gram_norm_ratio_T, ratio_T)
    logged = report.scalars(["a", "b", "c"])
    assert logged["gram_cosine_error"] == pytest.approx(float(report.gram_cosine_error))
    assert logged["gram_norm_ratio.b"] == pytest.approx(float(ratio_T[1]))


def test_an_exact_step_has_no_error() -> None:
    net = Net(nn.ReLU())
    report = step(net, net.optimizer(GramEstimator()), 0, diagnose=True)
    assert report.exact_TT is None
    assert float(report.gram_cosine_error) == 0
    assert report.gram_norm_ratio_T.tolist() == [1.0] * TASKS
    assert "gram_cosine_error" not in report.scalars(["a", "b", "c"])


def test_a_method_that_needs_no_matrix_takes_none() -> None:
    net = Net(nn.ReLU())
    optimizer = net.optimizer(GramEstimator(share=0.5, every=2), Uniform())
    assert step(net, optimizer, 0).gram_TT is None
    exact_TT = gram_of(net, 1)
    torch.testing.assert_close(step(net, optimizer, 1, diagnose=True).gram_TT, exact_TT)


def test_a_method_with_memory_is_asked_at_every_step() -> None:
    net = Net(nn.ReLU())
    optimizer = net.optimizer(GramEstimator(every=2), RotoGradScale())
    step(net, optimizer, 0)
    first = optimizer.method_state
    step(net, optimizer, 1)
    assert optimizer.method_state is not first


def test_a_share_needs_the_features_of_a_method_that_reads_them() -> None:
    net = Net(nn.ReLU())
    with pytest.raises(ValueError, match="`features` should be given"):
        net.optimizer(GramEstimator(share=0.5)).backward(net.loss_NT(net.shared(rows(0)), 0).mean(0))
    net.optimizer(GramEstimator(share=0.5), Uniform()).backward(net.loss_NT(net.shared(rows(0)), 0).mean(0))


def test_what_saves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`share` should be in \(0, 1\].*`every` should be at least 1"):
        GramEstimator(share=0.0, every=0)
    for useless in ({"share": 0.5}, {"every": 2}):
        with pytest.raises(ValueError, match="should be 1 at the features"):
            GramEstimator(measure="features", **useless)


def test_the_former_names_work_for_one_release_with_a_warning() -> None:
    net = Net(nn.ReLU())
    sgd, shared = torch.optim.SGD(net.parameters(), lr=0.1), list(net.shared.parameters())
    with pytest.warns(DeprecationWarning, match="now gradops.GramEstimator"):
        from gradops import Gauge
    assert Gauge is GramEstimator
    with pytest.warns(DeprecationWarning, match="`gauge=` is now `estimator=`") as warned:
        optimizer = MultiTaskOptimizer(sgd, GradOPS(alpha=-2.0), shared=shared, gauge=Gauge(share=0.25))
    assert warned[0].filename == __file__
    assert optimizer._surgery.estimator == GramEstimator(share=0.25)
    with pytest.raises(ValueError, match=r"one of the two should be given\. Found both"):
        MultiTaskOptimizer(sgd, GradOPS(), shared=shared, gauge=Gauge(), estimator=Gauge())


def test_a_name_that_the_package_never_had_is_an_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Gague'"):
        from gradops import Gague  # type: ignore[attr-defined]  # noqa: F401  # it is what the test is about
