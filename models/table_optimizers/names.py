"""The names of the optimizers that can step embedding tables, and where each can; no torch is imported.

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

fbgemm's ADAM moves the moments of the rows that were read and of no others: it is lazy Adam; no fused rule is dense
Adam. Devices other than cpu and cuda have no fused kernel.
"""

from __future__ import annotations

# In the order of the table above; :mod:`models.table_optimizers.rules` has their classes, which need torch.
NAMES = ("adam", "lazy_adam", "sgd", "adagrad", "rowwise_adagrad")

_EVERYWHERE = {"sgd": "EXACT_SGD", "adagrad": "EXACT_ADAGRAD", "rowwise_adagrad": "EXACT_ROWWISE_ADAGRAD"}
# Kind of device to fbgemm's name of each rule that it fuses there; as text, so that choosing imports no fbgemm.
FUSED: dict[str, dict[str, str]] = {"cpu": _EVERYWHERE, "cuda": {"lazy_adam": "ADAM", **_EVERYWHERE}}


def choices(kernel: str, device: str) -> list[str]:
    """The table optimizers that go with a kernel, ``"plain"`` or ``"fused"``, on a device such as ``"cuda:0"``."""
    return list(NAMES if kernel == "plain" else FUSED.get(device.partition(":")[0], {}))
