"""Steps of our optimizer: row-wise Adagrad on sparse gradients of the tables, fused Adam on the rest."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks.step.way import Step, Way
from gradops import MultiTaskOptimizer
from gradops.base import Method
from gradops.methods import parse
from gradops.optimizer import Measure
from gradops.rotation import Rotations
from models.cut import Bags
from models.loss import masked_cross_entropy
from models.shared_bottom import SharedBottom
from pipeline.config import TrainConfig
from pipeline.optimizers import optimizer_of

CONFIG = TrainConfig(table_optimizer="rowwise_adagrad")


def ours(text: str, measure: Measure = "parameters") -> Way:
    """A method by its written form."""
    method = parse(text)
    return Way(start=partial(_start, method=method, measure=measure), sparse=True, rotation=method.rotation)


def _start(model: SharedBottom, *, method: Method, measure: Measure) -> Step:
    rotations = model.head_transform if isinstance(model.head_transform, Rotations) else None
    shared = model.shared_parameters()
    optimizer = MultiTaskOptimizer(
        optimizer_of(model, CONFIG), method, shared=shared, measure=measure, rotations=rotations
    )

    def step(bags: Bags, labels_BT: Tensor) -> object:
        trace = model.trace(bags, torch.empty(len(labels_BT), 0))
        losses_T = masked_cross_entropy(trace.logits_BT, labels_BT)
        return optimizer.step(losses_T, features=trace.views, pooled=trace.cut)

    return step
