"""What a user has without a search, and how the chosen models compare with it on the test rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
                f"{i.task or 'average'} {_shown(i)}"
                for i in self.intervals
                if (i.system, i.against) == (model.name, rival)
            ]
            yield f"Test AUC against `{rival}`: {', '.join(parts)}." if parts else f"It is `{rival}` itself."

    def verdict(self, model: ChosenModel) -> str:
        """Whether a model is below a rival on a task that can be judged, and its mean AUC beside the best rival's."""
        own = [i for i in self.intervals if i.system == model.name and i.task not in self._unjudged]
        below = [f"{i.task or 'on average'} {_shown(i)} against `{i.against}`" for i in own if i.mark == WORSE]
        rows = {row.system: row.average for row in self.searched.comparison.table("test") if row.system in self.names}
        best = max(rows, key=lambda name: rows[name])
        mean = fmean(model.test.values())
        word = "above" if mean > rows[best] else "not above"
        found = (
            f"beyond noise it is below a rival: {', '.join(below)}" if below else "it is below no rival beyond noise"
        )
        few = f" ({', '.join(self._unjudged)}: under {FEW_LABELS} test rows of the rarer class, not judged)"
        return (
            f"On the test rows {found}{few if self._unjudged else ''}; its mean AUC of {mean:.4f} is {word} the "
            f"{rows[best]:.4f} of the best rival, `{best}`."
        )

    @cached_property
    def _unjudged(self) -> Sequence[str]:
        """The tasks with too few test labels."""
        labels = labels_of(self.searched.prepared, self.searched.config.tasks)["test"]
        return [task for task, found in labels.items() if found.rarer < FEW_LABELS]


def _shown(interval: Interval) -> str:
    return f"{interval.delta:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]{interval.mark}"
