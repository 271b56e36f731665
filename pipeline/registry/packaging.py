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
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType

from features.encoder import Encoder
from features.errors import InputError
from pipeline.comparison.packed import packed_run
from pipeline.comparison.serving_cost import ServingCost
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run
from pipeline.serving.columns import frame_of
from pipeline.serving.model_folder import MANIFEST
from pipeline.serving.scorer import ARTIFACT, Scorer
from pipeline.skew.reference import TRAINING, Reference
from pipeline.tracking.connection import is_away
from pipeline.tracking.store import connect

_ROOT = Path(__file__).parents[2]
# For URIs of other kinds, MLflow raises the same error for an unknown kind and for a server that is away.
_IN_THE_STORE = ("models:", "runs:", "mlflow-artifacts:")
# The packages that a served model needs; the code of ours is among the model's files. `mlflow-skinny` is MLflow without
# its tracking server, training flavours and charts: it is enough to serve.
_REQUIREMENTS = (
    "mlflow-skinny",
    "numpy",
    "orjson",
    "pandas",
    "polars",
    "polars-hash",
    "pyarrow",
    "pydantic",
    "safetensors",
    "torch",
)


def log_model(run: Run, prepared: Prepared, run_id: str) -> str:
    """Log a run's model as an output of its MLflow run, and return the model's id.

    The MLflow run is not made the active one: MLflow would copy all its metrics of step 0, which are those of the first
    epoch, not of the model, and fail where two of one time differ.
    """
    encoder, fitted, client = prepared.folder / "encoder", prepared.encoder(), connect()
    recorded = client.get_run(run_id)
    model = client.create_logged_model(
        recorded.info.experiment_id, name="model", source_run_id=run_id, params=recorded.data.params
    )
    with TemporaryDirectory() as folder:
        files = Path(folder) / ARTIFACT
        Scorer.write(files, encoder=encoder, packed=packed_run(run))
        scorer, rows = Scorer.load(files), example(fitted)
        training = Path(folder) / TRAINING
        Reference.of(scorer, prepared).save(training, scorer.digest)
        cost = ServingCost.measured(scorer, frame_of({c: rows[c].iloc[:1] for c in scorer.columns}), files)
        client.set_logged_model_tags(model.model_id, cost.tags)
        info = mlflow.pyfunc.log_model(
            model_id=model.model_id,
            # Given a path, MLflow runs the file when it loads the model, and pickles nothing.
            python_model=str(_ROOT / "pipeline" / "serving" / "pyfunc.py"),
            artifacts={ARTIFACT: str(files), TRAINING: str(training)},
            code_paths=[str(_ROOT / package) for package in ("features", "models", "pipeline")],
            signature=signature(fitted, list(scorer.outputs)),
            input_example=rows,
            pip_requirements=[f"{package}=={_public(version(package))}" for package in _REQUIREMENTS],
        )
    assert info.signature is not None, "MLflow silently drops a signature that it does not understand"
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def signature(encoder: Encoder, outputs: list[str]) -> ModelSignature:
    """The signature of a model: raw feature columns in, the probabilities of these names out.

    Every column has MLflow's type "any". MLflow refuses floats where integers are declared, though integers with a gap
    are floats in pandas, and categories and numbers where text is declared. The encoder's own contract checks types.
    """
    optional = encoder.spec.optional_columns
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(AnyType(), column, required=column not in optional) for column in encoder.dtypes
    ]
    scores: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, name) for name in outputs]
    return ModelSignature(Schema(inputs), Schema(scores))


def example(encoder: Encoder) -> pd.DataFrame:
    """Two rows invented from the declared features, not taken from a log; in the second, optional columns are null."""
    spec = encoder.spec
    required = {c for name, feature in spec.features.items() if feature.required for c in spec.columns(name)}
    made: dict[str, list[Any]] = {}
    for name, feature in spec.features.items():
        for place, column in enumerate(spec.columns(name)):
            value = feature.request_value(place, encoder.dtypes[column])
            # Of several features that read the column, one may be `required`.
            made[column] = [value, value if column in required else None]
    return pd.DataFrame(made, dtype=object)


def _public(number: str) -> str:
    """A version without the build's local part (``+cpu`` in ``2.13.0+cpu``), which package indexes do not have."""
    return number.partition("+")[0]


@contextmanager
def fetched(model: str) -> Iterator[Path]:
    """A folder with the files that we wrote of a model, while the block runs; no code is run, nothing unpickled.

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
    _check_alias(connect(), model)
    where = "give models:/NAME@ALIAS, models:/NAME/VERSION, a run's model URI or a folder"
    with TemporaryDirectory() as folder:
        with model_files(model, f"there is no model at {model}", where):
            found = _downloaded(model, folder)
        yield _own_files(Path(found), model)


def _downloaded(model: str, folder: str) -> str:
    """The folder of a model's files below a folder."""
    try:
        return str(mlflow.artifacts.download_artifacts(artifact_uri=model, dst_path=folder))
    except MlflowException as error:
        # A process that loads the model from a store on this disk writes bytecode beside its code, under another name
        # first: a file that was listed may be gone.
        if "__pycache__" not in str(error):
            raise
        return str(mlflow.artifacts.download_artifacts(artifact_uri=model, dst_path=folder))


def _check_alias(client: MlflowClient, model: str) -> None:
    """Check that a registered model that exists has the alias of a URI.

    Raises:
        InputError: If it has not.
    """
    name, is_alias, alias = model.removeprefix("models:/").partition("@")
    for found in client.search_registered_models(f"name = '{name}'") if is_alias and "'" not in name else ():
        if alias not in found.aliases:
            known = ", ".join(f"`{one}`" for one in sorted(found.aliases)) or "none"
            fix = "`gradops promote CONFIG` judges a version and makes it the champion" if alias == "champion" else ""
            raise InputError(f"`{name}` has no alias `{alias}`; it has {known}" + (fix and f". {fix}"))


@contextmanager
def model_files(uri: str, wrong: str, fix: str) -> Iterator[None]:
    """Check that a model has files, and turn errors of reading them in the block into an InputError.

    Args:
        uri: The URI of the files.
        wrong: The beginning of the error message.
        fix: The end of the error message, with the fix.

    Raises:
        InputError: If there are no files, or they cannot be read.
        MlflowException: If the store is away.
    """
    try:
        # Listed first: a download fails with the same error for a missing file and for a server that is away.
        if not mlflow.artifacts.list_artifacts(artifact_uri=uri):
            raise FileNotFoundError("its files are missing")
        yield
    except (MlflowException, OSError, ValueError) as error:
        if is_away(error) and uri.startswith(_IN_THE_STORE):
            raise
        reason = str(error).partition("\n")[0]
        raise InputError(f"{wrong} ({reason}); {fix}") from error


def _own_files(folder: Path, model: str) -> Path:
    """The folder within a folder that has the files we wrote: an MLflow model has it among its artifacts."""
    for found in (folder / "artifacts" / ARTIFACT, folder):
        if (found / MANIFEST).is_file():
            return found
    problem = f"no {MANIFEST} in it or in its artifacts/{ARTIFACT}" if folder.exists() else "there is no such folder"
    fix = "give models:/NAME@ALIAS, models:/NAME/VERSION or the folder of a model"
    raise InputError(f"{model} holds no model of ours: {problem}; {fix}")
