"""What every architecture promises, checked for each one in the list: a new file joins without a line here.

Each is tried in the small network of its config's ``example``: alone in float64 over little tables, and in a short run
on a few rows of Census-income.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.autograd import grad

from features.declared import Declared
from features.encoder import EncodedValue, Table
from features.errors import InputError
from gradops import Microbatch, MultiTaskOptimizer, jacobian
from gradops.backward.graph import find_backward
from gradops.methods import parse
from gradops.rotation import Rotation, Rotations
from models.architectures import ARCHITECTURES, parse_architecture
from models.architectures.base import Architecture, HeadTransform, View
from models.embedding.cut import Bags, TableCut
from models.embedding.portable import PortableEmbedding
from models.encodings import EncodingsConfig
from models.encodings.periodic import PeriodicConfig
from models.encodings.piecewise import PiecewiseConfig
from models.interactions import INTERACTIONS
from models.loss import cross_entropy, label_shares
from pipeline.config.run import RunConfig
from pipeline.config.search import SearchConfig
from pipeline.config.split import split_by_key
from pipeline.data.batches import Batches
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.runs.run import WEIGHTS, Epoch, Run, architecture_of, tables_of
from pipeline.search.space import Space, at
from pipeline.serving.kinds.network import NetworkContent
from pipeline.serving.scorer import Scorer
from pipeline.training.build import build_model
from pipeline.training.footprint import Footprint
from pipeline.training.resolve import changed_config
from pipeline.training.training import train
from tests.conftest import debug_config
from tests.gradops import reference
from tests.models import networks
from tests.models.networks import NAMES, TASKS, VALUES

ENCODINGS = EncodingsConfig(
    piecewise=PiecewiseConfig(width=3), periodic=PeriodicConfig(width=2, frequencies=3, sigma=0.5)
)
Data = Callable[[str], Prepared]
Trained = Callable[[str], tuple[RunConfig, Run]]
# Two epochs, with a checkpoint in the middle of the first, and a moving average of the weights.
LONGER = ("train.max_steps=0", "train.epochs=2", "train.lr=0.01", "train.checkpoint_every=10", "train.ema=0.9")
# So large a rate that the step outweighs the start: a wrong gradient cannot hide behind an unchanged weight.
BATCH, LR = 48, 10.0
METHODS = ["uniform", "static(weight=(0.2, 0.8, 2.0))", "mgda", "gradops(alpha=-2.0)"]
# Every architecture alone, and with an interaction below it, each interaction in turn; and one over encoded numbers.
ALONE = {kind: config.example() for kind, config in ARCHITECTURES.items()}
BELOW = dict(zip(ALONE, itertools.cycle(INTERACTIONS.values()), strict=False))
EXAMPLES = ALONE | {
    f"{kind} over {BELOW[kind].__name__}": example.model_copy(update={"interaction": BELOW[kind].example()})
    for kind, example in ALONE.items()
}
OVER_NUMBERS = "shared_bottom over encoded numbers"
NUMBERS = [f"spec.features.{name}.encoding=piecewise" for name in ("age", "capital_gains", "weeks_worked")]
NUMBERS += [f"spec.features.{name}.encoding=periodic" for name in ("capital_losses", "num_emp")]
EXAMPLES[OVER_NUMBERS] = ALONE["shared_bottom"].model_copy(update={"encoding": ENCODINGS})
# Where earlier tasks are left alone; in AITM tasks then share tables and nothing else.
DETACHED = {kind: example for kind, example in ALONE.items() if "detach" in type(example).model_fields}
EXAMPLES |= {f"{kind} detached": example.model_copy(update={"detach": True}) for kind, example in DETACHED.items()}
# And as an ensemble.
MEMBERS = 3
EXAMPLES |= {f"{kind} of members": example.model_copy(update={"ensemble": MEMBERS}) for kind, example in ALONE.items()}


def kinds(by_default: Sequence[str]) -> pytest.MarkDecorator:
    """All examples, most of them as slow tests."""
    values = [kind if kind in by_default else pytest.param(kind, marks=pytest.mark.slow) for kind in EXAMPLES]
    return pytest.mark.parametrize("kind", values)


# An ensemble's heads are shared in ESMM and a task's own elsewhere; whole runs take seconds each.
MOSTLY_SLOW = {"members": ("shared_bottom", "esmm"), "detached": ("aitm",)}
KINDS = kinds([k for k in EXAMPLES if k.startswith(MOSTLY_SLOW.get(k.rpartition(" ")[2], k))])
# AITM and DBMTL are made of the same layers.
RUNS = kinds([*(kind for kind in ALONE if kind != "aitm"), OVER_NUMBERS, "shared_bottom of members"])
WITH_A_HEAD = pytest.mark.parametrize(
    "kind", [kind for kind, example in EXAMPLES.items() if example.head_width is not None]
)


def network(kind: str, *, tables: Sequence[Table] = networks.TABLES, seed: int = 0) -> Architecture:
    """In float64, with weights large enough for gradients that reach the tables at full size."""
    model = built(kind, tables)
    model.double().initialise(torch.Generator().manual_seed(seed), embedding_std=0.5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("embedding."):
                parameter.mul_(3)
    return model


def built(
    kind: str, tables: Sequence[Table] = networks.TABLES, head_transform: HeadTransform | None = None
) -> Architecture:
    embedding = PortableEmbedding(EXAMPLES[kind].tables(tables, NAMES))
    return EXAMPLES[kind].build(
        embedding, values=VALUES, tasks=NAMES, encoded=encoded(kind), head_transform=head_transform
    )


def encoded(kind: str) -> Sequence[EncodedValue]:
    return networks.ENCODED if EXAMPLES[kind].encoding == ENCODINGS else ()


def rotated(kind: str, seed: int) -> Architecture:
    example = EXAMPLES[kind]
    assert example.head_width is not None
    rotations = Rotations(Rotation(), tasks=TASKS, width=example.head_width)
    nn.init.normal_(rotations.angles, generator=torch.Generator().manual_seed(seed))
    model = built(kind, head_transform=rotations)
    model.double().eval()
    model.initialise(torch.Generator().manual_seed(seed), embedding_std=0.5)
    return model


def batch(seed: int = 0) -> tuple[Bags, Tensor, Tensor]:
    return networks.bags(BATCH, seed, weighted=True), networks.values(BATCH, seed), networks.labels(BATCH, seed)


def losses_of(model: Architecture, seed: int = 0) -> Tensor:
    """With the tables in the graph."""
    bags, value_BV, labels_BT = batch(seed)
    return networks.mean_losses(through(model, bags, value_BV)[0], labels_BT)


def through(model: Architecture, bags: Bags, value_BV: Tensor) -> tuple[Tensor, tuple[View, ...]]:
    """With the tables in the graph."""
    pooled_BE, own_BX = model.pooled(bags)
    return model.through(pooled_BE, value_BV, own_BX)


def logits_of(model: Architecture, seed: int = 0) -> Tensor:
    bags, value_BV, _ = batch(seed)
    logits_BT: Tensor = model(bags, value_BV)
    return logits_BT


def shared_tables(model: Architecture) -> list[nn.Parameter]:
    """All tables, without those that are a task's own."""
    return list(model.embedding.tables())[: len(networks.TABLES)]


