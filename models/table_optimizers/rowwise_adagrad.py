"""Adagrad with one accumulator a row: the optimizer of large tables where memory counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.table_optimizers.adagrad import Adagrad
from models.table_optimizers.row_optimizer import add_rows


class RowwiseAdagrad(Adagrad):
    """Adagrad by rows: a row's step is divided by the root of the sum of its gradients' mean squares.

    The rule of fbgemm's ``EXACT_ROWWISE_ADAGRAD``: the state is one number a row instead of Adam's two a weight.

    Args:
        params: Tables, or groups of them.
        lr: Rate; a row's steps shrink with the gradients it has seen, so it can be ten times Adam's.
        eps: Added to the root.
    """

    @staticmethod
    def initial(table: Tensor) -> dict[str, Tensor]:
        """One accumulator a row."""
        return {"sum": torch.zeros(len(table), dtype=table.dtype, device=table.device)}

    @staticmethod
    def update(
        table: Tensor, rows_U: Tensor, gradient_UW: Tensor, state: Mapping[str, Tensor], group: Mapping[str, Any]
    ) -> None:
        """Step distinct rows."""
        sum_U = state["sum"].index_select(0, rows_U).add_(gradient_UW.square().mean(1))
        state["sum"].index_copy_(0, rows_U, sum_U)
        add_rows(table, rows_U, gradient_UW / sum_U.sqrt_().add_(group["eps"])[:, None], -group["lr"])
