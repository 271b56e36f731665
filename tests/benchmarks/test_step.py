"""Every way of the step benchmark fills the gradients of a naive float64 step, so that equal work is compared."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.step import __main__ as command
from benchmarks.step.architectures import architectures
from benchmarks.step.memory import peak
from benchmarks.step.setting import SETTINGS, Setting
from benchmarks.step.timing import multiplications
from benchmarks.step.way import mean_losses
from benchmarks.step.ways import EXACT, UNIFORM, WAYS, step_of
from models.architectures import ARCHITECTURES
from models.architectures.shared_bottom import SharedBottom
from models.embedding.base import Embedding
from models.embedding.cut import Bags
from models.interactions import INTERACTIONS
from models.table_optimizers.adagrad import Adagrad
from tests.gradops import reference

# Two tasks: PCGrad's random orders are then one.
TINY = Setting(rows=(7, 11), width=4, bottom=(6, 5), batch=32, tasks=2)
# Not exact, and told so; the fused kernel shows no gradients, and has tests of its own.
BESIDE = {"torchjd autogram, bottom's Gram"} | {name for name, way in WAYS.items() if way.tables == "fused"}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "census", TINY)


class Float64Bags(Embedding):
    """TorchRec's bags, one entry each, without its rounding to float32."""

    def __init__(self, embedding: Embedding, *, sparse: bool) -> None:
        super().__init__()
        self.layout, self.sparse = embedding.layout, sparse
        self.bags = nn.ModuleList(
            nn.EmbeddingBag.from_pretrained(table.detach().double(), freeze=False, mode="sum", sparse=sparse)
            for table in embedding.tables()
        )

    def optimizer(self, rate: float) -> Adagrad | None:
        return Adagrad(self.tables(), rate) if self.sparse else None

    def forward(self, bags: Bags) -> Tensor:
        ids_FB = bags.ids_N.view(len(self.bags), -1)
        return torch.cat([bag(ids_B[:, None]) for bag, ids_B in zip(self.bags, ids_FB, strict=True)], dim=1)


def conflicting(model: SharedBottom, *, sparse: bool) -> SharedBottom:
    """In float64, with a second tower much like the first, both near an even chance, and large tables."""
    model.embedding = Float64Bags(model.embedding, sparse=sparse)
    model.double()
    with torch.no_grad():
        for first, second in zip(model.towers[0].parameters(), model.towers[1].parameters(), strict=True):
            second.copy_(1.2 * first.mul_(0.5))
        for table in model.embedding.tables():
            table.mul_(20)
    return model


def batch() -> tuple[Bags, Tensor]:
    """The second task wants the opposite of the first: gradients conflict."""
    bags, labels_BT = TINY.data(0)
    return bags, torch.stack([labels_BT[:, 0], 1 - labels_BT[:, 0]], dim=1).double()


def expected(name: str) -> dict[str, Tensor]:
    """Gradients by T full backward passes over dense tables, combined by the paper's algorithm."""
    model, (bags, labels_BT) = conflicting(TINY.model("dense"), sparse=False), batch()
    shared = [*model.embedding.tables(), *model.shared_parameters()]
    z_BD = model.bottom(model.embedding(bags))
    logits_BT = torch.cat([tower(z_BD) for tower in model.towers], dim=1)
    losses_T = mean_losses(logits_BT, labels_BT)
    inputs = [z_BD] if "features" in name else shared
    rows = [torch.autograd.grad(loss, inputs, retain_graph=True) for loss in losses_T]
    jac_TP = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]).numpy()
    assert jac_TP[0] @ jac_TP[1] < -0.1 * np.linalg.norm(jac_TP[0]) * np.linalg.norm(jac_TP[1])
    update_P = torch.from_numpy(combined(name, jac_TP))
    losses_T.sum().backward(inputs=list(model.towers.parameters()), retain_graph=True)
    parts = [part_P.view_as(i) for i, part_P in zip(inputs, update_P.split([i.numel() for i in inputs]), strict=True)]
    torch.autograd.backward([z_BD] if "features" in name else shared, parts, inputs=shared)
    return {parameter: gradient_of(weight) for parameter, weight in model.named_parameters()}