def own_parameters(model: Architecture) -> list[nn.Parameter]:
    others = {id(p) for p in [*model.shared_parameters(), *shared_tables(model)]}
    return [p for p in model.network_parameters() if id(p) not in others]


def parts(model: Architecture, cut: TableCut, size: int, seed: int) -> Iterator[Microbatch]:
    _, value_BV, labels_BT = batch(seed)
    for start in range(0, BATCH, size):
        rows = slice(start, start + size)
        leaf_BE, own_BX = cut.piece(rows)
        logits_BT, views = model.through(leaf_BE, value_BV[rows], own_BX)
        yield Microbatch(cross_entropy(logits_BT, labels_BT[rows], label_shares(labels_BT)[rows]), views, leaf_BE)


def our_step(model: Architecture, method: str, size: int, seed: int = 0) -> None:
    sgd = torch.optim.SGD(model.parameters(), lr=LR)
    cut = model.cut(batch(seed)[0])
    optimizer = MultiTaskOptimizer(sgd, parse(method), shared=model.shared_parameters())
    optimizer.step(parts(model, cut, size, seed), pooled=cut)


def naive_step(model: Architecture, method: str, seed: int) -> None:
    """T full backward passes over dense tables; what is shared moves by the paper's combination of them."""
    shared = [*model.shared_parameters(), *shared_tables(model)]
    losses_T = losses_of(model, seed)
    rows = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses_T]
    jac_TP = torch.stack([torch.cat([gradient.flatten() for gradient in row]) for row in rows])
    losses_T.sum().backward(inputs=own_parameters(model))
    update_P = torch.from_numpy(combined(jac_TP.numpy(), method))
    for weight, part_P in zip(shared, update_P.split([p.numel() for p in shared]), strict=True):
        weight.grad = part_P.view_as(weight)
    torch.optim.SGD(model.parameters(), lr=LR).step()


