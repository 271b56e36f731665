"""The optimizer adapter: T losses in, one step of any torch optimizer out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradops import jacobian
from gradops.base import Cut, GramianMethod, Method, State
from gradops.diagnostics import StepReport
from gradops.gram_estimator import GramEstimator
from gradops.group import Alone, Group
from gradops.jacobian import Microbatch, Read, Roots
from gradops.linalg import to_device
from gradops.rotation import Leader, Rotations
from gradops.surgery import Surgery

_OWN_STATE = ("surgery", "leader")  # keys that the state has besides those of the wrapped optimizer


class MultiTaskOptimizer(Optimizer):
    """A torch optimizer whose step takes T task losses and combines their gradients by a method.

    Shared parameters (and embedding tables behind a cut) get the method's combination of the task gradients; every
    other parameter gets the plain gradient of the losses that reach it. It is itself a :class:`torch.optim.Optimizer`
    that shares the wrapped one's ``param_groups`` and ``state``, so schedulers, clipping and checkpoints work as ever.

    Args:
        optimizer: Any torch optimizer over all of the model's parameters but the rotations' angles.
        method: The method that combines task gradients.
        shared: The parameters that several tasks share, of one dtype, without the tables behind a cut; none if tasks
            share only these tables.
        estimator: The measurement of conflict; exact by default. A method that is defined at the features is
            always measured there.
        rotations: The rotations through which the towers read the shared representation, if the method has rotations.
            Their leader steps whenever the wrapped optimizer does.
        seed: Seed of the method's own randomness.
        group: The processes that share the rows of a batch (:class:`gradops.group.Ranks`); by default this one alone.
            Each gives its rows' part of the losses and steps as if it had all rows.
        gauge: The former name of ``estimator``, kept for one release.

    Raises:
        ValueError: If ``shared`` mixes dtypes or holds a parameter that the optimizer does not step,
            ``rotations`` are not those of the method, or both ``estimator`` and ``gauge`` are given.

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
        estimator: GramEstimator | None = None,
        rotations: Rotations | None = None,
        seed: int = 0,
        group: Group = Alone(),
        gauge: GramEstimator | None = None,
    ) -> None:
        # Optimizer.__init__ is not called: it would build separate groups and state.
        self.optimizer, self.method = optimizer, method
        self._shared = list(dict.fromkeys(parameter for parameter in shared if parameter.requires_grad))
        self._surgery = Surgery(method, self._shared, _estimator(estimator, gauge), seed, group)
        self._check(rotations)
        self._leader = None if rotations is None else Leader(rotations, group)
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
        if len(dtypes) > 1:
            raise ValueError(
                f"`shared` should hold trainable parameters of one dtype. Found `{sorted(map(str, dtypes))}`."
            )
        if unknown := sum(id(p) not in stepped for p in self._shared):
            raise ValueError(f"`shared` should be parameters of `optimizer`. Found {unknown} that it does not step.")
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

    @property
    def method_state(self) -> State | None:
        """The method's state; None before its first step."""
        return self._surgery.method_state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, as the wrapped optimizer does; not needed before :meth:`step`, which replaces them."""
        self.optimizer.zero_grad(set_to_none)
        if self._leader is not None:
            self._leader.optimizer.zero_grad(set_to_none)

    def restart(self) -> None:
        """Forget the method's state: the next step may have another number of tasks.

        Shared parameters that no longer require a gradient are left as they are from then on; the wrapped optimizer
        keeps its groups and its state.

        Raises:
            ValueError: If the method has rotations, which are of a number of tasks.
        """
        if self._leader is not None:
            raise ValueError("`restart` should not be called with rotations: they are of one number of tasks.")
        before = self._surgery
        self._shared = [parameter for parameter in self._shared if parameter.requires_grad]
        self._surgery = Surgery(self.method, self._shared, before.estimator, before.seed, before.group)

    def state_dict(self) -> dict[str, Any]:
        """The states of the wrapped optimizer, of the surgery and of the rotations' leader."""
        leader = None if self._leader is None else self._leader.state_dict()
        return {**self.optimizer.state_dict(), "surgery": self._surgery.state_dict(), "leader": leader}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` gave, so that the next step is the one that would have followed.

        Raises:
            ValueError: If the state is of another kind of optimizer or method, or of one with or without rotations.
        """
        self._check_state(state_dict)
        self._surgery.load_state_dict(state_dict["surgery"])
        if self._leader is not None:
            self._leader.load_state_dict(state_dict["leader"])
        self.optimizer.load_state_dict({k: v for k, v in state_dict.items() if k not in _OWN_STATE})

    def _check_state(self, state_dict: dict[str, Any]) -> None:
        if missing := [name for name in _OWN_STATE if name not in state_dict]:
            raise ValueError(
                f"`state_dict` should be a MultiTaskOptimizer's. Found no {' and no '.join(missing)} in it."
            )
        if (state_dict["leader"] is None) != (self._leader is None):
            found = "without" if state_dict["leader"] is None else "with"
            raise ValueError(f"`state_dict` should fit the method's rotations. Found one {found} rotations.")
        self._surgery.check_state(state_dict["surgery"])

    @overload  # type: ignore[override]  # losses stand where a closure would
    def step(self) -> None: ...

    @overload
    def step(
        self,
        losses: Tensor | Iterable[Microbatch],
        *,
        features: Tensor | Sequence[Read] | None = None,
        pooled: Cut | None = None,
        diagnose: bool = False,
    ) -> StepReport: ...

    def step(
        self,
        losses: Tensor | Iterable[Microbatch] | None = None,
        *,
        features: Tensor | Sequence[Read] | None = None,
        pooled: Cut | None = None,
        diagnose: bool = False,
    ) -> StepReport | None:
        """:meth:`backward`, then one step of the wrapped optimizer.

        Without losses it is the wrapped optimizer's step alone, with the gradients that :meth:`backward` has left; this
        is how ``torch.amp.GradScaler.step`` calls it. The scaled losses are then those given to :meth:`backward`, and
        what steps in there, fused tables, gets their scale, as does a leader of rotations: such models train in
        bfloat16, which needs no scale.

        Returns:
            The report of :meth:`backward`; None without losses.
        """
        report = None
        if losses is not None:
            report = self.backward(losses, features=features, pooled=pooled, diagnose=diagnose)
        self.optimizer.step()
        return report

    def backward(
        self,
        losses: Tensor | Iterable[Microbatch],
        *,
        features: Tensor | Sequence[Read] | None = None,
        pooled: Cut | None = None,
        diagnose: bool = False,
    ) -> StepReport:
        """Replace every parameter's ``.grad``; clip or inspect it, then step the wrapped optimizer.

        Tables that step themselves in a backward pass, as fused ones do, are stepped when this returns.

        Args:
            losses: T scalar losses of one forward pass; or micro-batches whose losses add up to the batch's, in an
                iterator that makes each on demand, so that activations of one are held at a time. That saves memory in
                steps that measure exactly; other steps, also those of methods that read no Gram matrix, hold all
                activations until the weights are known. The update is that of the batch.
            features: The shared representation z, B x D, or T views of it, one read by each tower, before any rotation;
                a sequence of views where a task reads further tensors, see :class:`gradops.Microbatch`.
                Needed to measure at the features, for a share of the rows, and for rotations; elsewhere it saves T
                passes through the towers, and, where operations are known (:mod:`gradops.backward.readers`), the T
                passes below. Micro-batches bring their own.
            pooled: The cut at the output of the embedding tables, if the model has one; of the whole batch.
            diagnose: Form the Gram matrix even if the method does not need it, and the exact one even if the method
                uses another. For a method that is defined at the features it is that of the cotangents there.

        Returns:
            Losses, weights and Gram matrix of the step.

        Raises:
            ValueError: If tasks share nothing, neither a parameter nor a cut, losses are not a vector, ``features`` is
                missing or not one per task, a leaf is missing or superfluous, there is no micro-batch, or there are
                several where a share of the rows is measured.
        """
        if not self._shared and pooled is None:
            raise ValueError("`shared` should hold trainable parameters, or `pooled` be given. Found neither.")
        if isinstance(losses, Tensor):
            losses = [Microbatch(losses, features, None if pooled is None else pooled.leaf_BE)]
        elif features is not None:
            raise ValueError("`features` should be in the micro-batches if there are any. Found them as an argument.")
        self.zero_grad()
        excluded = {id(p) for p in self._shared}
        own = [p for g in self.param_groups for p in g["params"] if p.requires_grad and id(p) not in excluded]
        parts = map(partial(self._checked, cut=pooled is not None), losses)
        report, roots = self._surgery.run(parts, own, pooled, diagnose=diagnose)
        if self._leader is not None:
            self._lead(self._leader, report, roots)
        return report

    def _checked(self, part: Microbatch, *, cut: bool) -> Microbatch:
        if not isinstance(part, Microbatch):
            raise ValueError(f"`losses` should be one tensor, or micro-batches. Found a {type(part).__name__} in it.")
        losses_T, features = part.losses_T, part.features
        if cut != (part.leaf_BE is not None):
            raise ValueError("A micro-batch should have a leaf exactly if `pooled` is given. Found one of the two.")
        if losses_T.dim() != 1 or not len(losses_T):
            raise ValueError(f"`losses` should be a vector of T losses. Found shape {tuple(losses_T.shape)}.")
        if features is None and (self._surgery.needs_features or self._leader is not None):
            raise ValueError(
                "`features` should be given at the features, for a share of the rows, or where towers rotate."
            )
        if isinstance(features, Sequence):
            _check_views(features, len(losses_T))
        return part

    @torch.no_grad()
    def _lead(self, leader: Leader, report: StepReport, roots: Sequence[Roots]) -> None:
        """The gradient of the rotations. A method without weights counts as the plain sum."""
        weighs = isinstance(self.method, GramianMethod)
        weights_T = report.weights_T if weighs else torch.ones_like(report.weights_T)
        rate_T = self.method.training_rate(report.losses_T, self._surgery.state(len(weights_T)))
        cotangent_TBD = jacobian.stacked(roots)
        features_BD = jacobian.joined([part.outputs[0] for part in roots]).to(cotangent_TBD.dtype)
        leader.backward(
            features_BD, cotangent_TBD, *(to_device(one_T, like=features_BD) for one_T in (weights_T, rate_T))
        )


def _check_views(features: Sequence[Read], tasks: int) -> None:
    read = [(one,) if isinstance(one, Tensor) else tuple(one) for one in features]
    if len({len(views) for views in read}) > 1:
        raise ValueError("`features` should have the same tensors for every task. Found tasks with more than others.")
    # The same tensor T times would silently give every task the sum of all cotangents.
    if any(len({id(view) for view in views}) != tasks for views in zip(*read, strict=True)):
        raise ValueError(f"`features` should be z, or {tasks} distinct views of it, one a task.")


def _estimator(estimator: GramEstimator | None, gauge: GramEstimator | None) -> GramEstimator:
    """The estimator under either of its names."""
    if gauge is None:
        return estimator or GramEstimator()
    if estimator is not None:
        raise ValueError("`gauge` is the former name of `estimator`: one of the two should be given. Found both.")
    warnings.warn("`gauge=` is now `estimator=`; the old name goes with the next release", DeprecationWarning, 3)
    return gauge
