"""Every method beside its reference, on the same gradients, losses and random orders: for tests and benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from gradops.base import GramianMethod
from gradops.linalg import gramian
from gradops.methods import (
    DBMTL,
    DW,
    DWA,
    FAMO,
    IMTLG,
    MGDA,
    MGDAUB,
    PCD,
    PELTR,
    RLW,
    STCH,
    AlignedMTL,
    AutoScale,
    CAGrad,
    DualProj,
    FairGrad,
    GO4Align,
    GradCraft,
    GradNorm,
    GradOPS,
    GradOPSStatic,
    GradVac,
    LogLoss,
    PCGrad,
    PCGradDW,
    RotoGrad,
    RotoGradCoop,
    RotoGradR,
    RotoGradScale,
    RotoGradV1,
    Static,
    Uncertainty,
    Uniform,
    UPGrad,
)
from gradops.methods.pcgrad import random_orders
from tests.gradops import reference, reference_gradients, reference_losses
from tests.gradops.reference import Array


@dataclass(frozen=True)
class Step:
    """What one step of training gives a method; orders and normal numbers are those that a random one will draw."""

    jac_TP: Array
    losses_T: Array
    orders: list[list[int]]
    normal_T: Array


@dataclass(frozen=True)
class Pair:
    """A method for T tasks, its reference's updates over a run of steps, and how far apart they may be."""

    method: Callable[[int], GramianMethod]
    reference: Callable[[list[Step]], list[Array]]
    tolerance: float = 1e-9


def _each(update: Callable[[Step], Array]) -> Callable[[list[Step]], list[Array]]:
    """The reference of a method without memory."""
    return lambda steps: [update(step) for step in steps]


def _given(tasks: int) -> tuple[float, ...]:
    return tuple(2.0 * t / (tasks + 1) for t in range(1, tasks + 1))


def _gradvac(steps: list[Step]) -> list[Array]:
    updates, target_TT = [], np.zeros((len(steps[0].jac_TP),) * 2)
    for step in steps:
        update, target_TT = reference.gradvac(step.jac_TP, step.orders, target_TT, beta=0.3)
        updates.append(update)
    return updates


def _mgda(step: Step) -> Array:
    return reference.mgda_normalised(step.jac_TP, step.losses_T * np.linalg.norm(step.jac_TP, axis=1))


def _sum(step: Step) -> Array:
    update: Array = step.jac_TP.sum(axis=0)
    return update


def _gradnorm(*, combined: bool) -> Callable[[list[Step]], list[Array]]:
    def updates(steps: list[Step]) -> list[Array]:
        jacs, losses = [s.jac_TP for s in steps], [s.losses_T for s in steps]
        return reference.gradnorm(jacs, losses, tau=1.5, lr=0.025, combined=combined)

    return updates


def _by_losses(weights: Callable[[list[Array]], list[Array]]) -> Callable[[list[Step]], list[Array]]:
    """The updates of weights that follow from the losses of all steps."""
    return lambda steps: [w @ s.jac_TP for w, s in zip(weights([s.losses_T for s in steps]), steps, strict=True)]


def _by_gradients(updates: Callable[[list[Array]], list[Array]]) -> Callable[[list[Step]], list[Array]]:
    return lambda steps: updates([s.jac_TP for s in steps])


def _rotograd(steps: list[Step]) -> list[Array]:
    return reference.rotograd([s.jac_TP for s in steps])


