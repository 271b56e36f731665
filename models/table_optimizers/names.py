"""Every optimizer that can step embedding tables, by name, and where each can.

Tables are held plain (:mod:`models.embedding.torchrec`) and stepped from their gradients, or in fbgemm's fused kernel
(:mod:`models.embedding.fused`), whose backward pass steps them by one of its own rules. Equal names are equal rules.

================  =====  ==========  ===========
name              plain  fused, cpu  fused, cuda
================  =====  ==========  ===========
adam              yes    no          no
lazy_adam         yes    no          yes
sgd               yes    yes         yes
adagrad           yes    yes         yes
rowwise_adagrad   yes    yes         yes
================  =====  ==========  ===========

fbgemm's ADAM moves the moments of the rows that were read and of no others: it is lazy Adam, and no fused rule is Adam
itself. Other devices have no fused kernel.
"""

from __future__ import annotations

from models.table_optimizers.adagrad import Adagrad
from models.table_optimizers.lazy_adam import LazyAdam
from models.table_optimizers.row_optimizer import RowOptimizer
from models.table_optimizers.rowwise_adagrad import RowwiseAdagrad
from models.table_optimizers.sgd import SGD

# None: tables are stepped with the rest of the network, from dense gradients.
TABLE_OPTIMIZERS: dict[str, type[RowOptimizer] | None] = {
    "adam": None,
    "lazy_adam": LazyAdam,
    "sgd": SGD,
    "adagrad": Adagrad,
    "rowwise_adagrad": RowwiseAdagrad,
}

_EVERYWHERE = {"sgd": "EXACT_SGD", "adagrad": "EXACT_ADAGRAD", "rowwise_adagrad": "EXACT_ROWWISE_ADAGRAD"}
# Kind of device to what fbgemm calls each rule that it fuses there; by name, so that nobody imports fbgemm to choose.
FUSED: dict[str, dict[str, str]] = {"cpu": _EVERYWHERE, "cuda": {"lazy_adam": "ADAM", **_EVERYWHERE}}


def choices(kernel: str, device: str) -> list[str]:
    """The table optimizers that go with a kernel, ``"plain"`` or ``"fused"``, on a device such as ``"cuda:0"``."""
    return list(TABLE_OPTIMIZERS if kernel == "plain" else FUSED.get(device.partition(":")[0], {}))
