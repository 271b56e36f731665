"""The optimizer of tables in a fused kernel: it holds their rate and state; the kernel does the steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, Protocol

import torch
from fbgemm_gpu.split_table_batched_embeddings_ops_training import SplitTableBatchedEmbeddingBagsCodegen as Kernel
from torch import Tensor
from torch.optim import Optimizer


class FusedTables(Protocol):
    """Tables in kernels whose backward pass steps them."""

    before_training_pass: Callable[[list[Kernel]], None] | None

    def kernels(self) -> list[Kernel]:
        """The present kernels."""

    def stepped(self) -> dict[str, Tensor]:
        """The weights in the kernels, kernel by kernel, by the names of their tables."""


class FusedOptimizer(Optimizer):
    """Rate and state of tables that are stepped by the backward pass.

    The ``lr`` of its one group and its state are given to the kernels at the start of every forward pass with
    gradients, because fbgemm reads the rate there. So a schedule has to step between a step and the next forward pass,
    as schedules do. The state is a view of the kernels' memory, table by table, with the names that the row optimizer
    of the same rule uses.

    Args:
        embedding: The tables, already on their device. A later optimizer replaces an earlier one.
        lr: Rate.

    Raises:
        ValueError: If the rate is negative, a table is frozen, or the rule is not fused on this device.
    """

    _used_rate: float | None
    _kernels: list[Kernel]
    _first: dict[str, Tensor] | None

    def __init__(self, embedding: FusedTables, lr: float) -> None:
        if not lr >= 0:
            raise ValueError(f"`lr` should be at least 0. Found `lr = {lr}`.")
        stepped = embedding.stepped()
        self._names = list(stepped)
        # There is a group even without tables: a rank may hold no table.
        super().__init__([{"params": list(stepped.values())}], {"lr": lr, "step": 0})
        self._forget()
        self._give_state(embedding.kernels())
        embedding.before_training_pass = self._prepare

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # the backward pass was the step
        """Count the step that the backward pass has already made.

        Raises:
            ValueError: If the rate is not the one that the backward pass has used.
        """
        del closure
        group, used = self.param_groups[0], self._used_rate
        if used is not None and used != group["lr"]:
            found = f"`lr = {group['lr']}` after a forward pass at {used}"
            raise ValueError(f"`lr` should not change between a forward pass and its step. Found {found}.")
        group["step"] += 1
        self._used_rate = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing: no table ever has a gradient."""

    def state_dict(self) -> dict[str, Any]:
        """The group's options, and each table's state by its name."""
        group = {name: value for name, value in self.param_groups[0].items() if name != "params"}
        tables = zip(self._names, self.param_groups[0]["params"], strict=True)
        return {"group": group, "tables": {name: dict(self.state[table]) for name, table in tables}}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that :meth:`state_dict` gave."""
        self.param_groups[0].update(state_dict["group"])
        for name, table in zip(self._names, self.param_groups[0]["params"], strict=True):
            for kind, value in state_dict["tables"][name].items():
                self.state[table][kind].copy_(value)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_names": self._names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def _forget(self) -> None:
        """Forget the kernels that were given a rate and a state."""
        self._used_rate, self._kernels, self._first = None, [], None

    def _prepare(self, kernels: list[Kernel]) -> None:
        """Give the kernels this group's rate and state before they step."""
        group = self.param_groups[0]
        # Copying replaces the tensors of the state; moving the tables makes another kernel. The state of all tables is
        # replaced at once, so checking the first table is enough.
        if self._kernels != kernels or self._first is not self._first_state():
            self._give_state(kernels)
        self._used_rate = group["lr"]
        for kernel in kernels:
            kernel.set_learning_rate(group["lr"])
            # fbgemm counts all forward passes, even those of an evaluation; its Adam corrects its bias by this count.
            kernel.iter.fill_(group["step"])  # type: ignore[operator]  # a buffer
            kernel.iter_cpu.fill_(group["step"])

    @torch.no_grad()
    def _give_state(self, kernels: list[Kernel]) -> None:
        """Copy the state into the kernels' memory, zero where there is none, and hold views of it from now on."""
        tables, memory = self.param_groups[0]["params"], chain(*(kernel.get_optimizer_state() for kernel in kernels))
        for table, views in zip(tables, memory, strict=False):  # no memory for a rule without a state
            held = self.state[table]
            for name, view in views.items():
                view.copy_(held[name]) if name in held else view.zero_()
            self.state[table] = views
        self._kernels, self._first = kernels, self._first_state()

    def _first_state(self) -> dict[str, Tensor] | None:
        """The state of the first table; None without tables or without a state."""
        return next((self.state.get(table) for table in self.param_groups[0]["params"]), None)
