"""Every optimizer that can step embedding tables, by name."""

from __future__ import annotations

from models.lazy_adam import LazyAdam
from models.row_optimizer import RowOptimizer
from models.rowwise_adagrad import RowwiseAdagrad

# None: tables are stepped with the rest of the network, from dense gradients.
TABLE_OPTIMIZERS: dict[str, type[RowOptimizer] | None] = {
    "adam": None,
    "lazy_adam": LazyAdam,
    "rowwise_adagrad": RowwiseAdagrad,
}
