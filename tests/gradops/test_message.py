"""Messages between processes: packed by type, exact, and sent once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradops.group import Alone
from gradops.message import Message, Packed, Sums


def test_values_come_back_as_they_were() -> None:
    values = [torch.rand(3, 2), torch.rand(2, dtype=torch.float64), torch.arange(4), torch.tensor(7.5)]
    back = Packed(values).unpacked()
    for value, found in zip(values, back, strict=True):
        assert found.dtype == value.dtype
        assert torch.equal(found, value)
    assert Packed([]).unpacked() == []


def test_few_narrow_numbers_travel_with_wide_ones() -> None:
    few, many, wide = torch.rand(5), torch.rand(5000), torch.rand(9, dtype=torch.float64)
    assert [(buffer.dtype, len(buffer)) for buffer in Packed([few, wide]).buffers] == [(torch.float64, 14)]
    assert [(buffer.dtype, len(buffer)) for buffer in Packed([few, many]).buffers] == [(torch.float32, 5005)]
    assert [buffer.dtype for buffer in Packed([few, many, wide]).buffers] == [torch.float32, torch.float64]
    assert [buffer.dtype for buffer in Packed([torch.arange(3), wide]).buffers] == [torch.int64, torch.float64]


def test_a_wide_sum_of_two_is_the_narrow_one_to_the_bit() -> None:
    mine, theirs = (torch.randn(4000).exp2() * torch.randn(4000).sign() for _ in range(2))
    wide = torch.zeros(1, dtype=torch.float64)
    buffers = [Packed([value, wide]) for value in (mine, theirs)]
    buffers[0].buffers[0].add_(buffers[1].buffers[0])
    assert torch.equal(buffers[0].unpacked()[0], mine + theirs)


def test_given_tensors_stay_unchanged() -> None:
    value = torch.ones(3)
    Packed([value]).buffers[0].add_(1.0)
    assert value.tolist() == [1.0, 1.0, 1.0]


def test_a_message_is_sent_once_and_places_once() -> None:
    sent: list[int] = []
    placed: list[list[Tensor]] = []

    def begin_sum(values: Sequence[Tensor]) -> Sums:
        sent.append(len(values))
        return Alone().begin_sum(values)

    message = Message(begin_sum)
    message.add([torch.ones(2), torch.zeros(1)], placed.append)
    message.add([], placed.append)
    message.add([torch.ones(1)], placed.append)
    arrive = message.send()
    assert placed == []
    arrive()
    arrive()
    assert [len(sums) for sums in placed] == [2, 0, 1]
    message.exchange()
    assert sent == [3, 0]
