"""Plain gradient descent over the rows of embedding tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from models.table_optimizers.row_optimizer import RowOptimizer, add_rows


class SGD(RowOptimizer):
    """Gradient descent: a row moves against its gradient; there is no state.

    The rule of fbgemm's ``EXACT_SGD``: without momentum, a row that is not read does not move.

    Args:
        params: Tables, or groups of them.
        lr: Rate; gradients are means over a batch, so those of a row are small and the rate is far larger than Adam's.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2) -> None:
        super().__init__(params, lr)

    @staticmethod
    def initial(table: Tensor) -> dict[str, Tensor]:
        """Nothing."""
        del table
        return {}

    @staticmethod
    def update(
        table: Tensor, rows_U: Tensor, gradient_UW: Tensor, state: Mapping[str, Tensor], group: Mapping[str, Any]
    ) -> None:
        """Step distinct rows."""
        del state
        add_rows(table, rows_U, gradient_UW, -group["lr"])
