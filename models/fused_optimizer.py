"""What stands for the tables of a fused kernel among optimizers: their rate, their state, and no step of its own."""

from __future__ import annotations

from typing import Any

import torch
from fbgemm_gpu.split_table_batched_embeddings_ops_training import SplitTableBatchedEmbeddingBagsCodegen as Kernel
from torch import Tensor
from torch.optim import Optimizer

from models.fused_embedding import FusedEmbedding


class FusedOptimizer(Optimizer):
    """Rate and state of tables that are stepped by the backward pass.

    Its one group's ``lr`` and its state are given to the kernel whenever a forward pass with gradients begins, because
    fbgemm takes the rate there: a schedule steps between a step and the next forward pass, as schedules do. The state
    is the kernel's memory seen table by table, under the names of the row optimizer of the same rule.

    Args:
        embedding: The tables; it should be on its device. A later optimizer takes the place of an earlier one.
        lr: Rate.

    Raises:
        ValueError: If the rate is negative, a table is frozen, or the rule is not fused on this device.
    """

    _used_rate: float | None
    _kernel: Kernel | None
    _first: dict[str, Tensor] | None

    def __init__(self, embedding: FusedEmbedding, lr: float) -> None:
        if not lr >= 0:
            raise ValueError(f"`lr` should be at least 0. Found `lr = {lr}`.")
        if not all(table.requires_grad for table in embedding.tables()):
            raise ValueError("Tables of a fused kernel should not be frozen: its backward pass steps them all.")
        super().__init__(embedding.tables(), {"lr": lr, "step": 0})
        self._forget()
        self._give_state(embedding.kernel)
        embedding.before_training_pass = self._prepare

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # the backward pass was the step
        """Count the step that the backward pass has done.

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
        """Nothing: no table ever has a gradient."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def _forget(self) -> None:
        """No kernel was given a rate or a state yet."""
        self._used_rate, self._kernel, self._first = None, None, None

    def _prepare(self, kernel: Kernel) -> None:
        """Let the kernel go on from this group and state."""
        group = self.param_groups[0]
        # Loading and copying put other tensors into the state, moving the tables makes another kernel. All tables'
        # state is replaced at once, so the first one's tells.
        if self._kernel is not kernel or self._first is not self.state.get(group["params"][0]):
            self._give_state(kernel)
        kernel.set_learning_rate(group["lr"])
        self._used_rate = group["lr"]
        # fbgemm counts forward passes, those of an evaluation too; its Adam corrects a bias by this.
        kernel.iter.fill_(group["step"])  # type: ignore[operator]  # a buffer
        kernel.iter_cpu.fill_(group["step"])

    @torch.no_grad()
    def _give_state(self, kernel: Kernel) -> None:
        """Copy the state into the kernel's memory, zero where there is none, and hold views of it from now on."""
        tables = self.param_groups[0]["params"]
        for table, views in zip(tables, kernel.get_optimizer_state(), strict=False):  # none at all without a state
            held = self.state[table]
            for name, view in views.items():
                view.copy_(held[name]) if name in held else view.zero_()
            self.state[table] = views
        self._kernel, self._first = kernel, self.state.get(tables[0])
