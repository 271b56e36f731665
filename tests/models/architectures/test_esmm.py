"""Products of probabilities along a chain of tasks, beside numpy and beside torch-rechub with the same weights."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch_rechub.models import multi_task

from features.errors import InputError
from models.architectures import parse_architecture
from models.architectures.esmm import ESMMConfig, logit_of_product
from models.embedding.portable import PortableEmbedding
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.models import networks
from tests.models.architectures import peers

WIDTH = 4 + 6 + 4 + networks.VALUES


def network(config: ESMMConfig, tasks: tuple[str, ...] = networks.NAMES) -> Any:
    model = config.build(PortableEmbedding(networks.TABLES), values=networks.VALUES, tasks=tasks).double().eval()
    model.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    return model


def rows() -> Tensor:
    return torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(0)).double()


def probabilities(model: Any) -> Any:
    return model.through_layers(rows())[0].sigmoid().detach().numpy()


@pytest.mark.parametrize("detach", [False, True])
def test_probabilities_are_products_along_the_chain(detach: bool) -> None:
    model = network(ESMMConfig.example().model_copy(update={"detach": detach}))
    z_BD = model.bottom(rows())
    income, marital, education = (tower(z_BD)[:, 0].sigmoid().detach().numpy() for tower in model.towers)
    expected = np.stack([income, income * marital, income * marital * education], axis=1)
    np.testing.assert_allclose(probabilities(model), expected, rtol=1e-12)


def test_it_is_torch_rechubs() -> None:
    """Theirs has no shared layers: its towers read what our bottom gives."""
    model = network(ESMMConfig(given={"buy": "click"}, bottom=(8,), tower=(6, 4)), ("click", "buy"))
    halves = [peers.Feature(4)], [peers.Feature(4)]
    theirs = peers.ready(multi_task.ESMM(*halves, {"dims": [6, 4]}, {"dims": [6, 4]}))
    theirs.embedding = peers.Halves()
    for tower, peer in zip(model.towers, (theirs.tower_ctr, theirs.tower_cvr), strict=True):
        peers.copy_layers(tower, peer)
    _, click, buy = theirs(model.bottom(rows())).detach().numpy().T
    np.testing.assert_allclose(probabilities(model), np.stack([click, buy], axis=1), rtol=1e-12)


@pytest.mark.parametrize("first", [-300.0, -30.0, -1.0, 0.0, 2.0, 40.0, 300.0])
@pytest.mark.parametrize("second", [-300.0, 0.5, 300.0])
def test_the_logit_of_a_product_is_exact_at_any_size(first: float, second: float) -> None:
    """Against numbers of 1000 digits; float32 must not lose it either."""
    with localcontext() as context:
        context.prec = 1000
        p, q = (1 / (1 + Decimal(-x).exp()) for x in (first, second))
        expected = float((p * q / (1 - p * q)).ln())
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        a, b = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in (first, second))
        found = logit_of_product(a, b)
        assert float(found.detach()) == pytest.approx(expected, rel=tolerance, abs=tolerance)
        assert all(bool(g.isfinite()) for g in torch.autograd.grad(found, (a, b)))


@pytest.mark.parametrize("tasks", [("marital",), ("income", "education")])
def test_a_task_without_the_one_it_is_given_stands_alone(tasks: tuple[str, ...]) -> None:
    """As in single-task models."""
    model = network(ESMMConfig.example(), tasks)
    z_BD = model.bottom(rows())
    expected = torch.cat([tower(z_BD).sigmoid() for tower in model.towers], dim=1).detach().numpy()
    np.testing.assert_allclose(probabilities(model), expected, rtol=1e-12)


def test_with_detach_a_loss_leaves_earlier_towers_alone() -> None:
    model = network(ESMMConfig.example().model_copy(update={"detach": True}))
    losses_T = model.through_layers(rows())[0].sum(0)
    for task, loss in enumerate(losses_T):
        reached = [
            any(
                g is not None and bool(g.any())
                for g in torch.autograd.grad(loss, list(t.parameters()), retain_graph=True, allow_unused=True)
            )
            for t in model.towers
        ]
        assert reached == [other == task for other in range(networks.TASKS)]
    assert {id(p) for p in model.shared_parameters()} == {id(p) for p in model.bottom.parameters()}


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize(
    "tasks", [networks.NAMES, ("education", "income", "marital"), ("education", "marital"), ("income",)]
)
def test_a_served_model_may_give_conditional_probabilities(tasks: tuple[str, ...], detach: bool) -> None:
    """Where both tasks are trained; times the earlier task's probability, they are the task's."""
    config = ESMMConfig.example().model_copy(update={"conditional": True, "detach": detach})
    model, bags, value_BV = network(config, tasks), networks.bags(9, 0, weighted=False), networks.values(9, 0)
    names = [*tasks, *config.further_outputs(tasks)]
    assert set(names[len(tasks) :]) == {f"{t}_given_{g}" for t, g in config.given.items() if {t, g} <= {*tasks}}
    given = dict(zip(names, model.served_logits(bags, value_BV).sigmoid().T, strict=True))
    torch.testing.assert_close(torch.stack([given[task] for task in tasks], dim=1), model(bags, value_BV).sigmoid())
    for name in names[len(tasks) :]:
        task, _, earlier = name.partition("_given_")
        assert config.given[task] == earlier
        torch.testing.assert_close(given[name] * given[earlier], given[task], rtol=1e-12, atol=0)
    plain = network(config.model_copy(update={"conditional": False}), tasks)
    assert plain.served_logits(bags, value_BV).shape[1] == len(tasks)


def test_conditional_is_part_of_a_run_and_of_a_model_only_if_it_is_true() -> None:
    config = ESMMConfig.example()
    assert "conditional" not in config.identity
    assert "conditional" not in config.layers
    asked = config.model_copy(update={"conditional": True})
    assert asked.identity["conditional"] is asked.layers["conditional"] is True
    assert parse_architecture(asked.layers) == asked


def test_an_output_with_the_name_of_a_task_is_refused() -> None:
    task = "spec.tasks.marital_given_income={positive='income = 1'}"
    model = ["model.kind=esmm", "model.given={marital='income'}", "model.tower=[]", "model.bottom=[8]"]
    debug = ROOT / "configs" / "debug.toml"
    load_config(debug, [task, *model])
    with pytest.raises(InputError, match="2 outputs of the name `marital_given_income`, tasks among them"):
        load_config(debug, [task, *model, "model.conditional=true"])


@pytest.mark.parametrize("given", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "b"}])
def test_no_task_is_given_itself(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="no task should be built on itself"):
        ESMMConfig(given=given)


def test_a_task_that_the_config_does_not_declare_is_named() -> None:
    wrong = ["model.kind=esmm", "model.given={marital='incom'}", "model.tower=[]", "model.bottom=[8]"]
    with pytest.raises(InputError, match="model names `incom`, which is not a task"):
        load_config(ROOT / "configs" / "debug.toml", wrong)
    with pytest.raises(InputError, match=r"model\.given"):
        load_config(ROOT / "configs" / "debug.toml", ["model.kind=esmm"])
