"""Methods that read losses, and newer gradient methods with memory, straight from their papers' text or code.

Each returns the weights or updates of every step of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch

from tests.gradops import reference
from tests.gradops.reference import Array


def softmax(values: Array) -> Array:
    share = np.exp(values - values.max())
    shares: Array = share / share.sum()
    return shares


def uncertainty(losses: Sequence[Array], lr: float, rest: float) -> list[Array]:
    """Log-variances as torch parameters of torch's Adam."""
    log = torch.zeros(len(losses[0]), dtype=torch.float64, requires_grad=True)
    adam, weights = torch.optim.Adam([log], lr=lr, eps=0.0), []
    for loss in losses:
        weights.append(np.exp(-log.detach().numpy()))
        adam.zero_grad()
        (torch.exp(-log) * torch.from_numpy(loss) + rest * log).sum().backward()
        adam.step()
    return weights


def dwa(losses: Sequence[Array], temperature: float, window: int) -> list[Array]:
    """Equation 7 of DWA, a window of steps for an epoch."""
    weights = []
    for step in range(len(losses)):
        epoch = step // window
        means = [np.mean(losses[e * window : (e + 1) * window], axis=0) for e in range(epoch)]
        rate = means[-1] / means[-2] if epoch >= 2 else np.ones_like(losses[0])
        weights.append(len(rate) * softmax(rate / temperature))
    return weights


def famo(losses: Sequence[Array], lr: float, decay: float) -> list[Array]:
    """FAMO with the next step's losses for those after the step, by autograd and torch's Adam."""
    logit = torch.zeros(len(losses[0]), dtype=torch.float64, requires_grad=True)
    adam, weights = torch.optim.Adam([logit], lr=lr, weight_decay=decay, eps=0.0), []
    for step, loss in enumerate(losses):
        if step:
            delta = torch.from_numpy(np.log(losses[step - 1]) - np.log(loss))
            adam.zero_grad()
            (logit.softmax(0) @ delta).backward()
            adam.step()
        share = logit.detach().softmax(0).numpy() / loss
        weights.append(len(loss) * share / share.sum())
    return weights


def stch(losses: Sequence[Array], mu: float, warmup: int, window: int) -> list[Array]:
    """The authors' objective by autograd."""
    weights, start = [], np.mean(losses[warmup : warmup + window], axis=0)
    for step, loss in enumerate(losses):
        leaf = torch.tensor(loss, requires_grad=True)
        warm = leaf.log().sum()
        late = len(loss) * mu * torch.logsumexp((leaf / torch.from_numpy(start)).log() / mu, 0)
        (late if step >= warmup + window else warm).backward()
        assert leaf.grad is not None
        weights.append(leaf.grad.numpy())
    return weights


def go4align(losses: Sequence[Array], eta: float, groups: int) -> list[Array]:
    """The authors' code, with the best of all groupings."""
    weights, history = [], np.ones(len(losses[0])) / len(losses[0])
    for loss in losses:
        history = history * np.exp(-eta * loss)
        history = history / history.sum()
        weights.append(best_groups(loss.sum() / loss * history, groups))
    return weights


def best_groups(values: Array, groups: int) -> Array:
    """Group means of the grouping into intervals with the least sum of squares, by trying every one."""
    order, best, least = values.argsort(), values, np.inf
    for cuts in combinations(range(1, len(values)), min(groups, len(values)) - 1):
        parts = np.split(order, cuts)
        means = np.empty_like(values)
        for part in parts:
            means[part] = values[part].mean()
        if ((values - means) ** 2).sum() < least:
            best, least = means, ((values - means) ** 2).sum()
    return best


def db_mtl(jac_TP: Array, loss: Array) -> Array:
    """Gradients of the losses' logarithms, all at the length of the longest: the update."""
    log_TP = jac_TP / loss[:, None]
    length = np.linalg.norm(log_TP, axis=1)
    update: Array = length.max() * (log_TP / length[:, None]).sum(axis=0)
    return update


def autoscale(jacs: Sequence[Array], explore: int) -> list[Array]:
    """The sum, then fixed weights of sum T that level the mean lengths: the updates."""
    level = 1 / np.mean([np.linalg.norm(jac_TP, axis=1) for jac_TP in jacs[:explore]], axis=0)
    weight = len(level) * level / level.sum()
    return [(weight if step >= explore else np.ones_like(weight)) @ jac_TP for step, jac_TP in enumerate(jacs)]


def pe_ltr(jac_TP: Array, least: Array) -> Array:
    """MGDA among the means that keep the least weights, by trying every face: the update."""
    free = 1 - least.sum()
    return reference.mgda(least @ jac_TP + free * jac_TP)


def gradcraft(jacs: Sequence[Array], tau: float, epsilon: float, beta: float) -> list[Array]:
    """The authors' code on full gradients, times T: the updates."""
    updates, average = [], np.zeros(len(jacs[0]))
    for jac_TP in jacs:
        average = beta * average + (1 - beta) * np.linalg.norm(jac_TP, axis=1)
        balanced = jac_TP * (tau * average.max() / average + 1 - tau)[:, None]
        update = np.zeros(jac_TP.shape[1])
        for g in balanced:
            facing = balanced[balanced @ g < 0]
            if len(facing):
                wanted = epsilon * np.linalg.norm(g) * np.linalg.norm(facing, axis=1) - facing @ g
                g = g + np.linalg.solve(facing @ facing.T, wanted) @ facing
            update = update + g
        updates.append(update)
    return updates
