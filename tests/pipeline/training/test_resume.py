"""A run that is stopped in any way and resumed ends like an uninterrupted one: same weights and figures to the bit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from features.errors import InputError
from models.loss import cross_entropy
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.metrics import Evaluator
from pipeline.runs.plan import UNIFORM, PlannedRun
from pipeline.runs.run import Epoch, checkpoints_of, find_run
from pipeline.training import trainer
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.evaluations import Calibrators, Evaluations
from pipeline.training.runner import find_or_train
from pipeline.training.training import train
from tests.pipeline.training.stopping import (
    KilledError,
    assert_same,
    at_step,
    checkpoints,
    config_in,
    interrupt,
    kill,
    newest_step,
    unbroken_run,
)

# Tasks leave after the first and after the second epoch.
LEAVING = ("train.task_patience=1", "train.task_snapshots=true", "train.select_by=logloss", "train.method=gradvac")
RARE = (
    ("train.keep_negatives=0.6", "train.prior_bias=true", "train.task_weights=inverse_rate", "train.schedule=warmup"),
    (*LEAVING, "train.calibration=platt", "train.ema=0.9"),
    (*LEAVING, "train.table_kernel=fused", "train.table_optimizer=rowwise_adagrad"),
)
FUSED = ("train.method=pcgrad", "train.table_kernel=fused", "train.schedule=one_cycle")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("train.method=uniform",), marks=pytest.mark.slow),
        ("train.method=gradops(alpha=-2)", "train.schedule=one_cycle", "train.clip_norm=0.5"),
        ("train.weight_decay=0.1", "train.decay_schedule=flat_cosine", "train.dropout_schedule=flat_cosine"),
        ("train.method=gradvac",),
        ("train.method=graddrop",),
        ("train.method=rotograd_v1",),
        pytest.param(("train.method=pcgrad + rotation(map='cayley', cooperative_after=9)",), marks=pytest.mark.slow),
        ("train.method=pcgrad", "train.gram_every=7", "train.gram_smoothing=0.5"),
        ("train.method=pcgrad", "train.precision=bfloat16", "train.micro_batch=37"),
        (
            "train.method=mgda",
            "train.table_optimizer=lazy_adam",
            "train.ema=0.9",
            "train.ids={country_father={dropout=0.5}}",
        ),
        pytest.param(("train.method=mgda", "train.table_optimizer=rowwise_adagrad"), marks=pytest.mark.slow),
        (*FUSED, "train.table_optimizer=adagrad", "train.ema=0.5"),
        *(
            pytest.param((*FUSED, f"train.table_optimizer={name}"), marks=pytest.mark.slow)
            for name in ("sgd", "rowwise_adagrad")
        ),
        *(pytest.param(options, marks=pytest.mark.slow) for options in RARE),
    ],
)
def test_a_stopped_run_ends_as_an_unbroken_one(
    tmp_path: Path, few: tuple[RunConfig, Prepared], options: tuple[str, ...]
) -> None:
    unbroken = unbroken_run(tmp_path, few, *options)
    config = config_in(tmp_path / "stopped", few, *options)
    with at_step(10, kill), pytest.raises(KilledError):
        train(config, few[1])
    assert newest_step(config, few[1]) == 8
    with at_step(21, interrupt), pytest.raises(KeyboardInterrupt):
        train(config, few[1])
    assert newest_step(config, few[1]) == 22  # the step is finished and saved
    torch.rand(7)  # another process has drawn other numbers
    assert_same(train(config, few[1]), unbroken)
    assert not any((config.runs / "checkpoints").iterdir())


@pytest.mark.parametrize(("split", "done"), [("val", 16), ("test", 40)])
def test_an_interruption_does_not_wait_for_an_evaluation(
    tmp_path: Path, few: tuple[RunConfig, Prepared], split: str, done: int
) -> None:
    unbroken = unbroken_run(tmp_path, few)
    config, seen = config_in(tmp_path / "stopped", few, "train.checkpoint_every=1000"), list[Epoch]()
    update, evaluate = Evaluator.update, Evaluations.metrics

    def updated(*args: Any) -> None:
        interrupt()
        update(*args)

    def interrupted(self: Evaluations, name: str, versions: list[Calibrators], on_step: Callable[[], None]) -> object:
        with pytest.MonkeyPatch.context() as patch:
            if name == split:
                patch.setattr(Evaluator, "update", updated)
            return evaluate(self, name, versions, on_step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluations, "metrics", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, few[1])
    assert newest_step(config, few[1]) == done
    run = train(config, few[1], seen.append)
    assert_same(run, unbroken)
    assert seen == run.history  # told of the epochs before, too


def test_without_a_number_of_steps_each_epoch_is_saved(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    config = config_in(tmp_path, few, "train.checkpoint_every=0", "train.keep_checkpoints=5")
    with at_step(39, kill), pytest.raises(KilledError):
        train(config, few[1])
    assert {path.name for path in checkpoints(config, few[1]).folder.glob("step-*")} == {"step-16", "step-32"}
    assert_same(train(config, few[1]), unbroken_run(tmp_path, few))


def test_how_a_run_is_saved_is_no_part_of_it(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    run = train(config_in(tmp_path, few), few[1])
    assert find_run(config_in(tmp_path, few, "train.checkpoint_every=3", "train.keep_checkpoints=1"), few[1]) == run


def test_a_checkpoint_of_another_config_is_refused_before_training(
    tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    config = config_in(tmp_path, few)
    other = config_in(tmp_path, few, "train.lr=0.02", "model.dropout=0.1", "train.keep_checkpoints=1")
    with at_step(10, kill), pytest.raises(KilledError):
        train(config, few[1])
    shutil.copytree(checkpoints_of(config, few[1]), checkpoints_of(other, few[1]))
    with at_step(8, kill), pytest.raises(InputError, match="2 problem") as error:
        train(other, few[1])
    assert "train.lr: 0.01 there, 0.02 here" in str(error.value)
    assert "model.dropout: 0.3 there, 0.1 here" in str(error.value)


def test_losses_that_are_no_numbers_end_a_run_whose_last_good_checkpoint_stays(
    tmp_path: Path, few: tuple[RunConfig, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(tmp_path, few)

    def fail() -> None:
        monkeypatch.setattr(trainer, "cross_entropy", lambda *args: cross_entropy(*args) * torch.nan)

    with at_step(10, fail), pytest.raises(InputError, match=r"no longer finite after 11 steps"):
        train(config, few[1])
    assert newest_step(config, few[1]) == 8
    monkeypatch.undo()
    assert_same(train(config, few[1]), unbroken_run(tmp_path, few))


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    """The step before the checkpoint of step 16 has finite losses, and ruins the weights."""
    config, schedule = config_in(tmp_path, few), torch.optim.lr_scheduler.LambdaLR.step

    def ruin(self: torch.optim.lr_scheduler.LambdaLR) -> None:
        schedule(self)
        if self.last_epoch == 16:
            self.optimizer.param_groups[0]["params"][0].data[0] = torch.nan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.lr_scheduler.LambdaLR, "step", ruin)
        with pytest.raises(InputError, match="no longer finite after 16 steps"):
            train(config, few[1])
    assert newest_step(config, few[1]) == 8


def test_a_truncated_checkpoint_costs_the_steps_since_the_one_before(
    tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    config = config_in(tmp_path, few)
    with at_step(18, kill), pytest.raises(KilledError):
        train(config, few[1])
    file = checkpoints_of(config, few[1]) / "step-16" / "__0_0.distcp"
    os.truncate(file, file.stat().st_size - 1)
    with pytest.warns(UserWarning, match=rf"{file} has .* bytes.* goes on from step 8"):
        run = train(config, few[1])
    assert_same(run, unbroken_run(tmp_path, few))


def test_what_a_finished_run_could_not_remove_is_removed_when_it_is_found(
    tmp_path: Path, few: tuple[RunConfig, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(tmp_path, few)
    monkeypatch.setattr(Checkpoints, "remove", lambda _: kill())
    with pytest.raises(KilledError):
        train(config, few[1])
    monkeypatch.undo()
    assert newest_step(config, few[1]) == 40
    assert find_or_train([PlannedRun(UNIFORM, config)], few[1], [], workers=1) == [find_run(config, few[1])]
    assert not any((config.runs / "checkpoints").iterdir())
