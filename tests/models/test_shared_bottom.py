"""Initialisation, presets and losses of the network."""

from __future__ import annotations

import math

import torch
from torch import nn

from features.transforms import FIRST_KNOWN
from models.loss import masked_cross_entropy
from models.portable import PortableEmbedding
from models.shared_bottom import SharedBottom
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


def test_unknown_labels_are_masked() -> None:
    logits_BT = torch.tensor([[0.0, 5.0], [2.0, -1.0]])
    labels_BT = torch.tensor([[1.0, float("nan")], [0.0, float("nan")]])
    losses_T = masked_cross_entropy(logits_BT, labels_BT)
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    torch.testing.assert_close(losses_T, torch.tensor([expected, 0.0]))


def test_a_task_without_labels_has_no_gradient() -> None:
    logits_BT = torch.randn(4, 2, requires_grad=True)
    labels_BT = torch.tensor([[1.0, float("nan")]]).repeat(4, 1)
    masked_cross_entropy(logits_BT, labels_BT).sum().backward()
    assert logits_BT.grad is not None
    assert not logits_BT.grad[:, 1].any()
