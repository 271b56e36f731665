"""The optimizer adapter on ordinary torch models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import OneCycleLR

from gradops import GramEstimator, MultiTaskOptimizer, StepReport
from gradops.base import Method
from gradops.linalg import gramian
from gradops.methods import IMTLG, MGDA, CAGrad, GradDrop, GradOPS, GradVac, PCGrad, Static, Uniform


class Net(nn.Module):
    """A shared layer and three towers."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.shared = nn.Sequential(nn.Linear(5, 6), nn.Tanh())
        self.towers = nn.ModuleList(nn.Linear(6, 1) for _ in range(3))
        self.double()

    def features(self, rows: Tensor) -> Tensor:
        z: Tensor = self.shared(rows)
        return z

    def losses(self, views: list[Tensor], targets: Tensor) -> Tensor:
        outputs = [tower(view).squeeze(1) for tower, view in zip(self.towers, views, strict=True)]
        return torch.stack([(o - t).square().mean() for o, t in zip(outputs, targets, strict=True)])


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(16, 5, generator=generator, dtype=torch.float64)
    first = torch.randn(16, generator=generator, dtype=torch.float64)
    return rows, torch.stack([first, -first, first.flip(0)])


def grads(net: Net) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def wrap(net: Net, method: Method, **options: Any) -> MultiTaskOptimizer:
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    return MultiTaskOptimizer(sgd, method, shared=net.shared.parameters(), **options)


@pytest.mark.parametrize("method", [Uniform(), Static(weight=(0.5, 1.0, 1.5)), GradOPS(alpha=-2.0), MGDA()])
@pytest.mark.parametrize("diagnose", [False, True])
def test_features_change_the_cost_and_not_the_gradients(method: Method, diagnose: bool) -> None:
    rows, targets = data()
    found = []
    for form in ("none", "tensor", "views"):
        net = Net()
        z = net.features(rows)
        views = [z.view_as(z) for _ in range(3)] if form == "views" else [z] * 3
        features = {"none": None, "tensor": z, "views": views}[form]
        wrap(net, method).backward(net.losses(views, targets), features=features, diagnose=diagnose)
        found.append(grads(net))
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for name, gradient in other.items():
            torch.testing.assert_close(gradient, found[0][name], rtol=1e-12, atol=1e-15)


def test_uniform_is_the_sum_of_the_losses() -> None:
    rows, targets = data()
    net, plain = Net(), Net()
    wrap(net, Uniform()).backward(net.losses([net.features(rows)] * 3, targets))
    plain.losses([plain.features(rows)] * 3, targets).sum().backward()
    for name, gradient in grads(plain).items():
        torch.testing.assert_close(grads(net)[name], gradient)


def test_towers_get_the_plain_gradient_whatever_the_weights() -> None:
    rows, targets = data()
    net, plain = Net(), Net()
    wrap(net, Static(weight=(0.0, 10.0, 3.0))).backward(net.losses([net.features(rows)] * 3, targets))
    plain.losses([plain.features(rows)] * 3, targets).sum().backward()
    for name, gradient in grads(plain).items():
        assert torch.allclose(grads(net)[name], gradient) == name.startswith("towers")


def test_report_is_of_the_exact_gram() -> None:
    rows, targets = data()
    net = Net()
    losses_T = net.losses([net.features(rows)] * 3, targets)
    rows_T = [torch.autograd.grad(loss, list(net.shared.parameters()), retain_graph=True) for loss in losses_T]
    jac_TP = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows_T])
    report = wrap(net, PCGrad()).backward(losses_T)
    torch.testing.assert_close(report.known_gram_TT, gramian(jac_TP))
    torch.testing.assert_close(report.norm_T, jac_TP.norm(dim=1))
    unit_TP = jac_TP / jac_TP.norm(dim=1, keepdim=True)
    torch.testing.assert_close(report.cosine_TT, unit_TP @ unit_TP.T)
    update_P = report.weights_T @ jac_TP
    torch.testing.assert_close(report.update_norm, update_P.norm())
    torch.testing.assert_close(report.update_cosine_T, unit_TP @ update_P / update_P.norm())
    assert float(report.conflict_rate) == int((unit_TP @ unit_TP.T < 0).sum()) / 6


