"""The choice of a trial: a method with its options, and values of the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.training.resolve import changed_config

METHOD = "method"
Fixed = dict[str, Any]


class Draw(Protocol):
    """An Optuna trial, or a stand-in for it, that suggests values."""

    def suggest_categorical(self, name: str, choices: list[str]) -> Any:
        """Choose one of several texts."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        """Choose a number."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int:
        """Choose a whole number."""


@dataclass(frozen=True)
class Choice:
    """The choice of a trial.

    Args:
        method: The method, as text with its options.
        params: What was chosen, by name, for people: options, numbers of the config by their keys, and texts.
        values: The values of the config by their keys; ``"model"`` stands for the whole section.
    """

    method: str
    params: Mapping[str, float | str]
    values: Mapping[str, Any]

    def config(self, base: RunConfig, seed: int) -> RunConfig:
        """The config of one run.

        Raises:
            InputError: If the chosen values contradict each other.
        """
        try:
            return changed_config(base, {**self.values, "train.method": self.method, "train.seed": seed})
        except ValueError as error:
            raise InputError(f"search.ranges allows {self.params}, which is no valid config: {error}") from None


class SearchSpace(Protocol):
    """The space that the trials of a study choose from."""

    def choose(self, draw: Draw) -> Choice:
        """The choice of a trial."""

    def prescribed(self) -> Sequence[Fixed]:
        """Choices that are fixed beforehand, one entry a trial; an empty entry leaves the choice to the sampler."""

    def shown(self, chosen: Mapping[str, Any]) -> Mapping[str, float | str]:
        """What people are shown of a choice of the sampler, by name."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a study depends on beside the config: another space makes another study."""
