"""Scores raw rows with nothing but the files of a model: the code of a served model."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import torch

from features.encoder import ID, WEIGHT, Encoder
from features.errors import InputError
from pipeline.data.windows import Window
from pipeline.serving import model_folder
from pipeline.serving.kinds import parse_content
from pipeline.serving.kinds.base import Packed, Predictor
from pipeline.serving.model_folder import ENCODER, MODEL

# Name of a model's files among the artifacts of its MLflow model.
ARTIFACT = "scorer"
_KEPT, _SHOWN = 64, 10


@dataclass(frozen=True)
class Scorer:
    """A trained model and the encoder of its training rows.

    Args:
        encoder: The encoder of the training rows.
        predictor: The model, of any kind, which gives the probabilities of encoded rows.
        tasks: The tasks that its outputs predict, in order.
        digest: The SHA-256 of all its files.
    """

    encoder: Encoder
    predictor: Predictor
    tasks: tuple[str, ...]
    digest: str
    _kept: dict[Any, tuple[pl.Schema, list[pl.Expr]]] = field(default_factory=dict, repr=False)

    @staticmethod
    def write(folder: Path, *, encoder: Path, packed: Packed) -> None:
        """Collect the files of a model: the encoder's folder, the kind's own files, and what is said of them in JSON.

        Args:
            folder: The folder to make.
            encoder: The folder of the encoder.
            packed: The model.
        """
        folder.mkdir(parents=True)
        shutil.copytree(encoder, folder / ENCODER)
        for name, source in packed.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
        (folder / MODEL).write_text(packed.content.written())
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
            content = parse_content(json.loads((folder / MODEL).read_bytes()))
            if differing := sorted(model_folder.other_files(folder) ^ {*content.files}):
                rule = "its kind has other files than it names or holds"
                raise ValueError(f"{rule}: {', '.join(f'`{name}`' for name in differing[:_SHOWN])}")
        except (ValueError, pl.exceptions.PolarsError, RecursionError) as error:
            raise InputError(f"{folder} is not a readable model: {error}") from error
        files = {name: folder / name for name in content.files}
        return cls(encoder, content.load(files, encoder), content.tasks, digest)

    @property
    def further(self) -> tuple[str, ...]:
        """The names of further outputs; see :meth:`models.layers.task_names.TaskNames.further_outputs`."""
        return self.predictor.further

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
        """The model's probabilities of encoded rows: the second half of :meth:`score`."""
        probability_NO = self.predictor.probabilities(window) if len(window) else torch.empty(0, len(self.outputs))
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
