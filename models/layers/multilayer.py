"""Plain layers, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def multilayer(width: int, units: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these units over an input of a width, each followed by ReLU and, if there is some, dropout."""
    layers: list[nn.Module] = []
    for before, after in zip([width, *units], units, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()] + [nn.Dropout(dropout)] * (dropout > 0)
    return nn.Sequential(*layers)
