"""The packing of tensors into messages: values that processes add up travel together, in as few exchanges as can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Floating-point values of at most this many numbers travel in the buffer of a wider type, if there is one.
_FEW = 4096

Sums = Callable[[], list[Tensor]]
Place = Callable[[list[Tensor]], None]


class Packed:
    """Copies of tensors in one flat buffer for each type; each buffer is one exchange.

    Few numbers of a narrow floating-point type are put into the buffer of a wider type, which holds them exactly. The
    sum of two of them, rounded back, is to the bit the one that their own type gives.

    Args:
        values: The tensors.
    """

    def __init__(self, values: Sequence[Tensor]) -> None:
        carriers = _carriers(values)
        self._like = [(value.shape, value.dtype) for value in values]  # not the tensors, which may be large
        self._places = {kind: [i for i, c in enumerate(carriers) if c == kind] for kind in dict.fromkeys(carriers)}
        self.buffers = [
            torch.cat([values[i].detach().flatten().to(kind) for i in places]) for kind, places in self._places.items()
        ]

    def unpacked(self) -> list[Tensor]:
        """The numbers of the buffers in the shapes and types of the tensors: views, where a buffer has their type."""
        found: dict[int, Tensor] = {}
        for buffer, places in zip(self.buffers, self._places.values(), strict=True):
            like = [self._like[i] for i in places]
            parts = buffer.split([shape.numel() for shape, _ in like])
            found |= {i: p.view(shape).to(kind) for i, p, (shape, kind) in zip(places, parts, like, strict=True)}
        return [found[i] for i in range(len(self._like))]


def _carriers(values: Sequence[Tensor]) -> list[torch.dtype]:
    """The type of each value's buffer. It depends on types and sizes alone, and so is the same on all processes."""
    numbers: dict[torch.dtype, int] = {}
    for value in values:
        if value.is_floating_point():
            numbers[value.dtype] = numbers.get(value.dtype, 0) + value.numel()
    widest = max(numbers, key=lambda kind: kind.itemsize, default=torch.float64)
    few = {kind for kind, count in numbers.items() if count <= _FEW and kind.itemsize < widest.itemsize}
    return [widest if value.dtype in few else value.dtype for value in values]


class Message:
    """Tensors that processes are to add up, and the places of their sums.

    A step adds what nothing waits for yet, and sends it along with the first values that something waits for.

    Args:
        begin_sum: Starts the sum of tensors over the processes, as :meth:`gradops.group.Group.begin_sum` does.
    """

    def __init__(self, begin_sum: Callable[[Sequence[Tensor]], Sums]) -> None:
        self._begin_sum = begin_sum
        self._values: list[Tensor] = []
        self._places: list[tuple[int, Place]] = []

    def add(self, values: Sequence[Tensor], place: Place) -> None:
        """Put values into the message.

        Args:
            values: The tensors, of any types.
            place: Called with their sums, in the same order and of the same types, when these arrive.
        """
        self._values += values
        self._places.append((len(values), place))

    def send(self) -> Callable[[], None]:
        """Send the message, which is empty afterwards.

        Returns:
            A function that waits for the sums and puts each in its place; further calls of it do nothing.
        """
        under_way, places = [self._begin_sum(self._values)], self._places
        self._values, self._places = [], []

        def arrive() -> None:
            if not under_way:
                return
            arrived = iter(under_way.pop()())
            for number, place in places:
                place([next(arrived) for _ in range(number)])

        return arrive

    def exchange(self) -> None:
        """Send the message and wait for the sums."""
        self.send()()
