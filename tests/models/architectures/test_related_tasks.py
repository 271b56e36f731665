"""AITM and DBMTL beside their formulas in numpy, row by row, and AITM beside torch-rechub with the same weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch_rechub.models import multi_task

from features.errors import InputError
from models.architectures import parse_architecture
from models.architectures.aitm import AITMConfig
from models.architectures.base_config import ArchitectureConfig
from models.architectures.dbmtl import DBMTLConfig
from models.embedding.portable import PortableEmbedding
from models.layers.task_graph import TaskGraph
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.models import networks
from tests.models.architectures import peers

Array = npt.NDArray[np.float64]
WIDTH = 4 + 6 + 4 + networks.VALUES
AITM = [
    AITMConfig.example(),
    AITMConfig(chain=("education", "income", "marital"), bottom=(6,)),
    AITMConfig(chain=("marital", "income"), bottom=(6, 5), tower=(4,), detach=True),
]
DBMTL = [
    DBMTLConfig.example(),
    DBMTLConfig(parents={"income": ("education",)}, bottom=(6,), tower=(), relation=(5, 4)),
    DBMTLConfig(parents={"income": ("education",), "education": ("marital",)}, bottom=(6,), detach=True),
]
RELATED = pytest.mark.parametrize("config", [*AITM, *DBMTL])


def network(config: ArchitectureConfig, tasks: tuple[str, ...] = networks.NAMES) -> Any:
    model = config.build(PortableEmbedding(networks.TABLES), values=networks.VALUES, tasks=tasks).double().eval()
    model.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    return model


def rows() -> Tensor:
    return torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(0)).double()


def logits(model: Any) -> Array:
    found: Array = model.through_layers(rows())[0].detach().numpy()
    return found


def perceptron(module: nn.Module, x: Array, *, last_relu: bool = True) -> Array:
    layers = peers.layers_of(module)
    for layer in layers:
        x = linear(layer, x)
        if last_relu or layer is not layers[-1]:
            x = np.maximum(x, 0)
    return x


def linear(layer: nn.Linear, x: Array) -> Array:
    found: Array = layer(torch.from_numpy(x)).detach().numpy()
    return found


def naive_aitm(model: Any, chain: list[str], tasks: tuple[str, ...], x: Array) -> list[float]:
    vectors = {task: perceptron(bottom, x) for task, bottom in zip(tasks, model.bottoms, strict=True)}
    for before, task in pairwise(chain):
        transfer = model.transfers[str(tasks.index(task))]
        both = [vectors[task], perceptron(transfer.info, vectors[before])]
        score = [float(linear(transfer.query, u) @ linear(transfer.key, u)) / np.sqrt(len(u)) for u in both]
        share = np.exp(score) / np.exp(score).sum()
        vectors[task] = sum((s * linear(transfer.value, u) for s, u in zip(share, both, strict=True)), np.zeros(1))
    towers = zip(model.towers, vectors.values(), strict=True)
    return [float(perceptron(tower, h, last_relu=False)[0]) for tower, h in towers]


def naive_dbmtl(model: Any, config: DBMTLConfig, tasks: tuple[str, ...], x: Array) -> list[float]:
    z = perceptron(model.bottom, x)

    def relation(task: str) -> Array:
        parents = [relation(parent) for parent in config.parents.get(task, ()) if parent in tasks]
        place = tasks.index(task)
        return perceptron(model.relations[place], np.concatenate([perceptron(model.towers[place], z), *parents]))

    return [float(linear(output, relation(task))[0]) for task, output in zip(tasks, model.outputs, strict=True)]


TRAINED = [networks.NAMES, ("income", "education"), ("marital",), ("education", "marital")]


@pytest.mark.parametrize("tasks", TRAINED)
@pytest.mark.parametrize("config", AITM)
def test_aitm_is_the_papers(config: AITMConfig, tasks: tuple[str, ...]) -> None:
    """With tasks that are not trained, too: the chain closes over them."""
    model, chain = network(config, tasks), [task for task in config.chain if task in tasks]
    expected = [naive_aitm(model, chain, tasks, x) for x in rows().numpy()]
    np.testing.assert_allclose(logits(model), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("tasks", TRAINED)
@pytest.mark.parametrize("config", DBMTL)
def test_dbmtl_is_the_papers(config: DBMTLConfig, tasks: tuple[str, ...]) -> None:
    model = network(config, tasks)
    expected = [naive_dbmtl(model, config, tasks, x) for x in rows().numpy()]
    np.testing.assert_allclose(logits(model), expected, rtol=1e-12, atol=1e-14)


def test_aitm_is_torch_rechubs() -> None:
    """Theirs rounds the square root of the width to float32: 4 has an exact one."""
    model = network(AITMConfig(chain=networks.NAMES, bottom=(8, 4), tower=(6,)))
    theirs = peers.ready(multi_task.AITM([peers.Feature(WIDTH)], networks.TASKS, {"dims": [8, 4]}, [{"dims": [6]}] * 3))
    for ours, peer in ((model.bottoms, theirs.bottoms), (model.towers, theirs.towers)):
        peers.copy_layers(ours, peer)
    for transfer, info, attention in zip(model.transfers.values(), theirs.info_gates, theirs.aits, strict=True):
        peers.copy_layers(transfer.info, info)
        for name in ("query", "key", "value"):
            getattr(attention, f"{name[0]}_layer").load_state_dict(getattr(transfer, name).state_dict())
    expected = theirs(rows()).detach().numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits(model))), expected, rtol=1e-12, atol=0)


@RELATED
def test_with_detach_each_loss_trains_its_own_layers_alone(config: Any) -> None:
    model = network(config.model_copy(update={"detach": True}))
    np.testing.assert_array_equal(logits(model), logits(network(config)))  # the outputs are the same
    shared = {id(p) for p in model.shared_parameters()}
    assert shared == {id(p) for name, p in model.named_parameters() if name.startswith("bottom.")}
    mine = [p for name, p in model.named_parameters() if not name.startswith(("embedding.", "bottom."))]
    reached = np.zeros(len(mine))
    for loss in model.through_layers(rows())[0].sum(0):
        found = torch.autograd.grad(loss, mine, retain_graph=True, allow_unused=True)
        reached += [g is not None and bool(g.any()) for g in found]
    assert (reached == 1).all()


def test_the_order_of_tasks() -> None:
    relations = {"c": ("a", "b", "missing"), "b": ("a",)}
    graph = TaskGraph.of(relations, ("c", "b", "a", "alone"), detach=False)
    assert graph.parents == ((2, 1), (2,), (), ())
    assert [task for task in graph.order if task != 3] == [2, 1, 0]
    assert graph.reached == (2, 1)
    assert TaskGraph.of(relations, ("c", "b", "a"), detach=True).reached == ()


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"kind": "aitm", "chain": ["a"]}, "at least 2 items"),
        ({"kind": "aitm", "chain": ["a", "b", "a"]}, "a task should stand in the chain once, found `a` more often"),
        ({"kind": "dbmtl", "parents": {}}, "at least 1 item"),
        ({"kind": "dbmtl", "parents": {"a": []}}, "at least 1 item"),
        ({"kind": "dbmtl", "parents": {"a": ["b", "b"]}}, "name each parent once, found one twice at `a`"),
        ({"kind": "dbmtl", "parents": {"a": ["a"]}}, "built on itself, found `a` after `a`"),
        ({"kind": "dbmtl", "parents": {"a": ["b"], "b": ["x", "a"]}}, "found `[ab]` after `[ab]` after `[ab]`"),
        ({"kind": "esmm", "given": {"a": "b", "b": "c", "c": "b"}}, "found `[bc]` after `[bc]` after `[bc]`"),
    ],
)
def test_relations_that_cannot_be_are_refused(written: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        parse_architecture(written)


@pytest.mark.parametrize(
    "written",
    [
        ["model.kind=aitm", "model.chain=['income', 'marriage']"],
        ["model.kind=dbmtl", "model.parents={income=['marital', 'marriage']}"],
    ],
)
def test_a_task_that_the_config_does_not_declare_is_named(written: list[str]) -> None:
    with pytest.raises(InputError, match="model names `marriage`, which is not a task"):
        load_config(ROOT / "configs" / "debug.toml", [*written, "model.tower=[]", "model.bottom=[8]"])


CHAIN = ["model.kind=aitm", "model.chain=['income', 'marital', 'education']", "model.tower=[]", "model.bottom=[8]"]
READ_DIFFERENT = "the tasks `income` and `marital` read different tensors"


@pytest.mark.parametrize(
    ("where", "problems"),
    [
        (["train.measure=features"], [f'train.measure = "features": at the features of `aitm` {READ_DIFFERENT}']),
        (
            ["compare.methods=['mgda_ub', 'pcgrad']"],
            [f"`mgda_ub` is defined at the features: at the features of `aitm` {READ_DIFFERENT}"],
        ),
        (["train.measure=features", "model.detach=true"], []),
        (["train.measure=features", "train.tasks=['income', 'marital']"], []),
        (["train.measure=parameters"], []),
    ],
)
def test_conflict_is_not_measured_where_tasks_read_different_tensors(where: list[str], problems: list[str]) -> None:
    try:
        load_config(ROOT / "configs" / "debug.toml", [*CHAIN, *where])
        found = ""
    except InputError as error:
        found = str(error)
    assert all(problem in found for problem in problems)
    assert bool(found) == bool(problems)