def combined(jac_TP: reference.Array, method: str) -> reference.Array:
    if method.startswith("gradops"):
        return reference.gradops(jac_TP, float(method.split("=")[1][:-1]))
    if method.startswith("mgda"):
        return reference.mgda(jac_TP)
    weight_T = np.array([0.2, 0.8, 2.0]) if method.startswith("static") else np.ones(TASKS)
    update: reference.Array = weight_T @ jac_TP
    return update


def assert_same_change(
    before: Architecture, ours: Architecture, naive: Architecture, *, everything_moves: bool = True
) -> None:
    start, moved = dict(before.named_parameters()), dict(ours.named_parameters())
    for name, expected in naive.named_parameters():
        moves = (expected - start[name]).abs().max() > 1e-4
        assert moves or not everything_moves, f"{name} did not move: the comparison would show nothing"
        # Both are float64 sums of the same numbers in another order.
        assert (moved[name] - expected).abs().max() <= 1e-11 * expected.abs().max(), name


@pytest.mark.parametrize("kind", EXAMPLES)
def test_training_may_start_at_the_prevalence_of_each_task(kind: str) -> None:
    model, rates = network(kind), [0.3, 0.02, 0.001]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.start_at(rates)
    predicted_BT = model(networks.bags(4, 0, weighted=False), networks.values(4, 1)).sigmoid()
    torch.testing.assert_close(predicted_BT, torch.tensor(rates, dtype=torch.float64).expand(4, 3))
    assert len({id(layer) for layer in model.output_layers()}) == len(rates)


@KINDS
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("size", "seed"), [(BATCH, 0), (20, 1)])
def test_a_step_is_the_naive_one(kind: str, method: str, size: int, seed: int) -> None:
    """With tables behind the cut, in one piece and in micro-batches."""
    before, ours, naive = (network(kind, seed=seed) for _ in range(3))
    our_step(ours, method, size, seed)
    naive_step(naive, method, seed)
    # MGDA may give a task no weight, and what two tasks share may be read by it and one like it.
    assert_same_change(before, ours, naive, everything_moves=method != "mgda")


