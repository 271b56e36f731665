"""The generators that dropout draws from: their seeds and positions, of each rank."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gradops.group import Group, gathered


def generator_seed(seed: int, rank: int) -> int:
    """The seed of a rank's generator; on the first rank it is the run's seed."""
    return seed + (rank << 32)


def positions(device: torch.device, group: Group) -> dict[str, Tensor]:
    """The positions of each rank's generators, by kind of device; all other randomness has a seed or a state.

    Args:
        device: The model's device.
        group: The ranks that train together.

    Returns:
        For each kind of device a tensor with a row of bytes a rank, on the CPU.
    """
    mine = {"cpu": torch.get_rng_state()}
    mine |= {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
    return {kind: gathered(state[None].to(device), 0, group)[0].cpu() for kind, state in mine.items()}


def restore(every: Mapping[str, Tensor], seed: int, device: torch.device, group: Group) -> None:
    """Restore this rank's of the positions that :func:`positions` has returned.

    Args:
        every: The positions.
        seed: The seed from which the generators start anew, if another number of ranks goes on.
        device: The model's device.
        group: The ranks that train together.
    """
    if len(every["cpu"]) != group.size:
        torch.manual_seed(generator_seed(seed, group.rank))
        return
    # Copies, since of a view torch reads from the beginning of the whole tensor, and may crash.
    mine = {kind: states[group.rank].clone() for kind, states in every.items()}
    torch.set_rng_state(mine["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(mine["cuda"], device)
