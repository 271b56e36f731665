"""Experts: multi-layer perceptrons of equal size side by side, and the gates that mix their outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class BatchedLinear(nn.Module):
    """N linear layers of equal size, in one matrix product.

    Args:
        layers: Number of layers, N.
        in_features: Width of each layer's input.
        out_features: Units of each layer.
    """

    def __init__(self, layers: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.weight = nn.Parameter(torch.empty(layers, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(layers, out_features))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        """B x N x units, from an input B x I that all layers read, or from one input a layer, B x N x I."""
        if input.dim() == 2:
            joint_BX = functional.linear(input, self.weight.flatten(0, 1), self.bias.flatten())
            return joint_BX.view(-1, *self.bias.shape)
        weight_NIO = self.weight.transpose(1, 2)
        return torch.baddbmm(self.bias[:, None], input.transpose(0, 1), weight_NIO).transpose(0, 1)


class Experts(nn.Sequential):
    """N multi-layer perceptrons of equal size: from B x X to B x N x D. A layer of all of them is one product.

    Args:
        width: Width of the input, X.
        experts: Number of experts, N.
        units: Units of each layer, each followed by ReLU and dropout; at least one layer.
        dropout: Probability of dropping a unit while training, in [0, 1).
    """

    def __init__(self, width: int, experts: int, units: Sequence[int], dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for before, after in zip([width, *units], units, strict=False):
            layers += [BatchedLinear(experts, before, after), nn.ReLU()] + [nn.Dropout(dropout)] * (dropout > 0)
        super().__init__(*layers)


class Gate(nn.Module):
    """The shares in which a row's experts are mixed: softmax of a linear layer, or of a perceptron.

    Args:
        width: Width of the input.
        experts: Number of experts, N.
        hidden: Units of each hidden layer, each followed by ReLU; empty for one linear layer.
    """

    def __init__(self, width: int, experts: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip([width, *hidden], hidden, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear([width, *hidden][-1], experts))

    def forward(self, input_BX: Tensor) -> Tensor:
        """Shares B x N, at least 0; those of a row add up to 1."""
        share_BN: Tensor = self.layers(input_BX).softmax(dim=1)
        return share_BN


def mixed(share_BN: Tensor, output_BND: Tensor) -> Tensor:
    """The sum of the experts' outputs by their shares, B x D."""
    return torch.bmm(share_BN.unsqueeze(1), output_BND).squeeze(1)
