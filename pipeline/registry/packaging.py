"""A trained run as a model that MLflow serves: its files, its signature and its requirements."""

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
# For URIs of other kinds, MLflow's error is the same for an unknown kind and for a server that is away.
_IN_THE_STORE = ("models:", "runs:", "mlflow-artifacts:")
# The packages that a served model needs beside its own code, which travels with it. `mlflow-skinny` is MLflow without
# its tracking server, training flavours and charts: it is enough to serve.
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

    Columns other than text have MLflow's type "any": a column of integers reaches a server as integers, or as floats if
    one value is missing, and MLflow refuses one where the other is declared. The encoder's own contract checks types.
    """
    optional = encoder.spec.optional_columns
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(_type(dtype), column, required=column not in optional) for column, dtype in encoder.dtypes.items()
    ]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, task) for task in tasks]
    return ModelSignature(Schema(inputs), Schema(outputs))


def example(encoder: Encoder) -> pd.DataFrame:
    """Two rows invented from the declared features, none from a log; the second row has a null where it may."""
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
    """A version without the build's local part, ``+cpu`` in ``2.13.0+cpu``, which no package index has."""
    return number.partition("+")[0]


@contextmanager
def fetched(model: str) -> Iterator[Path]:
    """The folder of a model's own files, while the block runs. No code in it is run, and nothing is unpickled.

    Args:
        model: A registered model, ``models:/NAME@champion`` or ``models:/NAME/3``, any other URI that MLflow knows, or
            a folder that holds a model.

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
        with model_files(model, f"there is no model at {model}", where):
            found = mlflow.artifacts.download_artifacts(artifact_uri=model, dst_path=folder)
        yield _own_files(Path(found), model)


@contextmanager
def model_files(uri: str, wrong: str, fix: str) -> Iterator[None]:
    """See that a model has files, and turn an error of reading them in the block into one of the input.

    Args:
        uri: The place of the files.
        wrong: The error message's beginning.
        fix: Its end, which tells how to mend it.

    Raises:
        InputError: If there are no files, or they cannot be read.
        MlflowException: If the store is away, which is no error of the input.
    """
    try:
        # Listed first: MLflow's error of a download is the same for a missing file and for a server that is away.
        if not mlflow.artifacts.list_artifacts(artifact_uri=uri):
            raise FileNotFoundError("there are none of its files")
        yield
    except (MlflowException, OSError, ValueError) as error:
        if is_away(error) and uri.startswith(_IN_THE_STORE):
            raise
        reason = str(error).partition("\n")[0]
        raise InputError(f"{wrong} ({reason}); {fix}") from error


def _own_files(folder: Path, model: str) -> Path:
    """The folder of our own files within a folder: an MLflow model has them among its artifacts."""
    for found in (folder / "artifacts" / ARTIFACT, folder):
        if (found / MANIFEST).is_file():
            return found
    raise InputError(f"{model} holds no model of ours: no {MANIFEST} in it or in its artifacts/{ARTIFACT}")
