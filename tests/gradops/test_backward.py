"""One backward pass for all tasks against autograd, and networks that have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import grad

from gradops import jacobian
from gradops.backward import rules
from gradops.backward.graph import BackwardPass, find_backward
from gradops.backward.rules import PairProducts
from gradops.jacobian import Roots

BATCH, WIDE = 12, 5


def network(units: Sequence[int], *, bias: bool, dropout: float, relu: bool, dtype: torch.dtype) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip([WIDE, *units], units, strict=False):
        layers += [nn.Linear(before, after, bias=bias), nn.ReLU() if relu else nn.Identity(), nn.Dropout(dropout)]
    return nn.Sequential(*layers).to(dtype)


def leaf(dtype: torch.dtype = torch.float64, columns: int = WIDE) -> Tensor:
    return torch.randn(BATCH, columns, dtype=dtype, requires_grad=True)


def roots(z_BD: Tensor, tasks: int) -> Roots:
    views = tuple(z_BD.view_as(z_BD) for _ in range(tasks))
    return Roots(views, tuple(torch.randn_like(z_BD) for _ in range(tasks)))


def by_autograd(starts: Roots, inputs: Sequence[Tensor]) -> list[Tensor]:
    """T x numel, input by input."""
    pairs = zip(starts.outputs, starts.cotangents, strict=True)
    passes = [grad(output, inputs, cotangent, retain_graph=True) for output, cotangent in pairs]
    return [torch.stack([g.flatten() for g in same]) for same in zip(*passes, strict=True)]


@given(
    units=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    tasks=st.integers(1, 5),
    values=st.integers(0, 2),
    bias=st.booleans(),
    relu=st.booleans(),
    dropout=st.sampled_from([0.0, 0.4]),
    single=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_chain_gives_what_autograd_gives(
    units: list[int], tasks: int, values: int, bias: bool, relu: bool, dropout: float, single: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    dtype = torch.float32 if single else torch.float64
    net = network([*units], bias=bias, dropout=dropout, relu=relu, dtype=dtype)
    leaf_BE = leaf(dtype, WIDE - values)
    starts = roots(net(torch.cat([leaf_BE, torch.randn(BATCH, values, dtype=dtype)], dim=1)), tasks)
    shared = list(net.parameters())
    found = find_backward([starts.outputs], shared, leaf_BE)
    assert found is not None
    each = jacobian.gradients_apart(starts, shared, leaf_BE)
    *expected, at_leaf_TX = by_autograd(starts, [*shared, leaf_BE])
    rtol, atol = (1e-4, 1e-5) if single else (1e-12, 1e-13)
    for ours, autograds in zip(each.blocks, expected, strict=True):
        torch.testing.assert_close(ours, autograds, rtol=rtol, atol=atol)
    torch.testing.assert_close(each.cotangent_BTE.transpose(0, 1).flatten(1), at_leaf_TX, rtol=rtol, atol=atol)


def test_the_first_rows_alone() -> None:
    torch.manual_seed(0)
    net, leaf_BE = network([4, 3], bias=True, dropout=0.3, relu=True, dtype=torch.float64), leaf()
    starts, shared = roots(net(leaf_BE), 3), list(net.parameters())
    for cotangent in starts.cotangents:
        cotangent[5:] = 0.0
    expected = by_autograd(starts, shared)
    part = jacobian.gradients_apart(starts, shared, leaf_BE, rows=5)
    assert part.cotangent_BTE.shape == (5, 3, WIDE)
    for ours, autograds in zip(part.blocks, expected, strict=True):
        torch.testing.assert_close(ours, autograds)


def test_in_half_precision_it_is_autograds_own_arithmetic() -> None:
    torch.manual_seed(0)
    net, leaf_BE = network([16, 8], bias=True, dropout=0.3, relu=True, dtype=torch.float32), leaf(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        z_BD = net(leaf_BE)
    starts, shared = roots(z_BD, 3), list(net.parameters())
    assert find_backward([starts.outputs], shared, leaf_BE) is not None
    each = jacobian.gradients_apart(starts, shared, leaf_BE)
    *expected, at_leaf_TX = by_autograd(starts, [*shared, leaf_BE])
    assert all(block.dtype == torch.float32 for block in each.blocks)
    for ours, autograds in zip(each.blocks, expected, strict=True):
        torch.testing.assert_close(ours, autograds, rtol=2e-2, atol=2e-2 * float(autograds.abs().max()))
    torch.testing.assert_close(each.cotangent_BTE.transpose(0, 1).flatten(1).float(), at_leaf_TX, rtol=2e-2, atol=2e-2)


def test_dropout_as_cuda_has_it() -> None:
    torch.manual_seed(0)
    layer, leaf_BE = nn.Linear(WIDE, 4).double(), leaf()
    z_BD, _ = torch.native_dropout(layer(leaf_BE).relu(), 0.4, True)
    starts, shared = roots(z_BD, 2), list(layer.parameters())
    assert find_backward([starts.outputs], shared, leaf_BE) is not None
    for ours, autograds in zip(
        jacobian.gradients_apart(starts, shared, leaf_BE).blocks, by_autograd(starts, shared), strict=True
    ):
        torch.testing.assert_close(ours, autograds)


def test_without_a_leaf() -> None:
    net = network([4, 3], bias=True, dropout=0.0, relu=True, dtype=torch.float64)
    starts, shared = roots(net(leaf().detach()), 2), list(net.parameters())
    assert find_backward([starts.outputs], shared, None) is not None
    each = jacobian.gradients_apart(starts, shared, None)
    assert not each.cotangents
    for ours, autograds in zip(each.blocks, by_autograd(starts, shared), strict=True):
        torch.testing.assert_close(ours, autograds)


FIRST, SECOND = nn.Linear(WIDE, WIDE).double(), nn.Linear(WIDE, WIDE).double()
WIDER = nn.Linear(2 * WIDE, WIDE).double()
NARROW = nn.Linear(1, 2).double()
TURNED = nn.Parameter(torch.randn(WIDE, WIDE, dtype=torch.float64))
WHOLE = nn.Parameter(torch.randn(BATCH, WIDE, dtype=torch.float64))
DEEP_WEIGHT, DEEP_BIAS = (nn.Parameter(torch.randn(2, 3, *of, dtype=torch.float64)) for of in ([WIDE], []))
EXPERTS = nn.Linear(WIDE, 2 * WIDE).double()
FREQUENCIES, NUMBERS = nn.Parameter(torch.randn(3, 2).double()), torch.randn(BATCH, 3, 1).double()


def deep(input_NBI: Tensor) -> Tensor:
    """Two layers of three units, each over its own input."""
    return torch.baddbmm(DEEP_BIAS[:, None], input_NBI, DEEP_WEIGHT.transpose(1, 2))


def experts(x: Tensor) -> Tensor:
    """B x 2 x 3: the outputs of two networks of two layers."""
    return deep(EXPERTS(x).relu().view(len(x), 2, WIDE).transpose(0, 1)).transpose(0, 1).relu()


def attention(x: Tensor) -> Tensor:
    """A layer over two parts of each row, and their mixture by products of the parts."""
    part_B2D = FIRST(torch.cat([x.unsqueeze(1), (2 * x).unsqueeze(1)], dim=1))
    score_B2 = torch.bmm(part_B2D.view(-1, 1, WIDE), part_B2D.view(-1, WIDE, 1)).view(-1, 2)
    return torch.bmm(score_B2.softmax(1)[:, None], part_B2D).squeeze(1)


def waves(x: Tensor) -> Tensor:
    """The leaf beside sines and cosines of a parameter times numbers of each row."""
    angle_B32 = NUMBERS[: len(x)] * FREQUENCIES
    return torch.cat([x, angle_B32.sin().flatten(1), (angle_B32.cos() + angle_B32).flatten(1)], dim=1)


SCALE = nn.Parameter(torch.randn(2, WIDE, dtype=torch.float64))


def members(x: Tensor) -> Tensor:
    """The rows of two members, one after another, each times factors of its own."""
    return (x.unsqueeze(1) * SCALE).flatten(0, 1)


MANY: list[Tensor] = [*EXPERTS.parameters(), DEEP_WEIGHT, DEEP_BIAS]
GRAPHS: dict[str, tuple[Callable[[Tensor], Tensor], list[Tensor]]] = {
    "residual": (lambda x: x + FIRST(x), [*FIRST.parameters()]),
    "the leaf and what is made of it": (lambda x: WIDER(torch.cat([x, x * x], dim=1)), [*WIDER.parameters()]),
    "a gate of its own": (lambda x: FIRST(x) * x, [*FIRST.parameters()]),
    "a gate between 0 and 1": (lambda x: 2 * FIRST(x).sigmoid() * x, [*FIRST.parameters()]),
    "a square": (lambda x: FIRST(x) + x * x, [*FIRST.parameters()]),
    "experts": (experts, MANY),
    "experts one after another": (lambda x: experts(x).flatten(1), MANY),
    "experts and a gate": (
        lambda x: torch.bmm(FIRST(x).softmax(-1).index_select(1, torch.tensor([3, 0]))[:, None], experts(x)).squeeze(1),
        [*FIRST.parameters(), *MANY],
    ),
    "a layer over parts of a row": (lambda x: NARROW(x.view(-1, WIDE, 1)).relu().flatten(1), [*NARROW.parameters()]),
    "attention over two parts": (attention, [*FIRST.parameters()]),
    "a layer beside the leaf": (
        lambda x: torch.cat([x.unsqueeze(1), FIRST(x).unsqueeze(1)], dim=1).flatten(1),
        [*FIRST.parameters()],
    ),
    "waves of numbers": (waves, [FREQUENCIES]),
    "a cross layer of low rank": (lambda x: x * SECOND(FIRST(x)) + x, [*FIRST.parameters(), *SECOND.parameters()]),
    "members": (lambda x: FIRST(members(x)).relu(), [SCALE, *FIRST.parameters()]),
    "members with layers of their own": (
        lambda x: deep(FIRST(members(x)).view(-1, 2, WIDE).transpose(0, 1)).transpose(0, 1).reshape(-1, 3),
        [*FIRST.parameters(), DEEP_WEIGHT, DEEP_BIAS, SCALE],
    ),
    "products of pairs": (
        lambda x: torch.bmm(FIRST(x).unsqueeze(2), x.unsqueeze(1)).flatten(1).index_select(1, torch.tensor([0, 7])),
        [*FIRST.parameters()],
    ),
}


def assert_goes_back(through: Callable[[Tensor], Tensor], shared: Sequence[Tensor], rows: int | None) -> BackwardPass:
    """Through known operations, all tasks side by side; the gradients of the first rows are autograd's."""
    torch.manual_seed(0)
    leaf_BE = leaf()
    output = through(leaf_BE)
    starts, each = roots(output, 3), len(output) // BATCH
    for cotangent in starts.cotangents:
        cotangent[len(output) if rows is None else rows * each :] = 0.0
    backward = find_backward([starts.outputs], shared, leaf_BE)
    assert backward is not None
    found = jacobian.gradients_apart(starts, shared, leaf_BE, rows)
    *expected, at_leaf_TX = by_autograd(starts, [*shared, leaf_BE])
    for ours, autograds in zip(found.blocks, expected, strict=True):
        torch.testing.assert_close(ours, autograds, rtol=1e-12, atol=1e-13)
    at_leaf_TX = at_leaf_TX.view(3, BATCH, WIDE)[:, :rows]
    torch.testing.assert_close(found.cotangent_BTE.transpose(0, 1), at_leaf_TX, rtol=1e-12, atol=1e-13)
    return backward


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("rows", [None, 5])
def test_known_operations_go_back_side_by_side(name: str, rows: int | None) -> None:
    assert_goes_back(*GRAPHS[name], rows)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_process_without_rows_has_gradients_of_zero(name: str) -> None:
    through, shared = GRAPHS[name]
    leaf_BE = torch.empty(0, WIDE, dtype=torch.float64, requires_grad=True)
    each = jacobian.gradients_apart(roots(through(leaf_BE), 3), shared, leaf_BE)
    assert each.cotangent_BTE.shape == (0, 3, WIDE)
    assert not any(block.any() for block in each.blocks)


