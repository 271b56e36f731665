"""What a user has without a search, and how the chosen models compare with it on the test rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from pipeline.comparison.cautions import FEW_LABELS
from pipeline.comparison.chosen_model import ChosenModel
from pipeline.comparison.confidence import WORSE, Interval, confidence
from pipeline.comparison.findings import labels_of
from pipeline.runs.plan import BASELINES
from pipeline.search.searched import Searched


@dataclass(frozen=True)
class Rivals:
    """The chosen models against single-task models, uniform scaling and boosting, whichever were trained.

    Args:
        searched: The search.
    """

    searched: Searched

    @cached_property
    def names(self) -> list[str]:
        """The rivals' names."""
        return [system.name for system in BASELINES if system.name in self.searched.comparison.systems]

    @cached_property
    def intervals(self) -> list[Interval]:
        """Simultaneous intervals of the chosen models' differences in test AUC, a family for each rival."""
        comparison, models = self.searched.comparison, self.searched.models
        found = []
        for rival in self.names:
            systems = {rival: comparison.systems[rival]}
            systems |= {m.name: self.searched.runs_of(m) for m in models if not self._is_same(m, rival)}
            if len(systems) > 1:
                found += confidence(self.searched.config.tasks, comparison.rows, systems, [rival]).intervals
        return found

    def _is_same(self, model: ChosenModel, rival: str) -> bool:
        """Whether a chosen model has the very runs of a rival: their difference is no estimate of anything."""
        return {run.fingerprint for run in self.searched.comparison.systems[rival]} == set(model.runs)

    def sentences(self, model: ChosenModel) -> Iterator[str]:
        """How a model compares with each rival, and whether it is never worse."""
        for rival in self.names:
            parts = [
                f"{i.task or 'average'} {i}" for i in self.intervals if (i.system, i.against) == (model.name, rival)
            ]
            yield f"Test AUC against `{rival}`: {', '.join(parts)}." if parts else f"It is `{rival}` itself."

    def verdict(self, model: ChosenModel) -> str:
        """Whether a model is below a rival, and how its mean AUC is beside the best one's; see :func:`verdict`."""
        own = [i for i in self.intervals if i.system == model.name]
        means = {row.system: row.average for row in self.searched.comparison.table("test") if row.system in self.names}
        return verdict(fmean(model.test.values()), own, means, self._unjudged)

    @cached_property
    def _unjudged(self) -> Sequence[str]:
        """The tasks with too few test labels."""
        labels = labels_of(self.searched.prepared, self.searched.config.tasks)["test"]
        return [task for task, found in labels.items() if found.rarer < FEW_LABELS]


def verdict(mean: float, intervals: Sequence[Interval], means: Mapping[str, float], unjudged: Sequence[str]) -> str:
    """A sentence on a model beside its rivals, on the test rows.

    Args:
        mean: The model's mean AUC over the tasks.
        intervals: Its differences from the rivals.
        means: Each rival's mean AUC.
        unjudged: Tasks with too few labels to be judged.
    """
    judged = [i for i in intervals if i.task not in unjudged]
    below = [f"{i.task or 'on average'} {i} against `{i.against}`" for i in judged if i.mark == WORSE]
    found = f"beyond noise it is below a rival: {', '.join(below)}" if below else "it is below no rival beyond noise"
    few = f" ({', '.join(unjudged)}: under {FEW_LABELS} test rows of the rarer class, not judged)" if unjudged else ""
    best = max(means, key=lambda name: means[name])
    word = "above" if mean > means[best] else "not above"
    return (
        f"On the test rows {found}{few}; its mean AUC of {mean:.4f} is {word} the {means[best]:.4f} of the best rival, "
        f"`{best}`."
    )
