"""An explanation on disk: what was permuted, and by how much each task's AUC dropped."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ValidationError

from features.errors import InputError
from pipeline.explanation.dependence import Curve
from pipeline.explanation.drop import Drop
from pipeline.explanation.units import SIMILAR, Kind
from pipeline.files.atomic import atomic

EXPLANATIONS = "explanations"


class Worth(BaseModel):
    """What a unit is worth to each task.

    Args:
        name: Its name.
        kind: Its kind; see :class:`pipeline.explanation.units.Unit`, as for the next three.
        columns: Its raw columns.
        features: The features whose input was changed.
        reason: Why a group's columns go together.
        drops: Task to the drop of its AUC; tasks whose rows are of one class are left out.
        moved: The largest change of any score under any permutation; 0 for what the model does not read.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    features: tuple[str, ...]
    reason: str
    drops: dict[str, Drop]
    moved: float

    @property
    def title(self) -> str:
        """Its name, and that of a feature apart from its column's."""
        return f"{self.name} alone" if self.kind == "feature" else self.name

    @property
    def mean(self) -> float:
        """The mean drop over the tasks."""
        return fmean(drop.delta for drop in self.drops.values()) if self.drops else 0.0

    @property
    def is_beyond_noise(self) -> bool:
        """Whether some task's AUC drops by more than noise."""
        return any(drop.is_beyond_noise for drop in self.drops.values())


class Explanation(BaseModel):
    """What the features of a model are worth.

    Args:
        name: The config's name.
        model: The model, as the user gave it.
        digest: SHA-256 of all its files.
        data: Fingerprint of the prepared data whose validation rows were scored.
        is_own_data: Whether the model was trained on that data.
        rows: Number of rows that were scored.
        share: Share of the validation rows that they are.
        repeats: Number of permutations of each unit.
        tasks: Names of the tasks.
        auc: Task to its AUC on these rows; tasks whose rows are of one class are left out.
        worths: What each unit is worth.
        curves: Partial dependence of the first few numbers.
    """

    kind: Literal["explanation"] = "explanation"
    name: str
    model: str
    digest: str
    data: str
    is_own_data: bool
    rows: int
    share: float
    repeats: int
    tasks: list[str]
    auc: dict[str, float]
    worths: list[Worth]
    curves: list[Curve]

    def of_kind(self, kind: Kind) -> list[Worth]:
        """The units of a kind, those with the largest mean drop first."""
        return sorted((worth for worth in self.worths if worth.kind == kind), key=lambda worth: -worth.mean)

    def of_feature(self, name: str) -> Worth:
        """What a feature itself is worth, others that read its columns left as they are."""
        found = {worth.kind: worth for worth in self.worths if name in worth.features and worth.kind != "group"}
        return next((w for w in self.worths if w.kind == "feature" and w.features == (name,)), found["column"])

    @property
    def features(self) -> list[str]:
        """The features, in the order of their columns."""
        return list(dict.fromkeys(name for worth in self.worths for name in worth.features))

    @property
    def unread(self) -> list[str]:
        """The features of which no score depends on these rows."""
        return [name for name in self.features if self.of_feature(name).moved == 0]

    @property
    def dead(self) -> list[str]:
        """The features without a drop beyond noise for any task, though scores depend on them."""
        found = [name for name in self.features if not self.of_feature(name).is_beyond_noise]
        return [name for name in found if name not in self.unread]

    def stands_for(self, name: str) -> Worth | None:
        """The columns with a drop beyond noise that make up for a feature: its own with all readers, or alike ones.

        None if there are no such columns: nothing that is known speaks for the feature.
        """
        own = self.of_feature(name)
        wider = [w for w in self.worths if w.kind == "column" or SIMILAR in w.reason]
        found = [w for w in wider if {*own.columns} <= {*w.columns} and w.is_beyond_noise]
        return next((w for w in found if w is not own), None)

    def save(self, path: Path) -> None:
        """Write it."""
        with atomic(path) as draft:
            draft.write_text(self.model_dump_json(indent=1))

    @classmethod
    def load(cls, path: Path) -> Explanation:
        """Read it.

        Raises:
            InputError: If the file holds no explanation.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise InputError(f"{path} holds no explanation ({error.error_count()} problems); remove it") from error


def newest_explanation(runs: Path, name: str, data: str) -> Explanation | None:
    """The newest explanation of a config's model on some data, in a folder of runs; None if there is none.

    Args:
        runs: The folder of runs.
        name: The config's name.
        data: Fingerprint of the prepared data.
    """
    paths = sorted((runs / EXPLANATIONS).glob("[!.]*.json"), key=lambda path: -path.stat().st_mtime_ns)
    found = (Explanation.load(path) for path in paths)
    return next((one for one in found if (one.name, one.data) == (name, data)), None)
