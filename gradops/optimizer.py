"""The optimizer adapter: T losses in, one step of any torch optimizer out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradops import jacobian
from gradops.base import Cut, ElementwiseMethod, GramianMethod, Method, State
from gradops.diagnostics import StepReport
from gradops.linalg import gramian
from gradops.rotation import Leader, Rotations

Measure = Literal["parameters", "features"]
_BESIDE = ("method", "leader")  # what the state holds beside the wrapped optimizer's


class MultiTaskOptimizer(Optimizer):
    """A torch optimizer whose step takes T task losses and combines their gradients by a method.

    Shared parameters (and embedding tables behind a cut) get the method's combination of the task gradients; every
    other parameter gets the plain gradient of the losses that reach it. It is itself a :class:`torch.optim.Optimizer`
    that shares the wrapped one's ``param_groups`` and ``state``, so schedulers, clipping and checkpoints work as ever.

    Args:
        optimizer: Any torch optimizer over all of the model's parameters but the rotations' angles.
        method: How task gradients are combined.
        shared: The parameters that several tasks share, of one dtype, without the tables behind a cut.
        measure: Where conflict is measured: ``"parameters"`` is exact, the Gram matrix of the gradients of everything
            shared, tables included; ``"features"`` takes that of the cotangents at the shared representation ("-UB" in
            the literature) and needs one backward pass through the shared part instead of T. A method that is defined
            at the features is measured there whatever this says.
        rotations: The rotations through which the towers read the shared representation, where the method has some.
            Their leader steps whenever the wrapped optimizer does.
        seed: Seed of the method's own randomness.

    Raises:
        ValueError: If ``shared`` is empty, mixes dtypes or holds a parameter that the optimizer does not step,
            ``measure`` is unknown, or ``rotations`` are not those of the method.

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
        method: Method,
        *,
        shared: Iterable[Tensor],
        measure: Measure = "parameters",
        rotations: Rotations | None = None,
        seed: int = 0,
    ) -> None:
        # Optimizer.__init__ is not called: it would build groups and state of its own beside the wrapped optimizer's.
        self.optimizer, self.method, self.seed = optimizer, method, seed
        self.measure: Measure = "features" if method.at_features else measure
        self.method_state: State | None = None
        self._shared = [parameter for parameter in shared if parameter.requires_grad]
        self._check(rotations)
        self._leader = None if rotations is None else Leader(rotations)
        self._couple()

    def _couple(self) -> None:
        """Let the leader step whenever the wrapped optimizer does, at a rate that follows its schedule."""
        leader = self._leader
        if leader is None:
            return

        def follow(optimizer: Optimizer, *_: object) -> None:
            group = optimizer.param_groups[0]
            leader.step(group["lr"] / (group.get("initial_lr") or group["lr"]))

        self.optimizer.register_step_post_hook(follow)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # torch drops an optimizer's hooks when it is copied or pickled.
        self.__dict__.update(state)
        self._couple()

    def _check(self, rotations: Rotations | None) -> None:
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
        used = None if rotations is None else rotations.rotation
        if used != self.method.rotation:
            raise ValueError(f"`rotations` should be made of the method's `{self.method.rotation}`. Found `{used}`.")
        if rotations is not None and id(rotations.angles) in stepped:
            raise ValueError("`optimizer` should not step the rotations' angles: their leader does. Found them in it.")

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
        if self._leader is not None:
            self._leader.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The wrapped optimizer's state with the method's and the rotations' leader's beside it."""
        method = None if self.method_state is None else dict(self.method_state)
        leader = None if self._leader is None else self._leader.state_dict()
        return {**self.optimizer.state_dict(), "method": method, "leader": leader}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave, so that the next step is the one that would have followed.

        Raises:
            ValueError: If the state is of another kind of optimizer or method, or of one with or without rotations.
        """
        self._check_state(state_dict)
        method = state_dict["method"]
        self.method_state = None if method is None else {name: value.clone() for name, value in method.items()}
        if self._leader is not None:
            self._leader.load_state_dict(state_dict["leader"])
        self.optimizer.load_state_dict({k: v for k, v in state_dict.items() if k not in _BESIDE})

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        if missing := [name for name in _BESIDE if name not in state_dict]:
            raise ValueError(
                f"`state_dict` should be a MultiTaskOptimizer's. Found none of its {' and '.join(missing)}."
            )
        if (state_dict["leader"] is None) != (self._leader is None):
            found = "without" if state_dict["leader"] is None else "with"
            raise ValueError(f"`state_dict` should fit the method's rotations. Found one {found} rotations.")
        method, expected = state_dict["method"], self.method.init(1, torch.Generator())
        if method is not None and method.keys() != expected.keys():
            kinds = f"{sorted(expected)}, found {sorted(method)}"
            raise ValueError(f"`state_dict` should be of the same method; its state holds {kinds}.")

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
            features: The shared representation z, B x D, or T views of it, one read by each tower, before any rotation.
                Needed where conflict is measured at the features and where there are rotations; elsewhere it saves T
                passes through the towers.
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
        report = self._combine(losses_T.detach(), roots, pooled, diagnose)
        if self._leader is not None:
            self._lead(self._leader, report, roots)
        return report

    def _check_call(self, losses_T: Tensor, features: Tensor | Sequence[Tensor] | None) -> None:
        if losses_T.dim() != 1 or not len(losses_T):
            raise ValueError(f"`losses_T` should be a vector of T losses. Found shape {tuple(losses_T.shape)}.")
        if features is None and (self.measure == "features" or self._leader is not None):
            raise ValueError('`features` should be given where `measure = "features"` or towers rotate. Found none.')
        # One tensor given T times would give every task the sum of all cotangents, and no error.
        if isinstance(features, Sequence) and len({id(view) for view in features}) != len(losses_T):
            raise ValueError(f"`features` should be z, or {len(losses_T)} distinct views of it, one a task.")

    @torch.no_grad()
    def _combine(self, losses_T: Tensor, roots: jacobian.Roots, pooled: Cut | None, diagnose: bool) -> StepReport:
        if isinstance(self.method, ElementwiseMethod):
            return self._elementwise(self.method, losses_T, roots, pooled, diagnose)
        assert isinstance(self.method, GramianMethod), f"{type(self.method).__name__} neither weighs nor combines"
        needs_gramian = diagnose or self.method.needs_gramian
        if needs_gramian and self.measure == "parameters":
            return self._exact(self.method, losses_T, roots, pooled)
        return self._at_roots(self.method, losses_T, roots, pooled, needs_gramian)

    def _exact(self, method: GramianMethod, losses_T: Tensor, roots: jacobian.Roots, pooled: Cut | None) -> StepReport:
        """Gradients of every task apart, their exact Gram matrix, and their combination by one product."""
        leaf = None if pooled is None else pooled.leaf_BE
        jac_TP, cotangent_TBE = jacobian.each(roots, self._shared, leaf)
        gram_TT = gramian(jac_TP)
        if pooled is not None and cotangent_TBE is not None:
            gram_TT = gram_TT + sum(gramian(block) for block in pooled.task_gradients(cotangent_TBE))
        weights_T = self._weigh(method, gram_TT, losses_T)
        self._assign((weights_T.to(jac_TP.dtype) @ jac_TP).split([p.numel() for p in self._shared]))
        if pooled is not None and cotangent_TBE is not None:
            pooled.backward(torch.tensordot(weights_T.to(cotangent_TBE.dtype), cotangent_TBE, dims=1))
        return StepReport(losses_T, weights_T, gram_TT)

    def _at_roots(
        self,
        method: GramianMethod,
        losses_T: Tensor,
        roots: jacobian.Roots,
        pooled: Cut | None,
        needs_gramian: bool,
    ) -> StepReport:
        """Weights known before the shared part is entered: one backward pass through it."""
        gram_TT = gramian(roots.stacked.flatten(1)) if needs_gramian else None
        unread_TT = torch.eye(len(losses_T), dtype=torch.float64, device=losses_T.device)
        weights_T = self._weigh(method, unread_TT if gram_TT is None else gram_TT, losses_T)
        self._enter(roots.weighted(weights_T), pooled)
        return StepReport(losses_T, weights_T, gram_TT)

    def _elementwise(
        self, method: ElementwiseMethod, losses_T: Tensor, roots: jacobian.Roots, pooled: Cut | None, diagnose: bool
    ) -> StepReport:
        """One gradient at the features, and one backward pass from there."""
        cotangent_TBD = roots.stacked
        combined_BD, self.method_state = method.combine(cotangent_TBD, self._state(len(losses_T)))
        self._enter(jacobian.Roots(roots.outputs[:1], (combined_BD,)), pooled)
        gram_TT, update_T = None, None
        if diagnose:
            # The products of the task gradients and, last, of the update with all of them.
            whole_UU = gramian(torch.cat([cotangent_TBD, combined_BD[None]]).flatten(1))
            gram_TT, update_T = whole_UU[:-1, :-1], whole_UU[-1]
        return StepReport(losses_T, torch.full_like(losses_T, torch.nan, dtype=torch.float64), gram_TT, update_T)

    def _state(self, tasks: int) -> State:
        if self.method_state is None:
            self.method_state = self.method.init(tasks, torch.Generator().manual_seed(self.seed))
        return self.method_state

    def _weigh(self, method: GramianMethod, gram_TT: Tensor, losses_T: Tensor) -> Tensor:
        state = self._state(len(losses_T))
        if not gram_TT.isfinite().all():
            # A diverged run: no method has an answer, and its caller sees it in the losses of the next step.
            return torch.full_like(gram_TT[0], torch.nan)
        weights_T, self.method_state = method.weights(gram_TT, losses_T, state)
        return weights_T

    def _enter(self, roots: jacobian.Roots, pooled: Cut | None) -> None:
        """One backward pass through the shared part."""
        gradients, cotangent_BE = jacobian.combined(roots, self._shared, None if pooled is None else pooled.leaf_BE)
        self._assign(gradients)
        if pooled is not None and cotangent_BE is not None:
            pooled.backward(cotangent_BE)

    @torch.no_grad()
    def _lead(self, leader: Leader, report: StepReport, roots: jacobian.Roots) -> None:
        """The gradient of the rotations. A method without weights counts as the plain sum."""
        gramian_method = isinstance(self.method, GramianMethod)
        weights_T = report.weights_T if gramian_method else torch.ones_like(report.weights_T)
        pace_T = self.method.pace(report.losses_T, self._state(len(weights_T)))
        leader.backward(roots.outputs[0], roots.stacked, weights_T, pace_T)

    def _assign(self, gradients: Iterable[Tensor]) -> None:
        for parameter, gradient in zip(self._shared, gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)
