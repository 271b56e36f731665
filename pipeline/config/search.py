"""The section ``[search]``: the search for the trade-off curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_serializer, field_validator, model_validator

from features.declared import Declared
from pipeline.config.budget import BudgetText, budget_seconds
from pipeline.config.names import known_methods
from pipeline.config.train import MethodText
from pipeline.files.redaction import without_passwords

Objective = Literal["auc", "mean_auc", "selected", "delta_m_pct", "hypervolume"]
Preset = Literal["", "best"]

# The defaults of a search with a preset, where they differ from those of any other search.
PRESETS: dict[str, dict[str, Any]] = {
    "best": {"objective": "selected", "trials": 1000, "prune": True, "workers": 0, "budget": "30m"}
}
# The keys that a preset has an answer to itself.
_OF_THE_PRESET = ("methods", "ranges", "sampler", "grid")
# The default of `methods`, as it is written and as it is resolved.
_USUAL_METHODS = (("gradops",), ("gradops(alpha=0.0)",))


class Range(Declared):
    """The range of a searched number.

    Args:
        low: The lowest value.
        high: The highest value.
        log: Whether the number is searched on a logarithmic scale; it has to be positive then.
    """

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _is_range(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"`low` should be below `high`, found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic scale needs `low` above 0, found {self.low:g}")
        return self


class SearchConfig(Declared):
    """The search for the trade-off curve: its space, its objective and its workers.

    Args:
        preset: A space of this project's own in place of `methods` and `ranges`: ``"best"`` searches everything that
            decides how good a model is (:mod:`pipeline.search.best`). It has other defaults, :data:`PRESETS`.
        methods: Methods as text; ``["all"]`` for every known one. Options with a declared range are searched; others
            stay as written.
        ranges: Key to range: for numbers of ``[train]`` and ``[model]`` and tasks' weights, such as ``"train.lr"``, and
            for methods' options in place of the declared range, such as ``"gradops.alpha"``.
        objective: ``"auc"``, the validation AUC of each task, several objectives; or one number: ``"mean_auc"``,
            ``"selected"``, the metric of ``train.select_by``, ``"delta_m_pct"``, or ``"hypervolume"``, the volume that
            a point adds under the front so far.
        not_below_single_task: Tasks whose mean validation AUC should not be below that of the single-task models.
        trials: Number of points of the curve.
        seeds: Number of runs of a point, with seeds counted up from ``train.seed``.
        sampler: The algorithm that chooses the points.
        sampler_seed: Seed of that choice.
        grid: Number of values of each range under ``sampler = "grid"``.
        prune: Whether to stop a run early if its ``train.select_by`` is behind; see :mod:`pipeline.search.pruning`.
        study: The study's name; by default the config's.
        storage: The study's storage: a database's URL or ``grpc://host:port``; by default a journal file by the runs.
        heartbeat: Seconds between two signs of life of a worker in a database.
        workers: Number of processes of one command; 0 for one a core.
        budget: Time after which the search stops, of all its commands together, as ``30m``; empty for no limit.
    """

    # Both are left out of fingerprints where they are not used: studies of before are still found.
    preset: Annotated[Preset, Field(exclude_if=lambda name: not name)] = ""
    methods: Annotated[tuple[MethodText, ...], Field(min_length=1)] = ("gradops",)
    ranges: Mapping[str, Range] = Field(default_factory=dict)
    objective: Objective = "auc"
    not_below_single_task: tuple[str, ...] = ()
    trials: PositiveInt = 30
    seeds: PositiveInt = 1
    sampler: Literal["tpe", "nsga2", "gp", "grid"] = "tpe"
    sampler_seed: Annotated[int, Field(ge=0)] = 0
    grid: Annotated[int, Field(ge=2)] = 16
    prune: bool = False
    study: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]*)?$")] = ""
    storage: str = ""
    heartbeat: PositiveInt = 60
    workers: Annotated[int, Field(ge=0)] = 1
    budget: Annotated[BudgetText, Field(exclude_if=lambda text: not text)] = ""

    @model_validator(mode="before")
    @classmethod
    def _as_its_preset(cls, written: Any) -> Any:
        if not isinstance(written, Mapping):
            return written
        return {**PRESETS.get(str(written.get("preset", "")), {}), **written}

    @model_validator(mode="after")
    def _leaves_the_space_to_its_preset(self) -> SearchConfig:
        usual: dict[str, tuple[Any, ...]] = {
            key: (type(self).model_fields[key].get_default(call_default_factory=True),) for key in _OF_THE_PRESET
        }
        usual["methods"] = _USUAL_METHODS
        given = [key for key, defaults in usual.items() if getattr(self, key) not in defaults]
        if self.preset and given:
            keys = ", ".join(f"`{key}`" for key in given)
            raise ValueError(
                f'preset "{self.preset}" has a space and a sampler of its own: leave {keys} out, or `preset`'
            )
        return self

    @property
    def seconds(self) -> float | None:
        """The budget in seconds; None for no limit."""
        return budget_seconds(self.budget) if self.budget else None

    @field_validator("methods")
    @classmethod
    def _are_methods(cls, texts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return known_methods(texts, info)

    @field_serializer("storage", when_used="json")
    def _without_password(self, url: str) -> str:
        return without_passwords(url)
