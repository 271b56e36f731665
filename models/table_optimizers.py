"""Every optimizer that can step embedding tables, by name."""

from __future__ import annotations

from models.adagrad import Adagrad
from models.lazy_adam import LazyAdam
from models.row_optimizer import RowOptimizer
from models.rowwise_adagrad import RowwiseAdagrad
from models.sgd import SGD

# None: tables are stepped with the rest of the network, from dense gradients.
TABLE_OPTIMIZERS: dict[str, type[RowOptimizer] | None] = {
    "adam": None,
    "lazy_adam": LazyAdam,
    "sgd": SGD,
    "adagrad": Adagrad,
    "rowwise_adagrad": RowwiseAdagrad,
}
