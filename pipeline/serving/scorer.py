"""Scores raw rows with nothing but the files of a model: the code of a served model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from features.declared import Declared
from features.encoder import ID, WEIGHT, Encoder
from features.errors import InputError
from features.kinds.base import Name
from models.architectures import parse_architecture
from models.architectures.base import Architecture
from models.architectures.base_config import ArchitectureConfig
from models.embedding.cut import Bags
from models.embedding.portable import PortableEmbedding
from pipeline.data.windows import Window
from pipeline.serving import model_folder
from pipeline.serving.model_folder import ENCODER, MODEL, WEIGHTS

# Name of a model's files among the artifacts of its MLflow model.
ARTIFACT = "scorer"
_BATCH, _KEPT = 8192, 64


class _Model(Declared):
    tasks: Annotated[tuple[Name, ...], Field(min_length=1)]
    network: dict[str, Any]  # `ArchitectureConfig.layers`; without a `kind`, of a shared bottom


@dataclass(frozen=True)
class Scorer:
    """A trained model and the encoder of its training rows, in plain torch.

    Args:
        encoder: The encoder of the training rows.
        model: The network, in evaluation mode.
        tasks: The tasks that its outputs predict, in order.
        digest: The SHA-256 of all its files.
        further: The names of further outputs; see :meth:`models.layers.task_names.TaskNames.further_outputs`.
    """

    encoder: Encoder
    model: Architecture
    tasks: tuple[str, ...]
    digest: str
    further: tuple[str, ...] = ()
    _kept: dict[Any, tuple[pl.Schema, list[pl.Expr]]] = field(default_factory=dict, repr=False)

    @staticmethod
    def write(
        folder: Path, *, encoder: Path, weights: Path, tasks: tuple[str, ...], architecture: ArchitectureConfig
    ) -> None:
        """Collect the files of a model: the encoder's folder, safetensors weights and the network's layers in JSON."""
        folder.mkdir(parents=True)
        shutil.copytree(encoder, folder / ENCODER)
        shutil.copyfile(weights, folder / WEIGHTS)
        (folder / MODEL).write_text(_Model(tasks=tasks, network=architecture.layers).model_dump_json(indent=1))
        model_folder.seal(folder)

    @classmethod
    def load(cls, folder: Path) -> Scorer:
        """Read the files that :meth:`write` collected.

        Raises:
            InputError: If the folder has changed since it was written, or its files do not fit together.
        """
        digest = model_folder.check_folder(folder)
        try:
            encoder = Encoder.load(folder / ENCODER)
            content = _Model.model_validate_json((folder / MODEL).read_bytes())
            architecture = parse_architecture(content.network)
        except (ValueError, pl.exceptions.PolarsError, RecursionError) as error:
            raise InputError(f"{folder} is not a readable model: {error}") from error
        model = load_network(encoder, content.tasks, architecture, folder / WEIGHTS)
        return cls(encoder, model, content.tasks, digest, tuple(architecture.further_outputs(content.tasks)))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the columns of scores: the tasks, then the further outputs."""
        return self.tasks + self.further

    @property
    def columns(self) -> list[str]:
        """The raw columns that the model reads."""
        return list(dict.fromkeys(c for name in self.encoder.spec.features for c in self.encoder.spec.columns(name)))

    @property
    def inputs(self) -> dict[str, str]:
        """What a row has to give in each of these columns, so far as a caller has to know it."""
        optional, texts = self.encoder.spec.optional_columns, ("String", "Categorical", "Enum")
        kinds = {c: "text" if dtype.startswith(texts) else "other values" for c, dtype in self.encoder.dtypes.items()}
        return {c: f"optional {kind}" if c in optional else kind for c, kind in kinds.items()}

    def score(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Probability of each task, and the further outputs, for each raw row, in float64; never null.

        Raises:
            InputError: If feature columns are missing or of a wrong type, a required value is missing, or numbers are
                too large to score. Labels are not needed.
        """
        return self.probabilities(self.window(rows))

    def window(self, rows: pl.DataFrame) -> Window:
        """Raw rows encoded: the first half of :meth:`score`."""
        return Window.of(self.encoded(rows)[1], self.encoder.spec, ())

    def encoded(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The columns that the model reads, in the types that it reads, and the same rows encoded."""
        known = self._known(rows)
        # No streaming: each of its many pieces would build the map of a vocabulary, and a request has few rows.
        plan = pl.QueryOptFlags(comm_subexpr_elim=False)
        kinds, features = self._steps(known.schema)
        typed = known.cast(kinds)
        encoded = typed.lazy().select(features).collect(engine="in-memory", optimizations=plan)
        if problems := self._unequal(encoded):
            raise InputError.of("cannot score", problems)
        return typed, encoded

    def probabilities(self, window: Window) -> pl.DataFrame:
        """The network's probabilities of encoded rows: the second half of :meth:`score`."""
        rows = len(window)
        probability_NO = predicted(self.model.served_logits, window) if rows else torch.empty(0, len(self.outputs))
        if not probability_NO.isfinite().all():
            row = int((~probability_NO.isfinite().all(1)).nonzero()[0])
            raise InputError(f"cannot score row {row}: a number in it is beyond float32; clip it, or declare `clip`")
        return pl.from_numpy(probability_NO.double().numpy(), schema=list(self.outputs))

    def _steps(self, schema: pl.Schema) -> tuple[pl.Schema, list[pl.Expr]]:
        key = tuple(schema.items())
        steps = self._kept.get(key)
        if steps is None:
            # Callers decide which columns are null, so the number of schemas is unbounded: the cache needs a limit.
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            steps = self._kept[key] = self.encoder.steps(schema)
        return steps

    def _known(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The columns that the model reads; optional columns that are missing are filled in."""
        spec = self.encoder.spec
        found = rows.select(c for c in self.columns if c in rows.columns)
        if not found.columns:
            raise InputError(f"cannot score: the rows have none of the columns {', '.join(self.columns)}")
        # The type of a column without a single value comes from its table format and has no meaning.
        untyped = [n for n in found.columns if found.height and found.get_column(n).null_count() == found.height]
        untyped += [c for c in spec.optional_columns if c not in rows.columns]
        required = {c: name for name, feature in spec.features.items() if feature.required for c in spec.columns(name)}
        problems = []
        for column, name in required.items():
            if column in found.columns and (missing := _missing(found.get_column(column))):
                rule = "it is `required`; give every row a value"
                problems.append(f"column `{column}` (feature `{name}`) is null in {missing} row(s); {rule}")
        if problems:
            raise InputError.of("cannot score", problems)
        return found.with_columns(pl.lit(None).alias(name) for name in untyped)

    def _unequal(self, encoded: pl.DataFrame) -> list[str]:
        """Problems of lists of weights whose length differs from that of the weighted lists."""
        spec, problems = self.encoder.spec, []
        for name in spec.multi_hot_features:
            if WEIGHT + name in encoded.columns:
                lengths = [encoded.get_column(kind + name).list.len().fill_null(0) for kind in (ID, WEIGHT)]
                if differing := (lengths[0] != lengths[1]).sum():
                    listed, weights = spec.columns(name)
                    rule = f"give one number an entry of `{listed}`"
                    problems.append(
                        f"column `{weights}` (feature `{name}`) has the wrong length in {differing} row(s); {rule}"
                    )
        return problems


def _missing(values: pl.Series) -> int:
    """The number of rows without a value; NaN and infinities of floats count as missing."""
    return len(values) - int(values.is_finite().sum()) if values.dtype.is_float() else values.null_count()


def predicted(logits: Callable[[Bags, Tensor], Tensor], window: Window) -> Tensor:
    """Probabilities, rows x outputs, of encoded rows, some rows at a time.

    Args:
        logits: A network in evaluation mode, for the tasks' logits, or its method for those of all that is served.
        window: The rows, at least one.
    """
    starts = range(0, len(window), _BATCH)
    batches = (window.batch(start, min(start + _BATCH, len(window))) for start in starts)
    with torch.inference_mode():
        return torch.cat([logits(batch.bags, batch.value_BV).sigmoid() for batch in batches])


def load_network(
    encoder: Encoder, tasks: Sequence[str], architecture: ArchitectureConfig, weights: Path
) -> Architecture:
    """A trained network in plain torch, in evaluation mode.

    Args:
        encoder: The encoder of its rows.
        tasks: The tasks that its outputs predict.
        architecture: Its architecture and layers.
        weights: A safetensors file.

    Raises:
        InputError: If the weights belong to another network or are not finite. No memory is allocated for them then.
    """
    values, encoded = len(encoder.spec.value_features), encoder.encoded_values()
    try:
        with torch.device("meta"):  # nothing is allocated before the declared sizes match the file
            model = architecture.build(PortableEmbedding(encoder.tables()), values=values, tasks=tasks, encoded=encoded)
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{weights} belongs to a network whose declared sizes exceed those of any tensor") from error
    wanted = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    with safe_open(weights, framework="pt") as file:
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        shapes = {name: part.get_shape() for name, part in found.items() if part.get_dtype() == "F32"}
    if shapes != wanted:
        names = [name for name in dict.fromkeys([*wanted, *found]) if shapes.get(name) != wanted.get(name)]
        lines = [
            f"`{n}` is {shapes.get(n, 'not there in float32')}, expected {wanted.get(n, 'nothing')}" for n in names
        ]
        raise InputError.of(f"{weights} holds the weights of another network", lines[:10])
    state = load_file(weights)
    if infinite := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        raise InputError.of(f"{weights} holds NaN or infinite weights; train the run again", infinite[:10])
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(requires_grad=False)
