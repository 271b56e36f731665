"""One run: it is repeatable, keeps its best epoch, stops early, and is refused if it diverges."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.batches import Batches
from pipeline.data.prepared import Prepared
from pipeline.runs.run import WEIGHTS, Epoch, Run, architecture_of, depends_on, find_run
from pipeline.training.build import build_model
from pipeline.training.schedules import one_cycle
from pipeline.training.training import train
from tests.conftest import debug_config

LONGER = ("train.max_steps=0", "train.epochs=3", "train.batch_size=256", "train.lr=0.01")


def config_in(folder: Path, few: tuple[RunConfig, Prepared], *overrides: str) -> RunConfig:
    return debug_config(folder, *overrides, f"data.prepared={few[0].data.prepared}")


@pytest.mark.parametrize("method", ["uniform", "pcgrad", "gradops(alpha=-1)"])
def test_a_seed_gives_one_run(tmp_path: Path, few: tuple[RunConfig, Prepared], method: str) -> None:
    weights = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = config_in(tmp_path / folder, few, f"train.method={method}", f"train.seed={seed}")
        torch.rand(7)  # what others draw from the global generator is no part of a run
        weights.append(load_file(train(config, few[1]).folder / "weights.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_run_is_found_by_what_it_depends_on(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    config = config_in(tmp_path, few)
    assert find_run(config, few[1]) is None
    seen: list[Epoch] = []
    run = train(config, few[1], seen.append)
    assert find_run(config, few[1]) == run == Run.load(run.folder)
    assert seen == run.history
    assert find_run(config_in(tmp_path, few, "train.lr=0.1"), few[1]) is None
    assert find_run(config_in(tmp_path, few, "model.dropout=0"), few[1]) is None
    # How a comparison is made is nothing to a run.
    assert find_run(config_in(tmp_path, few, "compare.seeds=3"), few[1]) == run
    saved = json.loads((run.folder / "config.json").read_text())
    assert saved == config.model_dump(mode="json")


def test_diagnostics_are_sampled(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    run = train(config_in(tmp_path, few, "train.method=gradops"), few[1])
    assert list(run.history[0].diagnostics) == [0, 5]
    report = run.history[0].diagnostics[5]
    assert 0 <= report["conflict_rate"] <= 1
    assert {"weight.income", "norm.marital", "cosine.income.education", "update_norm"} <= report.keys()
    assert all(report[f"update_cosine.{task}"] > -1e-6 for task in run.tasks)


def test_the_best_epoch_is_kept_and_patience_ends_a_run(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    options = ("train.max_steps=0", "train.epochs=30", "train.lr=0.05", "train.patience=2", "train.batch_size=500")
    config = config_in(tmp_path, few, *options)
    run = train(config, few[1])
    scores = [epoch.mean_auc for epoch in run.history]
    assert scores[run.best_epoch] == max(scores)
    assert len(scores) == run.best_epoch + 3 < 30
    assert run.val == run.history[run.best_epoch].val
    assert aucs_of_saved_weights(run, config, few[1]) == pytest.approx({t: m["auc"] for t, m in run.test.items()})


@pytest.mark.parametrize("select_by", ["log_loss", "auc.education"])
def test_another_metric_chooses_the_epoch_and_the_end(
    tmp_path: Path, few: tuple[RunConfig, Prepared], select_by: str
) -> None:
    options = ("train.max_steps=0", "train.epochs=30", "train.lr=0.05", "train.patience=2", "train.batch_size=500")
    config = config_in(tmp_path, few, *options, f"train.select_by={select_by}")
    run = train(config, few[1])
    figures = [-fmean(m["logloss"] for m in epoch.val.values()) for epoch in run.history]
    if select_by == "auc.education":
        figures = [epoch.val["education"]["auc"] for epoch in run.history]
    assert run.best_epoch == figures.index(max(figures)) == len(figures) - 3
    assert depends_on(config, few[1])["train"]["select_by"] == config.train.selection.text
    assert "select_by" not in depends_on(config_in(tmp_path, few), few[1])["train"]


def aucs_of_saved_weights(
    run: Run, config: RunConfig, prepared: Prepared, weights: Path | None = None
) -> dict[str, float]:
    encoder = prepared.encoder()
    model = build_model(encoder, run.tasks, architecture_of(config), seed=9).eval()
    model.load_state_dict(load_file(weights or run.folder / "weights.safetensors"))
    (batch,) = Batches(prepared.folder / "test", encoder.spec, run.tasks, batch_size=10_000).in_order()
    with torch.no_grad():
        logits_BT = model(batch.bags, batch.value_BV)
    return {t: roc_auc_score(batch.labels_BT[:, i], logits_BT[:, i]) for i, t in enumerate(run.tasks)}


def test_a_split_is_measured_batch_by_batch(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    whole = train(config_in(tmp_path / "whole", few), few[1])
    parts = train(config_in(tmp_path / "parts", few), few[1], evaluation_batch=7)
    assert {name for metrics in parts.test.values() for name in metrics} == {
        *("auc", "auc_error", "ap", "logloss", "normalised_entropy", "calibration", "calibration_error")
    }
    for task, metrics in parts.test.items():
        # Other batches round the outputs otherwise, and two rows that all but tie may change places.
        assert metrics == pytest.approx(whole.test[task], rel=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        ("train.schedule=constant",),
        ("train.schedule=one_cycle",),
        ("train.clip_norm=0.1",),
        ("train.measure=features", "train.method=mgda"),
        ("model.tower=[8]", "model.bottom=[16]", "model.dropout=0"),
        ("train.tasks=['marital']",),
        ("train.precision=bfloat16", "train.method=pcgrad"),
        ("train.micro_batch=37", "train.method=pcgrad"),
        ("train.gram_share=0.25", "train.method=pcgrad"),
        ("train.gram_every=4", "train.method=pcgrad"),
    ],
)
def test_every_option_learns(tmp_path: Path, few: tuple[RunConfig, Prepared], options: tuple[str, ...]) -> None:
    run = train(config_in(tmp_path, few, *LONGER, *options), few[1])
    assert run.test["marital"]["auc"] > 0.9
    assert run.history[-1].step == 3 * 8


@pytest.mark.parametrize("method", ["uniform", "gradops(alpha=-2)", "rotograd + rotation(map='cayley')"])
def test_a_run_in_pieces_is_the_run(tmp_path: Path, few: tuple[RunConfig, Prepared], method: str) -> None:
    options = (f"train.method={method}", "model.dropout=0", "train.clip_norm=0.5")
    whole = train(config_in(tmp_path / "whole", few, *options), few[1])
    pieces = train(config_in(tmp_path / "pieces", few, *options, "train.micro_batch=37"), few[1])
    for ours, theirs in zip(pieces.history, whole.history, strict=True):
        assert ours.losses == pytest.approx(theirs.losses, rel=1e-4)
    for task, metrics in pieces.test.items():
        assert metrics["auc"] == pytest.approx(whole.test[task]["auc"], abs=1e-4)


def test_half_precision_trains_as_single_does_and_is_recorded_in_single(
    tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    options = ("train.method=gradops(alpha=-2)", "model.dropout=0", *LONGER)
    single = train(config_in(tmp_path / "single", few, *options), few[1])
    half = train(config_in(tmp_path / "half", few, *options, "train.precision=bfloat16"), few[1])
    assert half.test != single.test
    for task, metrics in half.test.items():
        assert metrics["auc"] == pytest.approx(single.test[task]["auc"], abs=0.01)
    assert {value.dtype for value in load_file(half.folder / WEIGHTS).values()} == {torch.float32}


def test_the_diagnostics_tell_the_error_of_an_approximation(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    run = train(config_in(tmp_path, few, "train.method=pcgrad", "train.gram_every=4", "train.diagnose_every=3"), few[1])
    told = {step: "gram_cosine_error" in record for step, record in run.history[0].diagnostics.items()}
    assert told == {step: step % 4 != 0 for step in range(0, 10, 3)}  # ten steps; the matrix is new at 0, 4 and 8


@pytest.mark.parametrize("steps", ["train.max_steps=0", "train.max_steps=20"])
def test_one_cycle_ends_at_zero_wherever_the_steps_end(
    tmp_path: Path, few: tuple[RunConfig, Prepared], steps: str
) -> None:
    run = train(config_in(tmp_path, few, *LONGER, "train.schedule=one_cycle", steps), few[1])
    assert run.history[0].lr > 0.005
    assert run.history[-1].lr == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 6, 7, 1000])
def test_one_cycle_rises_for_a_fifth_and_falls_to_zero(total: int) -> None:
    shares = [one_cycle(step, total) for step in range(total + 1)]
    top = shares.index(max(shares))
    assert shares[:top] == sorted(shares[:top])
    assert shares[top:] == sorted(shares[top:], reverse=True)
    assert abs(top - total / 5) < 1
    assert shares[0] == pytest.approx(0.04)
    assert shares[-1] == pytest.approx(0.0)


@pytest.mark.parametrize("steps", ["train.max_steps=0", "train.max_steps=1"])
@pytest.mark.parametrize("method", ["uniform", "mgda", "gradops(alpha=-2)"])
def test_a_diverging_run_says_what_to_change(
    tmp_path: Path, few: tuple[RunConfig, Prepared], method: str, steps: str
) -> None:
    config = config_in(tmp_path, few, *LONGER, "train.lr=1e30", f"train.method={method}", steps)
    with pytest.raises(InputError, match=r"no longer finite.*`train.lr`"):
        train(config, few[1])
    assert find_run(config, few[1]) is None


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here_is_an_input_error(
    tmp_path: Path, few: tuple[RunConfig, Prepared], device: str
) -> None:
    with pytest.raises(InputError, match="cannot be used here"):
        train(config_in(tmp_path, few, f"train.device={device}"), few[1])


def test_a_damaged_run_is_trained_again_or_named(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    config = config_in(tmp_path, few)
    run = train(config, few[1])
    (run.folder / "result.json").write_text('{"tasks"')
    with pytest.raises(InputError, match=f"delete {run.folder}"):
        find_run(config, few[1])
    (run.folder / "weights.safetensors").unlink()
    assert find_run(config, few[1]) is None
    assert train(config, few[1]).test == run.test
