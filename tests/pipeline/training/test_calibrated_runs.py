"""A calibrated run: its figures, its scores and its served model are all of the calibrated probabilities."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import log_loss

from features.errors import InputError
from pipeline.comparison.scores import TestRows, computed_scores
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.report.tables import calibration
from pipeline.runs.run import WEIGHTS, Run
from pipeline.serving.kinds.network import NetworkContent
from pipeline.serving.scorer import Scorer
from pipeline.tracking.names import result_metrics
from pipeline.training.training import train
from tests.conftest import debug_config

if TYPE_CHECKING:
    from pipeline.report.results import Result


@pytest.mark.parametrize("kind", ["platt", pytest.param("isotonic", marks=pytest.mark.slow)])
def test_every_probability_of_a_run_is_calibrated(tmp_path: Path, few: tuple[RunConfig, Prepared], kind: str) -> None:
    prepared = few[1]
    options = (f"data.prepared={few[0].data.prepared}", "train.lr=0.01")
    plain = train(debug_config(tmp_path, *options), prepared)
    run = train(debug_config(tmp_path, *options, f"train.calibration={kind}"), prepared)
    assert run == Run.load(run.folder)
    assert run.uncalibrated == {"val": plain.val, "test": plain.test}
    weights = [load_file(one.folder / WEIGHTS) for one in (run, plain)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    for task in run.tasks:
        # Fitted there: no straight line, nor rising curve, is better.
        assert run.val[task]["logloss"] < plain.val[task]["logloss"]
        assert run.val[task]["calibration"] == pytest.approx(1, abs=0.02)
        if kind == "platt":
            assert run.test[task]["auc"] == pytest.approx(plain.test[task]["auc"], abs=1e-6)
    names = {name for name, *_ in result_metrics(run)}
    assert {"test.logloss.income", "uncalibrated.test.logloss.income"} <= names
    assert not any(name.startswith("uncalibrated") for name, *_ in result_metrics(plain))
    point = SimpleNamespace(label="uniform")
    both = SimpleNamespace(complete=[point], runs=lambda _: [run, plain], tasks=run.tasks)
    table = calibration(cast("Result", both))[0]
    assert table.rows == [
        ["uniform", *(f"{plain.test[t]['logloss']:.4f} → {run.test[t]['logloss']:.4f}" for t in run.tasks)]
    ]
    rows = TestRows(prepared)
    scores_NT, labels_NT = computed_scores(run, rows), rows.labels(run.tasks)
    for place, task in enumerate(run.tasks):
        known_N = ~np.isnan(labels_NT[:, place])
        expected = log_loss(labels_NT[known_N, place], scores_NT[known_N, place].astype(np.float64))
        assert run.test[task]["logloss"] == pytest.approx(expected, rel=1e-5)
    folder = tmp_path / "served"
    packed = NetworkContent.packed(
        weights=run.folder / WEIGHTS, tasks=run.tasks, architecture=run.architecture, calibrators=run.calibrators
    )
    Scorer.write(folder, encoder=prepared.folder / "encoder", packed=packed)
    scorer = Scorer.load(folder)
    served = scorer.probabilities(Window.of(rows.features, scorer.encoder.spec, ())).select(run.tasks).to_numpy()
    assert served == pytest.approx(scores_NT, abs=1e-6)


def test_quotients_of_calibrated_probabilities_are_refused(tmp_path: Path) -> None:
    model = 'model={kind="esmm", given={marital="income"}, conditional=true}'
    with pytest.raises(InputError, match=r"train\.calibration .* set `conditional = false` or `calibration"):
        debug_config(tmp_path, model, "train.calibration=platt")


def test_a_served_network_calibrates_all_tasks_or_none() -> None:
    one = {"kind": "platt", "slope": 1.0, "intercept": 0.5}
    content = NetworkContent.model_validate({"tasks": ["a"], "network": {}, "calibration": {"a": one}})
    assert NetworkContent.model_validate_json(content.written()) == content
    # Folders of before have no such key, and equal models keep their digests.
    assert "calibration" not in NetworkContent.model_validate({"tasks": ["a"], "network": {}}).written()
    with pytest.raises(ValueError, match=r"`calibration` should be of every task \(a, b\), found a"):
        NetworkContent.model_validate({"tasks": ["a", "b"], "network": {}, "calibration": {"a": one}})
    chain = {"kind": "esmm", "given": {"b": "a"}, "conditional": True}
    with pytest.raises(ValueError, match="gives further outputs"):
        NetworkContent.model_validate({"tasks": ["a", "b"], "network": chain, "calibration": {"a": one, "b": one}})
