"""Steps without our optimizer: torch alone, T full backward passes, and every route of TorchJD.

TorchJD uses PCGrad's weights, the cheapest that it makes from a Gram matrix. Towers get plain gradients, as ours do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchjd.aggregation import PCGrad, PCGradWeighting
from torchjd.autogram import Engine
from torchjd.autojac import backward, jac, jac_to_grad, mtl_backward

from benchmarks.step.embeddings import PeerEmbedding
from benchmarks.step.way import Step, Way, mean_losses
from gradops.linalg import gramian
from gradops.methods import GradOPS
from models.architectures.shared_bottom import SharedBottom
from models.embedding.cut import Bags

# From the features B x D and T losses to a gradient in every parameter.
Backward = Callable[[Tensor, Tensor], object]


def peer(make: Callable[[SharedBottom, PeerEmbedding], Backward], embedding: type[PeerEmbedding]) -> Way:
    """The way of one of the functions below, over an embedding."""

    def start(model: SharedBottom) -> Step:
        tables = embedding(model)
        fill = make(model, tables)

        def step(bags: Bags, labels_BT: Tensor) -> None:
            z_BD = model.bottom(tables(bags))
            logits_BT = torch.cat([tower(z_BD) for tower in model.towers], dim=1)
            tables.optimizer.zero_grad()
            fill(z_BD, mean_losses(logits_BT, labels_BT))
            tables.step()

        return step

    return Way(start=start, tables=embedding.tables)


def plain(_model: SharedBottom, _embedding: PeerEmbedding) -> Backward:
    """The gradient of the losses' sum."""
    return lambda _z_BD, losses_T: losses_T.sum().backward()


def naive(model: SharedBottom, embedding: PeerEmbedding) -> Backward:
    """T full backward passes, and GradOPS' combination of their gradients."""
    method, shared = GradOPS(alpha=-1.0), _shared(model, embedding)

    def fill(_z_BD: Tensor, losses_T: Tensor) -> None:
        _fill_towers(model, losses_T)
        rows = [torch.autograd.grad(loss, shared, retain_graph=True) for loss in losses_T]
        jac_TP = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
        weights_T, _ = method.weights(gramian(jac_TP), losses_T.detach(), {})
        update_P = weights_T.to(jac_TP.dtype) @ jac_TP
        for parameter, part_P in zip(shared, update_P.split([p.numel() for p in shared]), strict=True):
            parameter.grad = part_P.view_as(parameter)

    return fill


def by_backward(model: SharedBottom, embedding: PeerEmbedding) -> Backward:
    """TorchJD's ``backward`` from the losses, its ``jac_to_grad`` without joining the Jacobians."""
    aggregator, shared = PCGrad(), _shared(model, embedding)

    def fill(_z_BD: Tensor, losses_T: Tensor) -> None:
        _fill_towers(model, losses_T)
        backward(list(losses_T), inputs=shared, parallel_chunk_size=1)  # all at once is slower, most of all for bags
        jac_to_grad(shared, aggregator, optimize_gramian_computation=True)

    return fill


def by_mtl_backward(model: SharedBottom, embedding: PeerEmbedding) -> Backward:
    """TorchJD's ``mtl_backward``, which takes the features as an argument, and ``jac_to_grad``."""
    aggregator, shared = PCGrad(), _shared(model, embedding)
    own = [list(tower.parameters()) for tower in model.towers]

    def fill(z_BD: Tensor, losses_T: Tensor) -> None:
        # The graph is kept: the losses share the node that computed them.
        mtl_backward(
            list(losses_T), z_BD, tasks_params=own, shared_params=shared, parallel_chunk_size=1, retain_graph=True
        )
        jac_to_grad(shared, aggregator, optimize_gramian_computation=True)

    return fill


def by_autogram(model: SharedBottom, embedding: PeerEmbedding) -> Backward:
    """TorchJD's Gram matrix without a Jacobian, then one backward pass of the weighted losses."""
    return _by_autogram(model, embedding, Engine(embedding, model.bottom, batch_dim=None))


def by_autogram_of_bottom(model: SharedBottom, embedding: PeerEmbedding) -> Backward:
    """As :func:`by_autogram`, with the Gram matrix of the bottom's gradients alone: inexact, as it omits the tables."""
    return _by_autogram(model, embedding, Engine(model.bottom, batch_dim=None))


def _by_autogram(model: SharedBottom, embedding: PeerEmbedding, engine: Engine) -> Backward:
    weighting, shared = PCGradWeighting(), _shared(model, embedding)

    def fill(_z_BD: Tensor, losses_T: Tensor) -> None:
        weights_T = weighting(engine.compute_gramian(losses_T))
        _fill_towers(model, losses_T)
        losses_T.backward(weights_T, inputs=shared)

    return fill


def by_features(model: SharedBottom, embedding: PeerEmbedding) -> Backward:
    """TorchJD's PCGrad of the gradients at the features, and one backward pass from there."""
    aggregator, shared = PCGrad(), _shared(model, embedding)

    def fill(z_BD: Tensor, losses_T: Tensor) -> None:
        _fill_towers(model, losses_T)
        (jac_TBD,) = jac(list(losses_T), inputs=[z_BD], retain_graph=True, parallel_chunk_size=1)
        z_BD.backward(aggregator(jac_TBD.flatten(1)).view_as(z_BD), inputs=shared)

    return fill


def _shared(model: SharedBottom, embedding: PeerEmbedding) -> list[Tensor]:
    return [*embedding.parameters(), *model.shared_parameters()]


def _fill_towers(model: SharedBottom, losses_T: Tensor) -> None:
    losses_T.sum().backward(inputs=list(model.towers.parameters()), retain_graph=True)
