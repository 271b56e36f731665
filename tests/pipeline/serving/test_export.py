"""Exports score as the model does, by onnxruntime, and a client needs neither torch nor Polars for them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from features.errors import InputError
from features.request.column import UnreadError
from features.request.inputs import Inputs
from features.request.reading import column_of
from features.request.saved import SavedEncoder
from models.architectures import ARCHITECTURES
from models.encodings import EncodingsConfig
from pipeline.evaluation.calibration import Isotonic, Platt
from pipeline.registry.packaging import fetched
from pipeline.serving.answers import Answers
from pipeline.serving.calibration_graph import calibrated_graph
from pipeline.serving.columns import RequestRows
from pipeline.serving.export.client import Client
from pipeline.serving.export.exported import export
from pipeline.serving.export.invented import invented_rows
from pipeline.serving.kinds.network import Network
from pipeline.serving.requests import Limits
from pipeline.serving.scorer import Scorer
from tests.pipeline.serving.conftest import Models
from tests.pipeline.serving.drawn import EXAMPLES, TASKS, network, scorer_of
from tests.pipeline.serving.model_server import records
from tests.pipeline.serving.test_encoding import made

ABSENT = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "polars", "mlflow", "pandas", "pydantic", "onnx", "pipeline", "models"}:
            raise ModuleNotFoundError(f"no module named {name}", name=name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[1] + "/client.py", run_name="__main__")
"""


BY_DEFAULT = ("shared_bottom",)


@pytest.mark.parametrize(
    "name", [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in EXAMPLES]
)
def test_every_architecture_scores_the_same(name: str, tmp_path: Path) -> None:
    encoder = made()
    scorer = scorer_of(encoder, network(encoder, EXAMPLES[name]), TASKS)
    about = export(scorer, tmp_path / "out")
    assert about["largest_difference"] <= 1e-6
    columns: dict[str, Any] = {
        "city": ["Lima", "11", None, "unheard of"],
        "user": ["user 3"],
        "tags": [["red", "new"], [], None, ["old"]],
        "strength": [[1.0, 0.5], [], [1.0], None],
        "at": ["2026-01-31T18:30:00"] * 4,
        "joined": ["2025-06-01T00:00:00"],
        "price": [12.5, None, float("nan"), 0.1],
    }
    found = Client(tmp_path / "out").scores(columns)
    expected = scorer.score(RequestRows.of(columns))
    assert [*found] == expected.columns == [*scorer.outputs]
    np.testing.assert_allclose([*found.values()], expected.to_numpy().T, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_encoded_numbers_and_calibrators_score_the_same(tmp_path: Path) -> None:
    encoder = made()
    features = encoder.spec.features
    periodic = features | {"price": features["price"].model_copy(update={"encoding": "periodic"})}
    encoder = replace(encoder, spec=encoder.spec.model_copy(update={"features": periodic}))
    config = ARCHITECTURES["shared_bottom"].example().model_copy(update={"encoding": EncodingsConfig()})
    points = Isotonic(logits=(-2.0, -0.5, 0.25, 1.0), values=(0.1, 0.1, 0.4, 0.9))
    calibrators = (Platt(slope=1.7, intercept=-0.3), points, Isotonic(logits=(0.5,), values=(0.2,)))
    export(scorer_of(encoder, network(encoder, config, calibrators), TASKS), tmp_path / "out")


@pytest.mark.parametrize(
    "calibrator",
    [
        Platt(slope=1.7, intercept=-0.3),
        Isotonic(logits=(-2.0, -0.5, 0.25, 1.0), values=(0.1, 0.1, 0.4, 0.9)),
        Isotonic(logits=(-1.0, 1.0), values=(0.1, 0.9)),
        Isotonic(logits=(0.5,), values=(0.2,)),
    ],
)
def test_calibrators_are_the_same_in_a_graph(calibrator: Platt | Isotonic) -> None:
    logit_N = np.array([-80.0, -2.0, -1.0, -0.5, -0.4, 0.0, 0.25, 0.5, 1.0, 1.0 + 1e-9, 30.0, float("nan")])
    found = calibrated_graph(calibrator, torch.from_numpy(logit_N))
    np.testing.assert_allclose(found, calibrator.probabilities(logit_N), rtol=1e-12, atol=1e-15)


def test_what_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = made()
    predictor = network(encoder, EXAMPLES["shared_bottom"])
    own = Network.probabilities
    monkeypatch.setattr(Network, "probabilities", lambda self, window: own(self, window) + 2e-6)
    with pytest.raises(InputError, match=r"its graph gives probabilities that differ by 2.*e-06, more than 1e-06"):
        export(scorer_of(encoder, predictor, TASKS), tmp_path / "out")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_a_registered_model_is_scored_by_its_client_alone(models: Models, tmp_path: Path) -> None:
    model = models("plain")
    with fetched(model.uri) as folder:
        scorer = Scorer.load(folder)
    export(scorer, tmp_path / "out")
    rows = records(model.rows)
    columns = {name: [row[name] for row in rows] for name in scorer.columns}
    command = [sys.executable, "-I", "-c", ABSENT, str(tmp_path / "out")]
    done = subprocess.run(command, input=json.dumps(columns), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    answer = Answers(scorer, Limits())(json.dumps({"inputs": columns}).encode(), "application/json")
    served = pl.DataFrame(json.loads(answer.content)["predictions"])
    for expected in (served.to_numpy(), model.evaluated):
        np.testing.assert_allclose(np.transpose([found[name] for name in scorer.outputs]), expected, atol=1e-6)


def test_a_saved_encoder_is_the_same(tmp_path: Path) -> None:
    encoder = made()
    inputs = Inputs(tuple(encoder.spec.id_features), tuple(encoder.spec.value_features), (), encoder.spec.weighted)
    SavedEncoder(encoder.request_encoder, inputs).save(tmp_path)
    found = SavedEncoder.load(tmp_path)
    assert found.inputs == inputs
    columns: dict[str, list[Any]] = {
        "city": ["Lima"],
        "user": ["a"],
        "tags": [["red"]],
        "strength": [[2.0]],
        "at": ["2026-01-31"],
    }
    read = {name: column_of(values) for name, values in {**columns, "joined": ["2025-01-01"], "price": [3]}.items()}
    first, second = (inputs.of(one.encode(read, 1)) for one in (encoder.request_encoder, found.encoder))
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        np.testing.assert_array_equal(array, second[name])
    with pytest.raises(UnreadError, match=r"the rows lack `joined`, which feature `age` reads"):
        found.encoder.encode({name: one for name, one in read.items() if name != "joined"}, 1)


def test_invented_rows_reach_every_row_of_a_table() -> None:
    encoder = made()
    encoded = invented_rows(encoder, 500, seed=0)
    for table in encoder.tables():
        for name in table.features:
            assert encoded.parts[name].known_ids.max() < table.rows
