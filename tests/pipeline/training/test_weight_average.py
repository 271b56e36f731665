"""The moving average of the weights is exact, whatever rows a step reads; steps and checkpoints have the weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.metrics import Evaluator
from pipeline.runs.run import WEIGHTS, depends_on
from pipeline.training.build import trainer_of
from pipeline.training.trainer import Trainer
from pipeline.training.training import train
from tests.conftest import debug_config
from tests.pipeline.training.stopping import assert_same, config_in, interrupt, newest_step, unbroken_run

LOOKS = (1, 2, 3, 11, 28)
KINDS = {
    "dense tables": ("train.table_optimizer=adam",),
    "rotations": ("train.table_optimizer=lazy_adam", "train.method=rotograd"),
    "plain rows": ("train.table_optimizer=sgd", "train.table_lr=5", "train.clip_norm=0.5"),
    "fused rows": ("train.table_optimizer=rowwise_adagrad", "train.table_lr=0.1", "train.table_kernel=fused"),
}


def trainer_in(folder: Path, few: tuple[RunConfig, Prepared], *options: str, rows: int = 1000) -> Trainer:
    """A trainer that evaluates some rows at a time."""
    torch.set_num_threads(1)  # as training does
    given = ("train.batch_size=20", "train.max_steps=0", "train.lr=0.02", f"data.prepared={few[0].data.prepared}")
    return trainer_of(debug_config(folder, *given, *options), few[1], evaluation_batch=rows)


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in trainer.model.state_dict().items()}


def steps(trainer: Trainer, number: int) -> Iterator[dict[str, Tensor]]:
    """The weights after each step."""
    trainer.model.train()
    for batch, _ in zip(trainer._left(), range(number), strict=False):
        trainer._train_on(batch)
        yield weights(trainer)


@pytest.mark.parametrize(
    ("kind", "decay"),
    [(kind, 0.3) for kind in KINDS] + [pytest.param(kind, 0.999, marks=pytest.mark.slow) for kind in KINDS],
)
def test_it_is_the_mean_of_all_weights_so_far(
    tmp_path: Path, few: tuple[RunConfig, Prepared], kind: str, decay: float
) -> None:
    """At a decay of 0.3 the factors of rows are scaled down once."""
    trainer, sums = trainer_in(tmp_path, few, *KINDS[kind], f"train.ema={decay}"), dict[str, Tensor]()
    largest: dict[str, Tensor] = {}  # so far: a mean near zero has the rounding of the weights in it
    for step, own in enumerate(steps(trainer, LOOKS[-1]), 1):
        for name, value in own.items():
            largest[name] = torch.maximum(largest.get(name, value.abs().max()), value.abs().max())
            sums[name] = decay * sums.get(name, torch.zeros_like(value).double()) + (1 - decay) * value.double()
        if step not in LOOKS:
            continue
        with trainer.average.used():
            for name, value in weights(trainer).items():
                expected = sums[name] / (1 - decay**step)
                assert (value - expected).abs().max() <= 2e-6 * largest[name], f"{name}, step {step}"
        assert all(torch.equal(value, own[name]) for name, value in weights(trainer).items())
    moved = [not torch.equal(own[name], (sums[name] / (1 - decay**step)).float()) for name in own]
    assert all(moved)


@pytest.mark.parametrize("kind", ["plain rows", pytest.param("dense tables", marks=pytest.mark.slow)])
def test_it_is_the_average_of_torch(tmp_path: Path, few: tuple[RunConfig, Prepared], kind: str) -> None:
    """torch's begins at the first weights that it sees: at weights of zero it is the sum before Adam's correction."""
    trainer, decay = trainer_in(tmp_path, few, *KINDS[kind], "train.ema=0.9"), 0.9
    peer = AveragedModel(trainer.model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    for value in peer.module.parameters():
        value.detach().zero_()
    peer.n_averaged += 1
    for _ in steps(trainer, 10):
        peer.update_parameters(trainer.model)
    with trainer.average.used():
        for ours, theirs in zip(trainer.model.parameters(), peer.module.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs / (1 - decay**10), rtol=1e-5, atol=1e-6)


def test_a_run_is_chosen_and_kept_by_its_average(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    options = ("train.epochs=2", "train.max_steps=20", "train.ema=0.8")
    trainer = trainer_in(tmp_path, few, *options, "train.batch_size=256")
    epochs = [trainer.epoch(), trainer.epoch()]
    with trainer.average.used():
        assert trainer.evaluate("val") == epochs[-1].val
    assert trainer.evaluate("val") != epochs[-1].val
    run = train(config := debug_config(tmp_path, *options, f"data.prepared={few[0].data.prepared}"), few[1])
    plain = train(debug_config(tmp_path, *options[:2], f"data.prepared={few[0].data.prepared}"), few[1])
    ours, theirs = (load_file(one.folder / WEIGHTS) for one in (run, plain))
    assert not any(torch.equal(ours[name], value) for name, value in theirs.items())
    assert run.history[0].losses == plain.history[0].losses, "the average changes no step"
    assert depends_on(config, few[1])["train"]["ema"] == 0.8


@pytest.mark.parametrize("kind", ["fused rows", pytest.param("dense tables", marks=pytest.mark.slow)])
def test_an_interrupted_evaluation_saves_the_weights_themselves(
    tmp_path: Path, few: tuple[RunConfig, Prepared], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*KINDS[kind], "train.ema=0.9", "train.checkpoint_every=1000")
    unbroken, config = unbroken_run(tmp_path, few, *options), config_in(tmp_path / "stopped", few, *options)
    update = Evaluator.update

    def updated(*args: object) -> None:
        interrupt()
        update(*args)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(Evaluator, "update", updated)
    with pytest.raises(KeyboardInterrupt):
        train(config, few[1])
    assert newest_step(config, few[1]) == 16
    monkeypatch.undo()
    assert_same(train(config, few[1]), unbroken)


def test_an_evaluation_goes_on_with_the_average_after_a_save(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    options = (*KINDS["plain rows"], "train.ema=0.9", "train.max_steps=5", "model.dropout=0")
    one, other = (trainer_in(tmp_path, few, *options, rows=50) for _ in range(2))
    saved = list[Tensor]()

    def save() -> None:
        saved.append(other.state_dict()["model"]["towers.0.1.weight"].clone())

    assert other.epoch(save).val == one.epoch().val
    assert len(saved) > 7
    assert all(torch.equal(value, saved[4]) for value in saved[4:]), "the evaluation saves what the last step left"
