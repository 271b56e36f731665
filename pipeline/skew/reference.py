"""What the rows of a sample are compared with: a model's training rows, and its scores of validation rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from features.errors import InputError
from pipeline.data.distributions import NumberDistribution
from pipeline.data.prepared import Prepared
from pipeline.data.windows import Window
from pipeline.evaluation.sample import sampled, sampling_step
from pipeline.serving.sample.rows import SCORE
from pipeline.serving.scorer import Scorer
from pipeline.skew.columns import Columns

# Name of the folder beside a model's own files among the artifacts of its MLflow model. It is none of these files: the
# digest of a model, and what older versions read of it, stay as they are.
TRAINING = "training"
_COLUMNS, _SCORES, _ABOUT = "columns.parquet", "scores.parquet", "about.json"
_VALIDATION_ROWS = 20_000
_DIGITS = 6  # of scores


class _About(BaseModel):
    """What a folder says of itself."""

    model: str
    prevalence: dict[str, float]


@dataclass(frozen=True, eq=False)
class Reference:
    """The distributions of a model's columns and scores.

    Args:
        training: The columns of its training rows.
        scores: Its scores of validation rows, of a sample if there are many.
        prevalence: Task to the share of positives among the known training labels.
    """

    training: Columns
    scores: Columns
    prevalence: Mapping[str, float]

    @classmethod
    def of(cls, scorer: Scorer, prepared: Prepared) -> Reference:
        """The distributions in prepared data that the model was trained on."""
        rows = sampled(prepared.scan("val"), sampling_step(prepared.rows["val"], _VALIDATION_ROWS)).collect()
        score_NO = scorer.probability_NO(Window.of(rows, scorer.encoder.spec, ()))
        scores = {SCORE + name: distribution_of_scores(score_NO[:, n]) for n, name in enumerate(scorer.outputs)}
        prevalence = {task: prepared.prevalence(task) for task in scorer.tasks}
        return cls(Columns.of(prepared), Columns(rows.height, scores, {}), prevalence)

    def save(self, folder: Path, model: str) -> None:
        """Write the files of a folder.

        Args:
            folder: The folder to make.
            model: The digest of the model's files.
        """
        folder.mkdir()
        self.training.save(folder / _COLUMNS)
        self.scores.save(folder / _SCORES)
        about = _About(model=model, prevalence=dict(self.prevalence))
        (folder / _ABOUT).write_text(about.model_dump_json(indent=1))

    @classmethod
    def load(cls, folder: Path, scorer: Scorer) -> Reference:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: If the folder is missing, since the model was registered before there were such folders, or it
                is that of another model, or damaged.
        """
        fix = "give --prepared FOLDER, the prepared data that the model was trained on"
        if not (folder / _ABOUT).is_file():
            raise InputError(f"nothing of the training rows was registered with this model; {fix}")
        try:
            about = _About.model_validate_json((folder / _ABOUT).read_bytes())
            training, scores = Columns.load(folder / _COLUMNS), Columns.load(folder / _SCORES)
        except (OSError, ValidationError, InputError) as error:
            reason = str(error).replace("\n", " ")
            raise InputError(f"{folder} cannot be read ({reason}); {fix}") from error
        if about.model != scorer.digest:
            raise InputError(f"{folder} is of another model than the one beside it; {fix}")
        return cls(training, scores, about.prevalence)


def distribution_of_scores(score_N: npt.NDArray[np.float64]) -> NumberDistribution:
    """The distribution of scores, with edges midway between neighbouring ones.

    A row's score differs by rounding (1e-8) from one request to another: rows of equal scores, of a model with few
    different rows, would else fall into the group below.
    """
    rounded_N = score_N.round(_DIGITS)
    found, distinct = NumberDistribution.of(rounded_N, rounded_N), np.unique(rounded_N)
    edges = np.array(found.edges)
    below = distinct[np.searchsorted(distinct, edges) - 1]
    return replace(found, edges=tuple(((edges + below) / 2).tolist()))
