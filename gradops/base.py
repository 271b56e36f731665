"""The contracts: a method, its state, and the cut at the output of embedding tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from gradops.adjusting import Bound, Smooth
from gradops.rotation import Rotation

_SMOOTHED = "smoothed"

# A method's memory between steps. It is replaced, never changed in place: a resumed run continues exactly, and
# two trials in one process cannot affect each other. A random generator is stored as its `get_state()`.
State = Mapping[str, Tensor]


def generator_at(position: Tensor) -> torch.Generator:
    """A new generator at a position that ``get_state()`` gave; drawing from it leaves the method's state unchanged."""
    generator = torch.Generator()
    generator.set_state(position)
    return generator


def require_finite(name: str, value: float) -> None:
    """Refuse an option that is infinite or no number.

    Raises:
        ValueError: If the option is not finite.
    """
    if not abs(value) < float("inf"):
        raise ValueError(f"`{name}` should be a finite number. Found `{name} = {value}`.")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A rule that turns T task gradients into one.

    Subclasses are frozen dataclasses whose fields are their options; ``metadata={"search": (low, high)}`` on a field is
    the range from which a trade-off search draws it.

    Args:
        rotation: The rotations through which the towers read the shared representation; None for none. Any method can
            be combined with them.
    """

    rotation: Rotation | None = None

    claims: ClassVar[frozenset[str]] = frozenset()
    """Properties promised for any gradients, checked by the conformance suite. Known ones:

    - ``never_conflicting``: the update has a non-negative product with every task gradient;
    - ``permutation_invariant``: the order of the tasks does not matter;
    - ``linear_under_scaling``: all gradients times ``s > 0`` leave the weights as they are;
    - ``simplex``: the weights are non-negative and sum to 1.
    """

    at_features: ClassVar[bool] = False
    """True where the method is defined on the gradients at the shared representation: conflict is then always measured
    there."""

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State before the first step.

        Args:
            num_tasks: T.
            generator: Source of the method's own randomness; its current state is copied, not shared.
        """
        del num_tasks, generator
        return {}

    def start(self, num_tasks: int, generator: torch.Generator) -> State:
        """State before the first step, with that of the changes of its weights; as :meth:`init`."""
        return self.init(num_tasks, generator)

    def training_rate(self, losses_T: Tensor, state: State) -> Tensor:
        """Factors that stretch each task's gradient by its training rate: above 1 where the task trains slowly.

        RotoGrad's first rotations aim at task gradients stretched by these factors. They are 1 for every task, unless
        the method measures training rates.

        Args:
            losses_T: The task losses of the step, detached.
            state: The method's state after the step.

        Returns:
            Factors in float64, at least 0.
        """
        del state
        return torch.ones_like(losses_T, dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class GramianMethod(Method, ABC):
    """A method whose update is a weighted sum of the task gradients; the weights follow from their Gram matrix.

    A method defines :meth:`init` and :meth:`weights`. A step of training calls :meth:`start` and :meth:`step`, which
    also change the weights as asked.

    Args:
        bound: The limit on the size of the weights; None for none.
        smooth: The moving average of the (bounded) weights; None for none.
    """

    bound: Bound | None = None
    smooth: Smooth | None = None

    needs_gramian: ClassVar[bool] = True
    """False where the weights do not depend on the gradients, so that one backward pass is enough."""

    reads_losses: ClassVar[bool] = False
    """Whether the weights depend on the task losses, with some option at least."""

    @property
    def settling(self) -> int:
        """The number of first steps in which the method may be another one, such as uniform scaling."""
        return 0

    def reads_gramian(self, state: State | None) -> bool:
        """Whether the next step needs the Gram matrix; of a method that can do without after some steps.

        Args:
            state: The state before the step, the same on all processes; None before the first one.
        """
        del state
        return self.needs_gramian

    def start(self, num_tasks: int, generator: torch.Generator) -> State:
        """State before the first step, with that of the changes of its weights; as :meth:`init`."""
        state = self.init(num_tasks, generator)
        if self.smooth is None:
            return state
        return {**state, _SMOOTHED: torch.full((num_tasks,), torch.inf, dtype=torch.float64)}

    def step(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """Weights of one step as :meth:`weights`, changed as asked; the states are those of :meth:`start`."""
        weights_T, after = self.weights(gram_TT, losses_T, state)
        if self.bound is not None:
            weights_T = self.bound.of(weights_T)
        if self.smooth is not None:
            weights_T = self.smooth.of(weights_T, state[_SMOOTHED])
            after = {**after, _SMOOTHED: weights_T.cpu().clone()}
        return weights_T, after

    @abstractmethod
    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """Weights of one step.

        Args:
            gram_TT: Gram matrix of the task gradients, symmetric, any floating type.
            losses_T: The task losses of the step, detached.
            state: The state that :meth:`init` or the last call returned.

        Returns:
            The weights in float64 such that the update descends along ``sum_i weights_i g_i``, and the next state.
        """


@dataclass(frozen=True, kw_only=True)
class DelegatingMethod(GramianMethod, ABC):
    """A method with the weights of another method, but other gradients or rotated features."""

    @abstractmethod
    def weigher(self) -> GramianMethod:
        """The method that gives the weights, with this method's options."""

    def __post_init__(self) -> None:
        self.weigher()  # this checks the options

    def init(self, num_tasks: int, generator: torch.Generator) -> State:
        """State of the weigher."""
        return self.weigher().init(num_tasks, generator)

    def weights(self, gram_TT: Tensor, losses_T: Tensor, state: State) -> tuple[Tensor, State]:
        """Weights of the weigher."""
        return self.weigher().weights(gram_TT, losses_T, state)

    def training_rate(self, losses_T: Tensor, state: State) -> Tensor:
        """Factors of the weigher."""
        return self.weigher().training_rate(losses_T, state)


@dataclass(frozen=True, kw_only=True)
class ElementwiseMethod(Method, ABC):
    """A method that combines the task gradients at the shared representation element by element."""

    at_features: ClassVar[bool] = True

    @abstractmethod
    def combine(self, cotangent_TBD: Tensor, state: State) -> tuple[Tensor, State]:
        """The gradient that enters the shared part.

        Args:
            cotangent_TBD: Each task's gradient at the shared representation.
            state: The state that :meth:`init` or the last call returned.

        Returns:
            One gradient B x D in place of their sum, of the same type, and the next state.
        """


class Cut(Protocol):
    """The output of embedding tables, cut from the graph so that T backward passes stop there.

    gradops is independent of ids, bags, pooling and ranks: it takes the pooled embeddings as a leaf, asks for the table
    gradients of T cotangents of that leaf, and hands back the one combined cotangent that updates the tables.
    """

    @property
    def leaf_BE(self) -> Tensor:
        """Pooled embeddings as a leaf that requires grad; the rest of the model reads this."""

    def task_gradients(self, cotangent_BTE: Tensor) -> Iterable[Tensor]:
        """The tables' task gradients restricted to the rows of this batch, in blocks of shape T x anything.

        Rows that several bags read are already summed: the Gram matrix of the blocks is that of the dense gradients.
        Where several processes share a batch, each gives other rows, summed over all processes: the matrices add up.

        Args:
            cotangent_BTE: T cotangents of the leaf, or of its first B rows.
        """

    def backward(self, cotangent_BE: Tensor) -> None:
        """Send one cotangent into the tables."""


@runtime_checkable
class OwnLeaf(Protocol):
    """The part of a :class:`Cut` for tables of which each is one task's own: no other task's loss reaches it.

    They get the plain gradient of the losses, as a task's own parameters do, and no conflict is measured there.
    """

    @property
    def own_BX(self) -> Tensor | None:
        """Their pooled embeddings as a leaf that requires grad; None if there are none.

        Its ``.grad`` is filled before ``backward`` is called, which sends it into these tables with the cotangent of
        the others: the cut of several processes adds up the rows of all.
        """
