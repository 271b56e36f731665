"""An ensemble in one network beside separate networks in numpy, and beside the package of TabM's authors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tabm
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradops import GramEstimator, MultiTaskOptimizer
from gradops.methods import parse
from gradops.rotation import Rotation, Rotations
from models.architectures import parse_architecture
from models.architectures.shared_bottom import SharedBottom, SharedBottomConfig
from models.embedding.portable import PortableEmbedding
from models.layers.members import MemberScale, mean_logit
from tests.models import networks

Array = npt.NDArray[np.float64]
MEMBERS, BATCH, WIDTH = 4, 16, 4 + 6 + 4 + networks.VALUES
CONFIG = SharedBottomConfig(bottom=(8, 8), dropout=0.0, ensemble=MEMBERS)


def network(config: SharedBottomConfig = CONFIG, rotations: Rotations | None = None) -> Any:
    embedding = PortableEmbedding(networks.TABLES)
    model = config.build(embedding, values=networks.VALUES, tasks=networks.NAMES, head_transform=rotations).double()
    model.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    return model


def rows() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(BATCH, WIDTH)))


def logits(model: SharedBottom, x_BX: Tensor) -> Tensor:
    pooled_BE, value_BV = x_BX.split([WIDTH - networks.VALUES, networks.VALUES], dim=1)
    return model.through(pooled_BE, value_BV)[0]


def naive(state: dict[str, Array], member: int, x: Array) -> Array:
    """One member's logits of one row: a perceptron of its own, whose weights only happen to be the others'."""
    x = x * state["members.scale"][member]
    for layer in (0, 2):
        x = np.maximum(state[f"bottom.{layer}.weight"] @ x + state[f"bottom.{layer}.bias"], 0)
    names = [f"towers.{task}.1" for task in range(networks.TASKS)]
    return np.concatenate([state[f"{n}.weight"][member] @ x + state[f"{n}.bias"][member] for n in names])


def test_members_are_separate_networks() -> None:
    model, x_BX = network(), rows()
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    expected = [[naive(state, member, x) for member in range(MEMBERS)] for x in x_BX.numpy()]
    np.testing.assert_allclose(logits(model, x_BX).detach(), expected, rtol=1e-12, atol=1e-14)


def test_it_is_the_authors() -> None:
    """TabM-mini with the same weights has the same logits, losses and gradients."""
    model, x_BX = network(), rows()
    theirs: Any = tabm.TabM.make(
        n_num_features=WIDTH, d_out=networks.TASKS, arch_type="tabm-mini", k=MEMBERS, n_blocks=2, d_block=8, dropout=0.0
    ).double()
    pairs = list(zip(matrices(model), matrices(theirs), strict=True))
    with torch.no_grad():
        for ours, peer in pairs:
            peer.copy_(ours)
        theirs.output.bias.copy_(torch.stack([tower[1].bias[:, 0] for tower in model.towers], dim=1))
        heads = torch.cat([tower[1].weight for tower in model.towers], dim=1)
        theirs.output.weight.copy_(heads.transpose(1, 2))
    ours_BKT, theirs_BKT = logits(model, x_BX), theirs(x_BX)
    torch.testing.assert_close(ours_BKT, theirs_BKT, rtol=1e-12, atol=1e-14)
    labels_BT = networks.labels(BATCH, 0)
    known_BKT = (~labels_BT.isnan())[:, None].expand_as(theirs_BKT)
    losses_BKT = functional.binary_cross_entropy_with_logits(
        theirs_BKT, labels_BT.nan_to_num()[:, None].expand_as(theirs_BKT), reduction="none"
    )
    expected_T = (losses_BKT * known_BKT).sum((0, 1)) / known_BKT.sum((0, 1))
    losses_T = networks.mean_losses(ours_BKT, labels_BT)
    torch.testing.assert_close(losses_T, expected_T, rtol=1e-12, atol=0)
    losses_T.sum().backward()
    expected_T.sum().backward()
    for ours, peer in pairs:
        torch.testing.assert_close(ours.grad, peer.grad, rtol=1e-10, atol=1e-14)


def matrices(model: Any) -> list[nn.Parameter]:
    """The scaling, and the weights and biases of the shared layers, of our network or of theirs."""
    ours = isinstance(model, SharedBottom)
    scale = model.members.scale if ours else model.backbone.affine.weight
    return [scale, *(model.bottom if ours else model.backbone.blocks).parameters()]


def test_a_factor_is_drawn_for_each_member_and_feature() -> None:
    """Normal with variance 1, one draw for all columns of a feature, as in the authors' package behind embeddings."""
    widths = [7, 1, 4] * 200
    scaling = MemberScale(5, widths)
    with torch.no_grad():
        scaling.initialise(torch.Generator().manual_seed(0))
    of_features = [part_KW.unique(dim=1) for part_KW in scaling.scale.detach().split(widths, dim=1)]
    draw_KF = torch.cat(of_features, dim=1)
    assert draw_KF.shape == (5, 600)
    assert abs(float(draw_KF.mean())) < 0.05
    assert abs(float(draw_KF.std()) - 1) < 0.05