def test_measured_at_the_features_the_gram_is_that_of_the_cotangents() -> None:
    rows, targets = data()
    net = Net()
    z = net.features(rows)
    losses_T = net.losses([z] * 3, targets)
    cotangents = torch.stack([torch.autograd.grad(loss, z, retain_graph=True)[0].flatten() for loss in losses_T])
    report = wrap(net, GradOPS(), estimator=GramEstimator(measure="features")).backward(losses_T, features=z)
    torch.testing.assert_close(report.gram_TT, gramian(cotangents))


@pytest.mark.parametrize("form", ["tensor", "views"])
def test_an_elementwise_method_combines_at_the_features(form: str) -> None:
    rows, targets = data()
    net, plain = Net(), Net()
    z = net.features(rows)
    views = [z.view_as(z) for _ in range(3)]
    losses_T = net.losses(views if form == "views" else [z] * 3, targets)
    optimizer = wrap(net, GradDrop(), seed=3)
    report = optimizer.backward(losses_T, features=views if form == "views" else z, diagnose=True)
    z_plain = plain.features(rows)
    losses = plain.losses([z_plain] * 3, targets)
    cotangents = torch.stack([torch.autograd.grad(loss, z_plain, retain_graph=True)[0] for loss in losses])
    method = GradDrop()
    combined, _ = method.combine(cotangents, method.init(3, torch.Generator().manual_seed(3)))
    losses.sum().backward(retain_graph=True)
    expected = torch.autograd.grad(z_plain, list(plain.shared.parameters()), combined)
    for ours, theirs in zip(net.shared.parameters(), expected, strict=True):
        torch.testing.assert_close(ours.grad, theirs)
    for ours, theirs in zip(net.towers.parameters(), plain.towers.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert report.weights_T.isnan().all()
    torch.testing.assert_close(report.update_norm, combined.norm())
    torch.testing.assert_close(
        report.product_T, torch.tensor([float((c * combined).sum()) for c in cotangents]).double()
    )
    assert "weight.a" not in report.scalars(["a", "b", "c"])


def test_diagnostics_say_who_gains_and_who_pays() -> None:
    # Task 0 dominates; the sum of the two opposes task 1.
    report = StepReport(torch.ones(2), torch.ones(2).double(), torch.tensor([[9.0, -3.0], [-3.0, 2.0]]).double())
    scalars = report.scalars(["a", "b"])
    assert report.product_T.tolist() == [6.0, -1.0]
    assert scalars["hurts"] == 0.5
    assert scalars["cosine.a.b"] == pytest.approx(-3 / 18**0.5)
    assert scalars["conflict_rate"] == 1.0
    assert scalars["update_share"] == 1.0
    assert scalars["advance.a"] == pytest.approx(2 / ((2 + 2**-0.5) / 2))
    halved = StepReport(report.losses_T, report.weights_T / 2, report.gram_TT)
    assert float(halved.update_share) == 0.5


def test_a_step_without_a_gram_says_so() -> None:
    net = Net()
    report = wrap(net, Uniform()).backward(net.losses([net.features(data()[0])] * 3, data()[1]))
    with pytest.raises(ValueError, match="diagnose=True"):
        _ = report.cosine_TT


def test_schedulers_clipping_and_zero_grad_work() -> None:
    rows, targets = data()
    net = Net()
    optimizer = wrap(net, GradOPS())

    def clip(*_: object) -> None:
        clip_grad_norm_(net.parameters(), 1e-3)

    schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=5, cycle_momentum=False)
    optimizer.optimizer.register_step_pre_hook(clip)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer.step(net.losses([net.features(rows)] * 3, targets))
    schedule.step()
    moved = torch.cat([(p.detach() - before[name]).flatten() for name, p in net.named_parameters()]).norm()
    assert moved == pytest.approx(1e-3 * 0.04, rel=1e-3)  # clipped length times the schedule's first rate
    assert optimizer.param_groups[0]["lr"] > 0.04
    optimizer.zero_grad()
    assert not grads(net)


