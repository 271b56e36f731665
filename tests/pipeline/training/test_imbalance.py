"""Rare tasks: sampled negatives leave probabilities those of all rows, and weights follow prevalences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.loss import cross_entropy, label_shares
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import depends_on
from pipeline.training.build import trainer_of
from pipeline.training.negatives import NegativeSampling
from pipeline.training.task_weights import task_weights
from pipeline.training.training import train
from tests.conftest import debug_config

OUTCOMES_NT = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)


def config_in(folder: Path, few: tuple[RunConfig, Prepared], *overrides: str) -> RunConfig:
    return debug_config(folder, *overrides, f"data.prepared={few[0].data.prepared}")


def slope_T(logit_T: Tensor, chance_N: Tensor, weight_NT: Tensor | None, sampling: NegativeSampling) -> Tensor:
    """The derivative of each task's expected loss in its logit, where all eight outcomes of a row are possible."""
    logit_T = logit_T.detach().requires_grad_()
    # A batch whose row weights are the chances of the outcomes is the expectation.
    share_NT = label_shares(OUTCOMES_NT, chance_N[:, None] * (1 if weight_NT is None else weight_NT))
    losses_T = cross_entropy(sampling.logits(logit_T.expand(8, 3)), OUTCOMES_NT, share_NT)
    return torch.autograd.grad(losses_T.sum(), logit_T)[0]


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_the_sample_is_least_at_the_probabilities_of_all_rows(share: float, seed: int) -> None:
    """For any joint distribution of three labels, so for labels that depend on each other in any way."""
    chance_N = torch.from_numpy(np.random.default_rng(seed).dirichlet([3, *[0.3] * 7]))
    logit_T = (chance_N @ OUTCOMES_NT).logit()
    is_negative_N = (OUTCOMES_NT == 0).all(1)
    kept_N = torch.where(is_negative_N, share * chance_N, chance_N)
    sampling = NegativeSampling(share)
    assert slope_T(logit_T, kept_N, sampling.weights(OUTCOMES_NT, None), sampling).abs().max() < 1e-12
    if share < 1:
        # The correction for one task alone is wrong for several: a row may be kept for another task's sake.
        assert slope_T(logit_T, kept_N, None, sampling).abs().max() > 1e-3


def test_labels_of_the_sample_have_these_weights() -> None:
    nan = math.nan
    labels_BT = torch.tensor([[1.0, 0.0, nan], [0.0, 0.0, nan], [nan, nan, nan], [0.0, 1.0, 1.0]])
    of_rows_BT = torch.tensor([[2.0, 4.0, 8.0]]).expand(4, 3)
    weight_BT = NegativeSampling(0.25).weights(labels_BT, of_rows_BT)
    assert weight_BT is not None
    known_BT = ~labels_BT.isnan()
    assert weight_BT[known_BT].tolist() == [2.0, 1.0, 2.0, 4.0, 0.5, 4.0, 8.0]
    assert NegativeSampling().weights(labels_BT, of_rows_BT) is of_rows_BT


def test_weights_follow_the_training_prevalences(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    rate = {task: few[1].prevalence(task) for task in few[0].tasks}
    rules: dict[str, Callable[[float], float]] = {
        "inverse_rate": lambda p: 1 / p,
        "sqrt_inverse_rate": lambda p: p**-0.5,
        "inverse_entropy": lambda p: 1 / -(p * math.log(p) + (1 - p) * math.log(1 - p)),
        "equal": lambda _: 1.0,
    }
    for name, rule in rules.items():
        config = config_in(tmp_path, few, f"train.task_weights={name}", "spec.tasks.marital.weight=3")
        factors = np.array([rule(rate[task]) for task in config.tasks])
        expected = factors / factors.mean() * [1, 3, 1]
        assert task_weights(config, few[1]) == pytest.approx(expected.tolist())
        assert trainer_of(config, few[1]).weight_T.tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_a_run_starts_at_the_prevalences_of_all_rows_and_trains_on_a_sample(
    tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    torch.set_num_threads(1)  # as training does
    config = config_in(tmp_path, few, "train.max_steps=0", "train.keep_negatives=0.3", "train.prior_bias=true")
    trainer, whole = trainer_of(config, few[1]), trainer_of(few[0], few[1])
    assert len(trainer.splits["train"]) < len(whole.splits["train"])
    labels = few[1].manifest["splits"]["val"]["tasks"]
    for task, metrics in trainer.evaluate("val").items():
        # Predicted over actual positives; the layers' draws move the mean prediction by a few percent.
        share = labels[task]["positives"] / labels[task]["known"]
        assert metrics["calibration"] * share == pytest.approx(few[1].prevalence(task), rel=0.3)
    for split in ("val", "test"):
        assert len(trainer.splits[split]) == len(whole.splits[split])


@pytest.mark.slow
def test_a_run_on_a_sample_predicts_as_many_positives_as_one_on_all_rows(
    tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    options = ("train.max_steps=0", "train.epochs=3", "train.batch_size=64", "train.lr=0.005", "model.dropout=0")
    sampled, whole = (
        train(config_in(tmp_path, few, *options, f"train.keep_negatives={share}"), few[1]) for share in (0.2, 1.0)
    )
    for task, metrics in sampled.test.items():
        # Without the correction the odds would be those of the sample, up to five times as high.
        assert metrics["calibration"] == pytest.approx(whole.test[task]["calibration"], rel=0.5)
        assert metrics["auc"] > whole.test[task]["auc"] - 0.03


def test_a_run_without_these_keys_keeps_its_name(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    keys = ("task_weights", "prior_bias", "keep_negatives", "calibration")
    assert not {*keys} & depends_on(few[0], few[1])["train"].keys()
    options = ["train.task_weights=inverse_rate", "train.prior_bias=true", "train.keep_negatives=0.5"]
    options.append("train.calibration=platt")
    assert {*keys} <= depends_on(config_in(tmp_path, few, *options), few[1])["train"].keys()
