"""The tower that makes a task's logit."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from models.layers.members import MemberHeads
from models.layers.multilayer import multilayer


def head(width: int, members: int = 1) -> nn.Module:
    """The last layer of a task, from a vector to its logit: one, or one for each member of an ensemble.

    Args:
        width: Width of the input.
        members: Number of members.
    """
    return nn.Linear(width, 1) if members == 1 else MemberHeads(members, width)


def tower(width: int, units: Sequence[int], members: int = 1) -> nn.Sequential:
    """A task's layers above what tasks share, the last of which makes its logit.

    Args:
        width: Width of the input.
        units: Units of each hidden layer; empty for one linear layer.
        members: Number of members, each of which has a last layer of its own.
    """
    return nn.Sequential(multilayer(width, units), head([width, *units][-1], members))