def test_a_resumed_optimizer_goes_on_exactly() -> None:
    rows, targets = data()

    def steps(net: Net, optimizer: MultiTaskOptimizer, number: int) -> None:
        for _ in range(number):
            optimizer.step(net.losses([net.features(rows)] * 3, targets))

    unbroken, broken, resumed = Net(), Net(), Net(seed=9)
    steps(unbroken, wrap(unbroken, PCGrad(), seed=5), 6)
    first = wrap(broken, PCGrad(), seed=5)
    steps(broken, first, 3)
    resumed.load_state_dict(broken.state_dict())
    second = wrap(resumed, PCGrad(), seed=77)
    second.load_state_dict(first.state_dict())
    steps(resumed, second, 3)
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_after_a_restart_the_step_is_that_of_a_new_surgery_of_the_tasks_that_are_left() -> None:
    """The method has a target cosine for each pair of tasks; one shared parameter stays as it is from then on."""
    rows, targets = data()
    net, other = Net(), Net()
    optimizer = wrap(net, GradVac())
    optimizer.step(net.losses([net.features(rows)] * 3, targets))
    other.load_state_dict(net.state_dict())
    for one in (net, other):
        one.shared[0].bias.requires_grad_(False)  # torch's own signature
    optimizer.restart()
    fresh = wrap(other, GradVac())
    for _ in range(2):
        for one, its_optimizer in ((net, optimizer), (other, fresh)):
            its_optimizer.step(one.losses([one.features(rows)] * 3, targets)[:2])
    assert optimizer.method_state is not None
    assert fresh.method_state is not None
    for name, value in fresh.method_state.items():
        torch.testing.assert_close(optimizer.method_state[name], value, rtol=0, atol=0)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], value, rtol=0, atol=0)


def test_wrong_arguments_are_named() -> None:
    net = Net()
    stranger = nn.Linear(2, 2).double()
    with pytest.raises(ValueError, match="does not step"):
        MultiTaskOptimizer(torch.optim.SGD(net.parameters(), lr=0.1), Uniform(), shared=stranger.parameters())
    mixed = [*net.parameters(), *nn.Linear(2, 2).float().parameters()]
    with pytest.raises(ValueError, match="of one dtype"):
        MultiTaskOptimizer(torch.optim.SGD(mixed, lr=0.1), Uniform(), shared=mixed)
    with pytest.raises(ValueError, match="should hold trainable parameters, or `pooled` be given"):
        MultiTaskOptimizer(torch.optim.SGD(net.parameters(), lr=0.1), Uniform(), shared=[]).backward(torch.ones(3))
    with pytest.raises(ValueError, match="`measure`"):
        GramEstimator(measure="z")  # type: ignore[arg-type]  # it is what the test is about
    with pytest.raises(ValueError, match="vector of T losses"):
        wrap(net, Uniform()).backward(torch.ones(()))
    for method in (GradOPS(), GradDrop()):
        with pytest.raises(ValueError, match="`features` should be given"):
            wrap(net, method, estimator=GramEstimator(measure="features")).backward(torch.ones(3))
    for features in ([torch.ones(1)], [torch.ones(1)] * 3):
        with pytest.raises(ValueError, match="distinct views"):
            wrap(net, GradOPS()).backward(torch.ones(3), features=features)


