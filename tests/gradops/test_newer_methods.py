"""Numbers worked out by hand, and the identities of methods that are cases of each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradops.base import GramianMethod
from gradops.equivalence import same_updates
from gradops.linalg import gramian
from gradops.methods import METHODS, parse
from tests.gradops.combining import gradients, weights
from tests.gradops.test_optimizer import Net, data, wrap

# The example of Jacobian descent: two gradients in conflict.
EXAMPLE = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]], dtype=torch.float64)


def weigher(text: str) -> GramianMethod:
    method = parse(text)
    assert isinstance(method, GramianMethod)
    return method


def run(text: str, losses: list[list[float]]) -> list[list[float]]:
    """The weights of steps with these losses and orthogonal unit gradients."""
    method, found = weigher(text), []
    state = method.start(len(losses[0]), torch.Generator())
    for loss in losses:
        weights_T, state = method.step(torch.eye(len(loss)), torch.tensor(loss, dtype=torch.float64), state)
        found.append(weights_T.tolist())
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # g1 . g2 = -22 of squared lengths 18 and 38: g1 + 22/38 g2, and g2 + 22/18 g1.
        ("upgrad", [1 + 22 / 18, 1 + 22 / 38]),
        # The sum's product with g1 is -4: 4/18 of g1 is added.
        ("dualproj", [1 + 4 / 18, 1.0]),
        ("gradcraft(tau=0)", [1 + 22 / 18, 1 + 22 / 38]),
        # At one length: 1 + c of each unit gradient, c the cosine's size, at the length of the longer.
        ("gradcraft", [(1 + 22 / (18 * 38) ** 0.5) * (38 / 18) ** 0.5, 1 + 22 / (18 * 38) ** 0.5]),
        # w_i (K w)_i = 1 with u = w |g|: u_i^2 - c u_1 u_2 = 1 gives u_1 = u_2.
        ("fairgrad", [(18 - 22 * (18 / 38) ** 0.5) ** -0.5, (38 - 22 * (38 / 18) ** 0.5) ** -0.5]),
        ("pe_ltr(floor=1)", [0.5, 0.5]),
        ("pe_ltr(floor=0)", [60 / 100, 40 / 100]),
        ("pe_ltr(floor=0.9)", [0.55, 0.45]),
        ("db_mtl", [(38 / 18) ** 0.5, 1.0]),
        # At unit lengths the cosine -c leaves g1 + c g2 across g2, of length (1 - c^2)^(1/2), stretched to that of g1.
        ("pcd(tau=0)", [(1 - 22**2 / (18 * 38)) ** -0.5, 22 / 38 * (1 - 22**2 / (18 * 38)) ** -0.5]),
        ("pcd(primary=1, tau=0)", [22 / 18 * (1 - 22**2 / (18 * 38)) ** -0.5, (1 - 22**2 / (18 * 38)) ** -0.5]),
    ],
)
def test_weights_by_hand(text: str, expected: list[float]) -> None:
    assert weights(weigher(text), EXAMPLE).tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "losses", "expected"),
    [
        ("log_loss", [[0.5, 0.25]], [[2.0, 4.0]]),
        ("log_loss(common='geometric_mean')", [[0.5, 2.0]], [[2.0, 0.5]]),
        ("log_loss", [[0.5, 0.0]], [[2.0, 0.0]]),
        # Adam's first step has the size of its rate: down where half the precision's loss is less than the rest.
        ("uncertainty(lr=0.1)", [[0.2, 0.9]] * 2, [[1.0, 1.0], [1.1051709, 0.9048374]]),
        ("uncertainty(lr=0.1, loss='imtl')", [[0.2, 0.9]] * 2, [[1.0, 1.0], [1.1051709, 1.1051709]]),
        # Means 1 and 1, then 1/2 and 1: rates 1/2 and 1.
        (
            "dwa(temperature=0.5, window=1)",
            [[1.0, 1.0], [0.5, 1.0], [9.0, 9.0]],
            [[1.0, 1.0]] * 2 + [[0.5378828, 1.4621172]],
        ),
        # Task 1 fell more: the logits move apart by 0.2, and the losses' inverses are weighed.
        ("famo(lr=0.1, decay=0)", [[1.0, 1.0], [0.5, 1.0]], [[1.0, 1.0], [1.2416951, 0.7583049]]),
        # At mu = 1 the weights are T over the nadirs 1 and 4, by softmax(log(L/N)) / L.
        ("stch(mu=1, warmup=0, window=1)", [[1.0, 4.0], [1.0, 4.0]], [[1.0, 0.25], [1.0, 0.25]]),
        ("stch(mu=0.5, warmup=0, window=1)", [[1.0, 1.0], [1.0, 0.5]], [[1.0, 1.0], [1.6, 0.8]]),
        # 6/1, 6/2 and 6/3 of 1/3 each; the two nearest share their mean.
        ("go4align(eta=0)", [[1.0, 2.0, 3.0]], [[2.0, 5 / 6, 5 / 6]]),
        ("go4align(groups=1, eta=0)", [[1.0, 2.0, 3.0]], [[11 / 9] * 3]),
        ("go4align(groups=3, eta=0)", [[1.0, 2.0, 3.0]], [[2.0, 1.0, 2 / 3]]),
    ],
)
def test_weights_of_losses_by_hand(text: str, losses: list[list[float]], expected: list[list[float]]) -> None:
    for found, row in zip(run(text, losses), expected, strict=True):
        assert found == pytest.approx(row, rel=1e-6)


@pytest.mark.parametrize("name", ["log_loss", "uncertainty", "dwa", "famo", "stch", "go4align", "db_mtl"])
def test_a_negative_loss_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        run(name, [[1.0, -1.0]])


def update(text: str, jac_TP: Tensor) -> Tensor:
    return weights(weigher(text), jac_TP) @ jac_TP


def test_pcd_follows_the_primary_task_where_the_others_cannot_all_progress() -> None:
    jac_TP = torch.tensor([[1.0, 1.0], [0.0, 2.0], [0.0, -3.0]], dtype=torch.float64)
    assert weights(weigher("pcd(tau=0.1)"), jac_TP).tolist() == pytest.approx([1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="`primary` should be below 3"):
        weights(weigher("pcd(primary=3)"), jac_TP)


@pytest.mark.parametrize("tasks", [2, 3, 8])
def test_methods_that_are_cases_of_each_other(tasks: int) -> None:
    for seed in range(5):
        jac_TP = gradients(tasks, seed, common=-0.3)
        fair_T = weights(weigher("fairgrad(alpha=1)"), jac_TP)
        torch.testing.assert_close(fair_T * (gramian(jac_TP) @ fair_T), torch.ones(tasks).double())
        ours_P, config_P = update("imtl_g", jac_TP), update("imtl_g(length='sum')", jac_TP)
        torch.testing.assert_close(ours_P / ours_P.norm() * torch.sign(ours_P @ config_P), config_P / config_P.norm())
        torch.testing.assert_close(update("pe_ltr(floor=0)", jac_TP), update("mgda", jac_TP))
    against = torch.full((tasks, tasks), -0.5 / tasks) + (1 + 0.5 / tasks) * torch.eye(tasks)
    jac_TP = torch.linalg.cholesky(against.double()) * torch.linspace(1, 3, tasks).double()[:, None]
    crafted_T, ops_T = (weights(weigher(text), jac_TP) for text in ("gradcraft(tau=0)", "gradops"))
    torch.testing.assert_close(crafted_T, ops_T)


def test_upgrad_of_two_tasks_is_pcgrad_and_all_are_uniform_without_conflict() -> None:
    assert same_updates(parse("upgrad"), parse("pcgrad"), 2)
    jac_TP = gradients(5, 0).abs()
    for name in ("upgrad", "dualproj", "gradcraft(tau=0)", "pcgrad"):
        torch.testing.assert_close(weights(weigher(name), jac_TP), torch.ones(5).double())


def test_a_method_that_begins_as_another_is_not_called_the_same() -> None:
    for late, early in (("autoscale", "uniform"), ("dwa", "uniform"), ("stch", "log_loss")):
        assert not same_updates(parse(late), parse(early), 3)
        assert same_updates(parse(late), parse(late), 3)
    assert not same_updates(parse("dwa(window=100000)"), parse("uniform"), 3)


def test_autoscale_forms_no_gram_matrix_after_its_exploring_phase() -> None:
    net = Net()
    optimizer, (rows, targets) = wrap(net, weigher("autoscale(explore=2)")), data()

    def step(diagnose: bool = False) -> tuple[bool, Tensor]:
        z = net.features(rows)
        report = optimizer.step(net.losses([z, z, z], targets), diagnose=diagnose)
        return report.gram_TT is not None, report.weights_T

    formed, found = zip(*(step() for _ in range(4)), strict=True)
    assert formed == (True, True, False, False)
    assert found[1].tolist() == [1.0] * 3
    assert torch.equal(found[2], found[3])
    assert found[2].sum().item() == pytest.approx(3.0)
    assert (found[2] - 1).abs().max() > 0.01
    formed_if_diagnosed, weights_T = step(diagnose=True)
    assert formed_if_diagnosed
    assert torch.equal(weights_T, found[2])


def test_every_method_has_a_sentence_that_says_when_to_choose_it() -> None:
    assert not [name for name, kind in METHODS.items() if "Choose it" not in (kind.__doc__ or "")]
