"""A task that stops leaves the training as if it had never been there, and each task keeps its own best epoch."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import log_loss
from torch import Tensor

from features.errors import InputError
from models.architectures import ARCHITECTURES
from pipeline.comparison.packed import packed_run
from pipeline.comparison.scores import TestRows, computed_scores
from pipeline.config.run import RunConfig
from pipeline.config.train import TrainConfig
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.runs.run import WEIGHTS, Epoch, Run, depends_on
from pipeline.serving.kinds.ensemble import EnsembleContent
from pipeline.serving.kinds.network import NetworkContent
from pipeline.serving.scorer import Scorer
from pipeline.training.build import trainer_of
from pipeline.training.task_epochs import TaskEpochs
from pipeline.training.trainer import Trainer
from pipeline.training.training import train
from tests.conftest import debug_config
from tests.pipeline.training.test_training import aucs_of_saved_weights

LONGER = ("train.max_steps=0", "train.epochs=6", "train.batch_size=250", "train.lr=0.03", "model.dropout=0")


def config_in(folder: Path, few: tuple[RunConfig, Prepared], *overrides: str) -> RunConfig:
    return debug_config(folder, *overrides, f"data.prepared={few[0].data.prepared}")


def epochs(*aucs: tuple[float, ...]) -> list[Epoch]:
    val = [{task: {"auc": auc} for task, auc in zip("ab", pair, strict=True)} for pair in aucs]
    return [Epoch(number, number, 0.0, 0.0, {}, metrics, {}) for number, metrics in enumerate(val)]


def test_a_task_stops_after_its_own_patience_and_for_good() -> None:
    task_epochs = TaskEpochs(TrainConfig(task_patience=2), ["a", "b"])
    # `a` is best in epoch 0 and stops after epoch 2; what its rows say later no longer counts.
    history = epochs((0.8, 0.5), (0.7, 0.6), (0.7, 0.7), (0.9, 0.6), (0.9, 0.6))
    assert [task_epochs.active(history[:n]) for n in range(6)] == [[0, 1], [0, 1], [0, 1], [1], [1], []]
    assert [task_epochs.best(history, task).number for task in "ab"] == [0, 2]
    for config in (TrainConfig(), TrainConfig(task_snapshots=True)):
        without = TaskEpochs(config, ["a", "b"])
        assert without.active(history) == [0, 1]
        assert [without.best(history, task).number for task in "ab"] == [3, 2]


@pytest.mark.parametrize("method", ["uniform", "gradops(alpha=-2)"])
def test_a_step_without_a_task_is_that_of_a_run_without_it(
    tmp_path: Path, few: tuple[RunConfig, Prepared], method: str
) -> None:
    """The same weights and rows; `marital` has stopped in one run, and does not exist in the other."""
    torch.set_num_threads(1)  # as training does
    options = (*LONGER, f"train.method={method}")
    stopped = trainer_of(config_in(tmp_path, few, *options, "train.task_patience=1"), few[1])
    without = trainer_of(config_in(tmp_path, few, *options, 'train.tasks=["income", "education"]'), few[1])
    pairs = [(0, 0), (2, 1)]
    _copy(stopped, without, pairs)
    before = {name: value.clone() for name, value in stopped.model.towers[1].state_dict().items()}
    _stop_marital(stopped)
    halves = (islice(trainer.splits["train"].epoch(0), 4) for trainer in (stopped, without))
    for mine, other in zip(*halves, strict=True):
        losses = stopped._train_on(mine), without._train_on(other)
        torch.testing.assert_close(losses[0], losses[1])
    for ours, theirs in zip(*(t.model.shared_parameters() for t in (stopped, without)), strict=True):
        torch.testing.assert_close(ours, theirs)
    for mine_t, other_t in pairs:
        for name, value in without.model.towers[other_t].state_dict().items():
            torch.testing.assert_close(stopped.model.towers[mine_t].state_dict()[name], value)
    assert all(torch.equal(value, before[name]) for name, value in stopped.model.towers[1].state_dict().items())


def _copy(source: Trainer, target: Trainer, pairs: list[tuple[int, int]]) -> None:
    state = source.model.state_dict()
    taken: dict[str, Tensor] = {name: v for name, v in state.items() if not name.startswith("towers.")}
    for mine, other in pairs:
        taken |= {n.replace(f"towers.{mine}", f"towers.{other}"): v for n, v in state.items() if f"towers.{mine}" in n}
    target.model.load_state_dict(taken)


def _stop_marital(trainer: Trainer) -> None:
    """As if the second epoch had been worse for it."""
    tasks = trainer.tasks
    val = [{task: {"auc": 0.5 + (0.1 if task != "marital" else -0.1) * n} for task in tasks} for n in (0, 1)]
    trainer.history = [Epoch(n, 0, 0.0, 0.0, {}, metrics, {}) for n, metrics in enumerate(val)]
    trainer.task_epochs.keep(trainer.history[:1], trainer.model.state_dict)
    trainer._leave(restored=True)
    assert trainer.active == [0, 2]


def test_each_task_keeps_the_weights_of_its_own_best_epoch(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    config = config_in(tmp_path, few, *LONGER, "train.task_patience=1", "train.task_snapshots=true", "train.ema=0.5")
    run = train(config, few[1])
    assert run == Run.load(run.folder)
    stops = {task: epoch + 1 for task, epoch in run.snapshots.items()}
    assert len(set(stops.values())) > 1, "the case is about tasks that stop apart"
    aucs = {}
    for epoch in {*run.snapshots.values()}:
        aucs[epoch] = aucs_of_saved_weights(run, config, few[1], run.weights_of(epoch))
    for task, best in run.snapshots.items():
        figures = [epoch.val[task]["auc"] for epoch in run.history[: stops[task] + 1]]
        assert best == figures.index(max(figures))
        assert run.val[task] == run.history[best].val[task]
        trained = [task in epoch.losses for epoch in run.history]
        assert trained == [epoch.number <= stops[task] for epoch in run.history]
        assert aucs[best][task] == pytest.approx(run.test[task]["auc"])
    last = run.history[-1].number
    for place, task in enumerate(run.tasks):
        if stops[task] < run.best_epoch <= last:
            # Its tower went back to its best epoch, while the shared layers went on.
            kept, own = load_file(run.folder / WEIGHTS), load_file(run.weights_of(run.snapshots[task]))
            for name in (n for n in own if n.startswith(f"towers.{place}.")):
                assert torch.equal(kept[name], own[name])


STOPPING = [kind for kind, config in ARCHITECTURES.items() if not config.has_own_tables]


@pytest.mark.parametrize(
    "kind", [kind if kind == "mmoe" else pytest.param(kind, marks=pytest.mark.slow) for kind in STOPPING]
)
def test_only_what_no_active_loss_reaches_is_frozen(tmp_path: Path, few: tuple[RunConfig, Prepared], kind: str) -> None:
    torch.set_num_threads(1)
    example = ARCHITECTURES[kind].example()
    config = config_in(tmp_path, few, "train.task_patience=1").model_copy(update={"model": example})
    trainer = trainer_of(config, few[1])
    # Adam has moments from then on: a weight whose gradient is 0 would still move.
    for batch in islice(trainer.splits["train"].epoch(0), 2):
        trainer._train_on(batch)
    _stop_marital(trainer)
    named = dict(trainer.model.named_parameters())
    frozen = {name for name, parameter in named.items() if not parameter.requires_grad}
    # In ESMM's example the loss of education, which is given marital, still reaches the tower of marital.
    assert bool(frozen) == (kind != "esmm")
    (batch, *_) = trainer.splits["train"].epoch(0)
    assert {place for name in frozen for place in trainer.task_epochs.reach[name]} <= {1}
    before = {name: parameter.clone() for name, parameter in named.items()}
    trainer._train_on(batch)
    unmoved = {name for name, parameter in named.items() if torch.equal(parameter, before[name])}
    assert frozen <= unmoved
    moved = {name for name in trainer.task_epochs.reach if name not in unmoved}
    assert moved, "other tasks go on"


def test_a_method_of_a_fixed_number_of_tasks_is_refused(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    for method in ("static(weight=(1, 2, 3))", "rotograd"):
        config = config_in(tmp_path, few, "train.task_patience=1", f"train.method={method}")
        with pytest.raises(InputError, match=r"`train\.task_patience`"):
            trainer_of(config, few[1])


def test_tasks_with_tables_of_their_own_do_not_stop(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    with pytest.raises(InputError, match="tables of a task's own stay as they are: set it to 0"):
        trainer_of(config_in(tmp_path, few, "train.task_patience=1", "model={kind='stem'}"), few[1])


def test_a_run_without_these_keys_keeps_its_name(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    assert not {"task_patience", "task_snapshots"} & depends_on(few[0], few[1])["train"].keys()
    config = config_in(tmp_path, few, "train.task_patience=1", "train.task_snapshots=true")
    assert {"task_patience", "task_snapshots"} <= depends_on(config, few[1])["train"].keys()


def test_each_task_is_served_with_its_own_epoch(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    """Also where the run is a member of an ensemble; a run whose tasks share an epoch is one network."""
    options = (*LONGER, "train.task_patience=1", "train.task_snapshots=true", "train.calibration=platt")
    run = train(config_in(tmp_path, few, *options), few[1])
    rows = TestRows(few[1])
    scores_NT, labels_NT = computed_scores(run, rows), rows.labels(run.tasks)
    for place, task in enumerate(run.tasks):
        known_N = ~np.isnan(labels_NT[:, place])
        loss = log_loss(labels_NT[known_N, place], scores_NT[known_N, place].astype(np.float64))
        assert run.test[task]["logloss"] == pytest.approx(loss, rel=1e-5)
    packed = packed_run(run)
    assert len(packed.files) == len({*run.snapshots.values()}) > 1
    together = EnsembleContent.packed(run.tasks, [packed, packed], [[0.25, 0.75]] * len(run.tasks))
    assert len(together.files) == 2 * len(packed.files)
    Scorer.write(tmp_path / "served", encoder=few[1].folder / "encoder", packed=together)
    scorer = Scorer.load(tmp_path / "served")
    served = scorer.probabilities(Window.of(rows.features, scorer.encoder.spec, ())).select(run.tasks).to_numpy()
    assert served == pytest.approx(scores_NT, abs=1e-6)
    alike = replace(run, snapshots=dict.fromkeys(run.tasks, run.best_epoch))
    assert isinstance(packed_run(alike).content, NetworkContent)
