"""By how much a task's AUC drops when something is permuted, with a paired standard error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from scipy.special import stdtrit

from pipeline.evaluation.intervals import Array, Difference, Estimate, spreads

LEVEL = 0.95


class Drop(BaseModel):
    """The drop of one task's AUC.

    Args:
        delta: AUC as the rows are, less the mean AUC over the permutations.
        low: Lower end of its interval.
        high: Upper end.
    """

    delta: float
    low: float
    high: float

    @property
    def is_beyond_noise(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


def drops(
    labels_NT: Array,
    score_NT: Array,
    permuted_RNT: Iterable[Array],
    unit_N: npt.NDArray[np.integer] | None,
    *,
    tasks: Sequence[str],
    share: float,
    among: int,
) -> dict[str, Drop]:
    """The drop of each task that has both classes.

    The permutations take the place of seeds in :func:`pipeline.evaluation.intervals.spreads`: the drop varies with the
    rows, which are the same for all permutations, and with the permutation.

    Args:
        labels_NT: 0, 1, or NaN where unknown.
        score_NT: Scores of the rows as they are.
        permuted_RNT: Scores under each permutation.
        unit_N: Units of dependent rows, such as those of one user; None where each row is a unit.
        tasks: Names of the tasks.
        share: Share of all rows that these are a sample of.
        among: Number of drops whose intervals hold at once with the probability :data:`LEVEL`, by Bonferroni: only so
            may one read off a long list which features are worth something.
    """
    pairs = (np.concatenate([score_NT, permuted_NT], axis=1) for permuted_NT in permuted_RNT)
    estimate = Estimate.of(labels_NT, pairs, unit_N, share)
    found = spreads(estimate, [Difference(0, 1, t) for t in range(len(tasks))])
    half_C = -stdtrit(found.freedom_C, (1 - LEVEL) / 2 / among) * found.error_C
    known = [task for task, is_known in zip(tasks, found.known_C, strict=True) if is_known]
    ends = zip(known, found.delta_C.tolist(), half_C.tolist(), strict=True)
    return {task: Drop(delta=delta, low=delta - half, high=delta + half) for task, delta, half in ends}
