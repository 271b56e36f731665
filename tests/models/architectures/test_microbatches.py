"""A step in pieces is the step of the whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from weakref import ref

import pytest
import torch

from gradops import GramEstimator, Microbatch, MultiTaskOptimizer, StepReport
from gradops.gram_estimator import Measure
from gradops.methods import parse
from gradops.rotation import Rotations
from models.architectures.shared_bottom import SharedBottom
from models.embedding.cut import TableCut
from models.loss import cross_entropy, label_shares
from tests.models import networks

BATCH = 40
METHODS = ["uniform", "gradops(alpha=-2)", "pcgrad", "graddrop", "mgda_ub", "rotograd + rotation(map='cayley')"]


def network(method: str) -> SharedBottom:
    rotation = parse(method).rotation
    rotations = None if rotation is None else Rotations(rotation, tasks=networks.TASKS, width=6).double()
    return networks.network(0, rotations)


def optimizer_of(model: SharedBottom, method: str, estimator: GramEstimator) -> MultiTaskOptimizer:
    rotations = model.head_transform if isinstance(model.head_transform, Rotations) else None
    sgd = torch.optim.SGD(model.network_parameters(), lr=10.0)
    return MultiTaskOptimizer(
        sgd, parse(method), shared=model.shared_parameters(), rotations=rotations, estimator=estimator
    )


def part(model: SharedBottom, cut: TableCut, rows: slice) -> Microbatch:
    labels_BT, value_BV = networks.labels(BATCH, 0), networks.values(BATCH, 0)
    leaf_BE = cut.leaf_BE[rows].detach().requires_grad_()
    logits_BT, views = model.through(leaf_BE, value_BV[rows])
    return Microbatch(cross_entropy(logits_BT, labels_BT[rows], label_shares(labels_BT)[rows]), views, leaf_BE)


def parts(model: SharedBottom, cut: TableCut, size: int) -> Iterator[Microbatch]:
    return (part(model, cut, slice(start, start + size)) for start in range(0, BATCH, size))


def step(
    model: SharedBottom, method: str, size: int, estimator: GramEstimator, *, diagnose: bool = False
) -> StepReport:
    cut = model.cut(networks.bags(BATCH, 0, weighted=True))
    return optimizer_of(model, method, estimator).step(parts(model, cut, size), pooled=cut, diagnose=diagnose)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, 13, 20])
@pytest.mark.parametrize("measure", ["parameters", "features"])
@pytest.mark.parametrize("diagnose", [False, True])
def test_pieces_make_the_step_of_the_whole(method: str, size: int, measure: Measure, diagnose: bool) -> None:
    whole, pieces = network(method), network(method)
    estimator = GramEstimator(measure=measure)
    expected = step(whole, method, BATCH, estimator, diagnose=diagnose)
    found = step(pieces, method, size, estimator, diagnose=diagnose)
    close = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-12, equal_nan=True)
    close(found.losses_T, expected.losses_T)
    close(found.weights_T, expected.weights_T)
    if expected.gram_TT is not None:
        close(found.gram_TT, expected.gram_TT)
    start = network(method).state_dict()
    for name, value in whole.state_dict().items():
        # GradDrop draws a number an entry, in the order of the rows: the same for pieces.
        close(pieces.state_dict()[name], value)
        assert name.startswith("head_transform") or not torch.equal(value, start[name])


def test_only_one_piece_is_held_where_conflict_is_measured_exactly() -> None:
    model = network("pcgrad")
    cut = model.cut(networks.bags(BATCH, 0, weighted=True))
    made: list[ref[torch.Tensor]] = []
    alive: list[int] = []

    def watched(rows: slice) -> Microbatch:
        alive.append(sum(features() is not None for features in made))
        piece = part(model, cut, rows)
        assert isinstance(piece.features, tuple)
        made.append(ref(piece.features[0]))
        return piece

    pieces = (watched(slice(start, start + 10)) for start in range(0, BATCH, 10))
    optimizer_of(model, "pcgrad", GramEstimator()).step(pieces, pooled=cut)
    assert alive == [0, 0, 0, 0]


def test_a_share_is_taken_of_one_piece_only() -> None:
    with pytest.raises(ValueError, match="should have one micro-batch"):
        step(network("pcgrad"), "pcgrad", 10, GramEstimator(share=0.5))
    step(network("pcgrad"), "pcgrad", BATCH, GramEstimator(share=0.5))


def test_a_step_of_nothing_is_refused() -> None:
    model = network("pcgrad")
    with pytest.raises(ValueError, match="at least one micro-batch"):
        optimizer_of(model, "pcgrad", GramEstimator()).step(iter(()))


@pytest.mark.parametrize("first", [True, False])
def test_a_parameter_that_one_piece_reaches_keeps_its_gradient(first: bool) -> None:
    shared, own = torch.nn.Linear(2, 3), torch.nn.Parameter(torch.ones(()))
    sgd = torch.optim.SGD([*shared.parameters(), own], lr=0.1)
    optimizer = MultiTaskOptimizer(sgd, parse("pcgrad"), shared=shared.parameters())
    losses = [shared(torch.ones(4, 2)).mean(0)[:2] for _ in range(2)]
    losses[0 if first else 1] = losses[0 if first else 1] * (1 + own)
    optimizer.backward([Microbatch(losses_T) for losses_T in losses])
    assert own.grad is not None
    assert own.grad.abs() > 0


def test_what_does_not_fit_together_is_named() -> None:
    model = network("pcgrad")
    cut = model.cut(networks.bags(BATCH, 0, weighted=True))
    optimizer = optimizer_of(model, "pcgrad", GramEstimator())
    (whole,) = parts(model, cut, BATCH)
    for micro, pooled in ((Microbatch(whole.losses_T, whole.features), cut), (whole, None)):
        with pytest.raises(ValueError, match="exactly if `pooled` is given"):
            optimizer.step([micro], pooled=pooled)
    with pytest.raises(ValueError, match="Found them as an argument"):
        optimizer.step([whole], features=whole.features, pooled=cut)
    with pytest.raises(ValueError, match="Found a Tensor in it"):
        optimizer.step(list(whole.losses_T), pooled=cut)


def test_a_parameter_given_twice_counts_once() -> None:
    once, twice = (network("pcgrad") for _ in range(2))
    weights = []
    for model, shared in ((once, once.shared_parameters()), (twice, 2 * twice.shared_parameters())):
        cut = model.cut(networks.bags(BATCH, 0, weighted=True))
        sgd = torch.optim.SGD(model.network_parameters(), lr=10.0)
        optimizer = MultiTaskOptimizer(sgd, parse("pcgrad"), shared=shared)
        weights.append(optimizer.step(parts(model, cut, BATCH), pooled=cut).weights_T)
    torch.testing.assert_close(*weights)
