"""Bounds and moving averages of weights, with any method that weighs."""

from __future__ import annotations

import pytest
import torch

from gradops import MultiTaskOptimizer
from gradops.base import GramianMethod
from gradops.catalogue import search_space
from gradops.equivalence import same_updates
from gradops.methods import parse
from tests.gradops.test_optimizer import Net, data, grads, wrap


def weigher(text: str) -> GramianMethod:
    method = parse(text)
    assert isinstance(method, GramianMethod)
    return method


def run(text: str, lengths: list[tuple[float, float]]) -> list[list[float]]:
    """Weights of steps with two orthogonal gradients of these lengths."""
    method, found = weigher(text), []
    state = method.start(2, torch.Generator())
    for pair in lengths:
        weights_T, state = method.step(torch.diag(torch.tensor(pair).double().square()), torch.ones(2), state)
        found.append(weights_T.tolist())
    return found


def hand(weights: list[list[float]]) -> list[object]:
    return [pytest.approx(row) for row in weights]


def test_by_hand() -> None:
    """MGDA weighs orthogonal gradients by the inverse of their squared lengths: 4/5 and 1/5, then half each."""
    lengths = [(1.0, 2.0), (1.0, 1.0)]
    assert run("mgda", lengths) == hand([[0.8, 0.2], [0.5, 0.5]])
    assert run("mgda + bound(0.6)", lengths) == hand([[0.6, 0.2], [0.5, 0.5]])
    assert run("mgda + smooth(0.75)", lengths) == hand([[0.8, 0.2], [0.725, 0.275]])
    assert run("mgda + bound(0.6) + smooth(0.75)", lengths) == hand([[0.6, 0.2], [0.575, 0.275]])
    assert run("mgda + smooth(0)", lengths) == run("mgda", lengths)


def test_a_bound_ends_the_reign_of_a_vanishing_gradient() -> None:
    (free,), (bounded,) = (run(text, [(1.0, 1e-8)]) for text in ("rotograd_scale", "rotograd_scale + bound(10)"))
    assert free[1] > 1e7
    assert bounded == [pytest.approx(free[0]), 10.0]


def test_a_run_with_an_average_goes_on_exactly_from_its_state() -> None:
    rows, targets = data()

    def steps(optimizer: MultiTaskOptimizer, net: Net, number: int) -> None:
        for _ in range(number):
            z = net.features(rows)
            optimizer.step(net.losses([z, z, z], targets))

    unbroken, first, second = Net(), Net(), Net()
    whole, begun, resumed = (wrap(net, weigher("upgrad + smooth(0.9)")) for net in (unbroken, first, second))
    steps(whole, unbroken, 4)
    steps(begun, first, 2)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(begun.state_dict())
    steps(resumed, second, 2)
    assert all(torch.equal(g, grads(second)[name]) for name, g in grads(unbroken).items())
    with pytest.raises(ValueError, match="same method"):
        wrap(Net(), weigher("upgrad")).load_state_dict(begun.state_dict())


def test_the_share_of_an_average_is_searched_where_it_is_written() -> None:
    assert search_space(parse("upgrad + smooth(0.9)")) == {"smooth.share": (0.5, 0.99)}
    assert search_space(parse("upgrad")) == {}


def test_a_method_with_an_average_is_another_method() -> None:
    assert not same_updates(parse("upgrad"), parse("upgrad + smooth(0.9)"), 2)
    assert same_updates(parse("upgrad + smooth(0)"), parse("pcgrad"), 2)