def test_a_mean_of_tiny_probabilities_keeps_its_digits() -> None:
    logits_BKT = torch.tensor([[[-90.0], [-91.0], [-300.0]], [[60.0], [61.0], [40.0]]], dtype=torch.float64)
    found = mean_logit(logits_BKT)
    assert found[0, 0] == pytest.approx(np.log((np.exp(-90) + np.exp(-91) + np.exp(-300)) / 3), rel=1e-12)
    assert found[1, 0] == pytest.approx(-np.log((np.exp(-60) + np.exp(-61) + np.exp(-40)) / 3), rel=1e-12)
    single = torch.randn(9, 8, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean_logit(single).sigmoid(), single.double().sigmoid().mean(1).float())


@pytest.mark.parametrize("batch", [0, 1, 9000])
def test_rows_of_any_number_are_evaluated(batch: int) -> None:
    model = network()
    bags, value_BV = networks.bags(batch, 0, weighted=False), networks.values(batch, 0)
    expected_BKT, _ = model.through(model.embedding(bags), value_BV)
    torch.testing.assert_close(model(bags, value_BV), mean_logit(expected_BKT))


def test_dropout_is_each_members_own() -> None:
    model = network(CONFIG.model_copy(update={"dropout": 0.5})).train()
    with torch.no_grad():
        model.members.scale.fill_(1.0)
        torch.manual_seed(0)
        hidden_BKD = model.bottom(model.members(rows())).view(BATCH, MEMBERS, 8)
    differ_B = (hidden_BKD != hidden_BKD[:, :1]).any(2).any(1)
    assert differ_B.float().mean() > 0.9, "members of equal factors drop different units"


@pytest.mark.parametrize("tower", [(), (4,)])
def test_rotations_turn_the_vectors_of_all_members(tower: tuple[int, ...]) -> None:
    """Folded into the heads of members where a tower is one layer."""
    config = CONFIG.model_copy(update={"tower": tower})
    rotations = Rotations(Rotation(), tasks=networks.TASKS, width=8)
    nn.init.normal_(rotations.angles, generator=torch.Generator().manual_seed(0))
    turned, plain, again = network(config, rotations), network(config), network(config, rotations)
    plain.load_plain_state(turned.plain_state())
    torch.testing.assert_close(logits(plain, rows()), logits(turned, rows()), rtol=0, atol=1e-10)
    again.load_plain_state(turned.plain_state())
    torch.testing.assert_close(logits(again, rows()), logits(turned, rows()), rtol=0, atol=1e-10)
    sgd = torch.optim.SGD(turned.network_parameters(), lr=0.1)
    optimizer = MultiTaskOptimizer(
        sgd, parse("rotograd"), shared=turned.shared_parameters(), rotations=rotations, estimator=GramEstimator()
    )
    before = rotations.angles.detach().clone()
    passed = networks.passed(
        turned, networks.bags(BATCH, 0, weighted=False), networks.values(BATCH, 0), networks.labels(BATCH, 0)
    )
    optimizer.step(passed.losses_T, features=passed.views, pooled=passed.cut)
    assert not torch.equal(rotations.angles, before)


def test_heads_that_members_would_share_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.layers.towers.tower", lambda width, units, members: nn.Linear(width, 1))
    with pytest.raises(ValueError, match="`shared_bottom` should make a head of members for each task"):
        network()


def test_members_have_no_conditional_outputs() -> None:
    keys = {"kind": "esmm", "given": {"marital": "income"}, "conditional": True}
    assert parse_architecture(keys).ensemble == 1
    with pytest.raises(ValueError, match="a mean of products is no product of means"):
        parse_architecture(keys | {"ensemble": 2})


def test_one_member_is_no_ensemble() -> None:
    """Fingerprints and models of networks without members are those of the time before there were any."""
    single = CONFIG.model_copy(update={"ensemble": 1})
    assert "ensemble" not in single.identity
    assert "ensemble" not in single.layers
    assert CONFIG.identity["ensemble"] == CONFIG.layers["ensemble"] == MEMBERS
    assert parse_architecture(CONFIG.layers) == CONFIG
    assert network(single).members is None
