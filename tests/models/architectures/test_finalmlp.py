"""Two gated streams and their fusion, beside loops in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from features.errors import InputError
from models.architectures.finalmlp import FinalMLPConfig
from models.embedding.portable import PortableEmbedding
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.models import networks

WIDTH = 4 + 6 + 4 + networks.VALUES
Array = npt.NDArray[np.float64]


def layer(weights: dict[str, Array], name: str, x: Array) -> Array:
    made: Array = weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]
    return made


def stream(weights: dict[str, Array], number: int, config: FinalMLPConfig, x: Array) -> Array:
    """Layers stand two places apart, with an activation between them; a gate's stand in a network of their own."""
    gate, name = x, f"streams.{number}"
    for place in range(len(config.gate)):
        gate = np.maximum(layer(weights, f"{name}.gate.0.{2 * place}", gate), 0)
    gate = layer(weights, f"{name}.gate.1", gate)
    x = 2 / (1 + np.exp(-gate)) * x
    for place in range(len(config.bottom)):
        x = np.maximum(layer(weights, f"{name}.layers.{2 * place}", x), 0)
    return x


def fused(weights: dict[str, Array], task: int, config: FinalMLPConfig, first: Array, second: Array) -> float:
    """The sum over heads of linear and bilinear parts."""
    name, units = f"towers.{task}", config.bottom[-1] // config.heads
    linear, bias = weights[f"{name}.linear.weight"][0], weights[f"{name}.linear.bias"][0]
    total = float(bias)
    for head in range(config.heads):
        part = slice(head * units, (head + 1) * units)
        o1, o2 = first[part], second[part]
        total += float(linear[: len(first)][part] @ o1 + linear[len(first) :][part] @ o2)
        weight, shift = weights[f"{name}.bilinear.weight"][head], weights[f"{name}.bilinear.bias"][head]
        total += float(sum(o1[i] * weight[i, j] * o2[j] for i in range(units) for j in range(units)) + o1 @ shift)
    return total


@pytest.mark.parametrize("gate", [(), (5,), (5, 4)])
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_it_is_the_papers(gate: tuple[int, ...], heads: int) -> None:
    """A head's bias, ``o1'b``, is a part of its linear weights that the paper writes once."""
    config = FinalMLPConfig(bottom=(8, 6), gate=gate, heads=heads)
    model: Any = config.build(PortableEmbedding(networks.TABLES), values=networks.VALUES, tasks=networks.NAMES)
    model.double().initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    weights = {key: value.numpy() for key, value in model.state_dict().items()}
    row_BX: Tensor = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(0)).double()
    found_BT = model.through_layers(row_BX)[0].detach().numpy()
    for row, found_T in zip(row_BX.numpy(), found_BT, strict=True):
        outputs = [stream(weights, number, config, row) for number in (0, 1)]
        expected = [fused(weights, task, config, outputs[0], outputs[1]) for task in range(len(networks.NAMES))]
        np.testing.assert_allclose(found_T, expected, rtol=1e-11, atol=1e-12)


def test_heads_divide_the_units() -> None:
    wrong = ["model={kind='finalmlp', bottom=[8, 6], heads=4}"]
    with pytest.raises(InputError, match="heads: should divide the last of `bottom`, 6; found 4"):
        load_config(ROOT / "configs" / "debug.toml", wrong)
