"""The tables' task gradients against autograd over dense tables."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from features.encoder import Table
from models.embedding.cut import Bags, Layout, TableCut
from tests.models import networks


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_gram_is_that_of_dense_gradients(seed: int, weighted: bool) -> None:
    model, bags = networks.network(seed), networks.bags(9, seed, weighted=weighted)
    pooled_BE = model.embedding(bags)
    cut = TableCut.of(pooled_BE, bags, model.embedding.layout)
    cotangent_TBE = torch.randn(3, *pooled_BE.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    tables = list(model.embedding.tables())
    grads = [torch.autograd.grad(pooled_BE, tables, c, retain_graph=True) for c in cotangent_TBE]
    dense_TP = torch.stack([torch.cat([g.flatten() for g in row]) for row in grads])
    gram_TT = sum((block @ block.T for block in cut.task_gradients(cotangent_TBE.transpose(0, 1))), torch.zeros(3, 3))
    torch.testing.assert_close(gram_TT, dense_TP @ dense_TP.T, rtol=1e-13, atol=0)


def test_features_that_share_a_table_share_its_rows() -> None:
    table = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([0, 3, 3, 3, 1, 0])
    lengths = torch.tensor([1, 2, 0, 1, 1, 1])  # two features, three rows
    pooled = [
        functional.embedding_bag(ids[:3], table, torch.tensor([0, 1, 3]), mode="sum"),
        functional.embedding_bag(ids[3:], table, torch.tensor([0, 1, 2]), mode="sum"),
    ]
    pooled_BE = torch.cat(pooled, dim=1)
    cut = TableCut.of(pooled_BE, Bags(ids, lengths), Layout(widths=[2, 2], tables=[0, 0], rows=[5]))
    cotangent_TBE = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grads = [torch.autograd.grad(pooled_BE, table, c, retain_graph=True)[0].flatten() for c in cotangent_TBE]
    (block,) = cut.task_gradients(cotangent_TBE.transpose(0, 1))
    dense_TP = torch.stack(grads)
    torch.testing.assert_close(block @ block.T, dense_TP @ dense_TP.T)


def test_only_touched_rows_are_held() -> None:
    """Memory follows the batch, not the table: a million rows and two read give two."""
    layout = Layout(widths=[4], tables=[0], rows=[1_000_000])
    bags = Bags(torch.tensor([7, 999_999, 7]), torch.tensor([1, 1, 1]))
    cut = TableCut.of(torch.zeros(3, 4, requires_grad=True), bags, layout)
    (block,) = cut.task_gradients(torch.ones(3, 2, 4))
    assert block.shape == (2, 2 * 4)


def test_the_leaf_is_cut_and_backward_reaches_the_tables_once() -> None:
    model, bags = networks.network(), networks.bags(5, 0, weighted=False)
    cut = model.cut(bags)
    logits_BT, _ = model.through(cut.leaf_BE, networks.values(5, 0))
    logits_BT.sum().backward()
    assert all(table.grad is None for table in model.embedding.tables())
    assert cut.leaf_BE.grad is not None
    cut.backward(cut.leaf_BE.grad)
    whole = networks.network()
    whole(bags, networks.values(5, 0)).sum().backward()
    for ours, expected in zip(model.embedding.tables(), whole.embedding.tables(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad)


@pytest.mark.parametrize(
    "tables", [networks.TABLES, [Table("a", 7, 4, ("a", "b")), Table("c", 11, 4, ("c",))]], ids=len
)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_first_rows_are_a_batch_of_their_own(tables: list[Table], weighted: bool) -> None:
    """Of one width and of several, with empty bags."""
    layout, few = Layout.of(tables), 5
    bags = networks.bags(12, 0, weighted=weighted)
    bags = Bags(bags.ids_N % 7, bags.lengths_FB, bags.weight_N)
    kept_N = torch.repeat_interleave(bags.lengths_FB) % 12 < few
    alone = Bags(
        bags.ids_N[kept_N],
        bags.lengths_FB.view(3, 12)[:, :few].flatten(),
        None if bags.weight_N is None else bags.weight_N[kept_N],
    )
    width = sum(layout.widths)
    cotangent_BTE = torch.randn(few, 2, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole_BE, part_BE = torch.zeros(12, width, dtype=torch.float64), torch.zeros(few, width, dtype=torch.float64)
    ours = TableCut.of(whole_BE, bags, layout).task_gradients(cotangent_BTE)
    expected = TableCut.of(part_BE, alone, layout).task_gradients(cotangent_BTE)
    for block, wanted in zip(ours, expected, strict=True):
        torch.testing.assert_close(block, wanted)


@pytest.mark.parametrize(("rows", "kind"), [(2**31 - 1, torch.int32), (2**31, torch.int64)])
def test_rows_are_counted_in_numbers_that_hold_them(rows: int, kind: torch.dtype) -> None:
    assert Layout(widths=[4, 4], tables=[0, 1], rows=[rows - 5, 5]).first_row_F().dtype == kind
