"""The loss against a loop in float64 over rows and tasks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.models.networks import mean_losses

WEIGHTS = [0.0, 1e-30, 0.5, 1.0, 3e38]
ROW = st.tuples(st.floats(-20, 20), st.sampled_from([0.0, 1.0, math.nan]), st.sampled_from(WEIGHTS))
ROWS = st.lists(st.tuples(ROW, ROW), min_size=1, max_size=8)


def naive(rows: Tensor, weighted: bool) -> list[float]:
    """Weighted mean over the known rows of each task of B x T x (logit, label, weight); 0 where nothing weighs."""
    losses = []
    for task in range(rows.shape[1]):
        loss = whole = 0.0
        for logit, label, weight in rows[:, task].tolist():
            if not math.isnan(label):
                share = weight if weighted else 1.0
                loss += share * math.log1p(math.exp(-logit if label else logit))
                whole += share
        losses.append(loss / whole if whole else 0.0)
    return losses


@pytest.mark.parametrize("weighted", [False, True])
@given(rows=ROWS)
def test_the_loss_is_that_of_a_loop(weighted: bool, rows: list[object]) -> None:
    table = torch.tensor(rows)
    found = mean_losses(table[..., 0], table[..., 1], table[..., 2] if weighted else None)
    # Float32 logits to a loss of up to 20 nats.
    assert found.tolist() == pytest.approx(naive(table.double(), weighted), rel=1e-5, abs=1e-6)


def test_a_weight_of_none_is_a_row_that_is_not_there() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_BT = torch.randn(64, 2, generator=generator, requires_grad=True)
    labels_BT = torch.randint(0, 2, (64, 2), generator=generator).float()
    kept_B = torch.rand(64, generator=generator) < 0.5
    weighted_T = mean_losses(logits_BT, labels_BT, kept_B[:, None].float().expand(64, 2))
    dropped_T = mean_losses(logits_BT[kept_B], labels_BT[kept_B])
    torch.testing.assert_close(weighted_T, dropped_T)
    weighted_BT, dropped_BT = (torch.autograd.grad(loss_T.sum(), logits_BT)[0] for loss_T in (weighted_T, dropped_T))
    torch.testing.assert_close(weighted_BT, dropped_BT)
    assert not weighted_BT[~kept_B].any()
    assert weighted_BT[kept_B].all()


def test_a_batch_without_rows_has_no_loss() -> None:
    nothing = torch.empty(0, 3)
    assert mean_losses(nothing, nothing).tolist() == [0.0] * 3
    assert mean_losses(nothing, nothing, nothing).tolist() == [0.0] * 3
