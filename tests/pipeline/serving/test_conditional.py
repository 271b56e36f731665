"""Conditional probabilities of `esmm` beside those of the tasks, in files, requests and frames."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import numpy as np
import polars as pl
import pytest
from safetensors.torch import save_file

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.registry.heldout import held_out
from pipeline.registry.packaging import fetched
from pipeline.registry.register import register_run
from pipeline.runs.plan import PlannedRun, System
from pipeline.runs.run import architecture_of
from pipeline.serving.answers import Answers
from pipeline.serving.batch import Scoring
from pipeline.serving.kinds.network import NetworkContent
from pipeline.serving.pyfunc import ServedModel
from pipeline.serving.requests import Limits
from pipeline.serving.scorer import ARTIFACT, Scorer
from pipeline.tracking.tracker import Tracker
from pipeline.training.build import build_model
from pipeline.training.runner import find_or_train
from tests.pipeline.small_shop import shop_config, shop_log, write

OUTPUTS = ["purchase", "cart", "purchase_given_cart"]
ESMM = ("model.kind=esmm", "model.given={purchase='cart'}", "model.conditional=true")


@pytest.fixture
def shop() -> tuple[RunConfig, Prepared]:
    write(shop_log(400))
    config = shop_config(None, None, *ESMM)
    return config, prepare(config)


def untrained(config: RunConfig, prepared: Prepared) -> Path:
    """The folder of a model with random weights."""
    architecture = architecture_of(config)
    model = build_model(prepared.encoder(), config.tasks, architecture, seed=0)
    save_file(model.plain_state(), "weights.safetensors")
    packed = NetworkContent.packed(weights=Path("weights.safetensors"), tasks=config.tasks, architecture=architecture)
    Scorer.write(Path("scorer"), encoder=prepared.folder / "encoder", packed=packed)
    return Path("scorer")


class Silent:
    def on_start(self, rows: int, done: int) -> None: ...

    def on_part(self, rows: int) -> None: ...


def check(scores: pl.DataFrame) -> None:
    assert scores.columns[-3:] == OUTPUTS
    purchase, cart, conditional = scores.select(OUTPUTS).to_numpy().T
    assert np.ptp(conditional) > 0.001
    np.testing.assert_allclose(cart * conditional, purchase, rtol=0, atol=1e-6)


def test_they_stand_beside_the_scores_of_tasks(shop: tuple[RunConfig, Prepared]) -> None:
    config, prepared = shop
    folder, rows = untrained(config, prepared), pl.read_parquet("logs/part-0.parquet")
    scorer = Scorer.load(folder)
    scores = scorer.score(rows)
    check(scores)
    assert scorer.score(rows.head(0)).columns == OUTPUTS
    summary = Scoring.of(scorer, "logs", Path("out"), None).run(Silent())
    assert (summary["tasks"], summary["outputs"]) == (OUTPUTS[:2], OUTPUTS)
    parts = pl.read_parquet("out/part-*.parquet")
    check(parts)
    assert parts.select(OUTPUTS).equals(scores)
    served = ServedModel()
    context: Any = SimpleNamespace(artifacts={ARTIFACT: str(folder)})
    served.load_context(context)
    check(pl.from_pandas(served.predict(context, rows.head(20).to_pandas())))
    body = json.dumps({"inputs": rows.head(20).select(scorer.columns).to_dict(as_series=False)}).encode()
    answer = Answers(scorer, Limits())(body, "application/json")
    check(pl.DataFrame(json.loads(answer.content)["predictions"]))
    for scored in held_out(config, prepared, [scorer], 1000).scores:
        assert scored.columns == OUTPUTS[:2], "labels decide about tasks alone"


def test_a_column_of_their_name_is_not_kept(shop: tuple[RunConfig, Prepared]) -> None:
    scorer = Scorer.load(untrained(*shop))
    write(shop_log(10).with_columns(purchase_given_cart=1), "more/part-0.parquet")
    assert "purchase_given_cart" not in Scoring.of(scorer, "more", Path("out"), None).source.keep
    with pytest.raises(InputError, match="`purchase_given_cart` has the same name as a task or another output"):
        Scoring.of(scorer, "more", Path("out"), ["purchase_given_cart"])


@pytest.mark.slow
def test_the_signature_of_a_registered_model_names_them(shop: tuple[RunConfig, Prepared]) -> None:
    config, prepared = shop
    with Tracker.open(config, prepared) as tracker:
        (run,) = find_or_train([PlannedRun(System(config.train.method), config)], prepared, [tracker], 1)
        version = register_run(config, prepared, run, tracker)
    uri, rows = f"models:/shop/{version}", pl.read_parquet("logs/part-0.parquet")
    served = mlflow.pyfunc.load_model(uri)
    assert served.metadata.get_output_schema().input_names() == OUTPUTS
    asked = rows.select(served.metadata.get_input_schema().input_names()).to_pandas()
    check(pl.from_pandas(served.predict(asked)))
    with fetched(uri) as folder:
        check(Scorer.load(folder).score(rows))
