"""One step's surgery: from the losses of a batch to one gradient of everything that tasks share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gradops import jacobian
from gradops.base import Cut, ElementwiseMethod, GramianMethod, Method, OwnLeaf, State
from gradops.diagnostics import StepReport
from gradops.gram_estimator import GramEstimator
from gradops.group import Group, gathered
from gradops.jacobian import Microbatch, Roots, TaskGradients
from gradops.linalg import to_host
from gradops.message import Message
from gradops.step_batch import Products, StepBatch, give_views


class Surgery:
    """Combines task gradients by a method, and keeps its state from step to step.

    Args:
        method: The method that combines task gradients.
        shared: The parameters that several tasks share, without the tables behind a cut.
        estimator: The measurement of conflict; a method that is defined at the features is always measured there.
        seed: Seed of the method's own randomness.
        group: The processes that have the rows of a batch.
    """

    def __init__(
        self, method: Method, shared: Sequence[Tensor], estimator: GramEstimator, seed: int, group: Group
    ) -> None:
        self.method, self.shared, self.estimator, self.seed, self.group = method, shared, estimator, seed, group
        self.at_features = method.at_features or estimator.measure == "features"
        self.method_state: State | None = None
        self.tasks = 1
        # The Gram matrix of the last weights, and the numbers of steps that used it and of matrices averaged in it.
        self.gram_TT: Tensor | None = None
        self.served = self.measured = 0

    def run(
        self, parts: Iterable[Microbatch], own: Sequence[Tensor], cut: Cut | None, *, diagnose: bool
    ) -> tuple[StepReport, list[Roots]]:
        """Fill every gradient of one step.

        Args:
            parts: The batch, in one piece or in several. Where conflict is measured exactly, the graph of each piece is
                freed before the next is made.
            own: Parameters that are not shared.
            cut: The tables.
            diagnose: Also form the Gram matrix where the method needs none, and the exact one where the method uses
                another. For a method that is defined at the features it is formed there.

        Returns:
            The report of the step, and the roots of the task gradients of each part.

        Raises:
            ValueError: If there is no part, or a share of the rows is measured and there are several parts.
        """
        batch = self._take(parts, own, _own_leaves(cut), diagnose)
        with torch.no_grad():
            self._begin(batch, own)
            if isinstance(self.method, ElementwiseMethod):
                return self._elementwise(self.method, batch, cut, diagnose), batch.roots
            assert isinstance(self.method, GramianMethod), f"{type(self.method).__name__} neither weighs nor combines"
            return self._weighted(self.method, batch, cut, diagnose), batch.roots

    @property
    def needs_features(self) -> bool:
        """Whether a step needs the shared representation in addition to the losses."""
        return self.at_features or (self.estimator.share < 1 and self._reads)

    def state_dict(self) -> dict[str, Any]:
        """The state that the next step depends on."""
        method = None if self.method_state is None else dict(self.method_state)
        gram = {"gram_TT": self.gram_TT, "served": self.served, "measured": self.measured}
        return {"method": method, "tasks": self.tasks, **gram}

    def check_state(self, state_dict: dict[str, Any]) -> None:
        """Refuse the state of another method.

        Raises:
            ValueError: If the state is that of another method.
        """
        method = state_dict["method"]
        if method is None:
            return
        expected = self.method.start(state_dict["tasks"], torch.Generator())
        if method.keys() != expected.keys():
            kinds = f"{sorted(expected)}, found {sorted(method)}"
            raise ValueError(f"`state_dict` should be of the same method; its state holds {kinds}.")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` gave."""
        self.method_state = deepcopy(state_dict["method"])
        self.gram_TT, self.served = deepcopy(state_dict["gram_TT"]), state_dict["served"]
        self.measured = state_dict.get("measured", 0)  # states of before averaged nothing
        self.tasks = state_dict["tasks"]

    def state(self, tasks: int) -> State:
        """The method's state; before the first step its initial one."""
        if self.method_state is None:
            self.tasks = tasks
            self.method_state = self.method.start(tasks, torch.Generator().manual_seed(self.seed))
        return self.method_state

    @property
    def _reads(self) -> bool:
        """Whether weights come from the gradients of everything shared."""
        weighs = isinstance(self.method, GramianMethod) and self.method.reads_gramian(self.method_state)
        return weighs and not self.at_features

    @property
    def _is_due(self) -> bool:
        """Whether the Gram matrix of this step is to be taken."""
        return self.gram_TT is None or self.served >= self.estimator.every

    def _take(
        self, parts: Iterable[Microbatch], own: Sequence[Tensor], leaves: Sequence[Tensor], diagnose: bool
    ) -> StepBatch:
        """Go back through the towers and, if task gradients are needed, task by task through the shared part.

        The own leaves of a cut get their gradients as own parameters do, but keep those of this process's rows.
        """
        due = self._reads and self._is_due
        samples = due and self.estimator.share < 1
        apart = (due and not samples) or (diagnose and not self.method.at_features)
        # No loop over parts, since its variable would keep the last part alive while the next is made.
        followed = map(partial(self._follow, own=[*own, *leaves], apart=apart, samples=samples), parts)
        batch = next(followed, None)
        if batch is None:
            raise ValueError("A step should have at least one micro-batch. Found none.")
        for other in followed:
            if samples:
                raise ValueError("A step with a `share` below 1 should have one micro-batch. Found several.")
            batch.add(other)
        return batch

    def _begin(self, batch: StepBatch, own: Sequence[Tensor]) -> None:
        """Send what the Gram matrix of this step needs, or leave it to the message of the combined gradient."""
        batch.own = [*own]
        taken = [gradients for gradients in (batch.apart, batch.sampled) if gradients is not None]
        for gradients in taken:
            # First, where memory is aligned: products of other alignment are rounded otherwise.
            batch.message.add(gradients.blocks, gradients.replace_blocks)
        batch.message.add([batch.losses_T], batch.hear)
        if taken:
            batch.add_own()
            batch.arrive = batch.message.send()

    def _follow(self, part: Microbatch, *, own: Sequence[Tensor], apart: bool, samples: bool) -> StepBatch:
        roots = jacobian.split(part, own)
        leaves = [] if part.leaf_BE is None else [part.leaf_BE]
        batch = StepBatch(part.losses_T.detach(), [roots], leaves, Message(self.group.begin_sum))
        if samples:
            rows = self.estimator.rows(jacobian.batch_of(roots, part.leaf_BE))
            batch.sampled = jacobian.gradients_apart(roots, self.shared, part.leaf_BE, rows)
        if apart:
            batch.apart = jacobian.gradients_apart(roots, self.shared, part.leaf_BE)
            batch.roots = [roots.detached()]
        return batch

    def _weighted(self, method: GramianMethod, batch: StepBatch, cut: Cut | None, diagnose: bool) -> StepReport:
        """The update of a method with weights."""
        exact_TT = None if batch.apart is None else self._gramian(batch.apart, batch, cut)
        gram_TT = self._gram(method, batch, cut, exact_TT, diagnose)
        if method.reads_losses:
            batch.message.exchange()  # unless they have come with a Gram matrix
            (batch.losses_T,) = to_host(batch.losses_T)
        weights_T = self._weigh(method, gram_TT, batch.losses_T)
        if batch.apart is None:
            weighted = [roots.weighted(weights_T) for roots in batch.roots]
            self._assign_together(weighted, batch, cut)
        else:
            gradients, cotangent_BE = batch.apart.combined(weights_T)
            give_views(self.shared, gradients)
            _enter(cut, cotangent_BE)
        return StepReport(batch.losses_T, weights_T, gram_TT, exact_TT=None if exact_TT is gram_TT else exact_TT)

    def _gram(
        self, method: GramianMethod, batch: StepBatch, cut: Cut | None, exact_TT: Tensor | None, diagnose: bool
    ) -> Tensor | None:
        """The Gram matrix of the weights; None if the method needs none and the step is not diagnosed."""
        if self.at_features:
            wanted = diagnose or method.reads_gramian(self.method_state)
            cotangent_TX = jacobian.stacked(batch.roots).flatten(1)
            found_TT = batch.in_range(lambda products: batch.summed(products(cotangent_TX))) if wanted else None
            return found_TT if found_TT is None or not method.reads_gramian(self.method_state) else self._use(found_TT)
        if not method.reads_gramian(self.method_state):
            return exact_TT
        if self._is_due:
            self.served = 0
            measured_TT = exact_TT if batch.sampled is None else self._scaled(batch, cut)
            assert measured_TT is not None, "task gradients are taken in every step that is due"
            self._use(measured_TT)
        self.served += 1
        return self.gram_TT

    def _use(self, measured_TT: Tensor) -> Tensor:
        """The matrix of the next weights: a new one, or the moving average that it joins."""
        self.gram_TT = self.estimator.averaged(measured_TT, self.gram_TT, self.measured)
        self.measured += 1
        return self.gram_TT

    def _scaled(self, batch: StepBatch, cut: Cut | None) -> Tensor:
        """The Gram matrix of a share of the rows, scaled to all rows, since gradients are sums over rows."""
        assert batch.sampled is not None
        rows = jacobian.batch_of(batch.roots[0], batch.leaves[0] if batch.leaves else None)
        sums: list[Tensor] = []
        place = batch.roots[0].outputs[0].device if self.group.size > 1 else "cpu"  # losses may be on the CPU by now
        numbers = torch.tensor([rows, self.estimator.rows(rows)], dtype=torch.float64, device=place)
        batch.message.add([numbers], sums.extend)
        gram_TT = self._gramian(batch.sampled, batch, cut)
        whole, share = sums[0].tolist()
        factor: float = (whole / share) ** 2
        return gram_TT * factor

    def _weigh(self, method: GramianMethod, gram_TT: Tensor | None, losses_T: Tensor) -> Tensor:
        state = self.state(len(losses_T))
        if gram_TT is None:  # the method does not read it
            gram_TT = torch.eye(len(losses_T), dtype=torch.float64)
        if not gram_TT.isfinite().all():
            # The run has diverged: no method has an answer, and the caller sees it in the losses of the next step.
            self.gram_TT, self.measured = None, 0  # it is used for no other step
            return torch.full_like(gram_TT[0], torch.nan)
        weights_T, self.method_state = method.step(gram_TT, losses_T, state)
        self.group.confirm("weights", weights_T)
        return weights_T

    def _elementwise(self, method: ElementwiseMethod, batch: StepBatch, cut: Cut | None, diagnose: bool) -> StepReport:
        """One gradient at the features, and one backward pass from there."""
        cotangent_TBD = jacobian.stacked(batch.roots)
        # Combined over the rows of all processes, so that draws equal those of one process; each keeps its own rows.
        whole_TBD, mine = gathered(cotangent_TBD, 1, self.group)
        combined_BD, self.method_state = method.combine(whole_TBD, self.state(len(batch.losses_T)))
        combined_BD = combined_BD[mine]
        pieces = combined_BD.split([len(roots.outputs[0]) for roots in batch.roots])
        pairs = [(roots.outputs[0], piece) for roots, piece in zip(batch.roots, pieces, strict=True)]
        entered = [Roots((output,), (piece.to(output.dtype),)) for output, piece in pairs]
        # Beside the features tasks do not read the same: their gradients there are added up.
        entered += [beside for roots in batch.roots for beside in roots.beside]
        self._assign_together(entered, batch, cut)
        gram_TT, update_T = None, None
        if diagnose:
            # The products of the task gradients and, last, of the update with all of them.
            every_UX = torch.cat([cotangent_TBD, combined_BD[None]]).flatten(1)
            whole_UU = batch.in_range(lambda products: batch.summed(products(every_UX)))
            gram_TT, update_T = whole_UU[:-1, :-1], whole_UU[-1]
        unweighted_T = torch.full_like(batch.losses_T, torch.nan, dtype=torch.float64)
        return StepReport(batch.losses_T, unweighted_T, gram_TT, update_T)

    def _assign_together(self, roots: Sequence[Roots], batch: StepBatch, cut: Cut | None) -> None:
        gradients, cotangent_BE = jacobian.gradients_together(roots, self.shared, batch.leaves)
        batch.add_own()
        batch.message.add(gradients, partial(give_views, self.shared))
        arrive = batch.message.send()
        _enter(cut, cotangent_BE)  # while the sums are under way
        arrive()

    def _gramian(self, gradients: TaskGradients, batch: StepBatch, cut: Cut | None) -> Tensor:
        """The Gram matrix of the gradients of everything shared, in float64; no row of a table is on two processes."""

        def added(products: Products) -> Tensor:
            blocks = () if cut is None else cut.task_gradients(gradients.cotangent_BTE)
            tables: list[Tensor] = []
            batch.message.add([products(block) for block in blocks], tables.extend)
            arrive = batch.message.send()
            batch.arrive()  # the gradients of parameters, on their way while those of tables were exchanged
            parameters = [products(block_TP) for block_TP in gradients.blocks]
            arrive()
            return torch.stack([*parameters, *tables]).sum(0)

        if not gradients.blocks and not gradients.cotangent_BTE.shape[2]:  # tasks share nothing that is trained
            batch.arrive()
            batch.message.exchange()
            tasks = gradients.cotangent_BTE.shape[1]
            return torch.zeros(tasks, tasks, dtype=torch.float64)
        return batch.in_range(added)


def _enter(cut: Cut | None, cotangent_BE: Tensor | None) -> None:
    """Send a cotangent into the tables, if there are any."""
    if cut is not None and cotangent_BE is not None:
        cut.backward(cotangent_BE)


def _own_leaves(cut: Cut | None) -> list[Tensor]:
    """The leaf of a cut's tables that are a task's own; none if there are none."""
    return [cut.own_BX] if isinstance(cut, OwnLeaf) and cut.own_BX is not None else []
