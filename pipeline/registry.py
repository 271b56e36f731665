"""Versions and aliases of the registered model: one version a trade-off worth keeping."""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import mlflow
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType

from features.encoder import Encoder
from pipeline.candidates import Candidate, TradeOffs, worth_keeping
from pipeline.config import ModelConfig
from pipeline.interruption import uninterrupted
from pipeline.recorder import FINGERPRINT
from pipeline.runs import CONFIG, WEIGHTS, Run
from pipeline.scoring import ARTIFACT, Scorer
from pipeline.tracking import Tracker

_MODEL = "gradops.model"
_ROOT = Path(__file__).parent.parent
# What a served model imports: its own code travels with it, these are installed beside it.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "polars", "polars-hash", "pyarrow", "pydantic", "safetensors", "torch")


@uninterrupted()
def register(tradeoffs: TradeOffs, tracker: Tracker, *, only_best: bool = False) -> dict[str, int]:
    """Register the trade-offs of a comparison or a search that are worth keeping, and point the aliases at them.

    Everything is chosen by validation AUC, never by test. ``balanced`` is the lowest Δm%, ``best-<task>`` the highest
    AUC of a task. ``champion``, the model in service, is set to ``balanced`` only where there is none: it never moves
    by itself.

    Args:
        tradeoffs: What to choose from; its config's name is the registered model's.
        tracker: Where its runs were recorded.
        only_best: Whether a version is made only of what an alias points at: the front of a search has dozens of
            models. All of them are logged.

    Returns:
        Alias to version; empty if there is nothing to choose from.
    """
    name, client = tradeoffs.config.name, tracker.client
    kept = worth_keeping(tradeoffs)
    if not kept:
        return {}
    chosen = {"balanced": min(kept, key=lambda one: one.delta_m_pct)}
    chosen |= {f"best-{task}": max(kept, key=lambda one: one.auc[task]) for task in tradeoffs.config.tasks}
    for one in kept if only_best else ():
        _model_of(one.run, tradeoffs, tracker)
    wanted = chosen.values() if only_best else kept
    versions = {one.system: _version_of(one, tradeoffs, tracker) for one in wanted}
    aliases = {alias: versions[one.system] for alias, one in chosen.items()}
    for alias, number in aliases.items():
        client.set_registered_model_alias(name, alias, str(number))
    return {"champion": _champion(client, name, aliases["balanced"]), **aliases}


def _champion(client: MlflowClient, name: str, otherwise: int) -> int:
    current = client.get_registered_model(name).aliases.get("champion")
    if current is None:
        client.set_registered_model_alias(name, "champion", str(otherwise))
    return int(current or otherwise)


def _version_of(candidate: Candidate, tradeoffs: TradeOffs, tracker: Tracker) -> int:
    """The version that serves a candidate's run, registered now if it is not yet."""
    name, client, run = tradeoffs.config.name, tracker.client, candidate.run
    known = client.search_model_versions(f"name = '{name}' and tags.`{FINGERPRINT}` = '{run.fingerprint}'")
    for found in known:
        # A record whose files somebody deleted serves nobody.
        if mlflow.artifacts.list_artifacts(artifact_uri=found.source):
            return int(found.version)
    tags = {FINGERPRINT: run.fingerprint, "method": candidate.system, "data": tradeoffs.prepared.fingerprint}
    tags |= {f"val.auc.{task}": f"{run.val[task]['auc']:.4f}" for task in run.tasks}
    tags["val.delta_m_pct_drop"] = f"{candidate.delta_m_pct:.3f}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    words, model = f"{candidate.system}, seed {run.seed}: {_words(run)}", _model_of(run, tradeoffs, tracker)
    uri, run_id = f"models:/{model}", tracker.run_id(run)
    made = client.create_model_version(name, uri, run_id, tags=tags, description=words, model_id=model)
    return int(made.version)


def _public(number: str) -> str:
    """A version that an index has: without the build's local part, as in ``2.13.0+cpu``."""
    return number.partition("+")[0]


def _words(run: Run) -> str:
    aucs = ", ".join(f"{task} {metrics['auc']:.4f}" for task, metrics in run.test.items())
    return f"test AUC {aucs}, mean {mean(m['auc'] for m in run.test.values()):.4f}"


def _model_of(run: Run, tradeoffs: TradeOffs, tracker: Tracker) -> str:
    """The logged model of a run, logged to its MLflow run now if it is not yet."""
    run_id = tracker.run_id(run)
    known = tracker.client.get_run(run_id).data.tags.get(_MODEL)
    if known and mlflow.artifacts.list_artifacts(artifact_uri=f"models:/{known}"):
        return str(known)
    logged = _log(run, tradeoffs, run_id)
    tracker.client.set_tag(run_id, _MODEL, logged)
    return logged


def _log(run: Run, tradeoffs: TradeOffs, run_id: str) -> str:
    """Log a run's model to its MLflow run."""
    # A search may have changed the network from run to run.
    network = ModelConfig.model_validate(json.loads((run.folder / CONFIG).read_text())["model"]).network
    encoder = tradeoffs.prepared.folder / "encoder"
    with TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        # MLflow would like an example row beside the explicit signature; rows of a log are not ours to publish.
        warnings.filterwarnings("ignore", "(?s).*input example", UserWarning)
        files = Path(folder) / ARTIFACT
        weights = run.folder / WEIGHTS
        Scorer.write(files, encoder=encoder, weights=weights, tasks=tuple(run.tasks), network=network)
        info = mlflow.pyfunc.log_model(
            name="model",
            # A path: MLflow runs the file when it loads the model, and pickles nothing.
            python_model=str(_ROOT / "pipeline" / "pyfunc.py"),
            artifacts={ARTIFACT: str(files)},
            code_paths=[str(_ROOT / package) for package in ("features", "models", "pipeline")],
            signature=signature(tradeoffs.prepared.encoder(), run.tasks),
            pip_requirements=[f"{package}=={_public(version(package))}" for package in _REQUIREMENTS],
        )
    assert info.signature is not None, "MLflow drops a signature that it does not understand without a word"
    return str(info.model_id)


def signature(encoder: Encoder, tasks: list[str]) -> ModelSignature:
    """Raw feature columns in, one probability a task out.

    What is not text has MLflow's type "any": a column of integers reaches a server as integers, or as floats once one
    is missing, and MLflow refuses either where the other is declared. The encoder's own contract checks the types.
    """
    inputs: list[ColSpec | TensorSpec] = [ColSpec(_type(dtype), column) for column, dtype in encoder.dtypes.items()]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, task) for task in tasks]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _type(dtype: str) -> DataType | AnyType:
    return DataType.string if dtype in ("String", "Categorical", "Enum") else AnyType()