def products(x: Tensor, entries: Sequence[int]) -> Tensor:
    """Entries of the 3 x 3 matrix of the products of a row's vectors."""
    vector_BNW = torch.cat([vector.unsqueeze(1) for vector in (FIRST(x), x, SECOND(x))], dim=1)
    return torch.bmm(vector_BNW, vector_BNW.transpose(1, 2)).flatten(1).index_select(1, torch.tensor(entries))


@pytest.mark.parametrize("rows", [None, 5])
@pytest.mark.parametrize(
    ("entries", "together"),
    [
        ([3, 6, 7], True),
        ([5, 1, 6], True),  # either order of two vectors
        ([1, 3, 6], False),  # one pair in both orders
        ([6, 6, 7], False),
        ([0, 3, 6], False),  # a vector with itself
        ([3, 6], False),
        ([*range(9)], False),
    ],
)
def test_products_of_all_pairs_are_one_operation(
    entries: list[int], together: bool, rows: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix of all products is symmetric; where not each pair is read once, its two sides go back apart."""
    monkeypatch.setattr(rules, "_ROWS_IN_CACHE", 4)
    found = assert_goes_back(lambda x: products(x, entries), [*FIRST.parameters(), *SECOND.parameters()], rows)
    assert any(isinstance(step.rule, PairProducts) for step in found.steps.values()) == together


@pytest.mark.parametrize("known", [True, False])
def test_tasks_may_read_tensors_beside_the_shared_one(known: bool) -> None:
    """Their gradients enter there too, whether all tasks go back side by side or one after another."""
    torch.manual_seed(0)
    leaf_BE = leaf()
    x = leaf_BE * 2 if known else leaf_BE.exp()
    z_BND, tasks = experts(x), 3
    read = [tuple(z_BND.view_as(z_BND) for _ in range(tasks)), tuple(x.view_as(x) for _ in range(tasks))]
    gates = [nn.Linear(WIDE, 2).double() for _ in range(tasks)]
    mixes = [torch.bmm(gate(x_BX).softmax(1)[:, None], z) for gate, z, x_BX in zip(gates, *read, strict=True)]
    losses_T = torch.stack([(mix**power).mean() for power, mix in enumerate(mixes, 1)])
    shared = [*MANY]
    found = jacobian.split(jacobian.Microbatch(losses_T, list(zip(*read, strict=True)), leaf_BE), [])
    assert (find_backward([start.outputs for start in found.everywhere], shared, leaf_BE) is not None) == known
    each = jacobian.gradients_apart(found, shared, leaf_BE)
    for task, loss in enumerate(losses_T):
        *expected, at_leaf_BE = grad(loss, [*shared, leaf_BE], retain_graph=True)
        for ours, autograds in zip(each.blocks, expected, strict=True):
            torch.testing.assert_close(ours[task], autograds.flatten(), rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(each.cotangent_BTE[:, task], at_leaf_BE, rtol=1e-12, atol=1e-13)


def test_rows_of_members_count_together_where_autograd_goes_back() -> None:
    torch.manual_seed(0)
    leaf_BE, shared = leaf(), [SCALE, *FIRST.parameters()]
    starts = roots(FIRST(members(leaf_BE.exp())), 3)
    for cotangent in starts.cotangents:
        cotangent[5 * 2 :] = 0.0
    expected = by_autograd(starts, [*shared, leaf_BE])
    for cotangent in starts.cotangents:
        cotangent[5 * 2 :] = torch.nan
    assert find_backward([starts.outputs], shared, leaf_BE) is None
    each = jacobian.gradients_apart(starts, shared, leaf_BE, rows=5)
    for ours, autograds in zip(each.blocks, expected, strict=False):
        torch.testing.assert_close(ours, autograds)
    torch.testing.assert_close(each.cotangent_BTE.transpose(0, 1), expected[-1].view(3, BATCH, WIDE)[:, :5])


UNKNOWN: dict[str, tuple[Callable[[Tensor], Tensor], list[Tensor]]] = {
    "another activation": (lambda x: FIRST(x).tanh(), [*FIRST.parameters()]),
    "a layer norm": (lambda x: nn.functional.layer_norm(FIRST(x), (WIDE,)), [*FIRST.parameters()]),
    "a layer twice": (lambda x: FIRST(FIRST(x)), [*FIRST.parameters()]),
    "a weight the other way round": (lambda x: x @ TURNED, [TURNED]),
    "a bias for every row": (lambda x: torch.addmm(WHOLE, x, FIRST.weight.t()), [FIRST.weight, WHOLE]),
    "rows beside the leaf's": (lambda x: FIRST(torch.cat([x, torch.ones(1, WIDE).double()])), [*FIRST.parameters()]),
    "dropout that drops all": (lambda x: torch.native_dropout(FIRST(x), 1.0, True)[0], [*FIRST.parameters()]),
    "a layer that is not shared": (lambda x: SECOND(FIRST(x)), [*FIRST.parameters()]),
    "a shared layer elsewhere": (lambda x: FIRST(x), [*FIRST.parameters(), *SECOND.parameters()]),
    "a reshape": (lambda x: FIRST(x).view(-1, 2 * WIDE).view(BATCH, WIDE), [*FIRST.parameters()]),
    "rows joined": (lambda x: WIDER(x.view(-1, 2 * WIDE)), [*WIDER.parameters()]),
    "values first": (lambda x: FIRST(torch.cat([x.detach()[:, :2], x[:, :3]], dim=1)), [*FIRST.parameters()]),
    "a scaled sum": (lambda x: torch.addmm(FIRST.bias, x, FIRST.weight.t(), alpha=2), [*FIRST.parameters()]),
    "a scaled bias": (lambda x: torch.addmm(FIRST.bias, x, FIRST.weight.t(), beta=2), [*FIRST.parameters()]),
    "factors that are not shared": (lambda x: FIRST(members(x)), [*FIRST.parameters()]),
    "factors twice": (lambda x: FIRST(members(x) + members(x)), [SCALE, *FIRST.parameters()]),
    "factors of several rows": (lambda x: FIRST((x.view(-1, 2, WIDE) * SCALE).view(-1, WIDE)), [SCALE]),
    "no way to the leaf": (lambda x: FIRST(x.detach()), [*FIRST.parameters()]),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_anything_else_goes_by_autograd(name: str) -> None:
    torch.manual_seed(0)
    through, shared = UNKNOWN[name]
    leaf_BE = leaf()
    starts = roots(through(leaf_BE), 3)
    assert find_backward([starts.outputs], shared, leaf_BE) is None
    each = jacobian.gradients_apart(starts, shared, leaf_BE)
    for ours, weight in zip(each.blocks, shared, strict=True):
        pairs = zip(starts.outputs, starts.cotangents, strict=True)
        found = [grad(o, [weight], c, retain_graph=True, allow_unused=True)[0] for o, c in pairs]
        zeros = torch.zeros_like(weight)
        torch.testing.assert_close(ours, torch.stack([(zeros if g is None else g).flatten() for g in found]))


MASK = torch.arange(BATCH * WIDE).view(BATCH, WIDE) % 2 == 0
CHAINS: dict[str, Callable[[Tensor], Tensor]] = {
    "a whole number": lambda x: FIRST(x) * 2,
    "a fraction": lambda x: FIRST(x) * 0.1,
    "a whole number before": lambda x: FIRST(2 * x),
    "a mask": lambda x: FIRST(x) * MASK,
    "a number a unit": lambda x: FIRST(x) * torch.arange(WIDE).double(),
    "numbers of less precision": lambda x: FIRST(x) * torch.arange(WIDE).bfloat16(),
}


@pytest.mark.parametrize("name", CHAINS)
def test_constants_of_any_type_are_layers(name: str) -> None:
    torch.manual_seed(0)
    leaf_BE = leaf()
    starts, shared = roots(CHAINS[name](leaf_BE), 3), [*FIRST.parameters()]
    assert find_backward([starts.outputs], shared, leaf_BE) is not None
    each = jacobian.gradients_apart(starts, shared, leaf_BE)
    *expected, at_leaf_TX = by_autograd(starts, [*shared, leaf_BE])
    for ours, autograds in zip(each.blocks, expected, strict=True):
        torch.testing.assert_close(ours, autograds, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(each.cotangent_BTE.transpose(0, 1).flatten(1), at_leaf_TX, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("turn", [Tensor.t, lambda weight: weight.T])
def test_a_weight_may_be_turned_in_either_way(turn: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    leaf_BE = leaf()
    starts = roots(leaf_BE @ turn(FIRST.weight), 3)
    assert find_backward([starts.outputs], [FIRST.weight], leaf_BE) is not None
    (block,) = jacobian.gradients_apart(starts, [FIRST.weight], leaf_BE).blocks
    torch.testing.assert_close(block, by_autograd(starts, [FIRST.weight])[0])


def test_a_sparse_input_goes_by_autograd() -> None:
    layer = nn.Linear(WIDE, 4).double()
    starts, shared = roots(layer(leaf().detach().to_sparse()), 2), list(layer.parameters())
    assert find_backward([starts.outputs], shared, None) is None
    jacobian.gradients_apart(starts, shared, None)


@pytest.mark.parametrize("place", ["output", "parameter", "leaf"])
def test_a_hook_runs(place: str) -> None:
    layer, leaf_BE = nn.Linear(WIDE, 4).double(), leaf()
    calls: list[Tensor] = []
    z_BD = layer(leaf_BE)
    {"output": z_BD, "parameter": layer.weight, "leaf": leaf_BE}[place].register_hook(calls.append)
    starts = Roots((z_BD, z_BD), (torch.ones_like(z_BD), torch.ones_like(z_BD)))
    jacobian.gradients_apart(starts, list(layer.parameters()), leaf_BE)
    assert len(calls) == 2


def test_outputs_of_two_ways_are_no_chain() -> None:
    layer, leaf_BE = nn.Linear(WIDE, 4).double(), leaf()
    outputs = (layer(leaf_BE), layer(leaf_BE))
    assert find_backward([outputs], list(layer.parameters()), leaf_BE) is None
