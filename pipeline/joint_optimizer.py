"""Several optimizers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer


class JointOptimizer(Optimizer):
    """Steps its parts one after another, and is one optimizer to everybody else.

    Groups and state are the parts' own, held together: a schedule, a hook, ``state_dict`` and ``load_state_dict`` reach
    all of them.

    Args:
        parts: Optimizers of different parameters.

    Raises:
        ValueError: If a parameter is in two parts.
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = tuple(parts)
        for part in parts:
            self.state.update(part.state)
        self._share()

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # gradients are there before the step
        """One step of each part."""
        del closure
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As the parts do."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Only while it is made: later, no part would step the group.

        Raises:
            ValueError: Later.
        """
        if hasattr(self, "parts"):
            raise ValueError("A group should be added to one of the parts before they are joined.")
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave, in the parts too."""
        super().load_state_dict(state_dict)
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "parts": self.parts}

    def _share(self) -> None:
        """Let the parts step with the joint state and groups, which loading replaces."""
        groups = iter(self.param_groups)
        for part in self.parts:
            part.state = self.state
            part.param_groups = [next(groups) for _ in part.param_groups]