def test_a_method_whose_options_count_tasks_goes_on() -> None:
    net, rows_targets = Net(), data()
    method = GradDrop(leak=(0.1, 0.2, 0.3))
    optimizer, second = wrap(net, method), wrap(Net(), method)
    z = net.features(rows_targets[0])
    optimizer.step(net.losses([z] * 3, rows_targets[1]), features=z)
    second.load_state_dict(optimizer.state_dict())
    assert second.method_state is not None


@pytest.mark.parametrize("method", [PCGrad(), GradOPS(alpha=-2.0), MGDA(), CAGrad(), IMTLG()])
@pytest.mark.parametrize("at_features", [False, True])
@pytest.mark.parametrize("scale_T", [(1e30, 1e30, 1e30), (1e25, 1.0, 1e-3), (1e-16, 1e-15, 1e-16), (1e21, 1e-15, 1.0)])
def test_weights_of_gradients_beyond_the_range_of_float32_squares_are_those_of_float64(
    method: Method, at_features: bool, scale_T: tuple[float, ...]
) -> None:
    rows, targets = data()
    estimator = GramEstimator(measure="features" if at_features else "parameters")
    found = []
    for dtype in (torch.float64, torch.float32):
        net = Net().to(dtype)
        z = net.features(rows.to(dtype))
        losses_T = net.losses([z] * 3, targets.to(dtype)) * torch.tensor(scale_T, dtype=dtype)
        found.append(wrap(net, method, estimator=estimator).backward(losses_T, features=z).weights_T)
    assert found[1].isfinite().all()
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5 * found[0].abs().max().item())


@pytest.mark.parametrize("method", [Uniform(), PCGrad()])
def test_a_sparse_gradient_among_shared_is_an_error_that_says_so(method: Method) -> None:
    table = nn.Embedding(9, 4, sparse=True)
    optimizer = MultiTaskOptimizer(torch.optim.SGD(table.parameters()), method, shared=table.parameters())
    read = table(torch.tensor([1, 1, 5]))
    with pytest.raises(ValueError, match=r"dense gradients. Found a sparse one of shape \(9, 4\).*`pooled`"):
        optimizer.step(torch.stack([read.sum(), -read.square().sum()]))
    assert table.weight.grad is None


def test_a_sparse_gradient_of_one_task_is_plain() -> None:
    net, table = Net(), nn.Embedding(9, 6, sparse=True).double()
    sgd = torch.optim.SGD([*net.parameters(), *table.parameters()], lr=0.1)
    optimizer = MultiTaskOptimizer(sgd, PCGrad(), shared=net.shared.parameters())
    rows, targets = data()
    z = net.features(rows)
    views = [z + table(torch.arange(16) % 9), z, z]
    before = table.weight.detach().clone()
    optimizer.step(net.losses(views, targets))
    assert not torch.equal(table.weight, before)


@pytest.mark.parametrize("method", [Uniform(), PCGrad(), GradOPS(alpha=-2.0)])
def test_a_grad_scaler_steps_it_as_if_losses_had_no_scale(method: Method) -> None:
    rows, targets = data()
    net, plain = Net(), Net()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaled, optimizer = wrap(net, method), wrap(plain, method)
    for _ in range(3):
        scaled.backward(scaler.scale(net.losses([net.features(rows)] * 3, targets)))
        scaler.step(scaled)
        scaler.update()
        optimizer.step(plain.losses([plain.features(rows)] * 3, targets))
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(net.get_parameter(name), parameter, rtol=1e-9, atol=1e-12)


def test_a_grad_scaler_leaves_out_a_step_with_infinite_gradients() -> None:
    rows, targets = data()
    net = Net()
    scaler, optimizer = torch.amp.GradScaler("cpu", init_scale=1024.0), wrap(net, Uniform())
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer.backward(scaler.scale(net.losses([net.features(rows)] * 3, targets) * float("inf")))
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 512.0
    assert all(torch.equal(p, before[name]) for name, p in net.named_parameters())
