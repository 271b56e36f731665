"""Tables in the fused kernel against the same tables held plain, and against naive dense code in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from features.encoder import Table
from features.errors import InputError
from gradops import MultiTaskOptimizer
from gradops.methods import parse
from models.architectures.shared_bottom import SharedBottom
from models.embedding.base import Embedding
from models.embedding.cut import Bags
from models.embedding.fused import FusedEmbedding
from models.embedding.fused_optimizer import FusedOptimizer
from models.embedding.portable import PortableEmbedding
from models.embedding.torchrec import TorchRecEmbedding
from models.table_optimizers.joint_optimizer import JointOptimizer
from models.table_optimizers.names import FUSED
from models.table_optimizers.rules import TABLE_OPTIMIZERS
from tests.models import networks
from tests.models.rare_rows import BATCH, bags, losses

# As in rare_rows, "b" is read by two features; the widths are such as the kernel takes.
TABLES = [Table("a", 400, 4, ("a",)), Table("b", 300, 12, ("b", "c"))]
WIDTH, RULES, LR = 28, list(FUSED["cpu"]), 0.1


def model(embedding: Embedding) -> SharedBottom:
    net = SharedBottom(embedding, values=networks.VALUES, tasks=networks.TASKS, bottom=(8, 6), tower=(4,), dropout=0.0)
    net.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    return net


def fused(rule: str) -> tuple[SharedBottom, MultiTaskOptimizer]:
    embedding = FusedEmbedding(TABLES, rule)
    return wrapped(model(embedding), FusedOptimizer(embedding, rate(rule)))


def plain(rule: str, *, weighted: bool) -> tuple[SharedBottom, MultiTaskOptimizer]:
    kind = TABLE_OPTIMIZERS[rule]
    assert kind is not None
    net = model(TorchRecEmbedding(TABLES, rule, weighted=weighted))
    return wrapped(net, kind(net.embedding.tables(), rate(rule)))


def rate(rule: str) -> float:
    """Without a division by past gradients, as much larger as these are small."""
    return 100.0 if rule == "sgd" else LR


def wrapped(net: SharedBottom, of_tables: Optimizer) -> tuple[SharedBottom, MultiTaskOptimizer]:
    tables = list(net.embedding.tables())
    network = [p for p in net.parameters() if all(p is not table for table in tables)]
    joint = JointOptimizer([Adam(network, 0.01), of_tables])
    return net, MultiTaskOptimizer(joint, parse("gradops(alpha=-2)"), shared=net.shared_parameters())


def step(net: SharedBottom, optimizer: MultiTaskOptimizer, number: int, *, weighted: bool = False) -> None:
    losses_T, places = losses(net, bags(number, weighted=weighted), number)
    optimizer.step(losses_T, **places)  # type: ignore[call-overload]


def state_of(net: SharedBottom) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_exact_steps_are_those_of_plain_tables(rule: str, weighted: bool) -> None:
    """Under a schedule, which both have to follow."""
    (ours, mine), (theirs, other) = fused(rule), plain(rule, weighted=weighted)
    schedules = [LambdaLR(optimizer, lambda number: 0.5**number) for optimizer in (mine, other)]
    start = state_of(theirs)
    for number in range(5):
        step(ours, mine, number, weighted=weighted)
        step(theirs, other, number, weighted=weighted)
        for schedule in schedules:
            schedule.step()
    for name, wanted in theirs.state_dict().items():
        assert (wanted - start[name]).abs().max() > 1e-3, f"{name} did not move: the comparison would show nothing"
        torch.testing.assert_close(ours.state_dict()[name], wanted, rtol=0, atol=1e-5)
    for table, twin in zip(ours.embedding.tables(), theirs.embedding.tables(), strict=True):
        assert mine.state[table].keys() == other.state[twin].keys()
        for name, wanted in other.state[twin].items():
            torch.testing.assert_close(mine.state[table][name], wanted, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("lr", [1.0, 1e-3])
def test_a_step_of_sgd_is_the_rate_times_the_dense_gradient(lr: float) -> None:
    """The adaptive rules hardly see a gradient of the wrong scale; this one does."""
    embedding, batch = FusedEmbedding(TABLES, "sgd"), bags(0, weighted=True)
    FusedOptimizer(embedding, lr)  # of tables that are zero: a row is its step, without the rounding of a sum
    cotangent_BE = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(0))
    embedding(batch).backward(cotangent_BE)
    assert batch.weight_N is not None
    bag_N = torch.arange(3 * BATCH).repeat_interleave(batch.lengths_FB).tolist()
    wanted = [torch.zeros(t.rows, t.width, dtype=torch.float64) for t in TABLES]
    columns, places = [(0, 4), (4, 16), (16, 28)], [0, 1, 1]
    for row, weight, bag in zip(batch.ids_N.tolist(), batch.weight_N.tolist(), bag_N, strict=True):
        feature, (begin, end) = bag // BATCH, columns[bag // BATCH]
        wanted[places[feature]][row] -= lr * weight * cotangent_BE[bag % BATCH, begin:end].double()
    for table, expected in zip(embedding.tables(), wanted, strict=True):
        assert ((table.detach() - expected).abs().max() / expected.abs().max()).item() < 1e-6


@pytest.mark.parametrize("ids", [torch.int32, torch.int64])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_reads_as_the_portable_twin_and_their_states_are_each_others(ids: torch.dtype, weighted: bool) -> None:
    (ours, optimizer), twin = fused("adagrad"), model(PortableEmbedding(TABLES))
    step(ours, optimizer, 0)
    batch = bags(1, weighted=weighted)
    batch = Bags(batch.ids_N.to(ids), batch.lengths_FB.to(ids), batch.weight_N)
    assert not batch.lengths_FB.all(), "no bag is empty"
    twin.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours.embedding(batch), twin.embedding(batch), rtol=1e-6, atol=1e-6)
    other = model(FusedEmbedding(TABLES, "sgd"))
    before = other.embedding(batch)
    other.load_state_dict(twin.state_dict())
    assert not torch.allclose(before, twin.embedding(batch))
    torch.testing.assert_close(other.embedding(batch), twin.embedding(batch), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch", [0, 3])
def test_bags_without_an_entry_are_zero(batch: int) -> None:
    embedding = FusedEmbedding(TABLES, "sgd")
    pooled_BE = embedding(Bags(torch.empty(0, dtype=torch.int64), torch.zeros(3 * batch, dtype=torch.int64)))
    torch.testing.assert_close(pooled_BE.detach(), torch.zeros(batch, WIDTH), rtol=0, atol=0)
    pooled_BE.backward(torch.ones(batch, WIDTH))


@pytest.mark.parametrize("bad", [400, -1])
def test_an_id_that_is_no_row_is_refused(bad: int) -> None:
    """And not read as row 0, which is what the kernel does unless told."""
    with pytest.raises(RuntimeError):
        FusedEmbedding(TABLES, "sgd")(Bags(torch.tensor([bad, 0, 0]), torch.ones(3, dtype=torch.int64)))


def test_reading_without_gradients_changes_nothing() -> None:
    net, optimizer = fused("rowwise_adagrad")
    step(net, optimizer, 0)
    before = state_of(net)
    with torch.no_grad():
        net(bags(1), networks.values(BATCH, 1).float())
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_only_steps_are_counted() -> None:
    """The kernel counts every reading by itself, and corrects the bias of moments by its count."""
    net, optimizer = fused("rowwise_adagrad")
    for number in range(3):
        step(net, optimizer, number)
        with torch.no_grad():
            net(bags(number), networks.values(BATCH, number).float())
    step(net, optimizer, 3)
    assert isinstance(net.embedding, FusedEmbedding)
    kernel = net.embedding.kernel
    counts = [kernel.iter_cpu.item(), kernel.get_optimizer_buffer("iter").item()]
    assert [optimizer.param_groups[1]["step"], *counts] == [4, 4, 4]


def test_what_does_not_move_the_tables_keeps_their_memory() -> None:
    embedding = FusedEmbedding(TABLES, "sgd")
    places = [table.data_ptr() for table in embedding.tables()]
    kernel = embedding.to("cpu").float().kernel
    assert [rows.data_ptr() for rows in kernel.split_embedding_weights()] == places
    assert embedding.to("cpu").kernel is kernel
    assert [table.data_ptr() for table in embedding.tables()] == places


def test_without_an_optimizer_the_rate_is_zero() -> None:
    net = model(FusedEmbedding(TABLES, "sgd"))
    before = state_of(net)
    net.embedding(bags(0)).backward(torch.ones(BATCH, WIDTH))
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_the_state_holds_what_the_kernel_has_summed() -> None:
    embedding = FusedEmbedding(TABLES, "rowwise_adagrad")
    optimizer = FusedOptimizer(embedding, LR)
    embedding(Bags(torch.tensor([7, 7, 5, 9]), torch.tensor([2, 1, 1]))).backward(torch.full((1, WIDTH), 0.5))
    sums = [optimizer.state[table]["sum"] for table in embedding.tables()]
    assert [value.shape for value in sums] == [(400,), (300,)]
    # Row 7 was read twice: its gradient is 1 in every column, and that of the others 0.5.
    assert {i: v for i, v in enumerate(sums[0].tolist()) if v} == {7: 1.0}
    assert {i: v for i, v in enumerate(sums[1].tolist()) if v} == {5: 0.25, 9: 0.25}


def test_the_next_forward_pass_takes_a_new_rate() -> None:
    embedding = FusedEmbedding(TABLES, "sgd")
    optimizer = FusedOptimizer(embedding, LR)
    schedule = LambdaLR(optimizer, lambda number: 0.5**number)
    table, moved = next(embedding.tables()), []
    one_row = Bags(torch.tensor([7, 0, 0]), torch.ones(3, dtype=torch.int64))
    for _ in range(3):
        before = table.detach().clone()
        embedding(one_row).backward(torch.ones(1, WIDTH))
        optimizer.step()
        schedule.step()
        moved.append((before - table.detach())[7].tolist())
    torch.testing.assert_close(torch.tensor(moved), LR * torch.tensor([1.0, 0.5, 0.25])[:, None].expand(3, 4))


def test_a_rate_that_comes_too_late_is_named() -> None:
    embedding = FusedEmbedding(TABLES, "sgd")
    optimizer = FusedOptimizer(embedding, LR)
    pooled_BE = embedding(bags(0))
    optimizer.param_groups[0]["lr"] = 0.5
    pooled_BE.backward(torch.ones(BATCH, WIDTH))
    with pytest.raises(ValueError, match=r"between a forward pass and its step. Found `lr = 0.5` after .* at 0.1"):
        optimizer.step()


@pytest.mark.parametrize("way", ["loaded", "copied", "moved"])
@pytest.mark.parametrize("rule", RULES)
def test_it_goes_on_exactly(rule: str, way: str) -> None:
    (unbroken, whole), (net, optimizer) = fused(rule), fused(rule)
    for number in range(6):
        step(unbroken, whole, number)
    for number in range(3):
        step(net, optimizer, number)
    stopped, kernel = state_of(net), net.embedding.kernel
    resumed, second = net, optimizer
    if way == "loaded":
        resumed, second = fused(rule)
        step(resumed, second, 9)
        resumed.load_state_dict(net.state_dict())
        second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    elif way == "copied":
        resumed, second = copy.deepcopy((net, optimizer))
    else:
        resumed.embedding.double().float()
    for number in range(3, 6):
        step(resumed, second, number)
    assert resumed.embedding.kernel is not kernel
    for name, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
        assert way == "moved" or torch.equal(net.state_dict()[name], stopped[name]), name
    for one, two in zip(whole.state.values(), second.state.values(), strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_later_optimizer_begins_anew() -> None:
    embedding = FusedEmbedding(TABLES, "adagrad")
    first = FusedOptimizer(embedding, LR)
    embedding(bags(0)).backward(torch.ones(BATCH, WIDTH))
    assert any(state["sum"].any() for state in first.state.values())
    second = FusedOptimizer(embedding, LR)
    assert not any(state["sum"].any() for state in second.state.values())


def test_what_the_kernel_cannot_hold_is_refused() -> None:
    odd = [Table("a", 5, 6, ("a",)), Table("b", 5, 4, ("b",)), Table("c", 5, 3, ("c",))]
    with pytest.raises(InputError, match=r"(?s)multiples of 4: 2 problem.*`a` is 6 wide.*`c` is 3 wide"):
        FusedEmbedding(odd, "sgd")
    with pytest.raises(ValueError, match=r"one of \['sgd', 'adagrad', 'rowwise_adagrad'\] on cpu. Found `lazy_adam`"):
        FusedOptimizer(FusedEmbedding(TABLES, "lazy_adam"), LR)
    with pytest.raises(ValueError, match="`lr = -1`"):
        FusedOptimizer(FusedEmbedding(TABLES, "sgd"), -1)


def test_the_names_on_each_device_are_known_to_fbgemm_and_to_plain_tables() -> None:
    for rules in FUSED.values():
        assert set(rules) <= set(TABLE_OPTIMIZERS)
        assert all(TABLE_OPTIMIZERS[name] is not None for name in rules)
        assert set(rules.values()) <= set(EmbOptimType.__members__)


def test_tables_that_were_replaced_are_read() -> None:
    (net, _), (other, optimizer) = fused("adagrad"), fused("adagrad")
    step(other, optimizer, 0)
    net.embedding(bags(0, weighted=False))
    net.load_state_dict(other.state_dict(), assign=True)
    torch.testing.assert_close(net.embedding(bags(1, weighted=False)), other.embedding(bags(1, weighted=False)))


def test_frozen_tables_are_refused() -> None:
    embedding = FusedEmbedding(TABLES, "adagrad")
    with pytest.raises(ValueError, match="should not be frozen"):
        FusedOptimizer(embedding.requires_grad_(False), LR)
