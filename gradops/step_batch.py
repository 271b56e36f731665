"""The batch of one step on its way through the surgery: losses, task gradients, and what is to be sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor

from gradops.jacobian import Roots, TaskGradients
from gradops.linalg import gramian, is_out_of_range, scaled_gramian, to_array, to_host
from gradops.message import Message

Products = Callable[[Tensor], Tensor]


@dataclass
class StepBatch:
    """The micro-batches of a step: the roots of their task gradients, and the gradients computed from there.

    Losses are where the network is until something of the step is brought to the CPU: they come with it. Losses and
    gradients of parameters are those of this process's rows until their sums arrive.

    Args:
        losses_T: The losses.
        roots: The roots of the task gradients of each micro-batch.
        leaves: The leaf of each micro-batch; empty without tables.
        message: Sums over processes that nothing in the step has waited for yet.
        apart: The gradients of each task, where they are taken.
        sampled: Those of a share of the rows, where they are taken.
        own: Parameters that are not shared, and whose gradients are not in a message yet.
        arrive: Waits for the sums that are under way.
    """

    losses_T: Tensor
    roots: list[Roots]
    leaves: list[Tensor]
    message: Message
    apart: TaskGradients | None = None
    sampled: TaskGradients | None = None
    own: list[Tensor] = field(default_factory=list)
    arrive: Callable[[], None] = lambda: None

    def add(self, other: StepBatch) -> None:
        """Add the next micro-batch, whose gradients were computed as far as those of this one."""
        self.losses_T = self.losses_T + other.losses_T
        self.roots += other.roots
        self.leaves += other.leaves
        if self.apart is not None and other.apart is not None:
            self.apart = self.apart.plus(other.apart)

    def hear(self, sums: Sequence[Tensor]) -> None:
        """Take the losses of all rows."""
        (self.losses_T,) = sums

    def add_own(self) -> None:
        """Put into the message the gradients of the parameters that are not shared."""
        reached = [parameter for parameter in self.own if parameter.grad is not None]
        gradients = [parameter.grad for parameter in reached if parameter.grad is not None]
        self.message.add(gradients, partial(_give, reached))
        self.own = []

    def summed(self, values: Tensor) -> Tensor:
        """The sum over processes, which comes with whatever else is to be sent."""
        sums: list[Tensor] = []
        self.message.add([values], sums.extend)
        self.message.exchange()
        return sums[0]

    def in_range(self, formed: Callable[[Products], Tensor]) -> Tensor:
        """A Gram matrix on the CPU, formed by plain products, and by scaled ones where these leave float32's range.

        Every process has the same matrix, so that all form it again or none does. The losses come with it.
        """
        gram_TT, self.losses_T = to_host(formed(gramian), self.losses_T)
        return to_host(formed(scaled_gramian))[0] if is_out_of_range(to_array(gram_TT)) else gram_TT


def give_views(parameters: Sequence[Tensor], gradients: Iterable[Tensor]) -> None:
    """Give parameters their gradients, which are flat or of their shape."""
    _give(parameters, [gradient.view_as(parameter) for parameter, gradient in zip(parameters, gradients, strict=True)])


def _give(parameters: Sequence[Tensor], gradients: Iterable[Tensor]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
