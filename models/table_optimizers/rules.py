"""The class of each table optimizer; :mod:`models.table_optimizers.names` lists where each one works."""

from __future__ import annotations

from models.table_optimizers.adagrad import Adagrad
from models.table_optimizers.lazy_adam import LazyAdam
from models.table_optimizers.row_optimizer import RowOptimizer
from models.table_optimizers.rowwise_adagrad import RowwiseAdagrad
from models.table_optimizers.sgd import SGD

# None for Adam: tables are stepped with the rest of the network, from dense gradients.
TABLE_OPTIMIZERS: dict[str, type[RowOptimizer] | None] = {
    "adam": None,
    "lazy_adam": LazyAdam,
    "sgd": SGD,
    "adagrad": Adagrad,
    "rowwise_adagrad": RowwiseAdagrad,
}
