"""Steps of our optimizer: Adagrad on tables, fused Adam on the rest."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks.step.setting import Tables
from benchmarks.step.way import Step, Way, mean_losses
from gradops import GramEstimator, MultiTaskOptimizer
from gradops.base import Method
from gradops.methods import parse
from gradops.rotation import Rotations
from models.architectures.base import Architecture
from models.embedding.cut import Bags
from pipeline.config.train import TrainConfig
from pipeline.training.optimizers import optimizer_of

SPARSE = TrainConfig(table_optimizer="adagrad")
FUSED = TrainConfig(table_optimizer="adagrad", table_kernel="fused")


def ours(text: str, estimator: GramEstimator = GramEstimator(), *, tables: Tables = "fused", half: bool = False) -> Way:
    """A method by its written form; ``half`` makes the network's products in bfloat16."""
    method = parse(text)
    config = FUSED if tables == "fused" else SPARSE
    start = partial(started, method=method, estimator=estimator, config=config, half=half)
    return Way(start=start, tables=tables, rotation=method.rotation)


def started(
    model: Architecture,
    *,
    method: Method,
    estimator: GramEstimator = GramEstimator(),
    config: TrainConfig = FUSED,
    half: bool = False,
) -> Step:
    """The step of a network by a method."""
    rotations = model.head_transform if isinstance(model.head_transform, Rotations) else None
    optimizer = MultiTaskOptimizer(
        optimizer_of(model, config), method, shared=model.shared_parameters(), estimator=estimator, rotations=rotations
    )

    def step(bags: Bags, labels_BT: Tensor) -> object:
        with torch.autocast(labels_BT.device.type, torch.bfloat16, enabled=half):
            cut = model.cut(bags)
            logits_BT, views = model.through(cut.leaf_BE, labels_BT.new_empty(len(labels_BT), 0), cut.own_BX)
        losses_T = mean_losses(logits_BT.float() if half else logits_BT, labels_BT)
        return optimizer.step(losses_T, features=views, pooled=cut)

    return step
