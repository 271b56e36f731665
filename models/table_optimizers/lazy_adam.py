"""Adam for embedding tables that moves a row's moments only when the row is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.table_optimizers.row_optimizer import RowOptimizer, add_rows


class LazyAdam(RowOptimizer):
    """Adam over the rows that a step touches.

    A row that every step touches moves as under dense Adam. Any other row rests between two readings, and its moments
    do not decay; the bias correction counts the table's steps, not the row's. It equals torch's SparseAdam, except that
    eps is added after the bias correction, as in Adam.

    Args:
        params: Tables, or groups of them.
        lr: Rate.
        betas: Decay of the two moments a step, each in [0, 1).
        eps: Added to the root of the second moment.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr, {"betas": betas, "eps": eps})

    @staticmethod
    def initial(table: Tensor) -> dict[str, Tensor]:
        """Both moments, as large as the table."""
        step = torch.zeros((), device=None if table.device.type != "meta" else table.device)
        return {"step": step, "exp_avg": torch.zeros_like(table), "exp_avg_sq": torch.zeros_like(table)}

    @staticmethod
    def update(
        table: Tensor, rows_U: Tensor, gradient_UW: Tensor, state: Mapping[str, Tensor], group: Mapping[str, Any]
    ) -> None:
        """Step distinct rows: moments gathered, moved and put back."""
        (beta1, beta2), step = group["betas"], int(state["step"].add_(1))
        # Gathered and put back by row: torch's SparseAdam goes through sparse tensors, three times as slowly.
        first_UW = state["exp_avg"].index_select(0, rows_U).lerp_(gradient_UW, 1 - beta1)
        second_UW = state["exp_avg_sq"].index_select(0, rows_U).mul_(beta2)
        second_UW.addcmul_(gradient_UW, gradient_UW, value=1 - beta2)
        state["exp_avg"].index_copy_(0, rows_U, first_UW)
        state["exp_avg_sq"].index_copy_(0, rows_U, second_UW)
        scale_UW = second_UW.div_(1 - beta2**step).sqrt_().add_(group["eps"])
        add_rows(table, rows_U, first_UW.div_(scale_UW), -group["lr"] / (1 - beta1**step))