def combined(name: str, jac_TP: reference.Array) -> reference.Array:
    if "gradops" in name:
        return reference.gradops(jac_TP, alpha=-1.0)
    if "uniform" in name or "sum of losses" in name:
        total: reference.Array = jac_TP.sum(0)
        return total
    return reference.pcgrad(jac_TP, orders=[[1], [0]])


def gradient_of(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad.to_dense() if weight.grad.is_sparse else weight.grad


@pytest.mark.parametrize("name", sorted(WAYS.keys() - BESIDE))
def test_a_way_fills_the_naive_gradients(name: str) -> None:
    way = WAYS[name]
    model, (bags, labels_BT) = conflicting(way.model(TINY), sparse=way.tables == "sparse"), batch()
    way.start(model)(bags, labels_BT)
    found = dict(model.named_parameters())
    for parameter, gradient in expected(name).items():
        # Gradients are below 1, and everything is in float64.
        torch.testing.assert_close(gradient_of(found[parameter]), gradient, rtol=0, atol=1e-12, msg=parameter)


def test_a_gram_of_the_bottom_alone_is_another() -> None:
    """Negative control: what leaves the tables out is found by the tolerance above."""
    way = WAYS["torchjd autogram, bottom's Gram"]
    model, (bags, labels_BT) = conflicting(way.model(TINY), sparse=way.tables == "sparse"), batch()
    way.start(model)(bags, labels_BT)
    found = gradient_of(next(iter(model.embedding.tables())))
    wanted = next(iter(expected("torchjd autogram").values()))
    assert (found - wanted).abs().max() > 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("name", [UNIFORM, EXACT, "naive gradops, dense", "torchjd backward, rows"])
def test_the_floor_counts_the_layers(name: str) -> None:
    """Each layer's weights times the batch: once forward, twice in every backward pass."""
    setting = Setting(rows=(7,) * 8, width=8, bottom=(64, 32), batch=256)
    bottom, towers = 64 * 64 + 64 * 32, 3 * 32
    passes = 1 if name == UNIFORM else 3
    counted = multiplications(WAYS[name].on(setting), setting)
    # What is beside them, Gram matrix and combination, does not grow with the batch.
    assert counted == pytest.approx(256 * (bottom * (1 + 2 * passes) + 3 * towers), rel=0.03)


@pytest.mark.parametrize("table", [[], pytest.param(["--scaling", "--rounds", "2"], marks=pytest.mark.slow)])
def test_the_command_prints_a_line_a_way_or_size(table: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["census", "--rounds", "2", *table], tasks=(2, 3))
    lines = capsys.readouterr().out.splitlines()
    if table:
        assert len(lines) == 2 + 2 * len(command.BATCHES) + len(command.GROWTHS)
    else:
        assert [line[:34].strip() for line in lines[2:]] == list(WAYS)


@pytest.mark.slow
def test_every_architecture_and_interaction_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """And none does more work than the passes of its tasks would one after another."""
    setting = Setting(rows=(7,) * 8, width=8, bottom=(64, 32), batch=256)
    tried = architectures(setting)
    assert {one.kind for one in tried.values()} == {*ARCHITECTURES}
    assert {one.interaction.kind for one in tried.values() if one.interaction} == {*INTERACTIONS}
    command.print_architectures(list(tried), setting, rounds=2)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == [name for name in tried for _ in range(2)]
    exact = [float(line.split()[-1]) for line in lines[::2]]
    # Gram matrix and combination, which do not grow with the batch, come on top.
    assert all(1 < floor < 1.1 * (1 + 2 * setting.tasks) / 3 for floor in exact), exact


@pytest.mark.slow
def test_memory_is_that_of_the_weights_at_least() -> None:
    """In a process of its own: this one may hold freed memory, which it would use again."""
    grown = TINY.grown(100_000)
    assert peak(partial(step_of, EXACT), grown, threads=1) > 4 * sum(grown.rows) * grown.width / 1e6
