"""The main job on a few rows, end to end: runs, table, tracking, registry, and a served model equal to the trained."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import polars as pl
import pytest
import torch
from mlflow.tracking import MlflowClient
from safetensors.torch import load_file

from gradops.methods import format_method, parse
from pipeline.comparison.candidates import pareto_optimal
from pipeline.comparison.compare import compare
from pipeline.comparison.comparison import Comparison, comparison_fingerprint, plan_networks
from pipeline.config.run import RunConfig
from pipeline.config.split import split_by_key
from pipeline.data.batches import Batches
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.evaluation.multitask import delta_m_pct, task_metrics
from pipeline.registry.register import register_comparison
from pipeline.runs.plan import SINGLE_TASK, UNIFORM, PlannedRun
from pipeline.runs.run import Epoch, Run, architecture_of
from pipeline.serving.kinds.network import NetworkContent
from pipeline.serving.scorer import Scorer
from pipeline.tracking.group import RunGroup
from pipeline.tracking.names import metric_safe
from pipeline.tracking.tracker import Tracker
from pipeline.training.build import build_model
from pipeline.training.training import train
from tests.conftest import debug_config

METHODS = "compare.methods=['uniform', 'mgda', 'gradops(alpha=-1)']"


@dataclass
class Witness:
    """Remembers what it was told."""

    epochs: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)

    def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
        self.epochs.append(planned.label)

    def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
        (self.reused if reused else self.trained).append(planned.label)


@dataclass(frozen=True)
class Done:
    """A finished comparison and where it was recorded."""

    config: RunConfig
    prepared: Prepared
    comparison: Comparison
    aliases: dict[str, int]
    store: str
    witness: Witness


def whole_job(config: RunConfig) -> tuple[Comparison, dict[str, int], Witness]:
    """What the command `compare` does."""
    prepared, witness = prepare(config), Witness()
    with Tracker.open(config, prepared, RunGroup.comparison(comparison_fingerprint(config, prepared))) as tracker:
        comparison = compare(config, prepared, [witness, tracker])
        return comparison, {**register_comparison(comparison, tracker).aliases}, witness


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    folder = tmp_path_factory.mktemp("comparison")
    store = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        config = debug_config(folder, METHODS)
        comparison, aliases, witness = whole_job(config)
        yield Done(config, prepare(config), comparison, aliases, store, witness)


@pytest.fixture(autouse=True)
def _its_store(_own_folder: None, done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", done.store)
    mlflow.set_tracking_uri(done.store)


def test_every_system_is_trained_once(done: Done) -> None:
    singles = [f"{SINGLE_TASK} {task} seed 0" for task in ("income", "marital", "education")]
    methods = ["uniform seed 0", "mgda seed 0", "gradops(alpha=-1.0) seed 0"]
    assert sorted(done.witness.trained) == sorted(singles + methods)
    assert not done.witness.reused


def test_the_table_is_made_of_the_runs(done: Done) -> None:
    rows = {row.system: row for row in done.comparison.table("test")}
    assert list(rows) == [SINGLE_TASK.name, "uniform", "mgda", "gradops(alpha=-1.0)"]
    runs = done.comparison.systems
    single = {task: run.test[task]["auc"] for run in runs[SINGLE_TASK.name] for task in run.tasks}
    assert rows[SINGLE_TASK.name].auc == single
    assert rows[SINGLE_TASK.name].delta_m_pct == 0
    mgda = {task: metrics["auc"] for task, metrics in runs["mgda"][0].test.items()}
    assert rows["mgda"].auc == mgda
    assert rows["mgda"].delta_m_pct == delta_m_pct(mgda, single)
    assert rows["mgda"].deviation is None
    saved = json.loads((done.config.runs / "comparisons" / done.comparison.path.name).read_text())
    assert saved["test"][2]["delta_m_pct"] == rows["mgda"].delta_m_pct


def test_everything_is_in_mlflow(done: Done) -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("debug")
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert len(found) == 1 + 6
    parent, child = found["comparison"], found["gradops(alpha=-1.0) seed 0"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert all(run.info.status == "FINISHED" for run in found.values())
    (row,) = [row for row in done.comparison.table("test") if row.system == "gradops(alpha=-1.0)"]
    assert child.data.metrics["comparison.test.delta_m_pct_drop"] == pytest.approx(row.delta_m_pct)
    assert child.data.metrics["test.auc.income"] == pytest.approx(row.auc["income"])
    assert parent.data.metrics["gradops alpha -1.0.test.mean_rank"] == pytest.approx(row.mean_rank)
    assert child.data.params["tradeoff.alpha"] == "-1.0"
    baseline = child.data.tags["gradops.baseline_run_ids"].split(",")
    assert {found[f"{SINGLE_TASK} {t} seed 0"].info.run_id for t in done.config.tasks} == set(baseline)
    cosines = client.get_metric_history(child.info.run_id, "step.cosine.income.marital")
    assert [metric.step for metric in cosines] == [0, 5]
    assert {f.path for f in client.list_artifacts(child.info.run_id)} >= {"result.json", "config.json"}


def test_two_systems_have_two_names_in_a_metric() -> None:
    systems = ["mgda(normalise='loss')", "mgda(normalise='loss+')", "uniform + rotation", "uniform"]
    assert len({metric_safe(system) for system in systems}) == 4
    assert metric_safe("pcgrad + rotation(size=64)") == "pcgrad plus rotation size 64"


def test_aliases_point_at_the_best_by_validation(done: Done) -> None:
    client = MlflowClient()
    kept = pareto_optimal(done.comparison)
    versions = {v.tags["method"]: int(v.version) for v in client.search_model_versions("name = 'debug'")}
    assert versions.keys() == {row.system for row in kept}
    for task in done.config.tasks:
        best = max(kept, key=lambda row: row.auc[task])
        assert done.aliases[f"best-{task}"] == versions[best.system]
        assert int(client.get_model_version_by_alias("debug", f"best-{task}").version) == versions[best.system]
    assert done.aliases["balanced"] == versions[min(kept, key=lambda row: row.delta_m_pct).system]
    assert done.aliases["champion"] == done.aliases["balanced"]


def test_the_front_leaves_out_what_another_beats_everywhere(done: Done) -> None:
    kept = {row.system for row in pareto_optimal(done.comparison)}
    for row in done.comparison.table("val"):
        beaten = any(
            all(other.auc[t] >= row.auc[t] for t in row.auc) and other.auc != row.auc
            for other in done.comparison.table("val")
            if other.system != SINGLE_TASK.name
        )
        assert (row.system in kept) == (row.system != SINGLE_TASK.name and not beaten)


def test_again_nothing_is_trained_recorded_or_registered(done: Done) -> None:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("debug")
    assert experiment is not None
    before = len(client.search_runs([experiment.experiment_id])), len(client.search_model_versions("name = 'debug'"))
    comparison, aliases, witness = whole_job(done.config)
    assert (comparison, aliases) == (done.comparison, done.aliases)
    assert len(witness.reused) == 6
    assert not witness.trained
    for run in client.search_runs([experiment.experiment_id]):
        for name in ("val.auc.income", "test.auc.income", "comparison.test.mean_rank"):
            assert len(client.get_metric_history(run.info.run_id, name)) <= 1, "one epoch, one comparison, one point"
    after = len(client.search_runs([experiment.experiment_id])), len(client.search_model_versions("name = 'debug'"))
    assert after == before


def test_an_interrupted_comparison_trains_only_what_is_missing(done: Done, tmp_path: Path) -> None:
    shutil.copytree(done.config.runs, tmp_path / "runs")
    lost = done.comparison.systems["mgda"][0]
    shutil.rmtree(tmp_path / "runs" / lost.fingerprint)
    config = debug_config(tmp_path, METHODS, f"data.prepared={done.config.data.prepared}")
    witness = Witness()
    again = compare(config, done.prepared, [witness])
    assert witness.trained == ["mgda seed 0"]
    assert again.systems["mgda"][0].test == lost.test


@pytest.mark.slow
def test_workers_and_one_process_give_the_same_runs(done: Done, tmp_path: Path) -> None:
    config = debug_config(tmp_path, METHODS, "compare.workers=2", f"data.prepared={done.config.data.prepared}")
    witness = Witness()
    parallel = compare(config, done.prepared, [witness])
    assert sorted(witness.epochs) == sorted(p.label for p in plan_networks(config))
    for system, runs in parallel.systems.items():
        for run, other in zip(runs, done.comparison.systems[system], strict=True):
            ours, theirs = (load_file(r.folder / "weights.safetensors") for r in (run, other))
            assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_several_seeds_have_a_spread(done: Done, tmp_path: Path) -> None:
    options = ("compare.methods=['uniform']", "compare.seeds=2", f"data.prepared={done.config.data.prepared}")
    comparison = compare(debug_config(tmp_path, *options), done.prepared, [])
    assert [len(runs) for runs in comparison.systems.values()] == [6, 2]
    row = comparison.table("test")[1]
    aucs = [run.test["income"]["auc"] for run in comparison.systems["uniform"]]
    assert row.auc["income"] == pytest.approx(np.mean(aucs))
    assert row.deviation is not None
    assert row.deviation["income"] == pytest.approx(np.std(aucs, ddof=1))


@pytest.mark.slow
def test_runs_keep_their_own_figures_when_several_seeds_are_averaged(tmp_path: Path, done: Done) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/seeds.db")
        options = ("compare.methods=['uniform']", "compare.seeds=2", "train.epochs=2", "train.max_steps=20")
        config = debug_config(tmp_path, *options, f"data.prepared={done.config.data.prepared}")
        comparison, _, _ = whole_job(config)
        client = MlflowClient(f"sqlite:///{tmp_path}/seeds.db")
        for run in comparison.systems["uniform"]:
            (found,) = client.search_runs(["1"], f"tags.`gradops.fingerprint` = '{run.fingerprint}'")
            assert found.data.metrics["test.auc.income"] == pytest.approx(run.test["income"]["auc"])
            curve = client.get_metric_history(found.info.run_id, "val.auc.income")
            assert [m.value for m in curve] == [pytest.approx(e.val["income"]["auc"]) for e in run.history]
    mlflow.set_tracking_uri(done.store)


@pytest.mark.slow
def test_an_interrupted_comparison_is_taken_up_in_mlflow_too(tmp_path: Path, done: Done) -> None:
    @dataclass
    class Interrupting(Witness):
        def on_run_end(self, planned: PlannedRun, run: Run, reused: bool) -> None:
            super().on_run_end(planned, run, reused)
            if len(self.trained) == 2:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/broken.db")
        config = debug_config(tmp_path, METHODS, f"data.prepared={done.config.data.prepared}")
        name = comparison_fingerprint(config, done.prepared)
        with (
            pytest.raises(KeyboardInterrupt),
            Tracker.open(config, done.prepared, RunGroup.comparison(name)) as tracker,
        ):
            compare(config, done.prepared, [tracker, Interrupting()])
        _, aliases, witness = whole_job(config)
        assert len(witness.reused) == 2
        assert aliases.keys() == done.aliases.keys()
        runs = MlflowClient(f"sqlite:///{tmp_path}/broken.db").search_runs(["1"])
        assert len(runs) == 1 + 6
        assert {run.info.status for run in runs} == {"FINISHED"}
    mlflow.set_tracking_uri(done.store)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_comparison_goes_on_inside_a_run(tmp_path: Path, done: Done, workers: int) -> None:
    options = [f"data.prepared={done.config.data.prepared}", "compare.methods=['mgda']", "train.max_steps=0"]
    options += ["train.tasks=['income', 'marital']", "train.epochs=15"]
    config, unbroken = (debug_config(tmp_path / folder, *options) for folder in ("broken", "unbroken"))

    class Interrupting(Witness):
        def on_epoch(self, planned: PlannedRun, epoch: Epoch) -> None:
            super().on_epoch(planned, epoch)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        compare(
            debug_config(tmp_path / "broken", *options, f"compare.workers={workers}"), done.prepared, [Interrupting()]
        )
    saved = [json.loads(path.read_text()) for path in config.runs.glob("checkpoints/*/newest")]
    assert 1 <= len(saved) <= workers
    assert max(saved) >= 16
    again = compare(config, done.prepared, [])
    assert not any((config.runs / "checkpoints").iterdir())
    for system, (expected, *_) in compare(unbroken, done.prepared, []).systems.items():
        ours, theirs = (load_file(r.folder / "weights.safetensors") for r in (again.systems[system][0], expected))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_an_interruption_waits_until_mlflow_has_written(tmp_path: Path, done: Done) -> None:
    log_batch = MlflowClient.log_batch

    def interrupted(*args: Any, **kwargs: Any) -> None:
        if "metrics" in kwargs:  # once: a second signal is not held
            signal.raise_signal(signal.SIGINT)
        log_batch(*args, **kwargs)

    planned = PlannedRun(UNIFORM, done.config.model_copy(update={"name": "ended"}))
    epoch = done.comparison.systems["uniform"][0].history[0]
    with pytest.MonkeyPatch.context() as patch:
        tracker = Tracker.open(planned.config, done.prepared)
        patch.setattr(MlflowClient, "log_batch", interrupted)
        with pytest.raises(KeyboardInterrupt), tracker:
            tracker.on_epoch(planned, epoch)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("ended")
    assert experiment is not None
    (recorded,) = client.search_runs([experiment.experiment_id])
    assert recorded.data.metrics["val.auc.income"] == pytest.approx(epoch.val["income"]["auc"])
    assert recorded.info.status == "FAILED"


@pytest.mark.slow
def test_a_version_whose_files_are_gone_is_registered_again(tmp_path: Path, done: Done) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/gone.db")
        options = ("compare.methods=['uniform']", f"data.prepared={done.config.data.prepared}")
        config = debug_config(tmp_path, *options)
        _, first, _ = whole_job(config)
        shutil.rmtree(tmp_path / "mlartifacts")
        _, second, _ = whole_job(config)
        assert (first["balanced"], second["balanced"], second["champion"]) == (1, 2, 1)
    mlflow.set_tracking_uri(done.store)


def raw_test_rows(done: Done) -> pl.DataFrame:
    shares = {"val": 0.5, "test": 0.5}
    assert done.config.data.holdout is not None
    return pl.read_parquet(done.config.data.holdout).filter(split_by_key(done.config.split, shares) == "test")


def trained_probabilities(done: Done, run: Run) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The training-time model on the prepared test rows."""
    encoder = done.prepared.encoder()
    model = build_model(encoder, run.tasks, architecture_of(done.config), seed=9).eval()
    model.load_state_dict(load_file(run.folder / "weights.safetensors"))
    source = Batches(done.prepared.folder / "test", encoder.spec, run.tasks, batch_size=64)
    with torch.no_grad():
        logits = torch.cat([model(batch.bags, batch.value_BV) for batch in source.in_order()])
    return logits.sigmoid().double().numpy()


