"""The use that each task makes of experts: the mean shares that its gates give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from gradops.group import Group


class ExpertUse:
    """The shares of experts in the rows of one step.

    Args:
        gates: The gates by name; each gives a row's shares, B x N.
    """

    def __init__(self, gates: Mapping[str, nn.Module]) -> None:
        self._gates = gates
        # Sums over rows, by gate: the number of rows, their entropies in nats, and the share of each expert.
        self._sums: dict[str, Tensor] = {}

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record what the gates give while the block runs."""
        with ExitStack() as stack:
            for name, gate in self._gates.items():
                stack.callback(gate.register_forward_hook(partial(self._add, name)).remove)
            yield

    def _add(self, name: str, gate: nn.Module, inputs: object, share_BN: Tensor) -> None:
        del gate, inputs
        share_BN = share_BN.detach().double()
        entropy_B = torch.special.entr(share_BN).sum(1)
        found = torch.cat([share_BN.new_tensor([len(share_BN)]), entropy_B.sum()[None], share_BN.sum(0)])
        self._sums[name] = found + self._sums.get(name, 0.0)

    def scalars(self, group: Group) -> dict[str, float]:
        """Named numbers for a tracker: ``gate.<name>.entropy`` in nats, and ``gate.<name>.expert<i>``, a mean share.

        Args:
            group: The processes whose rows count together; all of them call this.
        """
        values = {}
        for name, sums in zip(self._sums, group.sum(list(self._sums.values())), strict=True):
            rows, entropy, *shares = sums.tolist()
            values[f"gate.{name}.entropy"] = entropy / max(rows, 1)
            values |= {f"gate.{name}.expert{i}": share / max(rows, 1) for i, share in enumerate(shares)}
        return values
