"""A model that a search chooses by validation rows, with what it is made of and how good it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChosenModel:
    """One of the few models that a search chooses.

    Args:
        name: The label of a trial, or the kind of a model that is made of several runs.
        aliases: The aliases that point at it; none for the best network for all tasks if another model is better.
        trial: Number of its trial; None if it is made of several runs.
        runs: Fingerprints of its runs: one a seed, or the members' of a made model.
        val: Validation AUC of each task; that of an ensemble is cross-fitted, since these rows chose its members.
        test: Test AUC of each task.
    """

    name: str
    aliases: list[str]
    trial: int | None
    runs: list[str]
    val: dict[str, float]
    test: dict[str, float]

    @property
    def role(self) -> str:
        """Its aliases, for people."""
        return ", ".join(self.aliases) or "best network"

    @property
    def is_network(self) -> bool:
        """Whether it is one network for all tasks."""
        return self.trial is not None