@KINDS
@pytest.mark.parametrize("method", ["mgda_ub", "graddrop"])
def test_a_step_measured_at_the_features_is_the_naive_one(kind: str, method: str) -> None:
    """One gradient a task at what the tasks read, combined by the paper's formula, sent back through dense tables."""
    before, ours, naive = (network(kind) for _ in range(3))
    our_step(ours, method, BATCH)
    bags, value_BV, labels_BT = batch()
    logits_BT, views = through(naive, bags, value_BV)
    losses_T = networks.mean_losses(logits_BT, labels_BT)
    features, *beside = read_by_tasks(views)
    at_features = [grad(loss, view, retain_graph=True)[0] for loss, view in zip(losses_T, features, strict=True)]
    losses_T.sum().backward(inputs=own_parameters(naive), retain_graph=True)
    jac_TP = torch.stack(at_features).flatten(1).numpy()
    if method == "graddrop":
        update_P, weight_T = torch.from_numpy(dropped(jac_TP)), torch.ones(TASKS)
    else:
        update_P = torch.from_numpy(reference.mgda(jac_TP))
        weight_T = torch.linalg.lstsq(torch.from_numpy(jac_TP).T, update_P[:, None]).solution.squeeze(1)
    others = [view for tensor in beside for view in tensor]
    moved = [w * g for tensor in beside for w, g in zip(weight_T, gradients(losses_T, tensor), strict=True)]
    shared = [*naive.shared_parameters(), *shared_tables(naive)]
    torch.autograd.backward([features[0], *others], [update_P.view_as(features[0]), *moved], inputs=shared)
    torch.optim.SGD(naive.parameters(), lr=LR).step()
    assert_same_change(before, ours, naive)


def read_by_tasks(views: Sequence[View]) -> list[tuple[Tensor, ...]]:
    """For each tensor that tasks read, their views of it."""
    return list(zip(*((view,) if isinstance(view, Tensor) else view for view in views), strict=True))


def gradients(losses_T: Tensor, views: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of each task's loss at its own view."""
    return [grad(loss, view, retain_graph=True)[0] for loss, view in zip(losses_T, views, strict=True)]


def dropped(jac_TP: reference.Array) -> reference.Array:
    """GradDrop's formula with the numbers that a seed of 0 draws."""
    drawn_P = torch.rand(jac_TP.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    positive_P = (1 + jac_TP.sum(0) / np.maximum(np.abs(jac_TP).sum(0), 1e-300)) / 2
    update: reference.Array = np.where(positive_P > drawn_P, np.maximum(jac_TP, 0).sum(0), np.minimum(jac_TP, 0).sum(0))
    return update


@KINDS
def test_losses_reach_the_parameters_that_the_architecture_says(kind: str) -> None:
    """A shared parameter and a table are reached by several tasks' losses, each other parameter by one."""
    model = network(kind)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    losses_T = losses_of(model)
    reached: dict[str, int] = dict.fromkeys(names.values(), 0)
    for loss in losses_T:
        found = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True, allow_unused=True)
        for name, gradient in zip(reached, found, strict=True):
            reached[name] += gradient is not None and bool(gradient.any())
    shared = {names[id(p)] for p in [*model.shared_parameters(), *shared_tables(model)]}
    assert {name for name, tasks in reached.items() if tasks > 1} == shared
    assert all(reached.values()), f"no loss reaches {[name for name, tasks in reached.items() if not tasks]}"


@KINDS
def test_a_loss_reaches_what_is_shared_through_its_own_view_alone(kind: str) -> None:
    model = network(kind)
    bags, value_BV, labels_BT = batch()
    cut = model.cut(bags)
    logits, views = model.through(cut.leaf_BE, value_BV, cut.own_BX)
    losses_T = networks.mean_losses(logits, labels_BT)
    assert logits.shape in [(BATCH, TASKS), (BATCH, EXAMPLES[kind].ensemble, TASKS)]
    read = read_by_tasks(views)
    assert all(len({id(view) for view in tensor}) == len(views) == TASKS for tensor in read)
    inputs = [*model.shared_parameters(), cut.leaf_BE]
    for task, loss in enumerate(losses_T):
        mine = [grad(loss, tensor, retain_graph=True, allow_unused=True) for tensor in read]
        for found in mine:
            assert [g is not None and bool(g.any()) for g in found] == [other == task for other in range(TASKS)]
        directly = grad(loss, inputs, retain_graph=True, allow_unused=True)
        outputs, cotangents = [tensor[task] for tensor in read], [found[task] for found in mine]
        by_view = grad(outputs, inputs, cotangents, retain_graph=True, allow_unused=True)
        for ours, expected in zip(by_view, directly, strict=True):
            if expected is None:
                assert ours is None or not ours.any()
            else:
                torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-14)


