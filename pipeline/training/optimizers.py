"""The optimizer of a run: Adam or AdamW for the network, the embedding's own for its tables, and clipping over both."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Adam, AdamW, Optimizer

from features.errors import InputError
from models.architectures.base import Architecture
from models.table_optimizers.joint_optimizer import JointOptimizer
from models.table_optimizers.row_optimizer import RowOptimizer
from models.table_optimizers.rules import TABLE_OPTIMIZERS
from pipeline.config.train import TrainConfig


def optimizer_of(model: Architecture, config: TrainConfig) -> Optimizer:
    """The optimizer of all of a model's parameters except those of its head transform.

    The first groups are the network's, the last is the tables'.

    Raises:
        InputError: If the tables' optimizer does not run on the model's device.
    """
    tables = list(model.embedding.tables())
    of_tables = {id(table) for table in tables}
    network = [p for p in model.network_parameters() if id(p) not in of_tables]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    if config.table_kernel == "plain":
        _check_device(config.table_optimizer, network[0].device)
    rate = config.table_lr or config.lr
    # A layer of experts has its biases in one matrix. Frequencies of periodic encodings and factors of an ensemble's
    # members are no weights: they would all decay to 0.
    biases = [p for p in network if p.dim() < 2 or names[id(p)].endswith(("bias", "frequency_FN", "members.scale"))]
    optimizer = _of_network(network, biases, config)
    stepping = model.embedding.optimizer(rate)
    if stepping is None:
        optimizer.add_param_group({"params": tables, "lr": rate, "weight_decay": 0.0})
    else:
        optimizer = JointOptimizer([optimizer, stepping])
    if config.clip_norm:
        optimizer.register_step_pre_hook(partial(_clip_before, model.network_parameters(), config.clip_norm))
    return optimizer


def _of_network(network: Sequence[Tensor], biases: Sequence[Tensor], config: TrainConfig) -> Optimizer:
    if not config.weight_decay:
        return Adam(network, lr=config.lr, fused=True)
    without = {id(bias) for bias in biases}
    decaying = {"params": [p for p in network if id(p) not in without], "weight_decay": config.weight_decay}
    return AdamW([decaying, {"params": [*biases], "weight_decay": 0.0}], lr=config.lr, fused=True)


def clip_gradients(parameters: Sequence[Tensor], longest: float) -> None:
    """Clip the norm of all parameters' gradients together; a row counts once, however often it was read.

    Dense gradients are clipped as by torch's ``clip_grad_norm_``, to the bit.
    """
    found = [p for p in parameters if p.grad is not None]
    for parameter in found:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
    gradients = [p.grad.values() if p.grad.is_sparse else p.grad for p in found if p.grad is not None]
    factor = (longest / (get_total_norm(gradients) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)


def _clip_before(parameters: Sequence[Tensor], longest: float, *_: object) -> None:
    clip_gradients(parameters, longest)


def _check_device(name: str, device: torch.device) -> None:
    """Refuse an optimizer of tables whose operations this device lacks."""
    if TABLE_OPTIMIZERS[name] is None:
        return
    possible = [other for other, kind in TABLE_OPTIMIZERS.items() if kind is None or _steps_on(kind, device)]
    if name not in possible:
        choices = ", ".join(f'"{other}"' for other in possible)
        found = f'`train.table_optimizer = "{name}"` cannot step tables on `train.device = {device}`'
        raise InputError(f"{found}, which lacks sparse gradients; possible there: {choices}")


def _steps_on(kind: type[RowOptimizer], device: torch.device) -> bool:
    """Whether a row optimizer runs on a device, found by a step of one row."""
    try:
        table = torch.zeros(1, 1, device=device, requires_grad=True)
        row = torch.zeros(1, dtype=torch.int64, device=device)
        torch.nn.functional.embedding(row, table, sparse=True).sum().backward()
        kind([table]).step()
    except (RuntimeError, NotImplementedError):
        return False
    return True
