"""PCGrad, section 6.2: ten sinusoids, one network, and the angle between two of its task gradients.

Task i is ``y = A sin(x + p)`` with amplitude A from U[0, 5] and phase p from U[0, pi]. The network reads x from
U[0, 5] and the task's number as a one-hot vector, through three hidden layers of 100 ReLU units; all of it is shared.
The paper follows the cosine of two tasks' gradients over 1,000 updates of Adam, alone and with PCGrad.

Our choices, where our notes on the paper are silent: mean squared error on 32 fresh points a task and update, Adam's
rate 1e-3, float64, torch's own initialisation. Both methods see the same network, tasks and points.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import pi

import torch
from torch import Tensor, nn

from gradops import MultiTaskOptimizer
from gradops.base import GramianMethod

TASKS = 10
UPDATES = 1000
_POINTS = 32
_UNITS = 100


@dataclass(frozen=True)
class Series:
    """The state before each update, one row an update.

    Args:
        losses_ST: Task losses.
        cosine_STT: Cosines of every pair of task gradients.
    """

    losses_ST: Tensor
    cosine_STT: Tensor


@dataclass(frozen=True)
class Sinusoids:
    """Ten tasks drawn with a seed.

    Args:
        amplitude_T: In [0, 5].
        phase_T: In [0, pi].
    """

    amplitude_T: Tensor
    phase_T: Tensor

    @classmethod
    def draw(cls, generator: torch.Generator) -> Sinusoids:
        """Tasks as the paper draws them."""
        amplitude_T, phase_T = torch.rand(2, TASKS, generator=generator, dtype=torch.float64)
        return cls(5 * amplitude_T, pi * phase_T)

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs ``T x B x (1 + T)`` and targets ``T x B``."""
        x_TB = 5 * torch.rand(TASKS, _POINTS, generator=generator, dtype=torch.float64)
        which_TBT = torch.eye(TASKS, dtype=torch.float64)[:, None].expand(-1, _POINTS, -1)
        target_TB = self.amplitude_T[:, None] * torch.sin(x_TB + self.phase_T[:, None])
        return torch.cat([x_TB[..., None], which_TBT], dim=-1), target_TB


def network() -> nn.Sequential:
    """A network with three hidden layers and one output, all shared by the tasks."""
    widths = [1 + TASKS, _UNITS, _UNITS, _UNITS]
    hidden = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(_UNITS, 1)).double()


def run(method: GramianMethod, seed: int, updates: int = UPDATES) -> Series:
    """Train under one method; the seed sets the tasks, the network and the points."""
    generator = torch.Generator().manual_seed(seed)
    tasks = Sinusoids.draw(generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    optimizer = MultiTaskOptimizer(adam, method, shared=model.parameters(), seed=seed)
    losses, cosines = [], []
    for _ in range(updates):
        input_TBF, target_TB = tasks.batch(generator)
        step = optimizer.step((model(input_TBF).squeeze(-1) - target_TB).square().mean(1), diagnose=True)
        losses.append(step.losses_T)
        cosines.append(step.cosine_TT)
    return Series(torch.stack(losses), torch.stack(cosines))
