"""Initialisation, presets and losses of the network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from features.transforms import FIRST_KNOWN
from gradops.backward.graph import find_backward
from gradops.rotation import Rotation, Rotations
from models.architectures.base import View
from models.architectures.shared_bottom import SharedBottom
from models.embedding.portable import PortableEmbedding
from tests.models import networks


def test_defaults_are_the_papers_network() -> None:
    model = SharedBottom(PortableEmbedding(networks.TABLES), values=2, tasks=3)
    shapes = [(m.in_features, m.out_features) for m in model.bottom if isinstance(m, nn.Linear)]
    assert shapes == [(4 + 6 + 4 + 2, 192), (192, 192)]
    assert [m.p for m in model.bottom if isinstance(m, nn.Dropout)] == [0.3, 0.3]


def test_initialisation_depends_on_the_seed_alone() -> None:
    first, again, other = networks.network(0), networks.network(0), networks.network(1)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        assert not torch.equal(value, other.state_dict()[name])


def test_special_rows_start_at_zero_so_an_untrained_id_adds_nothing() -> None:
    for table in networks.network().embedding.tables():
        assert not table[:FIRST_KNOWN].any()
        assert table[FIRST_KNOWN:].all()


@pytest.mark.parametrize("tower", [(), (4,)])
@pytest.mark.parametrize("size", [0, 3])
def test_a_head_transform_is_folded_into_the_towers(tower: tuple[int, ...], size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rotations = Rotations(Rotation(size=size), tasks=3, width=6)
    with torch.no_grad():
        rotations.angles.normal_(generator=generator)
    plain, rotated, unrotated = (
        SharedBottom(
            PortableEmbedding(networks.TABLES), values=2, tasks=3, bottom=(8, 6), tower=tower, head_transform=transform
        ).eval()
        for transform in (None, rotations, None)
    )
    rotated.initialise(generator, embedding_std=0.5)
    plain.load_state_dict(rotated.plain_state())
    unrotated.load_state_dict({k: v for k, v in rotated.state_dict().items() if not k.startswith("head_transform")})
    bags, value_BV = networks.bags(9, 0, weighted=False), networks.values(9, 0).float()
    torch.testing.assert_close(plain(bags, value_BV), rotated(bags, value_BV), rtol=0, atol=1e-6)
    torch.testing.assert_close(rotated.through(rotated.cut(bags).leaf_BE, value_BV)[0], rotated(bags, value_BV))
    assert (unrotated(bags, value_BV) - rotated(bags, value_BV)).abs().max() > 0.01


def test_unknown_labels_are_masked() -> None:
    logits_BT = torch.tensor([[0.0, 5.0], [2.0, -1.0]])
    labels_BT = torch.tensor([[1.0, float("nan")], [0.0, float("nan")]])
    losses_T = networks.mean_losses(logits_BT, labels_BT)
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    torch.testing.assert_close(losses_T, torch.tensor([expected, 0.0]))


def test_a_task_without_labels_has_no_gradient() -> None:
    logits_BT = torch.randn(4, 2, requires_grad=True)
    labels_BT = torch.tensor([[1.0, float("nan")]]).repeat(4, 1)
    networks.mean_losses(logits_BT, labels_BT).sum().backward()
    assert logits_BT.grad is not None
    assert not logits_BT.grad[:, 1].any()


def side_by_side(views: Sequence[View], shared: Sequence[torch.Tensor], leaf_BE: torch.Tensor) -> object:
    return find_backward([[view for view in views if isinstance(view, torch.Tensor)]], shared, leaf_BE)


def test_task_gradients_go_back_side_by_side() -> None:
    """The way that makes surgery cheap is the one taken: values beside the tables, dropout, rotations and pieces."""
    rotations = Rotations(Rotation(), tasks=3, width=6)
    model = SharedBottom(
        PortableEmbedding(networks.TABLES), values=2, tasks=3, bottom=(8, 6), dropout=0.3, head_transform=rotations
    )
    cut = model.cut(networks.bags(16, 0, weighted=False))
    for rows in (slice(None), slice(0, 5)):
        leaf_BE = cut.leaf_BE[rows].detach().requires_grad_()
        _, views = model.through(leaf_BE, networks.values(16, 0).float()[rows])
        assert (
            find_backward(
                [[view for view in views if isinstance(view, torch.Tensor)]], model.shared_parameters(), leaf_BE
            )
            is not None
        )
    _, views = model.through(cut.leaf_BE, networks.values(16, 0).float())
    assert (
        find_backward(
            [[view for view in views if isinstance(view, torch.Tensor)]], model.shared_parameters(), cut.leaf_BE
        )
        is not None
    )
