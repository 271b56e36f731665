"""Networks of torch-rechub with our weights: an implementation by other people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class AsGiven(nn.Module):
    """Stands for an embedding: the network reads what it is given, in its own precision."""

    def forward(self, x: Tensor, features: object, squeeze_dim: bool) -> Tensor:
        return x if squeeze_dim else x[:, None]


class Halves(nn.Module):
    """Gives the first half of its input where it is first asked, then the second, as features of users and items."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor, features: object, squeeze_dim: bool) -> Tensor:
        self.calls += 1
        # Users' features are asked for twice: once for the number of rows.
        return x.chunk(2, dim=1)[0 if self.calls % 3 else 1]


class Feature:
    """All that a peer asks of a feature."""

    def __init__(self, width: int) -> None:
        self.embed_dim, self.name, self.shared_with = width, "x", None


def ready(peer: Any) -> Any:
    """In float64, reading rows as they are, its batch norms (which ours lack) without effect."""
    peer.embedding = AsGiven()
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eps = 0.0
    return peer.double().eval()


def layers_of(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def copy_layers(ours: nn.Module, theirs: nn.Module) -> None:
    for mine, other in zip(layers_of(ours), layers_of(theirs), strict=True):
        copy(other, mine.weight, mine.bias)


def copy_experts(ours: nn.Module, theirs: Iterable[nn.Module]) -> None:
    """Each of ours is a slice of batched layers, each of theirs a perceptron of its own."""
    batched: Sequence[Any] = [layer for layer in ours.children() if any(True for _ in layer.parameters())]
    for place, expert in enumerate(theirs):
        for layer, other in zip(batched, layers_of(expert), strict=True):
            copy(other, layer.weight[place], layer.bias[place])


def copy(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
