"""Versions and aliases of the registered model: one version a trade-off worth keeping."""

from __future__ import annotations

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
from pipeline.comparison import Comparison, Row
from pipeline.interruption import uninterrupted
from pipeline.runs import WEIGHTS, Run, mean_auc
from pipeline.scoring import ARTIFACT, Scorer
from pipeline.tracking import FINGERPRINT, Tracker

_ROOT = Path(__file__).parent.parent
# What a served model imports: its own code travels with it, these are installed beside it.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "polars", "polars-hash", "pyarrow", "pydantic", "safetensors", "torch")


@uninterrupted()
def register(comparison: Comparison, tracker: Tracker) -> dict[str, int]:
    """Register the trade-offs of a comparison that are worth keeping, and point the aliases at them.

    Everything is chosen by validation AUC, never by test. ``balanced`` is the lowest Δm%, ``best-<task>`` the highest
    AUC of a task. ``champion``, the model in service, is set to ``balanced`` only where there is none: it never moves
    by itself.

    Args:
        comparison: The finished comparison; its config's name is the registered model's.
        tracker: Where its runs were recorded.

    Returns:
        Alias to version.
    """
    name, client = comparison.config.name, tracker.client
    kept = comparison.worth_keeping()
    versions = {row.system: _version_of(_best_seed(comparison, row), row, comparison, tracker) for row in kept}
    tasks = comparison.config.tasks
    chosen = {"balanced": min(kept, key=lambda row: row.delta_m_pct)}
    chosen |= {f"best-{task}": max(kept, key=lambda row: row.auc[task]) for task in tasks}
    for alias, row in chosen.items():
        client.set_registered_model_alias(name, alias, str(versions[row.system]))
    aliases = {alias: versions[row.system] for alias, row in chosen.items()}
    return {"champion": _champion(client, name, aliases["balanced"]), **aliases}


def _best_seed(comparison: Comparison, row: Row) -> Run:
    return max(comparison.systems[row.system], key=lambda run: mean_auc(run.val))


def _champion(client: MlflowClient, name: str, otherwise: int) -> int:
    current = client.get_registered_model(name).aliases.get("champion")
    if current is None:
        client.set_registered_model_alias(name, "champion", str(otherwise))
    return int(current or otherwise)


def _version_of(run: Run, row: Row, comparison: Comparison, tracker: Tracker) -> int:
    """The version that serves a run, registered now if it is not yet."""
    name, client = comparison.config.name, tracker.client
    known = client.search_model_versions(f"name = '{name}' and tags.`{FINGERPRINT}` = '{run.fingerprint}'")
    for found in known:
        # A record whose files somebody deleted serves nobody.
        if mlflow.artifacts.list_artifacts(artifact_uri=found.source):
            return int(found.version)
    tags = {FINGERPRINT: run.fingerprint, "method": row.system, "data": comparison.prepared.fingerprint}
    tags |= {f"val.auc.{task}": f"{run.val[task]['auc']:.4f}" for task in run.tasks}
    return _log(run, comparison, tracker, tags | {"val.delta_m_pct_drop": f"{row.delta_m_pct:.3f}"})


def _public(number: str) -> str:
    """A version that an index has: without the build's local part, as in ``2.13.0+cpu``."""
    return number.partition("+")[0]


def _words(run: Run) -> str:
    aucs = ", ".join(f"{task} {metrics['auc']:.4f}" for task, metrics in run.test.items())
    return f"test AUC {aucs}, mean {mean(m['auc'] for m in run.test.values()):.4f}"


def _log(run: Run, comparison: Comparison, tracker: Tracker, tags: dict[str, str]) -> int:
    """Log a run's model to its MLflow run and create the version, whole with its tags."""
    name, client, run_id = comparison.config.name, tracker.client, tracker.run_id(run)
    encoder = comparison.prepared.folder / "encoder"
    with TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        # MLflow would like an example row beside the explicit signature; rows of a log are not ours to publish.
        warnings.filterwarnings("ignore", "(?s).*input example", UserWarning)
        files = Path(folder) / ARTIFACT
        network, weights = comparison.config.model.network, run.folder / WEIGHTS
        Scorer.write(files, encoder=encoder, weights=weights, tasks=tuple(run.tasks), network=network)
        info = mlflow.pyfunc.log_model(
            name="model",
            # A path: MLflow runs the file when it loads the model, and pickles nothing.
            python_model=str(_ROOT / "pipeline" / "pyfunc.py"),
            artifacts={ARTIFACT: str(files)},
            code_paths=[str(_ROOT / package) for package in ("features", "models", "pipeline")],
            signature=signature(comparison.prepared.encoder(), run.tasks),
            pip_requirements=[f"{package}=={_public(version(package))}" for package in _REQUIREMENTS],
        )
    assert info.signature is not None, "MLflow drops a signature that it does not understand without a word"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    words = f"{tags['method']}, seed {run.seed}: {_words(run)}"
    made = client.create_model_version(
        name, info.model_uri, run_id, tags=tags, description=words, model_id=info.model_id
    )
    return int(made.version)


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
