"""A trained run as a model that MLflow serves: its files, its signature, what is installed beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType

from features.encoder import Encoder
from features.errors import InputError
from pipeline.data.prepared import Prepared
from pipeline.runs.run import WEIGHTS, Run
from pipeline.serving.model_folder import MANIFEST
from pipeline.serving.scorer import ARTIFACT, Scorer
from pipeline.tracking.connection import is_away
from pipeline.tracking.store import connect

_ROOT = Path(__file__).parents[2]
# Of a URI of another kind MLflow says the same if it knows no such kind as if nobody answers.
_IN_THE_STORE = ("models:", "runs:", "mlflow-artifacts:")
# What a served model imports: its own code travels with it, these are installed beside it. MLflow without its tracking
# server, training flavours and charts serves all the same.
_REQUIREMENTS = (
    "mlflow-skinny",
    "numpy",
    "pandas",
    "polars",
    "polars-hash",
    "pyarrow",
    "pydantic",
    "safetensors",
    "torch",
)


def log_model(run: Run, prepared: Prepared, run_id: str) -> str:
    """Log a run's model to its MLflow run."""
    encoder, fitted = prepared.folder / "encoder", prepared.encoder()
    with TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id):
        files = Path(folder) / ARTIFACT
        weights = run.folder / WEIGHTS
        Scorer.write(files, encoder=encoder, weights=weights, tasks=tuple(run.tasks), architecture=run.architecture)
        info = mlflow.pyfunc.log_model(
            name="model",
            # A path: MLflow runs the file when it loads the model, and pickles nothing.
            python_model=str(_ROOT / "pipeline" / "serving" / "pyfunc.py"),
            artifacts={ARTIFACT: str(files)},
            code_paths=[str(_ROOT / package) for package in ("features", "models", "pipeline")],
            signature=signature(fitted, run.tasks),
            input_example=example(fitted),
            pip_requirements=[f"{package}=={_public(version(package))}" for package in _REQUIREMENTS],
        )
    assert info.signature is not None, "MLflow drops a signature that it does not understand without a word"
    return str(info.model_id)


def signature(encoder: Encoder, tasks: list[str]) -> ModelSignature:
    """Raw feature columns in, one probability a task out.

    What is not text has MLflow's type "any": a column of integers reaches a server as integers, or as floats once one
    is missing, and MLflow refuses either where the other is declared. The encoder's own contract checks the types.
    """
    optional = encoder.spec.optional_columns
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(_type(dtype), column, required=column not in optional) for column, dtype in encoder.dtypes.items()
    ]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, task) for task in tasks]
    return ModelSignature(Schema(inputs), Schema(outputs))


def example(encoder: Encoder) -> pd.DataFrame:
    """Two rows made up from what is declared, none of anybody's log; the second is null where a row may be."""
    spec = encoder.spec
    made: dict[str, list[Any]] = {}
    for name, feature in spec.features.items():
        for place, column in enumerate(spec.columns(name)):
            value = feature.request_value(place, encoder.dtypes[column])
            made[column] = [value, value if feature.required else None]
    return pd.DataFrame(made, dtype=object)


def _type(dtype: str) -> DataType | AnyType:
    return DataType.string if dtype in ("String", "Categorical", "Enum") else AnyType()


def _public(number: str) -> str:
    """A version that an index has: without the build's local part, as in ``2.13.0+cpu``."""
    return number.partition("+")[0]


@contextmanager
def fetched(model: str) -> Iterator[Path]:
    """The folder of a model's own files, while the block runs. Nothing in it is run or unpickled.

    Args:
        model: A registered model, ``models:/NAME@champion`` or ``models:/NAME/3``, any other URI that MLflow knows, or
            a folder that holds one.

    Raises:
        InputError: If there is no such model.
        MlflowException: If the store is away.
    """
    if ":/" not in model:
        yield _own_files(Path(model), model)
        return
    connect()
    where = "give models:/NAME@ALIAS, models:/NAME/VERSION, a run's model URI or a folder"
    with TemporaryDirectory() as folder:
        with reading(model, f"there is no model at {model}", where):
            found = mlflow.artifacts.download_artifacts(artifact_uri=model, dst_path=folder)
        yield _own_files(Path(found), model)


@contextmanager
def reading(uri: str, wrong: str, fix: str) -> Iterator[None]:
    """See that a model has files, and say so if they cannot be read in the block.

    Args:
        uri: Where they are.
        wrong: What is wrong if they cannot.
        fix: How it is mended.

    Raises:
        InputError: If they are not there, or not to be read.
        MlflowException: If the store is away, which is nobody's input.
    """
    try:
        # Asked first: MLflow's error of a download is the same where a file is gone and where the server is.
        if not mlflow.artifacts.list_artifacts(artifact_uri=uri):
            raise FileNotFoundError("there are none of its files")
        yield
    except (MlflowException, OSError, ValueError) as error:
        if is_away(error) and uri.startswith(_IN_THE_STORE):
            raise
        reason = str(error).partition("\n")[0]
        raise InputError(f"{wrong} ({reason}); {fix}") from error


def _own_files(folder: Path, model: str) -> Path:
    """Where in a folder the files are: that of an MLflow model has them among its artifacts."""
    for found in (folder / "artifacts" / ARTIFACT, folder):
        if (found / MANIFEST).is_file():
            return found
    raise InputError(f"{model} holds no model of ours: no {MANIFEST} in it or in its artifacts/{ARTIFACT}")
