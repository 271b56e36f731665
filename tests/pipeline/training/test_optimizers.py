"""A run's optimizer: two of them as one, clipped together, resumed exactly, and refused where it cannot run."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR

from features.errors import InputError
from gradops import MultiTaskOptimizer
from gradops.methods import parse
from models.architectures import ARCHITECTURES
from models.architectures.shared_bottom import SharedBottom, SharedBottomConfig
from models.embedding.torchrec import TorchRecEmbedding
from models.table_optimizers.joint_optimizer import JointOptimizer
from models.table_optimizers.names import FUSED
from models.table_optimizers.row_optimizer import RowOptimizer
from models.table_optimizers.rules import TABLE_OPTIMIZERS
from pipeline.config.run import RunConfig
from pipeline.config.train import TrainConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run, depends_on
from pipeline.training import optimizers
from pipeline.training.optimizers import clip_gradients, optimizer_of
from pipeline.training.training import train
from tests.conftest import debug_config
from tests.models import networks
from tests.models.rare_rows import BATCH, bags, losses, model

SPARSE = [name for name, kind in TABLE_OPTIMIZERS.items() if kind]


def wrapped(net: SharedBottom, name: str, **options: float) -> MultiTaskOptimizer:
    config = TrainConfig.model_validate({"table_optimizer": name, "lr": 0.01, **options})
    return MultiTaskOptimizer(optimizer_of(net, config), parse("gradnorm"), shared=net.shared_parameters())


def step(net: SharedBottom, optimizer: MultiTaskOptimizer, number: int) -> None:
    losses_T, places = losses(net, bags(number), number)
    optimizer.step(losses_T, **places)  # type: ignore[call-overload]


def state_of(net: SharedBottom) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize(("kind", "members"), [("shared_bottom", 1), ("mmoe", 2)])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_matrices_alone_decay(kind: str, members: int, name: str) -> None:
    """In one step without gradients each shrinks by rate times decay.

    Biases, frequencies, the factors of an ensemble's members, and tables stay.
    """
    net = (
        ARCHITECTURES[kind]
        .example()
        .model_copy(update={"ensemble": members})
        .build(
            TorchRecEmbedding(networks.TABLES, optimizer=name),
            values=2,
            tasks=networks.NAMES,
            encoded=networks.ENCODED,
        )
    )
    net.initialise(torch.Generator().manual_seed(0), embedding_std=0.5)
    config = TrainConfig(table_optimizer=name, lr=0.1, table_lr=0.2, weight_decay=0.5)
    optimizer, before = optimizer_of(net, config), {k: v.detach().clone() for k, v in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    if name == "sgd":
        for table in net.embedding.tables():
            table.grad = None
    optimizer.step()
    for key, value in net.named_parameters():
        stays = key.startswith("embedding.") or key.endswith(("bias", "frequency_FN", "scale"))
        factor = 1.0 if stays else 1 - 0.1 * 0.5
        torch.testing.assert_close(value, before[key] * factor)


def test_a_run_without_decay_keeps_its_name_and_its_optimizer(few: tuple[RunConfig, Prepared]) -> None:
    """Runs from before there was decay are found, and step by Adam."""
    config, prepared = few
    decaying = config.changed({"train.weight_decay": 0.01})
    assert "weight_decay" not in depends_on(config, prepared)["train"]
    assert depends_on(decaying, prepared)["train"]["weight_decay"] == 0.01
    assert type(optimizer_of(model("adam"), config.train)) is Adam


@pytest.mark.parametrize("name", SPARSE)
def test_two_optimizers_step_as_they_would_alone(name: str) -> None:
    """The network by Adam, the tables by their own, under weights that differ by task."""
    ours, alone = model(name), model(name)
    joint = wrapped(ours, name, table_lr=0.1)
    tables, kind = list(alone.embedding.tables()), TABLE_OPTIMIZERS[name]
    assert kind is not None
    network = [p for p in alone.parameters() if all(p is not table for table in tables)]
    parts = [Adam(network, 0.01), kind(tables, 0.1)]
    for number in range(5):
        losses_T, places = losses(ours, bags(number), number)
        weights_T = joint.step(losses_T, **places).weights_T.float()  # type: ignore[call-overload]
        value_BV, labels_BT = networks.values(BATCH, number).float(), networks.labels(BATCH, number).float()
        found = networks.passed(alone, bags(number), value_BV, labels_BT)
        losses_T, cut = found.losses_T, found.cut
        for part in parts:
            part.zero_grad()
        leaves = [*alone.bottom.parameters(), cut.leaf_BE]
        (weights_T * losses_T).sum().backward(inputs=leaves, retain_graph=True)
        losses_T.sum().backward(inputs=list(alone.towers.parameters()))
        assert cut.leaf_BE.grad is not None
        cut.backward(cut.leaf_BE.grad)
        for part in parts:
            part.step()
    for key, value in alone.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TABLE_OPTIMIZERS)
@pytest.mark.parametrize("way", ["loaded", "copied"])
def test_a_resumed_optimizer_goes_on_exactly(name: str, way: str) -> None:
    unbroken, broken = model(name), model(name)
    whole, first = wrapped(unbroken, name), wrapped(broken, name)
    for number in range(6):
        step(unbroken, whole, number)
    for number in range(3):
        step(broken, first, number)
    if way == "copied":
        resumed, second = copy.deepcopy((broken, first))
    else:
        resumed = model(name)
        resumed.load_state_dict(broken.state_dict())
        second = wrapped(resumed, name, lr=7.0)
        second.load_state_dict(first.state_dict())
    before = state_of(broken)
    for number in range(3, 6):
        step(resumed, second, number)
    assert all(torch.equal(value, broken.state_dict()[key]) for key, value in before.items())
    for key, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


@pytest.mark.parametrize("name", TABLE_OPTIMIZERS)
def test_a_schedule_moves_both_rates(name: str) -> None:
    net = model(name)
    optimizer = wrapped(net, name, table_lr=0.5)
    schedule = LambdaLR(optimizer, lambda step: 0.5**step)
    before = state_of(net)
    step(net, optimizer, 0)
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.005, 0.25]
    # The first step of either is its rate for every weight, but for the accumulator's mean over a row, and for a rule
    # that divides by no gradient.
    moved = {key: float((value - before[key]).abs().max()) for key, value in net.state_dict().items()}
    assert moved["bottom.0.weight"] == pytest.approx(0.01, rel=1e-3)
    assert 0.4 < moved["embedding.collection.embedding_bags.table_a.weight"] < 1.5 or name == "sgd"
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = state_of(net)
    step(net, optimizer, 1)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())


@pytest.mark.parametrize("longest", [1e-3, 1e3])
def test_clipping_counts_a_row_once(longest: float) -> None:
    sparse, dense = model("sgd"), model("adam")
    for net in (sparse, dense):
        losses_T, places = losses(net, bags(0), 0)
        optimizer = MultiTaskOptimizer(SGD(net.parameters(), 1.0), parse("uniform"), shared=net.shared_parameters())
        optimizer.backward(losses_T, **places)  # type: ignore[arg-type]
    # The tables alone: beside the network's, their gradients would hardly show in the length.
    clip_gradients(list(sparse.embedding.tables()), longest)
    unclipped = clip_grad_norm_(dense.embedding.tables(), longest)
    assert 1e-3 < unclipped < 1e3
    for ours, theirs in zip(sparse.embedding.tables(), dense.embedding.tables(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad.to_dense(), theirs.grad, rtol=1e-5, atol=1e-9)


def test_dense_gradients_are_clipped_as_torch_clips_them() -> None:
    ours, theirs = ([nn.Parameter(torch.zeros(n)) for n in (3, 5, 7)] for _ in range(2))
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        gradient = torch.randn(len(mine), generator=torch.Generator().manual_seed(number))
        mine.grad, other.grad = gradient.clone(), gradient.clone()
    clip_gradients([*ours, nn.Parameter(torch.ones(1))], 0.1)
    clip_grad_norm_(theirs, 0.1)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))  # type: ignore[arg-type]


def test_a_run_clips_its_tables_too() -> None:
    net = model("rowwise_adagrad")
    optimizer = wrapped(net, "rowwise_adagrad", clip_norm=1e-12)
    step(net, optimizer, 0)
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    length = torch.cat([(g.coalesce().values() if g.is_sparse else g).flatten() for g in grads]).norm()
    assert 0 < length <= 1e-12


def test_a_group_cannot_be_added_where_no_part_would_step_it() -> None:
    one, two = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    joint = JointOptimizer([SGD([one], 0.1), SGD([two], 0.1)])
    with pytest.raises(ValueError, match="one of the parts"):
        joint.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    with pytest.raises(ValueError, match="more than one parameter group"):
        JointOptimizer([SGD([one], 0.1), SGD([one], 0.1)])


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("lazy_adam", "train.clip_norm=0.5"),
        ("lazy_adam", "train.method=rotograd"),
        ("rowwise_adagrad", "train.seed=1"),
        ("adagrad", "train.table_kernel=plain"),
        ("adagrad", "train.table_kernel=fused"),
        ("rowwise_adagrad", "train.table_kernel=fused"),
    ],
)
def test_every_table_optimizer_learns(tmp_path: Path, few: tuple[RunConfig, Prepared], name: str, option: str) -> None:
    settings = ("train.max_steps=0", "train.epochs=3", "train.batch_size=256", "train.lr=0.01", "train.table_lr=0.05")
    places = (f"data.prepared={few[0].data.prepared}", f"train.table_optimizer={name}")
    run = train(debug_config(tmp_path, *settings, *places, option), few[1])
    assert run.test["marital"]["auc"] > 0.9


def fused_run(config: RunConfig, folder: Path, name: str, kernel: str) -> Run:
    """Three epochs on lists, entry weights and a table that two features share; without dropout, whose generator the
    two kinds of tables leave at different places."""
    settings = {"table_kernel": kernel, "table_optimizer": name, "table_lr": 0.05, "schedule": "one_cycle"}
    settings |= {"method": "gradops(alpha=-2)", "epochs": 3, "batch_size": 128, "max_steps": 0}
    chosen = TrainConfig.model_validate({**config.train.model_dump(), **settings})
    config = config.model_copy(update={"train": chosen, "runs": folder, "model": SharedBottomConfig(dropout=0.0)})
    return train(config, prepare(config))


@pytest.mark.parametrize("name", FUSED["cpu"])
def test_a_run_is_the_same_with_either_kernel(tmp_path: Path, clicks: RunConfig, name: str) -> None:
    plain, fused = (fused_run(clicks, tmp_path, name, kernel) for kernel in ("plain", "fused"))
    assert plain.folder != fused.folder
    for task, metrics in plain.test.items():
        assert fused.test[task]["auc"] == pytest.approx(metrics["auc"], abs=1e-3)
        assert fused.test[task]["logloss"] == pytest.approx(metrics["logloss"], rel=1e-3)
    ours, theirs = (load_file(run.folder / "weights.safetensors") for run in (fused, plain))
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


def test_a_choice_that_the_fused_kernel_lacks_is_refused(tmp_path: Path) -> None:
    fused = "train.table_kernel=fused"
    possible = 'possible there: "sgd", "adagrad", "rowwise_adagrad"; with table_kernel "plain": all'
    for name in ("adam", "lazy_adam"):
        with pytest.raises(InputError, match=rf'on device "cpu", found table_optimizer "{name}"; {possible}'):
            debug_config(tmp_path, fused, f"train.table_optimizer={name}")
    with pytest.raises(InputError, match=r"found clip_norm 0.5; possible: clip_norm 0, or") as error:
        debug_config(tmp_path, fused, "train.table_optimizer=sgd", "train.clip_norm=0.5")
    assert "table_optimizer" not in str(error.value)
    with pytest.raises(InputError, match=r'found table_optimizer "adam".*; table_kernel .* found clip_norm'):
        debug_config(tmp_path, fused, "train.clip_norm=0.5")
    with pytest.raises(InputError, match="possible there: none"):
        debug_config(tmp_path, fused, "train.table_optimizer=sgd", "train.device=mps")
    on_cuda = debug_config(tmp_path, fused, "train.table_optimizer=lazy_adam", "train.device=cuda:0")
    assert on_cuda.train.table_optimizer == "lazy_adam"


def test_a_table_that_the_fused_kernel_cannot_hold_is_refused(tmp_path: Path) -> None:
    settings = ("spec.width=6", "train.table_kernel=fused", "train.table_optimizer=sgd")
    config = debug_config(tmp_path, *settings)
    with pytest.raises(InputError, match=r"(?s)widths that are multiples of 4: .*is 6 wide"):
        train(config, prepare(config))
    assert [path.suffix for path in config.runs.rglob("*") if path.is_file()] in ([], [".lock"])


def test_a_device_without_sparse_gradients_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_adagrad(kind: type[RowOptimizer], device: torch.device) -> bool:
        return kind is TABLE_OPTIMIZERS["rowwise_adagrad"]

    monkeypatch.setattr(optimizers, "_steps_on", only_adagrad)
    with pytest.raises(InputError, match=r'"lazy_adam"` cannot.*possible there: "adam", "rowwise_adagrad"'):
        wrapped(model("lazy_adam"), "lazy_adam")


def test_whether_a_device_can_is_found_by_trying() -> None:
    kind = TABLE_OPTIMIZERS["lazy_adam"]
    assert kind is not None
    assert optimizers._steps_on(kind, torch.device("cpu"))
    assert not optimizers._steps_on(kind, torch.device("meta"))


def test_an_unknown_table_optimizer_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train.table_optimizer: did you mean `lazy_adam`\?.*one of adam, lazy_adam"):
        debug_config(tmp_path, "train.table_optimizer=lazyadam")
