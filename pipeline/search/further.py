"""Candidates made of several finished runs: the one place where a finished search hands its runs over to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.comparison.candidates import Candidate
from pipeline.comparison.made_candidates import made_candidates
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import Run


@dataclass(frozen=True)
class FinishedRuns:
    """The finished runs of a search.

    Args:
        config: The search's config.
        prepared: The data of all runs.
        baselines: System to its runs: ``single-task`` with one a seed and task, ``uniform``, and perhaps ``boosting``.
        trials: Label of each complete point to its runs, one a seed, if they are on this machine.
    """

    config: RunConfig
    prepared: Prepared
    baselines: Mapping[str, Sequence[Run]]
    trials: Mapping[str, Sequence[Run]]


def _made(finished: FinishedRuns) -> Sequence[Candidate]:
    return made_candidates(finished.baselines, finished.trials, finished.config, finished.prepared)


# A kind of candidate beyond one network, such as a bundle or an ensemble, is a function here: from the finished runs
# to its candidates, chosen by validation rows alone. They compete with the Pareto-optimal points for the aliases.
FURTHER_CANDIDATES: tuple[Callable[[FinishedRuns], Sequence[Candidate]], ...] = (_made,)
