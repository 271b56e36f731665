"""Several optimizers as one."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer


class JointOptimizer(Optimizer):
    """Steps its parts one after another; a schedule or a hook sees one optimizer.

    Groups and state are views of the parts' own: a schedule and a hook reach all of them. The state dict is a list of
    the parts' state dicts, each in its own format.

    Args:
        parts: Optimizers of different parameters.

    Raises:
        ValueError: If a parameter is in two parts.
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = tuple(parts)
        self._look()

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # gradients are there before the step
        """One step of each part."""
        del closure
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of every part."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group while the optimizer is constructed; no part would step a later group.

        Raises:
            ValueError: After construction.
        """
        if hasattr(self, "parts"):
            raise ValueError("A group should be added to one of the parts before they are joined.")
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """The state dicts of the parts, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that :meth:`state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._look()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "parts": self.parts}

    def _look(self) -> None:
        """Renew the views of the parts' groups and state, which loading replaces."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]
        self.state = _Seen(*(part.state for part in self.parts))  # type: ignore[assignment]  # nothing is added to it


class _Seen(ChainMap[Any, Any]):
    """The states of several optimizers as one mapping: a missing key has an empty state and is not added."""

    def __getitem__(self, key: Any) -> Any:
        return next((state[key] for state in self.maps if key in state), {})
