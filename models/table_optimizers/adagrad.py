"""Adagrad over the rows of embedding tables, with one accumulator a weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.table_optimizers.row_optimizer import RowOptimizer, add_rows


class Adagrad(RowOptimizer):
    """Adagrad: every weight's step is divided by the root of the sum of its squared gradients.

    The rule of fbgemm's ``EXACT_ADAGRAD``, and of torch's Adagrad without decay, whose eps is 1e-10 instead.

    Args:
        params: Tables, or groups of them.
        lr: Rate; a weight's steps shrink with the gradients it has seen, so it can be ten times Adam's.
        eps: Added to the root.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, eps: float = 1e-8) -> None:
        super().__init__(params, lr, {"eps": eps})

    @staticmethod
    def initial(table: Tensor) -> dict[str, Tensor]:
        """Accumulators as large as the table."""
        return {"sum": torch.zeros_like(table)}

    @staticmethod
    def update(
        table: Tensor, rows_U: Tensor, gradient_UW: Tensor, state: Mapping[str, Tensor], group: Mapping[str, Any]
    ) -> None:
        """Step distinct rows."""
        sum_UW = state["sum"].index_select(0, rows_U).addcmul_(gradient_UW, gradient_UW)
        state["sum"].index_copy_(0, rows_U, sum_UW)
        add_rows(table, rows_U, gradient_UW / sum_UW.sqrt_().add_(group["eps"]), -group["lr"])