@KINDS
def test_tasks_have_in_common_at_the_features_what_the_config_says(kind: str) -> None:
    """Two tasks' gradients at the features have no column in common if and only if they read no part in common."""
    model = network(kind)
    bags, value_BV, labels_BT = batch()
    logits_BT, views = through(model, bags, value_BV)
    found = gradients(networks.mean_losses(logits_BT, labels_BT), read_by_tasks(views)[0])
    touched_TX = torch.stack([gradient.flatten(1).any(0) for gradient in found])
    parts = EXAMPLES[kind].parts_read(NAMES)
    for one, other in itertools.combinations(range(TASKS), 2):
        assert bool((touched_TX[one] & touched_TX[other]).any()) == bool(parts[one] & parts[other])


@KINDS
def test_task_gradients_are_those_of_autograd(kind: str) -> None:
    """Side by side where all operations are known, else task by task."""
    model = network(kind)
    bags, value_BV, labels_BT = batch()
    cut = model.cut(bags)
    logits_BT, views = model.through(cut.leaf_BE, value_BV, cut.own_BX)
    shared, losses_T = model.shared_parameters(), networks.mean_losses(logits_BT, labels_BT)
    roots = jacobian.split(Microbatch(losses_T, views, cut.leaf_BE), [])
    expected = [torch.autograd.grad(loss, [*shared, cut.leaf_BE], retain_graph=True) for loss in losses_T]
    found = jacobian.gradients_apart(roots, shared, cut.leaf_BE)
    for task, (*gradients, cotangent_BE) in enumerate(expected):
        for block, gradient in zip(found.blocks, gradients, strict=True):
            torch.testing.assert_close(block[task], gradient.flatten(), rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(found.cotangent_BTE[:, task], cotangent_BE, rtol=1e-10, atol=1e-14)


@KINDS
def test_task_gradients_go_back_side_by_side(kind: str) -> None:
    model = network(kind)
    bags, value_BV, _ = batch()
    cut = model.cut(bags)
    _, views = model.through(cut.leaf_BE, value_BV, cut.own_BX)
    if find_backward(read_by_tasks(views), model.shared_parameters(), cut.leaf_BE) is None:
        pytest.skip(f"`{kind}` has operations that are not known: autograd goes back once a task")


@pytest.mark.parametrize("kind", ALONE)
def test_a_member_is_a_network_with_its_own_scaling_and_heads(kind: str) -> None:
    """Nothing else is a member's: one network with the weights of a member has its logits."""
    together, alone = network(f"{kind} of members"), network(kind)
    bags, value_BV, _ = batch()
    pooled_BE, own_BX = together.pooled(bags)
    logits_BKT, _ = together.through(pooled_BE, value_BV, own_BX)
    state, shapes = together.plain_state(), {name: value.shape for name, value in alone.state_dict().items()}
    scale_KE, scale_KV = state.pop("members.scale").split([pooled_BE.shape[1], VALUES], dim=1)
    of_own = [state.pop(name) for name in list(state) if name.endswith("members.scale")]
    assert sum(state[name].shape != shape for name, shape in shapes.items()) == 2 * TASKS, "a weight and a bias a task"
    for member in range(MEMBERS):
        mine = {name: v if v.shape == shapes[name] else v[member] for name, v in state.items()}
        alone.load_plain_state(mine)
        scaled_BX = None if own_BX is None else own_BX * torch.cat([scale_KE[member] for scale_KE in of_own])
        expected_BT, _ = alone.through(pooled_BE * scale_KE[member], value_BV * scale_KV[member], scaled_BX)
        torch.testing.assert_close(logits_BKT[:, member], expected_BT, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(together(bags, value_BV).sigmoid(), logits_BKT.sigmoid().mean(1), rtol=1e-12, atol=0)


@KINDS
def test_a_start_depends_on_the_seed_alone(kind: str) -> None:
    states = []
    for start, seed in ((1, 0), (2, 0), (2, 1)):
        with torch.random.fork_rng():
            torch.manual_seed(start)
            model = built(kind)
        model.initialise(torch.Generator().manual_seed(seed), embedding_std=0.5)
        states.append(model.state_dict())
    first, again, other = states
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


@KINDS
def test_plain_state_there_and_back(kind: str) -> None:
    model, other = network(kind, seed=0), network(kind, seed=1)
    state = model.plain_state()
    assert state.keys() == model.state_dict().keys()
    other.load_plain_state(state)
    torch.testing.assert_close(logits_of(other), logits_of(model), rtol=0, atol=0)


@KINDS
def test_tables_that_have_grown_keep_their_new_rows(kind: str) -> None:
    small = network(kind)
    large = network(kind, tables=[replace(table, rows=table.rows + 3) for table in networks.TABLES], seed=1)
    new = [table.detach()[-3:].clone() for table in large.embedding.tables()]
    large.load_plain_state(small.plain_state())
    torch.testing.assert_close(logits_of(large), logits_of(small), rtol=0, atol=0)
    assert all(torch.equal(t[-3:], kept) for t, kept in zip(large.embedding.tables(), new, strict=True))
    assert small.misfits({name: value.shape for name, value in large.state_dict().items()})
    with pytest.raises(InputError, match="do not fit"):
        small.load_plain_state(large.plain_state())


@WITH_A_HEAD
def test_a_head_transform_is_folded_in_and_out(kind: str) -> None:
    turned, other, plain = rotated(kind, 0), rotated(kind, 1), network(kind).eval()
    plain.load_plain_state(turned.plain_state())
    other.load_plain_state(turned.plain_state())
    for model in (plain, other):
        torch.testing.assert_close(logits_of(model), logits_of(turned), rtol=0, atol=1e-10)
    state = turned.state_dict()
    plain.load_state_dict({name: value for name, value in state.items() if not name.startswith("head_transform.")})
    assert (logits_of(plain) - logits_of(turned)).abs().max() > 0.01


@KINDS
def test_a_network_without_a_head_takes_no_transform(kind: str) -> None:
    example = EXAMPLES[kind]
    if example.head_width is None:
        rotations = Rotations(Rotation(), tasks=TASKS, width=4)
        with pytest.raises(ValueError, match="should have no head transform"):
            built(kind, head_transform=rotations)
    else:
        assert {head.in_features for head in rotated(kind, 0).heads()} == {example.head_width}


@KINDS
def test_a_config_is_read_from_what_it_writes(kind: str) -> None:
    example = EXAMPLES[kind]
    for content in (example.model_dump(), example.model_dump(mode="json"), json.loads(example.model_dump_json())):
        assert parse_architecture(content) == example
    assert parse_architecture(example.layers) == example
    assert example.kind == kind.partition(" ")[0]


def config_in(folder: Path, prepared: Prepared, kind: str, *overrides: str) -> RunConfig:
    spec = NUMBERS if kind == OVER_NUMBERS else ()
    config = debug_config(folder, f"data.prepared={prepared.folder.parent}", *spec, *overrides)
    return config.model_copy(update={"model": EXAMPLES[kind]})


@pytest.fixture(scope="module")
def data(few: tuple[RunConfig, Prepared], tmp_path_factory: pytest.TempPathFactory) -> Data:
    """The rows of a kind: the few of all tests, or the same ones with encoded numbers."""

    @cache
    def numbers() -> Prepared:
        return prepare(debug_config(tmp_path_factory.mktemp("numbers"), *NUMBERS))

    return lambda kind: numbers() if kind == OVER_NUMBERS else few[1]


@pytest.fixture(scope="module")
def trained(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The run of a kind, trained once for all tests."""

    @cache
    def run_of(kind: str) -> tuple[RunConfig, Run]:
        config = config_in(tmp_path_factory.mktemp(kind), data(kind), kind, *LONGER)
        return config, train(config, data(kind))

    return run_of


@RUNS
def test_a_served_score_is_the_training_score(kind: str, data: Data, trained: Trained) -> None:
    config, run = trained(kind)
    assert run.architecture == architecture_of(config) == EXAMPLES[kind]
    encoder, files = data(kind).folder / "encoder", Path("scorer")
    packed = NetworkContent.packed(weights=run.folder / WEIGHTS, tasks=run.tasks, architecture=run.architecture)
    Scorer.write(files, encoder=encoder, packed=packed)
    assert config.data.holdout is not None
    rows = pl.read_parquet(config.data.holdout).filter(split_by_key(config.split, {"val": 0.5, "test": 0.5}) == "test")
    model = build_model(data(kind).encoder(), run.tasks, run.architecture, seed=9).eval()
    model.load_state_dict(load_file(run.folder / WEIGHTS))
    (whole,) = Batches(data(kind).folder / "test", config.spec, run.tasks, batch_size=10_000).in_order()
    with torch.no_grad():
        expected_BT = model(whole.bags, whole.value_BV).sigmoid().double().numpy()
    # TorchRec and plain torch add up a bag in another order.
    np.testing.assert_allclose(Scorer.load(files).score(rows).to_numpy(), expected_BT, rtol=0, atol=1e-6)


class StoppedError(Exception):
    """Stands for the end of a process."""


@RUNS
def test_a_resumed_run_is_the_uninterrupted_one(kind: str, data: Data, trained: Trained, tmp_path: Path) -> None:
    _, whole = trained(kind)
    config = config_in(tmp_path, data(kind), kind, *LONGER)

    def stop(epoch: Epoch) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        train(config, data(kind), stop)
    run = train(config, data(kind))
    ours, theirs = (load_file(r.folder / WEIGHTS) for r in (run, whole))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert run.test == whole.test


@RUNS
def test_its_numbers_can_be_searched(kind: str, data: Data, tmp_path: Path) -> None:
    example = EXAMPLES[kind]
    config = config_in(tmp_path, data(kind), kind)
    parts: dict[str, Declared] = {"model": example}
    parts |= {} if example.interaction is None else {"model.interaction": example.interaction}
    parts |= {f"model.encoding.{name}": keys for name, keys in example.encoding if kind == OVER_NUMBERS}
    for section, part in parts.items():
        for key, value in part.model_dump().items():
            if type(value) in (int, float):
                other = value + 1 if type(value) is int else value / 2 + 0.1
                found = changed_config(config, {f"{section}.{key}": other})
                assert at(found, f"{section}.{key}") == other
                assert changed_config(found, {f"{section}.{key}": value}).model == example
                low, high = (other, other + 1) if type(value) is int else (other / 2, other)
                ranges = {f"{section}.{key}": {"low": low, "high": high}}
                Space(config.model_copy(update={"search": SearchConfig.model_validate({"ranges": ranges})}))


@RUNS
def test_the_use_of_experts_is_recorded(kind: str, data: Data, trained: Trained) -> None:
    config, run = trained(kind)
    embedding = PortableEmbedding(tables_of(config, data(kind).encoder()))
    model = architecture_of(config).build(embedding, values=len(config.spec.value_features), tasks=run.tasks)
    first = run.history[0].diagnostics[0]
    recorded = {name.rpartition(".")[0].removeprefix("gate.") for name in first if name.startswith("gate.")}
    assert recorded == model.expert_gates().keys()
    for name in recorded:
        shares = [value for key, value in first.items() if key.startswith(f"gate.{name}.expert")]
        assert sum(shares) == pytest.approx(1)
        assert 0 < first[f"gate.{name}.entropy"] <= math.log(len(shares))


@RUNS
def test_the_bytes_of_a_run_are_foretold(kind: str, data: Data, trained: Trained) -> None:
    config, run = trained(kind)
    tables = tables_of(config, data(kind).encoder())
    foretold = Footprint.of(config, data(kind), tables)
    weights = load_file(run.folder / WEIGHTS)
    assert foretold.weights == sum(value.numel() * value.element_size() for value in weights.values())
    larger = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": 1024})})
    assert Footprint.of(larger, data(kind), tables).step > foretold.step > 0
