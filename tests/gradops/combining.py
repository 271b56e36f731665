"""Random task gradients, and the weights that a method gives them."""

from __future__ import annotations

import torch
from torch import Tensor

from gradops.base import GramianMethod
from gradops.linalg import gramian


def gradients(tasks: int, seed: int, common: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    jac_TP = torch.randn(tasks, 20, dtype=torch.float64, generator=generator)
    return jac_TP + common * torch.randn(20, dtype=torch.float64, generator=generator)


def weights(method: GramianMethod, jac_TP: Tensor, seed: int = 0) -> Tensor:
    state = method.start(len(jac_TP), torch.Generator().manual_seed(seed))
    return method.step(gramian(jac_TP), torch.ones(len(jac_TP)), state)[0]
