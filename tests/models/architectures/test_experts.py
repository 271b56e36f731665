"""MMoE, PLE and STEM beside loops over experts in numpy, and beside torch-rechub with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch_rechub.models import multi_task

from models.architectures.base import Architecture
from models.architectures.mmoe import MMoEConfig
from models.architectures.ple import PLEConfig
from models.architectures.stem import STEMConfig
from models.embedding.portable import PortableEmbedding
from tests.models import networks
from tests.models.architectures import peers

Array = npt.NDArray[np.float64]
WIDTH, ROWS = 4 + 6 + 4 + networks.VALUES, 9


def network(config: MMoEConfig | PLEConfig) -> Any:
    model = config.build(PortableEmbedding(networks.TABLES), values=networks.VALUES, tasks=networks.NAMES).double()
    model.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    return model.eval()


def rows() -> Array:
    return np.random.default_rng(0).normal(size=(ROWS, WIDTH))


def logits(model: Architecture, x_BX: Array) -> Array:
    pooled_BE, value_BV = torch.from_numpy(x_BX).split([WIDTH - networks.VALUES, networks.VALUES], dim=1)
    found: Array = model.through(pooled_BE, value_BV)[0].detach().numpy()
    return found


class Naive:
    """The formulas, a row and an expert at a time, from a network's weights."""

    def __init__(self, model: Architecture) -> None:
        self.weights = {name: value.numpy() for name, value in model.state_dict().items()}

    def perceptron(self, name: str, x: Array, *, last_relu: bool, expert: int | None = None) -> Array:
        layers = sorted({k.removeprefix(name).split(".")[1] for k in self.weights if k.startswith(f"{name}.")}, key=int)
        for layer in layers:
            weight, bias = (self.weights[f"{name}.{layer}.{kind}"] for kind in ("weight", "bias"))
            if expert is not None:
                weight, bias = weight[expert], bias[expert]
            x = weight @ x + bias
            if last_relu or layer != layers[-1]:
                x = np.maximum(x, 0)
        return x

    def mix(self, gate: str, x: Array, outputs: list[Array]) -> Array:
        score = np.exp(self.perceptron(f"{gate}.layers", x, last_relu=False))
        mixed: Array = sum((s * o for s, o in zip(score / score.sum(), outputs, strict=True)), np.zeros(1))
        return mixed

    def tower(self, name: str, h: Array) -> float:
        hidden = {k for k in self.weights if k.startswith(f"{name}.0.")}
        h = self.perceptron(f"{name}.0", h, last_relu=True) if hidden else h
        weight, bias = (self.weights[f"{name}.1.{kind}"] for kind in ("weight", "bias"))
        return float((weight @ h + bias)[0])


def naive_mmoe(model: Architecture, config: MMoEConfig, x: Array) -> list[float]:
    naive = Naive(model)
    outputs = [naive.perceptron("experts", x, last_relu=True, expert=i) for i in range(config.experts)]
    return [naive.tower(f"towers.{t}", naive.mix(f"task_gates.{t}", x, outputs)) for t in range(networks.TASKS)]


def naive_ple(model: Architecture, config: PLEConfig, x: Array) -> list[float]:
    naive, tasks = Naive(model), range(networks.TASKS)
    own_x, shared_x = [x for _ in tasks], x
    for level in range(config.levels):
        name = f"levels.{level}"
        own = [
            [naive.perceptron(f"{name}.own.{t}", own_x[t], last_relu=True, expert=i) for i in range(config.own_experts)]
            for t in tasks
        ]
        shared = [
            naive.perceptron(f"{name}.shared", shared_x, last_relu=True, expert=i) for i in range(config.shared_experts)
        ]
        before = own_x
        own_x = [naive.mix(f"{name}.gates.{t}", before[t], own[t] + shared) for t in tasks]
        if level < config.levels - 1:
            shared_x = naive.mix(f"{name}.shared_gate", shared_x, [o for one in own for o in one] + shared)
    return [naive.tower(f"towers.{t}", own_x[t]) for t in tasks]


def naive_stem(model: Architecture, config: STEMConfig, shared_x: Array, own_x: list[Array], values: Array) -> Array:
    """The shared embeddings of a row, those of each task, and its numbers."""
    naive, tasks = Naive(model), range(networks.TASKS)
    read = {f"own.{t}.experts": (np.r_[own_x[t], values], config.own_experts) for t in tasks}
    read["shared"] = (np.r_[shared_x, values], config.shared_experts)
    outputs = [
        naive.perceptron(name, x, last_relu=True, expert=i)
        for name, (x, experts) in read.items()
        for i in range(experts)
    ]
    gated = [naive.mix(f"own.{t}.gate", np.r_[own_x[t], shared_x, values], outputs) for t in tasks]
    return np.array([naive.tower(f"own.{t}.tower", h) for t, h in zip(tasks, gated, strict=True)])


