"""Tasks that are built on earlier tasks: what each of them reads, and the vectors that they hand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers.task_graph import BASE, TaskGraph
from models.layers.views import views_of


@dataclass(frozen=True)
class Read:
    """What one task reads.

    Args:
        base_BX: The vector that all tasks read.
        earlier: The vectors of earlier tasks that losses of later ones reach, by task.
    """

    base_BX: Tensor
    earlier: Mapping[int, Tensor]


def read_by_tasks(base_BX: Tensor, earlier: Mapping[int, Tensor], tasks: int) -> tuple[list[Read], tuple[Tensor, ...]]:
    """The same vectors for each task, as its own view of one tensor.

    Args:
        base_BX: The vector that all tasks read.
        earlier: The vectors of earlier tasks that losses of later ones reach, by task.
        tasks: Number of tasks, T.

    Returns:
        What each task reads, and the T views.
    """
    # The base last: without tables it needs no gradient, and such tensors stand last where tasks go back side by side.
    parts = [*earlier.values(), base_BX]
    views = views_of(torch.cat(parts, dim=1) if earlier else base_BX, tasks)
    columns = [part.shape[1] for part in parts]
    reads = []
    for view in views:
        *vectors, base = view.split(columns, dim=1)
        reads.append(Read(base, dict(zip(earlier, vectors, strict=True))))
    return reads, views


def related(
    graph: TaskGraph, base_BX: Tensor, make: Callable[[int, Tensor, Sequence[Tensor]], Tensor]
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """A vector a task, made of the base and of the vectors of the tasks that it is built on.

    Args:
        graph: The tasks.
        base_BX: The vector that all tasks read.
        make: From a task, the base and the vectors of the tasks that it is built on, to the task's vector, B x D.

    Returns:
        The vector of each task, and T views: of the vectors that later tasks' losses reach, and of the base.
    """
    earlier: dict[int, Tensor] = {}
    for task in graph.reached:
        earlier[task] = make(task, base_BX, [earlier[parent] for parent in graph.parents[task]])
    reads, views = read_by_tasks(base_BX, earlier, len(graph.parents))
    found: dict[int, Tensor] = {}
    for task in graph.order:
        read, parents = reads[task], graph.parents[task]
        if task in earlier:
            found[task] = read.earlier[task]
        else:
            # Of a parent that no later loss reaches, only the value is read.
            before = [read.earlier[p] if p in earlier else found[p].detach() for p in parents]
            found[task] = make(task, read.base_BX, before)
    return [found[task] for task in range(len(reads))], views


def parts_read(graph: TaskGraph) -> list[set[int]]:
    """For each task, what it reads in :func:`related`: the base, and the vectors of earlier tasks, by their places."""
    reached = set(graph.reached)
    return [
        {task} if task in reached else {BASE, *(reached & {*parents})} for task, parents in enumerate(graph.parents)
    ]
