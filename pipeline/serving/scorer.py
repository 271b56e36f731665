"""Scores raw rows with nothing but the files of a model: the code of a served model."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from features.encoder import Encoder
from features.errors import InputError
from features.request.encoder import Encoded
from models.embedding.precisions import FLOAT32, Precision
from pipeline.data.windows import Window
from pipeline.serving import model_folder
from pipeline.serving.columns import RequestRows
from pipeline.serving.counted import Counted
from pipeline.serving.encoding import RowEncoder
from pipeline.serving.kinds import parse_content
from pipeline.serving.kinds.base import OfCandidates, Packed, Predictor
from pipeline.serving.model_folder import ENCODER, MODEL

# Name of a model's files among the artifacts of its MLflow model.
ARTIFACT = "scorer"
_SHOWN = 10


@dataclass(frozen=True)
class Scored:
    """A scored request.

    Args:
        probability_NO: Its rows' probabilities, rows x outputs.
        counted: Its rows and values.
        rows: Its rows as the model read them.
    """

    probability_NO: npt.NDArray[np.float64]
    counted: Counted
    rows: Window | Encoded


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
    def load(cls, folder: Path, tables: Precision = FLOAT32) -> Scorer:
        """Read the files that :meth:`write` collected.

        Args:
            folder: The folder.
            tables: The precision in which embedding tables are held; their files are float32.

        Raises:
            InputError: If the folder has changed since it was written, its files do not fit together, or a table has
                numbers that are too large for the precision.
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
        return cls(encoder, content.load(files, encoder, tables), content.tasks, digest)

    @property
    def further(self) -> tuple[str, ...]:
        """The names of further outputs; see :meth:`models.layers.task_names.TaskNames.further_outputs`."""
        return self.predictor.further

    @property
    def tables(self) -> Precision | None:
        """The precision of its embedding tables; None for a model without any, such as trees."""
        return next((embedding.precision for embedding in self.predictor.embeddings), None)

    @property
    def table_bytes(self) -> int:
        """The bytes of its embedding tables in memory."""
        return sum(embedding.size for embedding in self.predictor.embeddings)

    @property
    def identity(self) -> str:
        """A text that two models share only if they score alike: the digest, with the precision of reduced tables."""
        return self.digest if self.tables in (None, FLOAT32) else f"{self.digest} with {self.tables} tables"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the columns of scores: the tasks, then the further outputs."""
        return self.tasks + self.further

    @cached_property
    def columns(self) -> list[str]:
        """The raw columns that the model reads."""
        return list(dict.fromkeys(c for name in self.encoder.spec.features for c in self.encoder.spec.columns(name)))

    @property
    def inputs(self) -> dict[str, str]:
        """What a row has to give in each of these columns, so far as a caller has to know it."""
        optional, texts = self.encoder.spec.optional_columns, ("String", "Categorical", "Enum")
        kinds = {c: "text" if dtype.startswith(texts) else "other values" for c, dtype in self.encoder.dtypes.items()}
        return {c: f"optional {kind}" if c in optional else kind for c, kind in kinds.items()}

    @cached_property
    def rows(self) -> RowEncoder:
        """The encoder of raw rows."""
        return RowEncoder(self.encoder)

    def score(self, rows: pl.DataFrame | RequestRows) -> pl.DataFrame:
        """Probability of each task, and the further outputs, for each raw row, in float64; never null.

        Args:
            rows: The rows of a file, or those of a request.

        Raises:
            InputError: If feature columns are missing or of a wrong type, a required value is missing, or numbers are
                too large to score. Labels are not needed.
        """
        return self.probabilities(self.window(rows))

    def request(self, rows: RequestRows) -> Scored:
        """The scores of a request, as :meth:`score` gives them, to rounding.

        Raises:
            InputError: As :meth:`score` does.
        """
        encoded = self.rows.of_request(rows)
        if encoded is not None and self._of_candidates is not None:
            found = self._of_candidates(encoded)
            if found is not None:
                return Scored(_finite(found), Counted.of_parts(encoded, self.encoder.spec), encoded)
        window = self.window(rows) if encoded is None else self.rows.window_of(encoded)
        return Scored(self.probability_NO(window), Counted.of_window(window), window)

    @cached_property
    def _of_candidates(self) -> OfCandidates | None:
        return self.predictor.for_candidates(self.encoder.spec)

    def window(self, rows: pl.DataFrame | RequestRows) -> Window:
        """Raw rows encoded: the first half of :meth:`score`."""
        return self.rows.window(rows)

    def probabilities(self, window: Window) -> pl.DataFrame:
        """The model's probabilities of encoded rows: the second half of :meth:`score`."""
        return pl.from_numpy(self.probability_NO(window), schema=list(self.outputs))

    def probability_NO(self, window: Window) -> npt.NDArray[np.float64]:
        """The model's probabilities of encoded rows, rows x outputs.

        Raises:
            InputError: If numbers are too large to score.
        """
        probability_NO = self.predictor.probabilities(window) if len(window) else torch.empty(0, len(self.outputs))
        return _finite(probability_NO)


def _finite(probability_NO: Tensor) -> npt.NDArray[np.float64]:
    if not probability_NO.isfinite().all():
        row = int((~probability_NO.isfinite().all(1)).nonzero()[0])
        raise InputError(f"cannot score row {row}: a number in it is beyond float32; clip it, or declare `clip`")
    found: npt.NDArray[np.float64] = probability_NO.double().numpy()
    return found