@pytest.mark.parametrize("config", [MMoEConfig.example(), MMoEConfig(experts=2, expert=(5,))])
def test_mmoe_is_the_papers(config: MMoEConfig) -> None:
    model, x_BX = network(config), rows()
    expected = [naive_mmoe(model, config, x) for x in x_BX]
    np.testing.assert_allclose(logits(model, x_BX), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_ple_is_the_papers(levels: int) -> None:
    config = PLEConfig.example().model_copy(update={"levels": levels})
    model, x_BX = network(config), rows()
    expected = [naive_ple(model, config, x) for x in x_BX]
    np.testing.assert_allclose(logits(model, x_BX), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("config", [STEMConfig.example(), STEMConfig(shared_experts=1, expert=(5,))])
def test_stem_is_the_papers(config: STEMConfig) -> None:
    """From the rows of the tables on: the weighted sum of a bag's rows, in the shared tables and each task's."""
    tables = config.tables(networks.TABLES, networks.NAMES)
    model = config.build(PortableEmbedding(tables), values=networks.VALUES, tasks=networks.NAMES).double()
    model.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    bags, value_BV = networks.bags(ROWS, 0, weighted=True), networks.values(ROWS, 0)
    assert bags.weight_N is not None
    found = model.eval()(bags, value_BV).detach().numpy()
    weights = [table.detach().numpy() for table in model.embedding.tables()]
    bag_N = np.repeat(np.arange(len(bags.lengths_FB)), bags.lengths_FB.numpy())
    for row in range(ROWS):
        entries = [np.flatnonzero(bag_N == feature * ROWS + row) for feature in range(len(networks.TABLES))]
        read = [
            np.concatenate(
                [
                    bags.weight_N.numpy()[mine] @ weights[copy * len(entries) + feature][bags.ids_N.numpy()[mine]]
                    for feature, mine in enumerate(entries)
                ]
            )
            for copy in range(1 + networks.TASKS)
        ]
        expected = naive_stem(model, config, read[0], read[1:], value_BV[row].numpy())
        np.testing.assert_allclose(found[row], expected, rtol=1e-12, atol=1e-14)


def test_mmoe_is_torch_rechubs() -> None:
    config, x_BX = MMoEConfig(experts=3, expert=(8, 6), tower=(4,)), rows()
    model = network(config)
    features, kinds = [peers.Feature(WIDTH)], ["classification"] * networks.TASKS
    theirs = peers.ready(multi_task.MMOE(features, kinds, 3, {"dims": [8, 6]}, [{"dims": [4]}] * 3))
    peers.copy_experts(model.experts, theirs.experts)
    for ours, peer in ((model.task_gates, theirs.gates), (model.towers, theirs.towers)):
        peers.copy_layers(ours, peer)
    found = 1 / (1 + np.exp(-logits(model, x_BX)))
    expected = theirs(torch.from_numpy(x_BX)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_ple_is_torch_rechubs(levels: int) -> None:
    config, x_BX = PLEConfig(levels=levels, shared_experts=2, own_experts=2, expert=(6, 5), tower=(4,)), rows()
    model = network(config)
    features, kinds = [peers.Feature(WIDTH)], ["classification"] * networks.TASKS
    theirs = peers.ready(multi_task.PLE(features, kinds, levels, 2, 2, {"dims": [6, 5]}, [{"dims": [4]}] * 3))
    for level, peer in zip(model.levels, theirs.cgc_layers, strict=True):
        for task, own in enumerate(level.own):
            peers.copy_experts(own, peer.experts_specific[2 * task : 2 * task + 2])
        peers.copy_experts(level.shared, peer.experts_shared)
        peers.copy_layers(level.gates, peer.gates_specific)
        if level.shared_gate is not None:
            peers.copy_layers(level.shared_gate, peer.gate_shared)
    peers.copy_layers(model.towers, theirs.towers)
    found = 1 / (1 + np.exp(-logits(model, x_BX)))
    expected = theirs(torch.from_numpy(x_BX)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("config", [MMoEConfig.example(), PLEConfig.example()])
def test_a_layer_of_all_experts_is_one_product(config: MMoEConfig | PLEConfig) -> None:
    """The number of products does not grow with the number of experts."""
    more = config.model_copy(update={"experts" if isinstance(config, MMoEConfig) else "shared_experts": 7})
    assert products(more) == products(config)


def products(config: MMoEConfig | PLEConfig) -> int:
    """Matrix products of layers in the graph of the logits."""
    pooled_BE, value_BV = torch.from_numpy(rows()).split([WIDTH - networks.VALUES, networks.VALUES], dim=1)
    waiting, seen = [network(config).through(pooled_BE, value_BV)[0].grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return sum(node.name() in ("AddmmBackward0", "BaddbmmBackward0") for node in seen)
