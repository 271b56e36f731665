"""Rate, state and steps of tables that are spread over ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from features.encoder import Table
from models.embedding.copied import CopiedTables
from models.embedding.fused_optimizer import FusedOptimizer, FusedTables
from models.embedding.shard import local_part
from models.table_optimizers.row_optimizer import RowOptimizer
from models.table_optimizers.rules import TABLE_OPTIMIZERS


class SpreadTables(FusedTables, Protocol):
    """Tables that are spread over ranks: divided among them, or copied."""

    rule: str
    declared: dict[str, Table]
    copied: CopiedTables

    def spread(self, table: Table, size: torch.Size, part: Tensor | None) -> Tensor:
        """A tensor for a table, spread like the table, from the part of each rank."""


class ShardedOptimizer(FusedOptimizer):
    """A fused optimizer that also steps copied tables, by the sum of all ranks' gradients.

    Its state dict is that of a fused optimizer of whole tables, with tensors spread over the ranks like their tables.
    It is independent of the number of ranks: any number of ranks can load it.

    Args:
        embedding: The tables.
        lr: Rate.

    Raises:
        ValueError: As for :class:`FusedOptimizer`.
    """

    def __init__(self, embedding: SpreadTables, lr: float) -> None:
        super().__init__(embedding, lr)
        self._embedding, self._copied = embedding, embedding.copied
        self._of_copies = _of_copies(embedding, lr) if self._copied.tall else None

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # gradients are there before the step
        """Count the backward pass's step, and step the copied tables alike; all ranks take part."""
        super().step(closure)
        if self._of_copies is not None:
            self._copied.take_gradients()
            self._of_copies.param_groups[0]["lr"] = self.param_groups[0]["lr"]
            self._of_copies.step()
            self._of_copies.zero_grad()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of the copied tables: no other table has one."""
        del set_to_none
        self._copied.clear()

    def state_dict(self) -> dict[str, Any]:
        """The group's options, and each table's state by its name; all ranks take part."""
        here = super().state_dict()
        held = here["tables"] | self._states_of_copies()
        spread = {name: self._spread(table, held.get(name, {})) for name, table in self._embedding.declared.items()}
        return here | {"tables": spread}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that :meth:`state_dict` gave."""
        local = {name: _local(state) for name, state in state_dict["tables"].items()}
        super().load_state_dict(state_dict | {"tables": local})
        for name, state in self._states_of_copies().items():
            for kind, value in local[name].items():
                state[kind].copy_(value)

    def _states_of_copies(self) -> dict[str, dict[str, Tensor]]:
        """The state of each copied table by its name: the memory in which it is kept."""
        found: dict[str, dict[str, Tensor]] = {}
        for tall in self._copied.tall:
            assert self._of_copies is not None
            found |= tall.state_of_tables(self._of_copies.state[tall.weights])
        return found

    def _spread(self, table: Table, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A table's state, spread over the ranks; this rank may hold a part or nothing."""
        sizes = _rule(self._embedding.rule).initial(torch.empty(table.rows, table.width, device="meta"))
        return {kind: self._embedding.spread(table, whole.size(), held.get(kind)) for kind, whole in sizes.items()}


def _of_copies(embedding: SpreadTables, lr: float) -> RowOptimizer:
    """The optimizer of copied tables, with the state that the rule has at first."""
    rule, tables = _rule(embedding.rule), [tall.weights for tall in embedding.copied.tall]
    optimizer = rule(tables, lr)
    for table in tables:
        optimizer.state[table].update(rule.initial(table))
    return optimizer


def _rule(name: str) -> type[RowOptimizer]:
    rule = TABLE_OPTIMIZERS[name]
    assert rule is not None, f"`{name}` is not fused"
    return rule


def _local(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """This rank's part of a table's state; empty if the rank has none."""
    parts = {kind: local_part(value) for kind, value in state.items()}
    return {kind: part for kind, part in parts.items() if part is not None}
