"""Encodings of numbers beside loops in float64, and beside rtdl-num-embeddings with the same weights."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
import rtdl_num_embeddings as peer
import torch
from torch import Tensor

from features.encoder import EncodedValue
from features.errors import InputError
from features.kinds.numeric import ValueEncoding
from gradops.backward.graph import find_backward
from models.architectures import parse_architecture
from models.architectures.shared_bottom import SharedBottomConfig
from models.embedding.portable import PortableEmbedding
from models.encodings import EncodingsConfig
from models.encodings.base import Encoding
from models.encodings.numbers import Numbers
from models.encodings.periodic import Periodic, PeriodicConfig
from models.encodings.piecewise import PiecewiseConfig, PiecewiseLinear
from models.interactions.base import InteractionConfig
from models.interactions.dcn_v2 import DCNv2Config
from models.interactions.dot import DotConfig
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.models import networks

# Bins of different numbers, among them one alone and none.
EDGES = ((-1.0, -0.5, 0.25, 2.0), (0.0, 1.0), (-2.0, -1.0, 0.5), (0.3,), ())
BINS = EDGES[:3]


def drawn(encoding: Any) -> Any:
    """In float64, every parameter random, those that start as 0 too."""
    torch.manual_seed(0)
    encoding.double()
    with torch.no_grad():
        for parameter in encoding.parameters():
            parameter.normal_()
    return encoding


def rows(numbers: int, beyond: float = 3.0) -> Tensor:
    """Numbers on both sides of all edges, and on edges."""
    value_BF = torch.randn(40, numbers, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * beyond
    value_BF[0], value_BF[1], value_BF[2] = 0.0, 1.0, -1.0
    return value_BF


def test_the_piecewise_encoding_is_the_papers() -> None:
    encoding = drawn(PiecewiseLinear(EDGES, width=3))
    value_BF = rows(len(EDGES))
    found = encoding(value_BF).detach().numpy()
    weight_FWX, bias_FW = encoding.weight.detach().numpy(), encoding.bias.detach().numpy()
    for row, numbers in enumerate(value_BF.tolist()):
        for f, (x, edges) in enumerate(zip(numbers, EDGES, strict=True)):
            expected = weight_FWX[f, :, 0] * x + bias_FW[f]
            bins = len(edges) - 1
            for k in range(bins):
                z = (x - edges[k]) / (edges[k + 1] - edges[k])
                z = max(z, 0.0) if k > 0 else z
                z = min(z, 1.0) if k < bins - 1 else z
                expected = expected + weight_FWX[f, :, 1 + k] * z
            # The edges are saved in float32.
            np.testing.assert_allclose(found[row, f], expected, rtol=1e-6, atol=1e-6)


def test_the_piecewise_encoding_is_its_authors() -> None:
    """Version B without activation; theirs has the last bin of every number in the last place."""
    ours = drawn(PiecewiseLinear(BINS, width=4))
    bins = [torch.tensor(edges, dtype=torch.float32) for edges in BINS]
    with pytest.warns(UserWarning, match="only one bin"):
        theirs = peer.PiecewiseLinearEmbeddings(bins, 4, activation=False, version="B").double()
    assert theirs.linear0 is not None
    with torch.no_grad():
        theirs.linear0.weight.copy_(ours.weight[:, :, 0])
        theirs.linear0.bias.copy_(ours.bias)
        for f, edges in enumerate(BINS):
            of_bins_KW = ours.weight[f, :, 1 : len(edges)].T
            theirs.linear.weight[f, : len(edges) - 2] = of_bins_KW[:-1]
            theirs.linear.weight[f, -1] = of_bins_KW[-1]
    value_BF = rows(len(BINS))
    torch.testing.assert_close(ours(value_BF), theirs(value_BF), rtol=1e-5, atol=1e-5)


def test_the_periodic_encoding_is_the_papers() -> None:
    encoding = drawn(Periodic(3, frequencies=5, sigma=0.3, width=4))
    value_BF = rows(3)
    found = encoding(value_BF).detach().numpy()
    frequency_FN, weight_WX, bias_W = (p.detach().numpy() for p in encoding.parameters())
    for row, numbers in enumerate(value_BF.tolist()):
        for f, x in enumerate(numbers):
            angles = [2 * math.pi * c * x for c in frequency_FN[f]]
            wave = np.array([*map(math.cos, angles), *map(math.sin, angles)])
            np.testing.assert_allclose(found[row, f], np.maximum(weight_WX @ wave + bias_W, 0), rtol=1e-9, atol=1e-12)


def test_the_periodic_encoding_is_its_authors() -> None:
    ours = drawn(Periodic(3, frequencies=5, sigma=0.3, width=4))
    theirs = peer.PeriodicEmbeddings(3, 4, n_frequencies=5, frequency_init_scale=0.3, lite=True).double()
    with torch.no_grad():
        theirs.periodic.weight.copy_(ours.frequency_FN)
        theirs.linear.load_state_dict(ours.linear.state_dict())
    value_BF = rows(3)
    torch.testing.assert_close(ours(value_BF), theirs(value_BF), rtol=1e-12, atol=1e-12)


def initialised(config: EncodingsConfig, encoded: tuple[EncodedValue, ...], values: int) -> Numbers:
    numbers = config.build(values, encoded)
    assert numbers is not None
    for encoding in numbers.encodings.values():
        assert isinstance(encoding, Encoding)
        encoding.initialise(torch.Generator().manual_seed(0))
    return numbers


def test_a_piecewise_encoding_starts_as_a_linear_layer_of_each_number() -> None:
    encoded = tuple(EncodedValue(f, "piecewise", edges) for f, edges in enumerate(EDGES))
    numbers = initialised(EncodingsConfig(), encoded, len(EDGES)).double()
    low, middle, high = (numbers(torch.full((1, len(EDGES)), x, dtype=torch.float64)) for x in (-5.0, 0.0, 5.0))
    torch.testing.assert_close((low + high) / 2, middle)
    assert not low.isclose(high).any()


def test_frequencies_start_within_three_sigma() -> None:
    config = EncodingsConfig(periodic=PeriodicConfig(sigma=0.2, frequencies=2000))
    (encoding,) = initialised(config, (EncodedValue(0, "periodic"),), 1).encodings.children()
    assert isinstance(encoding, Periodic)
    assert encoding.frequency_FN.abs().max() <= 0.6
    assert float(encoding.frequency_FN.detach().std()) == pytest.approx(0.2, rel=0.1)


def test_numbers_without_an_encoding_stand_behind_the_others_as_they_are() -> None:
    encoded = (EncodedValue(1, "periodic"), EncodedValue(2, "piecewise", (0.0, 1.0)), EncodedValue(4, "periodic"))
    numbers = initialised(EncodingsConfig(), encoded, 6)
    value_BV = torch.randn(7, 6)
    read_BX = numbers(value_BV)
    assert read_BX.shape == (7, sum(numbers.widths))
    assert sum(numbers.widths) == 3 * 8 + 3
    torch.testing.assert_close(read_BX[:, 24:], value_BV[:, [0, 3, 5]], rtol=0, atol=0)
    other_BV = value_BV.clone()
    other_BV[:, 4] += 1.0
    assert (numbers(other_BV) != read_BX).any(0).nonzero().min() >= 16, "the second periodic number has the third place"


@pytest.mark.parametrize("interaction", [None, DCNv2Config.example(), DotConfig.example()])
@pytest.mark.parametrize("kind", ["piecewise", "periodic"])
def test_the_exact_step_goes_back_through_an_encoding_at_once(kind: str, interaction: InteractionConfig | None) -> None:
    """All tasks side by side, with a number that has no encoding beside it."""
    encoded = [EncodedValue(1, kind, (-1.0, 0.0, 1.0) if kind == "piecewise" else ())]
    model = (
        SharedBottomConfig.example()
        .model_copy(update={"interaction": interaction})
        .build(PortableEmbedding(networks.TABLES), values=2, tasks=networks.NAMES, encoded=encoded)
    )
    model.double().initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    leaf_BE = torch.randn(5, 14, dtype=torch.float64, requires_grad=True)
    _, views = model.through(leaf_BE, torch.randn(5, 2, dtype=torch.float64))
    read = [view for view in views if isinstance(view, Tensor)]
    assert find_backward([read], model.shared_parameters(), leaf_BE) is not None


def test_every_encoding_has_its_name_in_the_config_and_in_features() -> None:
    assert set(EncodingsConfig.model_fields) == set(get_args(ValueEncoding))
    for name, keys in EncodingsConfig():
        assert type(keys).__module__ == f"models.encodings.{name}"


def test_a_network_is_named_as_before_there_were_encodings_unless_their_keys_differ() -> None:
    plain = SharedBottomConfig.example()
    assert "encoding" not in {**plain.layers, **plain.identity}
    wider = plain.model_copy(update={"encoding": EncodingsConfig(piecewise=PiecewiseConfig(width=9))})
    assert parse_architecture(wider.layers) == wider
    assert wider.identity["encoding"]["piecewise"] == {"width": 9}


def test_keys_that_no_feature_reads_and_wrong_ones_are_refused_by_name() -> None:
    debug = ROOT / "configs" / "debug.toml"
    with pytest.raises(InputError, match=r"model.encoding.periodic is set, but no numeric feature has `encoding ="):
        load_config(debug, ["model.encoding.periodic.sigma=0.5"])
    of_age = 'spec.features.age.encoding="periodic"'
    assert load_config(debug, ["model.encoding.periodic.sigma=0.5", of_age]).spec.value_encodings == {"periodic"}
    with pytest.raises(InputError) as told:
        load_config(debug, [of_age, "model.encoding.periodic.sigmas=1.0", "model.encoding.piecewise.width=0"])
    assert "sigmas: unknown key; did you mean `sigma`?" in str(told.value)
    assert "model.encoding.piecewise.width" in str(told.value)
