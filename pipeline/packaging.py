"""A trained run as a model that MLflow serves: its files, its signature, what is installed beside it."""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType

from features.encoder import Encoder
from pipeline.config import ModelConfig
from pipeline.prepared import Prepared
from pipeline.runs import CONFIG, WEIGHTS, Run
from pipeline.scoring import ARTIFACT, Scorer

_ROOT = Path(__file__).parent.parent
# What a served model imports: its own code travels with it, these are installed beside it.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "polars", "polars-hash", "pyarrow", "pydantic", "safetensors", "torch")


def log_model(run: Run, prepared: Prepared, run_id: str) -> str:
    """Log a run's model to its MLflow run."""
    # A search may have changed the network from run to run.
    network = ModelConfig.model_validate(json.loads((run.folder / CONFIG).read_text())["model"]).network
    encoder = prepared.folder / "encoder"
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
            signature=signature(prepared.encoder(), run.tasks),
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


def _public(number: str) -> str:
    """A version that an index has: without the build's local part, as in ``2.13.0+cpu``."""
    return number.partition("+")[0]
