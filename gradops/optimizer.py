"""The optimizer adapter: T losses in, one step of any torch optimizer out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradops import jacobian
from gradops.base import Cut, GramianMethod, State
from gradops.diagnostics import StepReport
from gradops.linalg import gramian

Measure = Literal["parameters", "features"]


class MultiTaskOptimizer(Optimizer):
    """A torch optimizer whose step takes T task losses and combines their gradients by a method.

    Shared parameters (and embedding tables behind a cut) get the method's combination of the task gradients; every
    other parameter gets the plain gradient of the losses that reach it. It is itself a :class:`torch.optim.Optimizer`
    that shares the wrapped one's ``param_groups`` and ``state``, so schedulers, clipping and checkpoints work as ever.

    Args:
        optimizer: Any torch optimizer over all of the model's parameters.
        method: How task gradients are combined.
        shared: The parameters that several tasks share, of one dtype, without the tables behind a cut.
        measure: Where conflict is measured: ``"parameters"`` is exact, the Gram matrix of the gradients of everything
            shared, tables included; ``"features"`` takes that of the cotangents at the shared representation ("-UB" in
            the literature) and needs one backward pass through the shared part instead of T.
        seed: Seed of the method's own randomness.

    Raises:
        ValueError: If ``shared`` is empty, mixes dtypes or holds a parameter that the optimizer does not step, or
            ``measure`` is unknown.

    Example:
        >>> shared, towers = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)
        >>> adam = torch.optim.Adam([*shared.parameters(), *towers.parameters()], lr=1e-3)
        >>> from gradops.methods import GradOPS
        >>> optimizer = MultiTaskOptimizer(adam, GradOPS(alpha=-3.0), shared=shared.parameters())
        >>> losses_T = towers(shared(torch.ones(8, 4))).square().mean(0)
        >>> optimizer.step(losses_T).weights_T.shape
        torch.Size([2])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        method: GramianMethod,
        *,
        shared: Iterable[Tensor],
        measure: Measure = "parameters",
        seed: int = 0,
    ) -> None:
        # Optimizer.__init__ is not called: it would build groups and state of its own beside the wrapped optimizer's.
        self.optimizer, self.method, self.measure, self.seed = optimizer, method, measure, seed
        self.method_state: State | None = None
        self._shared = [parameter for parameter in shared if parameter.requires_grad]
        self._check()

    def _check(self) -> None:
        stepped = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        dtypes = {p.dtype for p in self._shared}
        if len(dtypes) != 1:
            raise ValueError(
                f"`shared` should hold trainable parameters of one dtype. Found `{sorted(map(str, dtypes))}`."
            )
        if unknown := sum(id(p) not in stepped for p in self._shared):
            raise ValueError(f"`shared` should be parameters of `optimizer`. Found {unknown} that it does not step.")
        if self.measure not in ("parameters", "features"):
            raise ValueError(f'`measure` should be "parameters" or "features". Found `{self.measure}`.')

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]  # a view of the wrapped optimizer's
        """The wrapped optimizer's groups."""
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]  # a view of the wrapped optimizer's
        """The wrapped optimizer's state."""
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]  # a view of the wrapped optimizer's
        """The wrapped optimizer's defaults."""
        return self.optimizer.defaults

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As the wrapped optimizer's. :meth:`step` needs none: it replaces every gradient."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The wrapped optimizer's state with the method's beside it, under ``"method"``."""
        return {**self.optimizer.state_dict(), "method": None if self.method_state is None else dict(self.method_state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave, so that the next step is the one that would have followed."""
        self.method_state = state_dict["method"]
        self.optimizer.load_state_dict({k: v for k, v in state_dict.items() if k != "method"})

    def step(  # type: ignore[override]  # T losses stand where a closure would
        self,
        losses_T: Tensor,
        *,
        features: Tensor | Sequence[Tensor] | None = None,
        pooled: Cut | None = None,
        diagnose: bool = False,
    ) -> StepReport:
        """:meth:`backward`, then one step of the wrapped optimizer."""
        report = self.backward(losses_T, features=features, pooled=pooled, diagnose=diagnose)
        self.optimizer.step()
        return report

    def backward(
        self,
        losses_T: Tensor,
        *,
        features: Tensor | Sequence[Tensor] | None = None,
        pooled: Cut | None = None,
        diagnose: bool = False,
    ) -> StepReport:
        """Fill every parameter's ``.grad``, replacing what was there; clip or inspect, then step the wrapped optimizer.

        Args:
            losses_T: One scalar loss a task, of one forward pass.
            features: The shared representation z, or T views of it, one read by each tower. Needed where conflict is
                measured at the features; elsewhere it saves T passes through the towers.
            pooled: The cut at the output of the embedding tables, if the model has one.
            diagnose: Form the Gram matrix even if the method does not need it.

        Returns:
            Losses, weights and Gram matrix of the step.

        Raises:
            ValueError: If ``losses_T`` is not a vector, ``features`` is missing or not one per task.
        """
        self._check_call(losses_T, features)
        self.zero_grad()
        excluded = {id(p) for p in self._shared}
        own = [p for g in self.param_groups for p in g["params"] if p.requires_grad and id(p) not in excluded]
        roots = jacobian.split(losses_T, features, own)
        needs_gramian = diagnose or self.method.needs_gramian
        if needs_gramian and self.measure == "parameters":
            return self._exact(losses_T.detach(), roots, pooled)
        return self._at_roots(losses_T.detach(), roots, pooled, needs_gramian)

    def _check_call(self, losses_T: Tensor, features: Tensor | Sequence[Tensor] | None) -> None:
        if losses_T.dim() != 1 or not len(losses_T):
            raise ValueError(f"`losses_T` should be a vector of T losses. Found shape {tuple(losses_T.shape)}.")
        if self.measure == "features" and features is None:
            raise ValueError('`features` should be given where `measure = "features"`. Found none.')
        # One tensor given T times would give every task the sum of all cotangents, and no error.
        if isinstance(features, Sequence) and len({id(view) for view in features}) != len(losses_T):
            raise ValueError(f"`features` should be z, or {len(losses_T)} distinct views of it, one a task.")

    def _weigh(self, gram_TT: Tensor, losses_T: Tensor) -> Tensor:
        if self.method_state is None:
            generator = torch.Generator().manual_seed(self.seed)
            self.method_state = self.method.init(len(losses_T), generator)
        if not gram_TT.isfinite().all():
            # A diverged run: no method has an answer, and its caller sees it in the losses of the next step.
            return torch.full_like(gram_TT[0], torch.nan)
        weights_T, self.method_state = self.method.weights(gram_TT, losses_T, self.method_state)
        return weights_T

    @torch.no_grad()
    def _exact(self, losses_T: Tensor, roots: jacobian.Roots, pooled: Cut | None) -> StepReport:
        """Gradients of every task apart, their exact Gram matrix, and their combination by one product."""
        leaf = None if pooled is None else pooled.leaf_BE
        jac_TP, cotangent_TBE = jacobian.each(roots, self._shared, leaf)
        gram_TT = gramian(jac_TP)
        if pooled is not None and cotangent_TBE is not None:
            gram_TT = gram_TT + sum(gramian(block) for block in pooled.task_gradients(cotangent_TBE))
        weights_T = self._weigh(gram_TT, losses_T)
        self._assign((weights_T.to(jac_TP.dtype) @ jac_TP).split([p.numel() for p in self._shared]))
        if pooled is not None and cotangent_TBE is not None:
            pooled.backward(torch.tensordot(weights_T.to(cotangent_TBE.dtype), cotangent_TBE, dims=1))
        return StepReport(losses_T, weights_T, gram_TT)

    @torch.no_grad()
    def _at_roots(self, losses_T: Tensor, roots: jacobian.Roots, pooled: Cut | None, needs_gramian: bool) -> StepReport:
        """Weights known before the shared part is entered: one backward pass through it."""
        gram_TT = gramian(torch.stack(roots.cotangents).flatten(1)) if needs_gramian else None
        unread_TT = torch.eye(len(losses_T), dtype=torch.float64, device=losses_T.device)
        weights_T = self._weigh(unread_TT if gram_TT is None else gram_TT, losses_T)
        leaf = None if pooled is None else pooled.leaf_BE
        gradients, cotangent_BE = jacobian.combined(roots, weights_T, self._shared, leaf)
        self._assign(gradients)
        if pooled is not None and cotangent_BE is not None:
            pooled.backward(cotangent_BE)
        return StepReport(losses_T, weights_T, gram_TT)

    def _assign(self, gradients: Iterable[Tensor]) -> None:
        for parameter, gradient in zip(self._shared, gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)