PAIRS: dict[str, Pair] = {
    "uniform": Pair(lambda _: Uniform(), _each(_sum)),
    "static": Pair(lambda tasks: Static(weight=_given(tasks)), _each(lambda s: _given(len(s.jac_TP)) @ s.jac_TP)),
    "dw": Pair(lambda _: DW(alpha=-0.5), _each(lambda s: reference.dw(s.jac_TP, s.jac_TP, alpha=-0.5))),
    "pcgrad": Pair(lambda _: PCGrad(), _each(lambda s: reference.pcgrad(s.jac_TP, s.orders))),
    "pcgrad_dw": Pair(
        lambda _: PCGradDW(alpha=-0.5),
        _each(lambda s: reference.dw(s.jac_TP, reference.projected(s.jac_TP, s.orders), alpha=-0.5)),
    ),
    "gradvac": Pair(lambda _: GradVac(beta=0.3), _gradvac),
    "mgda": Pair(lambda _: MGDA(), _each(lambda s: reference.mgda(s.jac_TP))),
    "mgda_ub": Pair(lambda _: MGDAUB(normalise="loss+"), _each(_mgda)),
    # The reference's general-purpose optimizer ends where it sees no more progress.
    "cagrad": Pair(lambda _: CAGrad(c=0.5), _each(lambda s: reference.cagrad(s.jac_TP, c=0.5)), tolerance=1e-4),
    "imtl_g": Pair(lambda _: IMTLG(), _each(lambda s: reference.imtl_g(s.jac_TP))),
    "gradnorm": Pair(lambda _: GradNorm(tau=1.5, lr=0.025), _gradnorm(combined=False)),
    "gradops": Pair(lambda _: GradOPS(alpha=-2.0), _each(lambda s: reference.gradops(s.jac_TP, alpha=-2.0))),
    "gradops_static": Pair(
        lambda tasks: GradOPSStatic(weight=_given(tasks)),
        _each(lambda s: _given(len(s.jac_TP)) @ reference.orthogonal(s.jac_TP)),
    ),
    "upgrad": Pair(lambda _: UPGrad(), _each(lambda s: reference_gradients.upgrad(s.jac_TP))),
    "dualproj": Pair(lambda _: DualProj(), _each(lambda s: reference_gradients.dualproj(s.jac_TP))),
    "aligned_mtl": Pair(lambda _: AlignedMTL(), _each(lambda s: reference_gradients.aligned_mtl(s.jac_TP))),
    "fairgrad": Pair(
        lambda _: FairGrad(alpha=2.0),
        _each(lambda s: reference_gradients.fairgrad(s.jac_TP, alpha=2.0)),
        tolerance=1e-6,  # as above
    ),
    "gradcraft": Pair(
        lambda _: GradCraft(tau=0.6, epsilon=0.01, beta=0.5),
        _by_gradients(lambda j: reference_losses.gradcraft(j, tau=0.6, epsilon=0.01, beta=0.5)),
    ),
    "pe_ltr": Pair(
        lambda tasks: PELTR(floor=0.4, preference=_given(tasks)),
        _each(lambda s: reference_losses.pe_ltr(s.jac_TP, 0.4 * np.array(_given(len(s.jac_TP))) / len(s.jac_TP))),
    ),
    "autoscale": Pair(
        lambda _: AutoScale(explore=2), _by_gradients(lambda j: reference_losses.autoscale(j, explore=2))
    ),
    "pcd": Pair(
        lambda tasks: PCD(primary=tasks - 1, tau=0.2, beta=0.5),
        _by_gradients(lambda j: reference_gradients.pcd(j, tau=0.2, beta=0.5)),
        tolerance=1e-5,  # as above
    ),
    "db_mtl": Pair(lambda _: DBMTL(), _each(lambda s: reference_losses.db_mtl(s.jac_TP, s.losses_T))),
    "rlw": Pair(lambda _: RLW(), _each(lambda s: len(s.normal_T) * reference_losses.softmax(s.normal_T) @ s.jac_TP)),
    "log_loss": Pair(lambda _: LogLoss(), _each(lambda s: (1 / s.losses_T) @ s.jac_TP)),
    "uncertainty": Pair(
        lambda _: Uncertainty(lr=0.05),
        _by_losses(lambda losses: reference_losses.uncertainty(losses, lr=0.05, rest=0.5)),
    ),
    "dwa": Pair(
        lambda _: DWA(temperature=0.5, window=2),
        _by_losses(lambda losses: reference_losses.dwa(losses, temperature=0.5, window=2)),
    ),
    "famo": Pair(
        lambda _: FAMO(lr=0.1, decay=0.01), _by_losses(lambda losses: reference_losses.famo(losses, lr=0.1, decay=0.01))
    ),
    "stch": Pair(
        lambda _: STCH(mu=0.3, warmup=1, window=2),
        _by_losses(lambda losses: reference_losses.stch(losses, mu=0.3, warmup=1, window=2)),
    ),
    "go4align": Pair(
        lambda _: GO4Align(groups=2, eta=0.1),
        _by_losses(lambda losses: reference_losses.go4align(losses, eta=0.1, groups=2)),
    ),
    # Their weights; the rotations have tests of their own.
    "rotograd": Pair(lambda _: RotoGrad(), _rotograd),
    "rotograd_r": Pair(lambda _: RotoGradR(), _each(_sum)),
    "rotograd_scale": Pair(lambda _: RotoGradScale(), _rotograd),
    "rotograd_v1": Pair(lambda _: RotoGradV1(tau=1.5, lr=0.025), _gradnorm(combined=True)),
    "rotograd_coop": Pair(lambda _: RotoGradCoop(tau=1.5, lr=0.025), _gradnorm(combined=True)),
}


def disagreement(name: str, tasks: int, seeds: int = 5, steps: int = 5) -> float:
    """The largest distance between a method's update and its reference's, as a share of the update's length."""
    return max(_disagreement(PAIRS[name], tasks, seed, steps) for seed in range(seeds))


def _disagreement(pair: Pair, tasks: int, seed: int, steps: int) -> float:
    run = problem(tasks, seed, steps)
    method = pair.method(tasks)
    state, worst = method.start(tasks, torch.Generator().manual_seed(seed)), 0.0
    for step, expected_P in zip(run, pair.reference(run), strict=True):
        gram_TT = gramian(torch.from_numpy(step.jac_TP))
        weights_T, state = method.step(gram_TT, torch.from_numpy(step.losses_T), state)
        distance = np.linalg.norm(weights_T.numpy() @ step.jac_TP - expected_P)
        worst = max(worst, float(distance / np.linalg.norm(expected_P)))
    return worst


def problem(tasks: int, seed: int, steps: int) -> list[Step]:
    """Random steps; gradients in conflict with each other in some seeds, in agreement in others."""
    generator = np.random.default_rng(seed)
    own, other = (torch.Generator().manual_seed(seed) for _ in range(2))
    run = []
    for _ in range(steps):
        jac_TP = generator.normal(size=(tasks, 40)) * generator.uniform(0.3, 2.0, size=(tasks, 1))
        jac_TP += (0.5 * (seed % 3) - 0.4) * jac_TP.mean(axis=0)
        orders = random_orders(tasks, own).T.tolist()
        normal_T = torch.randn(tasks, generator=other, dtype=torch.float64).numpy()
        run.append(Step(jac_TP, generator.uniform(0.2, 2.0, size=tasks), orders, normal_T))
    return run
