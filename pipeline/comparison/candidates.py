"""Candidates: the trade-offs among which the registry chooses models to serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Protocol

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.evaluation.pareto import pareto_mask
from pipeline.runs.run import Run


@dataclass(frozen=True)
class Candidate:
    """One trade-off that could be served.

    Args:
        system: The method, as text.
        run: The run to serve.
        auc: Mean validation AUC of each task over the seeds.
        delta_m_pct: Mean relative drop of that AUC against the single-task models in percent; lower is better. NaN for
            a run without single-task models to compare it with.
        is_safer: Whether it is to be ``balanced`` though another has a lower Δm%, on rows that have chosen it.
    """

    system: str
    run: Run
    auc: dict[str, float]
    delta_m_pct: float
    is_safer: bool = False


class TradeOffs(Protocol):
    """Trade-offs of a comparison or a search."""

    @property
    def config(self) -> RunConfig:
        """The config of the runs; its name is the registered model's."""

    @property
    def prepared(self) -> Prepared:
        """The prepared data of the runs."""

    def candidates(self) -> list[Candidate]:
        """The trade-offs."""


@dataclass(frozen=True)
class Single:
    """A single run as :class:`TradeOffs`.

    Args:
        config: The run's config.
        prepared: Its prepared data.
        run: The run.
    """

    config: RunConfig
    prepared: Prepared
    run: Run

    def candidates(self) -> list[Candidate]:
        """The run, as the only candidate."""
        auc = {task: metrics["auc"] for task, metrics in self.run.val.items()}
        return [Candidate(self.run.method, self.run, auc, nan)]


def pareto_optimal(tradeoffs: TradeOffs) -> list[Candidate]:
    """The Pareto-optimal candidates by validation AUC: no other is better on a task without being worse on another.

    A safer one and the best network beside made models are among them even if another is better.
    """
    found = tradeoffs.candidates()
    optimal, network = pareto_mask([[*c.auc.values()] for c in found]), _best_network(found)
    return [one for one, on in zip(found, optimal, strict=True) if on or one.is_safer or one is network]


def by_alias(found: Sequence[Candidate], tasks: Sequence[str]) -> dict[str, Candidate]:
    """Alias to the candidate that it is to point at, by validation AUC alone.

    Args:
        found: The candidates, at least one.
        tasks: The tasks.

    Returns:
        ``balanced`` with the lowest Δm%, or the safer one; ``best-<task>`` with the highest AUC of each task; and,
        where models made of several runs compete, ``network`` with the lowest Δm% of the networks for all tasks.
    """
    best = {f"best-{task}": max(found, key=lambda one: one.auc[task]) for task in tasks}
    balanced, network = min(found, key=lambda one: (not one.is_safer, one.delta_m_pct)), _best_network(found)
    return {"balanced": balanced, **best} | ({"network": network} if network else {})


def _best_network(found: Sequence[Candidate]) -> Candidate | None:
    """The network for all tasks with the lowest Δm%; None where no model that is made of several runs competes."""
    networks = [one for one in found if not one.run.members]
    has_made = len(networks) < len(found)
    return min(networks, key=lambda one: one.delta_m_pct, default=None) if has_made else None


def best_run(runs: Sequence[Run], config: RunConfig) -> Run:
    """The best of several runs of a config's tasks by ``train.select_by`` on the validation rows."""
    return max(runs, key=lambda run: config.train.selection.score(run.val))
