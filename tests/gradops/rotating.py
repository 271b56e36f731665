"""A small network whose towers read through rotations, and the papers' formulas for it in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import expm
from torch import Tensor, nn

from gradops import MultiTaskOptimizer
from gradops.base import Method
from gradops.rotation import Map, Rotation, Rotations

Array = npt.NDArray[np.float64]

TASKS, BATCH, WIDTH = 3, 6, 4


def turned(rotation: Rotation, seed: int = 0, dtype: torch.dtype = torch.float64) -> Rotations:
    """Rotations away from the identity."""
    rotations = Rotations(rotation, tasks=TASKS, width=WIDTH).to(dtype)
    with torch.no_grad():
        rotations.angles.normal_(generator=torch.Generator().manual_seed(seed))
    return rotations


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def matrix(angles_A: Array, size: int, kind: Map) -> Array:
    """A rotation from its angles, in numpy and scipy; the identity beyond ``size``."""
    skew = np.zeros((size, size))
    skew[np.tril_indices(size, -1)] = angles_A
    skew = skew - skew.T
    whole = np.eye(WIDTH)
    identity = np.eye(size)
    turned = expm(skew) if kind == "exponential" else np.linalg.inv(identity - skew / 2) @ (identity + skew / 2)
    whole[:size, :size] = turned
    return whole


def paper_target(rotation: Rotation, cotangent_TBD: Array, weights_T: Array, rate_T: Array) -> Array:
    units = [c / np.linalg.norm(c) for c in cotangent_TBD]
    if rotation.loss == "iclr":
        mean: Array = np.mean(units, axis=0)
        return mean
    combined = np.linalg.norm(sum(w * c for w, c in zip(weights_T, cotangent_TBD, strict=True)))
    target: Array = np.sum([u * combined * p for u, p in zip(units, rate_T, strict=True)], axis=0)
    return target


class Net(nn.Module):
    """A shared layer and one linear head a task, which reads through a rotation if there is one."""

    def __init__(self, method: Method, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.shared, self.heads = nn.Linear(5, WIDTH), nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(TASKS))
        turn = method.rotation
        self.rotations = None if turn is None else Rotations(turn, tasks=TASKS, width=WIDTH)
        self.double()
        network = [*self.shared.parameters(), *self.heads.parameters()]
        self.optimizer = MultiTaskOptimizer(
            torch.optim.SGD(network, lr=0.1), method, shared=self.shared.parameters(), rotations=self.rotations
        )

    def step(self, seed: int) -> Tensor:
        rows, targets = normal(BATCH, 5, seed=seed).tanh(), normal(TASKS, BATCH, seed=seed + 100)
        z = self.shared(rows).tanh()
        views = [z.view_as(z) for _ in range(TASKS)]
        reads = views if self.rotations is None else self.rotations(views)
        outputs = [head(read).squeeze(1) for head, read in zip(self.heads, reads, strict=True)]
        losses_T = torch.stack([(o - t).square().mean() for o, t in zip(outputs, targets, strict=True)])
        return self.optimizer.step(losses_T, features=views).weights_T
