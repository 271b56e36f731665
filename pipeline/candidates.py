"""What the registry chooses from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipeline.config import RunConfig
from pipeline.front import on_front
from pipeline.prepared import Prepared
from pipeline.runs import Run


@dataclass(frozen=True)
class Candidate:
    """One trade-off that could be served.

    Args:
        system: The method, as text.
        run: The run to serve.
        auc: Mean validation AUC of each task over the seeds.
        delta_m_pct: Mean relative drop of it against the single-task models in percent; lower is better.
    """

    system: str
    run: Run
    auc: dict[str, float]
    delta_m_pct: float


class TradeOffs(Protocol):
    """A comparison, or a search."""

    @property
    def config(self) -> RunConfig:
        """Of its runs; its name is the registered model's."""

    @property
    def prepared(self) -> Prepared:
        """What they were trained on."""

    def candidates(self) -> list[Candidate]:
        """What there is to choose from."""


def worth_keeping(tradeoffs: TradeOffs) -> list[Candidate]:
    """The candidates that no other beats on one task without losing on another, by validation AUC."""
    found = tradeoffs.candidates()
    return [one for one, on in zip(found, on_front([[*c.auc.values()] for c in found]), strict=True) if on]
