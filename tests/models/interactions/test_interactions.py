"""Cross layers and products of pairs beside loops in numpy, and beside torch-rechub with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_rechub.basic.layers import CrossNetV2

from features.encoder import Table
from features.errors import InputError
from models.architectures import parse_architecture
from models.architectures.shared_bottom import SharedBottomConfig
from models.embedding.cut import Layout
from models.embedding.portable import PortableEmbedding
from models.interactions.base import Interaction, InteractionConfig
from models.interactions.dcn_v2 import DCNv2Config
from models.interactions.dot import DotConfig
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.models import networks

EQUAL = Layout.of([Table("a", 7, 4, ("a",)), Table("b", 5, 4, ("b", "c"))])
MIXED = Layout.of(networks.TABLES)


def made(config: InteractionConfig, layout: Layout, values: int) -> tuple[Interaction, Tensor, Tensor]:
    """An interaction with random weights, and rows for it, in float64."""
    torch.manual_seed(0)
    interaction = config.build(layout, values).double()
    with torch.no_grad():
        for parameter in interaction.parameters():
            parameter.normal_()
    return interaction, torch.randn(5, sum(layout.widths)).double(), torch.randn(5, values).double()


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("values", [0, 2])
@pytest.mark.parametrize("layers", [1, 3])
def test_cross_layers_are_the_papers(rank: int, values: int, layers: int) -> None:
    interaction, pooled_BE, value_BV = made(DCNv2Config(layers=layers, rank=rank), MIXED, values)
    weights = {name: value.numpy() for name, value in interaction.state_dict().items()}
    for row, found in zip(
        torch.cat([pooled_BE, value_BV], dim=1).numpy(), interaction(pooled_BE, value_BV), strict=True
    ):
        x = row
        for layer in range(layers):
            name = f"layers.{layer}"
            if rank:
                weight = weights[f"{name}.1.weight"] @ weights[f"{name}.0.weight"]
                bias = weights[f"{name}.1.bias"]
            else:
                weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            x = row * (weight @ x + bias) + x
        np.testing.assert_allclose(found.detach().numpy(), x, rtol=1e-10)


def test_cross_layers_are_torch_rechubs() -> None:
    """Its biases stand outside the product, where the paper's are inside: without biases the two are equal."""
    interaction, pooled_BE, value_BV = made(DCNv2Config(layers=3, rank=0), MIXED, 2)
    theirs: Any = CrossNetV2(16, 3).double()
    ours = interaction.state_dict()
    with torch.no_grad():
        for place, peer in enumerate(theirs.w):
            peer.weight.copy_(ours[f"layers.{place}.weight"])
            ours[f"layers.{place}.bias"].zero_()
    expected = theirs(torch.cat([pooled_BE, value_BV], dim=1))
    torch.testing.assert_close(interaction(pooled_BE, value_BV), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", [EQUAL, MIXED], ids=["equal widths", "mixed widths"])
@pytest.mark.parametrize("values", [0, 2])
def test_products_are_those_of_every_pair(layout: Layout, values: int) -> None:
    interaction, pooled_BE, value_BV = made(DotConfig(width=3), layout, values)
    weights = {name: value.numpy() for name, value in interaction.state_dict().items()}
    found_BX = interaction(pooled_BE, value_BV).detach().numpy()
    for row, (pooled, value) in enumerate(zip(pooled_BE.numpy(), value_BV.numpy(), strict=True)):
        parts = np.split(pooled, np.cumsum(layout.widths)[:-1])
        vectors = []
        for width in dict.fromkeys(layout.widths):
            mine = [part for part in parts if len(part) == width]
            weight, bias = weights[f"maps.{width}.weight"], weights[f"maps.{width}.bias"]
            vectors += [w @ part + b for w, b, part in zip(weight, bias, mine, strict=True)]
        if values:
            vectors.append(weights["of_values.weight"] @ value + weights["of_values.bias"])
        pairs = [vectors[i] @ vectors[j] for i in range(len(vectors)) for j in range(i)]
        assert interaction.extra == len(pairs)
        np.testing.assert_allclose(found_BX[row], [*pooled, *pairs, *value], rtol=1e-10)


def test_products_of_mapped_embeddings_can_be_dlrms() -> None:
    """With unit maps they are the products of the embeddings themselves."""
    interaction, pooled_BE, value_BV = made(DotConfig(width=4), EQUAL, 0)
    state = interaction.state_dict()
    state["maps.4.weight"].copy_(torch.eye(4).expand(3, 4, 4))
    state["maps.4.bias"].zero_()
    a, b, c = pooled_BE.split(4, dim=1)
    expected = torch.stack([(a * b).sum(1), (a * c).sum(1), (b * c).sum(1)], dim=1)
    torch.testing.assert_close(interaction(pooled_BE, value_BV)[:, 12:], expected)


def test_a_network_without_interaction_is_named_as_before_there_were_any() -> None:
    plain = SharedBottomConfig.example()
    assert "interaction" not in {**plain.layers, **plain.identity}
    crossed = plain.model_copy(update={"interaction": DCNv2Config()})
    assert parse_architecture(crossed.layers) == crossed
    assert crossed.identity["interaction"] == {"kind": "dcn_v2", "layers": 2, "rank": 32}
    with torch.device("meta"):
        model = crossed.build(PortableEmbedding(networks.TABLES), values=2, tasks=networks.NAMES)
    assert sum(name.startswith("interaction.") for name in model.state_dict()) == 6


def test_a_wrong_key_is_named_with_the_nearest() -> None:
    wrong = ["model.interaction.kind=dcn_v2", "model.interaction.layer=3", "model.interaction.rank=-1"]
    with pytest.raises(InputError) as told:
        load_config(ROOT / "configs" / "debug.toml", wrong)
    assert "layer: unknown key; did you mean `layers`?" in str(told.value)
    assert "rank" in str(told.value)
    with pytest.raises(InputError, match="dcn_v2"):
        load_config(ROOT / "configs" / "debug.toml", ["model.interaction.kind=dcn"])
