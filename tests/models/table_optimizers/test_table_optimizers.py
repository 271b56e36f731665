"""Row optimizers against naive dense code for the same rules, over a table that several features share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradops import MultiTaskOptimizer
from gradops.methods import METHODS, parse
from models.embedding.cut import Bags
from models.table_optimizers.adagrad import Adagrad
from models.table_optimizers.lazy_adam import LazyAdam
from models.table_optimizers.row_optimizer import RowOptimizer
from models.table_optimizers.rowwise_adagrad import RowwiseAdagrad
from models.table_optimizers.rules import TABLE_OPTIMIZERS
from models.table_optimizers.sgd import SGD
from tests.models.rare_rows import BATCH, LR, STEPS, bags, losses, model


def read_rows(batch: Bags) -> list[Tensor]:
    """Which rows of each table a batch reads."""
    first, *others = batch.ids_N.split(batch.lengths_FB.view(3, BATCH).sum(1).tolist())
    return [first.unique(), torch.cat(others).unique()]


class NaiveAdam:
    """One row at a time, in float64, from a dense gradient and the rows that were read."""

    def __init__(self, table: Tensor) -> None:
        self.first, self.second, self.step = torch.zeros_like(table), torch.zeros_like(table), 0

    def update(self, table: Tensor, gradient: Tensor, rows: Tensor) -> None:
        self.step += 1
        for row in rows.tolist():
            self.first[row] = 0.9 * self.first[row] + 0.1 * gradient[row]
            self.second[row] = 0.999 * self.second[row] + 0.001 * gradient[row] ** 2
            root = (self.second[row] / (1 - 0.999**self.step)).sqrt() + 1e-8
            table[row] -= LR * self.first[row] / (1 - 0.9**self.step) / root


class NaiveSGD:
    """The same for gradient descent."""

    def __init__(self, table: Tensor) -> None:
        pass

    def update(self, table: Tensor, gradient: Tensor, rows: Tensor) -> None:
        for row in rows.tolist():
            table[row] -= LR * gradient[row]


class NaiveAdagrad:
    """The same for Adagrad."""

    def __init__(self, table: Tensor) -> None:
        self.sums = torch.zeros_like(table)

    def update(self, table: Tensor, gradient: Tensor, rows: Tensor) -> None:
        for row in rows.tolist():
            self.sums[row] += gradient[row] ** 2
            table[row] -= LR * gradient[row] / (self.sums[row].sqrt() + 1e-8)


class NaiveRowwiseAdagrad:
    """The same for row-wise Adagrad."""

    def __init__(self, table: Tensor) -> None:
        self.sums = [0.0] * len(table)

    def update(self, table: Tensor, gradient: Tensor, rows: Tensor) -> None:
        for row in rows.tolist():
            self.sums[row] += float((gradient[row] ** 2).sum()) / gradient.shape[1]
            table[row] -= LR * gradient[row] / (math.sqrt(self.sums[row]) + 1e-8)


Naive = Callable[[Tensor], NaiveAdam | NaiveSGD | NaiveAdagrad | NaiveRowwiseAdagrad]
KINDS: list[tuple[type[RowOptimizer], Naive]] = [
    (LazyAdam, NaiveAdam),
    (SGD, NaiveSGD),
    (Adagrad, NaiveAdagrad),
    (RowwiseAdagrad, NaiveRowwiseAdagrad),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kind", "naive"), KINDS)
def test_steps_are_those_of_naive_dense_code(kind: type[RowOptimizer], naive: Naive, weighted: bool) -> None:
    sparse, dense = model("sgd", weighted=weighted), model("adam", weighted=weighted)
    tables = list(sparse.embedding.tables())
    optimizer = kind(tables, LR)
    expected = [table.detach().double() for table in tables]
    states = [naive(table) for table in expected]
    start = [table.clone() for table in expected]
    for step in range(STEPS):
        batch = bags(step, weighted=weighted)
        cotangent_BE = torch.randn(BATCH, 16, generator=torch.Generator().manual_seed(step))
        for net in (sparse, dense):
            net.zero_grad()
            net.cut(batch).backward(cotangent_BE)
        optimizer.step()
        for state, table, other, rows in zip(states, expected, dense.embedding.tables(), read_rows(batch), strict=True):
            assert other.grad is not None
            state.update(table, other.grad.double(), rows)
    for table, wanted, before in zip(tables, expected, start, strict=True):
        waited = (wanted == before).all(1)
        assert 0 < waited.sum() < len(table) - 4
        torch.testing.assert_close(table.detach()[waited], before[waited].float(), rtol=0, atol=0)
        torch.testing.assert_close(table.detach(), wanted.float(), rtol=1e-4, atol=1e-5)


def test_lazy_adam_is_torchs_sparse_adam() -> None:
    ours, theirs = model("sgd"), model("sgd")
    # Theirs adds eps before the bias correction: it is made too small to matter.
    pair = [
        LazyAdam(ours.embedding.tables(), LR, eps=1e-20),
        torch.optim.SparseAdam(list(theirs.embedding.tables()), LR, eps=1e-20),
    ]
    for step in range(STEPS):
        cotangent_BE = torch.randn(BATCH, 16, generator=torch.Generator().manual_seed(step))
        for net, optimizer in zip((ours, theirs), pair, strict=True):
            optimizer.zero_grad()
            net.cut(bags(step)).backward(cotangent_BE)
            optimizer.step()
    for table, wanted in zip(ours.embedding.tables(), theirs.embedding.tables(), strict=True):
        torch.testing.assert_close(table, wanted, rtol=1e-5, atol=1e-6)


def test_where_every_row_is_read_lazy_adam_is_adam() -> None:
    tables = [nn.Parameter(torch.randn(5, 3, generator=torch.Generator().manual_seed(0))) for _ in range(2)]
    lazy, dense = LazyAdam(tables[:1], LR), torch.optim.Adam(tables[1:], LR)
    for step in range(STEPS):
        gradient = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        tables[0].grad, tables[1].grad = gradient.to_sparse(1), gradient
        lazy.step()
        dense.step()
    torch.testing.assert_close(*tables, rtol=1e-5, atol=1e-6)


# A rotation is a part of the model, which the tables know nothing of.
UNROTATED = [name for name, kind in METHODS.items() if name == "static" or kind().rotation is None]


@pytest.mark.parametrize("name", UNROTATED)
def test_no_method_sees_whether_gradients_are_sparse(name: str) -> None:
    method = parse("static(weight=(0.2, 0.8, 2.0))" if name == "static" else name)
    reports = []
    for tables_by in ("sgd", "adam"):
        net = model(tables_by)
        optimizer = MultiTaskOptimizer(torch.optim.SGD(net.parameters(), 0.0), method, shared=net.shared_parameters())
        losses_T, places = losses(net, bags(0), 0)
        reports.append((optimizer.backward(losses_T, **places), list(net.embedding.tables())))  # type: ignore[arg-type]
    (ours, tables), (theirs, dense) = reports
    torch.testing.assert_close(ours.weights_T, theirs.weights_T, rtol=0, atol=0, equal_nan=True)
    for table, other in zip(tables, dense, strict=True):
        assert table.grad is not None
        assert other.grad is not None
        assert table.grad.is_sparse
        torch.testing.assert_close(table.grad.to_dense(), other.grad)


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
def test_a_dense_gradient_is_refused(kind: type[RowOptimizer]) -> None:
    table = nn.Parameter(torch.ones(2, 2))
    table.grad = torch.ones(2, 2)
    with pytest.raises(ValueError, match="should be sparse"):
        kind([table]).step()


class Watch(TorchDispatchMode):
    """Remembers how many numbers each new dense tensor has."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **kwargs or {})
        given = {a.data_ptr() for a in args if isinstance(a, Tensor) and not a.is_sparse}
        if isinstance(result, Tensor) and not result.is_sparse and result.data_ptr() not in given:
            self.sizes.append(result.numel())
        return result


@pytest.mark.parametrize("name", TABLE_OPTIMIZERS)
def test_a_step_holds_no_second_table(name: str) -> None:
    """Once its state is made, no tensor of a backward pass and a step is larger than what the batch read."""
    kind = TABLE_OPTIMIZERS[name]
    net = model(name)
    tables = list(net.embedding.tables())
    optimizer = torch.optim.Adam(tables, LR) if kind is None else kind(tables, LR)
    for step in range(2):
        net.zero_grad()
        cut = net.cut(bags(step))
        with Watch() as watch:
            cut.backward(torch.ones(BATCH, 16))
            optimizer.step()
    smallest = min(table.numel() for table in tables)
    assert max(bags(1).lengths_FB.view(3, BATCH).sum(1).tolist()) * 6 < smallest
    assert (max(watch.sizes) < smallest) == (kind is not None)


def test_a_rate_below_zero_is_named() -> None:
    with pytest.raises(ValueError, match="`lr = -1`"):
        LazyAdam([nn.Parameter(torch.ones(1))], -1)