@pytest.mark.parametrize(
    "method",
    ["rotograd", "rotograd_r", "rotograd_v1", "rotograd_coop", "pcgrad + rotation(size=64, map='cayley')"],
)
def test_a_rotated_model_is_served_as_it_was_trained(done: Done, tmp_path: Path, method: str) -> None:
    """Its rotations are far from the identity, and what is served has none: they are folded into the towers."""
    turned = parse(method)
    assert turned.rotation is not None
    fast = format_method(replace(turned, rotation=replace(turned.rotation, leader_lr=0.5, cooperative_after=3)))
    places = (f"data.prepared={done.config.data.prepared}", f"train.method={fast}")
    config = debug_config(tmp_path, *places)
    run = train(config, done.prepared)
    with TemporaryDirectory() as folder:
        files = Path(folder) / "scorer"
        weights, encoder = run.folder / "weights.safetensors", done.prepared.folder / "encoder"
        tasks, architecture = tuple(run.tasks), run.architecture
        packed = NetworkContent.packed(weights=weights, tasks=tasks, architecture=architecture)
        Scorer.write(files, encoder=encoder, packed=packed)
        scores = Scorer.load(files).score(raw_test_rows(done))
    source = Batches(done.prepared.folder / "test", done.prepared.encoder().spec, run.tasks, batch_size=64)
    labels = torch.cat([batch.labels_BT for batch in source.in_order()]).numpy()
    for task, metrics in task_metrics(labels, scores.to_numpy(), run.tasks).items():
        # Log loss moves with every single score, AUC with their order: together they leave no room for another model.
        assert metrics["logloss"] == pytest.approx(run.test[task]["logloss"], rel=1e-6)
        assert metrics["auc"] == pytest.approx(run.test[task]["auc"], abs=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_the_registered_model_gives_the_trained_probabilities_from_raw_rows(done: Done) -> None:
    client = MlflowClient()
    version = client.get_model_version_by_alias("debug", "champion")
    (run,) = done.comparison.systems[version.tags["method"]]
    served = mlflow.pyfunc.load_model("models:/debug@champion")
    rows = raw_test_rows(done)
    features = list(done.prepared.encoder().dtypes)
    scores = served.predict(rows.select(features).to_pandas())
    assert list(scores.columns) == run.tasks
    np.testing.assert_allclose(scores.to_numpy(), trained_probabilities(done, run), atol=1e-6)
    # One request alone, with values missing and values never seen, and with columns the model does not know.
    one = rows.head(1).with_columns(age=None, race=pl.lit("unheard of"), sex=None).to_pandas()
    alone = served.predict(one[features])
    assert alone.shape == (1, 3)
    assert alone.notna().all(axis=None)
