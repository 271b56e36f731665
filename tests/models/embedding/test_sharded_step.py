"""Steps of real processes over sharded tables against one process over dense tables in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from gradops import GramEstimator
from gradops.base import GramianMethod
from gradops.group import Alone
from gradops.methods import parse
from models.architectures import ARCHITECTURES
from models.architectures.base import Architecture
from models.embedding.cut import Bags
from models.embedding.portable import PortableEmbedding
from models.embedding.sharding_kinds import Kind
from models.loss import cross_entropy, label_shares
from tests.models import networks, ranks
from tests.models.ranks import LR, STEPS, TABLE_LR, Case, Outcome

MIXED: dict[str, Kind] = {"a": "column_wise", "b": "data_parallel", "d": "table_wise", "e": "row_wise"}
WHOLE_ROWS: dict[str, Kind] = {**MIXED, "a": "row_wise"}


def all_of(kind: Kind) -> dict[str, Kind]:
    return {table.name: kind for table in ranks.TABLES}


OTHERS = [kind for kind in ARCHITECTURES if kind != "shared_bottom"]


def rule_of(architecture: str) -> str:
    """The tables' optimizer in an architecture's cases.

    At the rate of these steps of SGD the products of two streams throw the losses about, and rounding with them.
    """
    return "adagrad" if architecture == "finalmlp" else "sgd"


CASES = [
    Case("row_wise", all_of("row_wise"), pooling="mean"),
    Case("row_wise_adagrad", all_of("row_wise"), "rowwise_adagrad"),
    Case("table_wise", all_of("table_wise"), pooling="weighted"),
    Case("table_wise_adagrad", all_of("table_wise"), "rowwise_adagrad", pooling="mean"),
    Case("column_wise", all_of("column_wise"), pooling="mean"),
    Case("data_parallel", all_of("data_parallel"), pooling="mean"),
    Case("data_parallel_adagrad", all_of("data_parallel"), "rowwise_adagrad"),
    Case("copies_tell_rows", all_of("data_parallel"), pooling="weighted", dense_below=100),
    Case("copies_tell_rows_adagrad", MIXED | {"b": "data_parallel"}, "adagrad", dense_below=0),
    Case("mixed", MIXED),
    Case("mixed_adagrad", WHOLE_ROWS, "rowwise_adagrad", pooling="weighted"),
    Case("mixed_elementwise_adagrad", MIXED, "adagrad"),
    Case("uniform", MIXED, method="uniform"),
    Case("pcgrad", MIXED, method="pcgrad", doubled=True),
    Case("mgda", MIXED, method="mgda"),
    Case("gradnorm", MIXED, method="gradnorm"),
    Case("averaged weights", MIXED, method="upgrad + smooth(0.9)"),
    Case("measured at first only", MIXED, method="autoscale(explore=2)"),
    Case("losses", MIXED, method="stch(mu=0.5, warmup=1, window=2)"),
    Case("pieces", MIXED, method="pcgrad", piece=7, doubled=True),
    Case("measured on a share of the rows", MIXED, method="pcgrad", estimator=GramEstimator(share=0.4), doubled=True),
    Case("measured at the features", MIXED, method="pcgrad", estimator=GramEstimator(measure="features")),
    Case("rotograd", MIXED, method="rotograd + rotation(leader_lr=0.1)"),
    Case("rotograd_coop", MIXED, method="rotograd_coop + rotation(loss='v1', cooperative_after=2, leader_lr=0.1)"),
    Case("graddrop", MIXED, method="graddrop", doubled=True),
    Case("encoded numbers", MIXED, encoded=networks.ENCODED),
    Case("members on a share", MIXED, method="mgda", estimator=GramEstimator(share=0.4), members=2),
    *(Case(kind, MIXED, rule_of(kind), architecture=kind) for kind in OTHERS),
    *(
        Case(f"{kind} in pieces", MIXED, rule_of(kind), "graddrop", piece=7, doubled=True, architecture=kind)
        for kind in OTHERS
    ),
]
# What the tests above must find; with one rank there is nothing to be done wrongly.
BROKEN = [Case("each rank for itself", MIXED, broken="owners"), Case("divided by the ranks", MIXED, broken="scale")]


@pytest.fixture(scope="module", params=[1, 2, pytest.param(4, marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Outcome]]:
    """How many ranks there are, and where they have come; their processes are started once."""
    size: int = request.param
    return size, ranks.on_ranks(size, [*CASES, *BROKEN], tmp_path_factory.mktemp(f"world{size}"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_ranks_step_as_one_process(world: tuple[int, dict[str, Outcome]], case: Case) -> None:
    found, wanted = world[1][case.name], alone(case.name, world[0])
    assert_close("losses", found.losses_ST, wanted.losses_ST, 1e-6)
    if not wanted.weights_ST.isnan().all():
        # Of a Gram matrix of float32 against one of float64; that of one rank's rows is off by more than 1e-3.
        assert_close("weights", found.weights_ST, wanted.weights_ST, 1e-5)
    start = state_of(case, dense(case))
    for name, value in wanted.state.items():
        assert (value - start[name]).abs().max() > 1e-4, f"{name} did not move: the comparison would show nothing"
        assert_close(name, found.state[name], value, 1e-5)
    for name, value in wanted.averages.items():
        assert (value - wanted.state[name]).abs().max() > 1e-4
        assert_close(f"average of {name}", found.averages[name], value, 1e-5)


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_what_is_done_wrongly_is_found(world: tuple[int, dict[str, Outcome]], case: Case) -> None:
    size, outcomes = world
    found, wanted = outcomes[case.name], alone(case.name, size)
    weights_off = (found.weights_ST - wanted.weights_ST)[0].abs().max()
    tables_off = max((found.state[t.name] - wanted.state[t.name]).abs().max() for t in ranks.TABLES)
    if size == 1:
        assert weights_off < 1e-6
        assert tables_off < 1e-5
    elif case.broken == "owners":
        assert weights_off > 1e-3
    else:
        assert tables_off > 1e-2


def assert_close(name: str, found: Tensor, wanted: Tensor, tolerance: float) -> None:
    off = (found.double() - wanted).abs().max() / wanted.abs().max().clamp(min=1)
    assert off <= tolerance, f"{name} is off by {off:.1e}"


@cache
def alone(name: str, world: int) -> Outcome:
    """The steps of one process in float64; the rules of the tables are written out.

    Args:
        name: Of the case.
        world: How many ranks it is compared with; only where each measures some of its rows does it matter.
    """
    case = next(case for case in [*CASES, *BROKEN] if case.name == name)
    model, sums = dense(case), [torch.zeros(())] * len(ranks.tables(case))
    reports: list[Report] = []
    moving: dict[str, Tensor] = {}
    at_features = parse(case.method).at_features or case.estimator.measure == "features"
    step_of = by_our_optimizer(case, model) if at_features else by_full_passes(case, model, world)
    for step in range(STEPS):
        reports.append(step_of(step))
        for place, table in enumerate(model.embedding.tables()):
            assert table.grad is not None
            rate = TABLE_LR[case.rule] * ranks.schedule(step)
            sums[place] = sums[place] + squares(table.grad, case.rule)
            with torch.no_grad():
                table.sub_(rate * table.grad / (1.0 if case.rule == "sgd" else sums[place].sqrt() + 1e-8))
                name = ranks.tables(case)[place].name
                moving[name] = ranks.DECAY * moving.get(name, 0 * table) + (1 - ranks.DECAY) * table
    weights, losses = zip(*reports, strict=True)
    averages = {name: value / (1 - ranks.DECAY**STEPS) for name, value in moving.items()}
    return Outcome(torch.stack(weights), torch.stack(losses), state_of(case, model), averages)


def squares(gradient: Tensor, rule: str) -> Tensor:
    return gradient.square().mean(1, keepdim=True) if rule == "rowwise_adagrad" else gradient.square()


Report = tuple[Tensor, Tensor]


def by_full_passes(case: Case, model: Architecture, world: int) -> Callable[[int], Report]:
    """Every task's gradient by a full backward pass, also through the tables, and the method's weights of those."""
    measured_B1 = measured(case, world)
    method, tables = parse(case.method), list(model.embedding.tables())
    assert isinstance(method, GramianMethod)
    shared = [*model.shared_parameters(), *tables[: len(ranks.TABLES)]]
    own = [p for p in model.network_parameters() if all(p is not other for other in shared)]
    network = [p for p in model.network_parameters() if all(p is not table for table in tables)]
    memory = [method.start(networks.TASKS, torch.Generator().manual_seed(0))]

    def step_of(step: int) -> Report:
        pooled_BE, own_BX = model.pooled(bags(case, step))
        logits, _ = model.through(pooled_BE, ranks.values(step).double(), own_BX)
        labels_BT = ranks.labels(step)
        share_BT = label_shares(labels_BT)
        losses_T = cross_entropy(logits, labels_BT, share_BT)
        jac_TP = full_passes(losses_T, shared)
        seen_TP = full_passes(cross_entropy(logits, labels_BT, share_BT * measured_B1), shared)
        gram_TT = seen_TP @ seen_TP.T / measured_B1.mean() ** 2
        model.zero_grad()
        losses_T.sum().backward(inputs=own)
        weights_T, memory[0] = method.step(gram_TT, losses_T.detach(), memory[0])
        parts = (weights_T @ jac_TP).split([p.numel() for p in shared])
        for parameter, part in zip(shared, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        with torch.no_grad():
            for parameter in network:
                assert parameter.grad is not None
                parameter.sub_(LR * ranks.schedule(step) * parameter.grad)
        return weights_T, losses_T.detach()

    return step_of


def full_passes(losses_T: Tensor, shared: Sequence[Tensor]) -> Tensor:
    passes = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses_T]
    return torch.stack([torch.cat([g.flatten() for g in grads]) for grads in passes])


def measured(case: Case, world: int) -> Tensor:
    """1 for the rows that conflict is measured on, the first ones of each rank."""
    flags = [(torch.arange(n) < round(case.estimator.share * n)).double() for n in ranks.ROWS[world]]
    return torch.cat(flags)[:, None]


def by_our_optimizer(case: Case, model: Architecture) -> Callable[[int], Report]:
    """What lives at the features, as one process does it: tests of its own hold that to the papers."""
    optimizer = ranks.optimizer_of(case, model, [], Alone())
    following = LambdaLR(optimizer, ranks.schedule)

    def step_of(step: int) -> Report:
        model.embedding.zero_grad()
        found = networks.passed(model, bags(case, step), ranks.values(step).double(), ranks.labels(step))
        report = optimizer.step(found.losses_T, features=found.views, pooled=found.cut)
        following.step()
        return report.weights_T, report.losses_T

    return step_of


def dense(case: Case) -> Architecture:
    return ranks.network(case, PortableEmbedding(ranks.tables(case))).double()


def bags(case: Case, step: int) -> Bags:
    return networks.as_type(ranks.bags(step, case.pooling), torch.float64)


def state_of(case: Case, model: Architecture) -> dict[str, Tensor]:
    return ranks.without_tables(model) | ranks.tables_of(case, model.embedding.state_dict())
