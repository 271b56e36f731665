"""Views of a tensor that several tasks read."""

from __future__ import annotations

from torch import Tensor


def views_of(shared: Tensor, tasks: int) -> tuple[Tensor, ...]:
    """T distinct views of a tensor, one for each task to read, so that its gradient there can be told apart."""
    return tuple(shared.view_as(shared) for _ in range(tasks))
