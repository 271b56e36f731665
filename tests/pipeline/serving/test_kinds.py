"""Bundles, boosted trees and ensembles as served models: the same scores in every place, and folders that lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.comparison.boosting import train_boosting
from pipeline.comparison.made_candidates import made_candidates
from pipeline.comparison.made_of import MAKERS
from pipeline.comparison.packed import members_of, packed_run
from pipeline.comparison.scores import TestRows, computed_scores
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import task_metrics
from pipeline.registry.heldout import held_out
from pipeline.runs.run import WEIGHTS, Run, architecture_of
from pipeline.serving.answers import Answers
from pipeline.serving.batch import Scoring
from pipeline.serving.export.client import Client
from pipeline.serving.export.exported import export
from pipeline.serving.pyfunc import ServedModel
from pipeline.serving.requests import Limits
from pipeline.serving.scorer import ARTIFACT, Scorer
from pipeline.training.build import build_model
from tests.pipeline.serving.lying_folders import assert_refused
from tests.pipeline.small_shop import shop_config, shop_log, write

USER = {"user_id": '{ kind = "categorical", buckets = 5_000 }', "tags": '{ kind = "multi_hot" }'}


@dataclass(frozen=True)
class Shop:
    config: RunConfig
    prepared: Prepared
    runs: dict[str, Run]
    systems: dict[str, list[Run]]
    folder: Path

    def model(self, kind: str, place: Path) -> Path:
        Scorer.write(place / kind, encoder=self.prepared.folder / "encoder", packed=packed_run(self.runs[kind]))
        return place / kind


def one_task(config: RunConfig, task: str) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"tasks": (task,)})})


def untrained(config: RunConfig, prepared: Prepared, method: str, seed: int) -> Run:
    """A run with random weights, as if training had ended."""
    tasks = list(config.tasks)
    model = build_model(prepared.encoder(), tasks, architecture_of(config), seed=seed)
    folder = config.runs / f"{method}-{'-'.join(tasks)}-{seed}"
    metrics = {task: {"auc": 0.5 + seed / 100} for task in tasks}
    run = Run(folder, tasks, method, seed, 0, metrics, metrics, [])
    return run.save(config, WEIGHTS, model.plain_state())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("kinds")
    with chdir(folder):
        # An item of before is unknown, a price is missing, a list is empty: the ways of ids and of NaN.
        log = shop_log(800).with_columns(price=pl.when(pl.col("click_id") % 7 > 0).then("price"))
        write(log)
        config = shop_config(
            USER, None, f"data.train={folder}/logs", f"data.prepared={folder}/p", f"runs={folder}/runs"
        )
        prepared = prepare(config)
        systems = {
            "uniform": [untrained(config, prepared, "uniform", seed) for seed in (0, 1)],
            "single-task": [
                untrained(one_task(config, task), prepared, "uniform", seed) for seed in (2, 3) for task in config.tasks
            ],
            "boosting": [train_boosting(one_task(config, task), prepared) for task in config.tasks],
        }
        runs = {kind: make(systems, config, prepared) for kind, make in MAKERS.items()}
    return Shop(config, prepared, runs | {"network": systems["uniform"][0]}, systems, folder)


def test_they_are_made_of_the_runs_that_they_name(shop: Shop) -> None:
    rows = TestRows(shop.prepared)
    of_members = {kind: members_of(shop.runs[kind]) for kind in MAKERS}
    assert [run.seed for run in of_members["bundle"]] == [3, 3], "the best seeds by validation"
    for kind in ("bundle", "boosting"):
        expected_NT = np.concatenate([computed_scores(run, rows) for run in of_members[kind]], axis=1)
        np.testing.assert_array_equal(computed_scores(shop.runs[kind], rows), expected_NT)
    content: Any = packed_run(shop.runs["ensemble"]).content
    expected_NT = np.zeros((len(rows), 2))
    for t, task in enumerate(shop.config.tasks):
        for m, run in enumerate(of_members["ensemble"]):
            if content.weights[t][m]:
                expected_NT[:, t] += content.weights[t][m] * computed_scores(run, rows)[:, run.tasks.index(task)]
    assert any(0 < weight < 1 for of_task in content.weights for weight in of_task)
    np.testing.assert_allclose(computed_scores(shop.runs["ensemble"], rows), expected_NT, rtol=0, atol=1e-7)
    val = {kind: run.val for kind, run in shop.runs.items()}
    for task in shop.config.tasks:
        assert val["ensemble"][task]["auc"] >= max(val[kind][task]["auc"] for kind in ("bundle", "boosting")) - 1e-9


def test_a_searchs_runs_give_the_same_kinds_as_candidates(shop: Shop) -> None:
    baselines = {name: shop.systems[name] for name in ("single-task", "boosting")}
    trials = {"trial 0": shop.systems["uniform"]}
    found = {one.system: one for one in made_candidates(baselines, trials, shop.config, shop.prepared)}
    assert [*found] == ["bundle", "boosting", "ensemble"]
    assert found["bundle"].run == shop.runs["bundle"]
    assert found["bundle"].auc == pytest.approx(dict.fromkeys(shop.config.tasks, 0.525)), "the mean over both seeds"
    assert found["bundle"].delta_m_pct == 0
    pool = {run.fingerprint for runs in shop.systems.values() for run in runs}
    assert {*found["ensemble"].run.members} <= pool
    for task, auc in found["ensemble"].auc.items():
        assert auc == found["ensemble"].run.val[task]["auc_cross_fitted"]
    without = made_candidates({"single-task": baselines["single-task"]}, {}, shop.config, shop.prepared)
    assert [one.system for one in without] == ["bundle", "ensemble"]


def test_they_are_found_again(shop: Shop) -> None:
    for kind in MAKERS:
        assert Run.load(shop.runs[kind].folder) == shop.runs[kind]
        assert shop.runs[kind].members


class Silent:
    def on_start(self, rows: int, done: int) -> None: ...

    def on_part(self, rows: int) -> None: ...


@pytest.mark.parametrize("kind", ["network", "bundle", "boosting", "ensemble"])
def test_every_network_of_a_model_holds_its_tables_in_fewer_bits(shop: Shop, kind: str, tmp_path: Path) -> None:
    folder = shop.model(kind, tmp_path)
    in_float32, reduced = Scorer.load(folder), Scorer.load(folder, "int8")
    assert (in_float32.tables, reduced.tables) == ((None, None) if kind == "boosting" else ("float32", "int8"))
    assert reduced.digest == in_float32.digest, "the files are the same"
    assert {embedding.precision for embedding in reduced.predictor.embeddings} <= {"int8"}
    # W + 2 bytes instead of 4 W, at width 8 or more.
    assert reduced.table_bytes <= 10 / 32 * in_float32.table_bytes
    rows = pl.read_parquet(shop.folder / "logs" / "part-0.parquet").head(200)
    difference = np.abs(reduced.score(rows).to_numpy() - in_float32.score(rows).to_numpy()).max()
    assert 1e-7 < difference < 0.01 if kind != "boosting" else difference == 0


@pytest.mark.parametrize("kind", ["bundle", "boosting", "ensemble"])
def test_scores_are_the_same_everywhere(shop: Shop, kind: str, tmp_path: Path) -> None:
    run, scorer = shop.runs[kind], Scorer.load(shop.model(kind, tmp_path))
    expected_NT = computed_scores(run, TestRows(shop.prepared))
    # Raw rows, encoded by the served model's own encoder, against the rows that `prepare` has written.
    with chdir(shop.folder):
        found = held_out(shop.config, shop.prepared, [scorer], 10_000)
    np.testing.assert_allclose(found.scores[0].to_numpy(), expected_NT, rtol=0, atol=1e-6)
    labels_NT = TestRows(shop.prepared).labels(shop.config.tasks)
    for task, metrics in task_metrics(labels_NT, expected_NT, run.tasks).items():
        assert run.test[task]["logloss"] == pytest.approx(metrics["logloss"], abs=1e-6)
        assert run.test[task]["auc"] == pytest.approx(metrics["auc"], abs=1e-6)
    raw = pl.read_parquet(shop.folder / "logs" / "part-0.parquet").head(200)
    scores = scorer.score(raw)
    assert scores.columns == [*shop.config.tasks]
    assert scorer.score(raw.head(0)).height == 0
    raw.write_parquet(tmp_path / "rows.parquet")
    Scoring.of(scorer, str(tmp_path / "rows.parquet"), tmp_path / "out", None).run(Silent())
    files = pl.read_parquet(tmp_path / "out" / "part-*.parquet").select(shop.config.tasks)
    served = ServedModel()
    served.load_context(SimpleNamespace(artifacts={ARTIFACT: str(tmp_path / kind)}))  # type: ignore[arg-type]
    asked: Any = None
    frame = pl.from_pandas(served.predict(asked, raw.to_pandas()))
    body = json.dumps({"inputs": raw.select(scorer.columns).to_dict(as_series=False)}).encode()
    answer = pl.DataFrame(json.loads(Answers(scorer, Limits())(body, "application/json").content)["predictions"])
    for one in (files, frame, answer):
        np.testing.assert_allclose(one.to_numpy(), scores.to_numpy(), rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["network", "bundle", "boosting", "ensemble"])
def test_an_export_of_every_kind_scores_the_same(shop: Shop, kind: str, tmp_path: Path) -> None:
    scorer = Scorer.load(shop.model(kind, tmp_path))
    export(scorer, tmp_path / "out")
    raw = pl.read_parquet(shop.folder / "logs" / "part-0.parquet").head(200).select(scorer.columns)
    columns = json.loads(json.dumps(raw.to_dict(as_series=False), default=str))
    found = pl.DataFrame(Client(tmp_path / "out").scores(columns))
    np.testing.assert_allclose(found.to_numpy(), scorer.score(raw).to_numpy(), rtol=0, atol=1e-6)


def test_a_networks_folder_says_no_kind_as_before_there_were_others(shop: Shop, tmp_path: Path) -> None:
    folder = shop.model("network", tmp_path)
    assert {*json.loads((folder / "model.json").read_text())} == {"tasks", "network"}
    names = ["model.json", "weights.safetensors", "encoder/encoder.json", "encoder/vocabulary.parquet"]
    assert [*json.loads((folder / "manifest.json").read_text())["files"]] == names


def content(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    found = json.loads((folder / "model.json").read_text())
    change(found)
    (folder / "model.json").write_text(json.dumps(found))


def arrays(file: Path, **changes: torch.Tensor) -> None:
    save_file(load_file(file) | changes, file)


def told(*columns: dict[str, str]) -> torch.Tensor:
    return torch.frombuffer(bytearray(json.dumps(columns).encode()), dtype=torch.uint8)


TREES = "trees-0.safetensors"
LIES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a kind that is none": (
        "network",
        lambda f: content(f, lambda c: c.update(kind="bundel")),
        "did you mean `bundle`",
    ),
    "another kind": ("bundle", lambda f: content(f, lambda c: c.update(kind="boosting")), "is not a readable model"),
    "a list": ("network", lambda f: (f / "model.json").write_text("[]"), "should be a JSON object"),
    "a file too many": ("network", lambda f: shutil.copy(f / "weights.safetensors", f / "more.safetensors"), "`more"),
    "a file too few": ("bundle", lambda f: shutil.rmtree(f / "networks" / "1"), "`networks/1/weights.safetensors`"),
    "tasks of no network": ("bundle", lambda f: content(f, lambda c: c["tasks"].reverse()), "one after another"),
    "weights of two": ("ensemble", lambda f: content(f, lambda c: c["weights"].append([1.0])), "one list a task"),
    "weights below 0": ("ensemble", lambda f: content(f, lambda c: c["weights"][0].__setitem__(0, -1)), "weights.0.0"),
    "a sum that is not 1": (
        "ensemble",
        lambda f: content(f, lambda c: c.update(weights=[[0.1] * len(c["members"])] * 2)),
        "should sum to 1",
    ),
    "no member": ("ensemble", lambda f: content(f, lambda c: c.update(members=[], weights=[[], []])), "members"),
    "a weight for another's task": (
        "ensemble",
        lambda f: content(f, lambda c: [m.update(tasks=["other"]) for m in c["members"]]),
        "which it does not predict",
    ),
    "an ensemble in an ensemble": (
        "ensemble",
        lambda f: content(f, lambda c: c["members"][0].update(kind="ensemble")),
        "members.0",
    ),
    "trees of no columns": ("boosting", lambda f: arrays(f / TREES, columns=told()), "one of 0 columns"),
    "columns of no feature": (
        "boosting",
        lambda f: arrays(f / TREES, columns=told({"feature": "x", "read": "number"})),
        "no feature `x`",
    ),
    "a number read as a list": (
        "boosting",
        lambda f: arrays(f / TREES, columns=told({"feature": "price", "read": "entries"})),
        "cannot be read as `entries`",
    ),
    "a category without its values": (
        "boosting",
        lambda f: arrays(f / TREES, **{"ids.country": torch.zeros(300, dtype=torch.int32)}),
        "at most 254 numbers",
    ),
    "columns that are no text": ("boosting", lambda f: arrays(f / TREES, columns=torch.ones(1)), "text in uint8"),
    "leaves beyond numbers": (
        "boosting",
        lambda f: arrays(f / TREES, leaf_L=load_file(f / TREES)["leaf_L"] * torch.inf),
        "should be numbers",
    ),
    "trees that are none": ("boosting", lambda f: (f / TREES).write_bytes(b"x" * 100), "is no safetensors file"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_folder_that_is_sealed_and_lies_is_refused(shop: Shop, name: str, tmp_path: Path) -> None:
    kind, spoil, message = LIES[name]
    folder = shop.model(kind, tmp_path)
    assert_refused(folder, spoil, message)
