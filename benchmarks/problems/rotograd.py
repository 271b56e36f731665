"""The common parts of RotoGrad's small problems: the network, and a method with the paper's leader."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from gradops.base import Method
from gradops.methods import parse
from gradops.rotation import Rotations


def network(generator: torch.Generator) -> nn.Sequential:
    """Two layers, ten ReLU units, from R^2 to R^2, drawn as torch does by default."""
    layers = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 2)).double()
    initialise(layers, generator)
    return layers


@torch.no_grad()
def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw linear layers within ``1 / sqrt(inputs)``."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            for parameter in layer.parameters():
                parameter.uniform_(-(layer.in_features**-0.5), layer.in_features**-0.5, generator=generator)


def prepared(text: str, leader_lr: float) -> tuple[Method, Rotations | None]:
    """A method with the problem's leader, and its rotations of two dimensions for two tasks."""
    method = parse(text)
    if method.rotation is None:
        return method, None
    turn = replace(method.rotation, leader_lr=leader_lr, leader_decay=0.99999)
    return replace(method, rotation=turn), Rotations(turn, tasks=2, width=2).double()
