"""The numbers of a row as layers read them: encoded, or as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from features.encoder import EncodedValue
from models.encodings.base import EncodingConfig


class Numbers(nn.Module):
    """Encodings of some numbers, beside the numbers without an encoding.

    Args:
        values: Number of all numbers, V.
        encoded: Those that are encoded.
        configs: The encodings' keys, by the encodings' names.
    """

    def __init__(self, values: int, encoded: Sequence[EncodedValue], configs: Mapping[str, EncodingConfig]) -> None:
        super().__init__()
        kinds = {name: [one for one in encoded if one.encoding == name] for name in configs}
        made = {name: configs[name].build(mine) for name, mine in kinds.items() if mine}
        self.encodings = nn.ModuleDict(made)
        self._runs = {name: _runs([one.place for one in kinds[name]]) for name in made}
        plain = sorted({*range(values)} - {one.place for one in encoded})
        self._plain = _runs(plain)
        # The columns of each number, in the order of the output.
        self.widths = [made[name].columns // len(kinds[name]) for name in made for _ in kinds[name]] + [1] * len(plain)

    def forward(self, value_BV: Tensor) -> Tensor:
        """The encodings' columns, then the numbers without an encoding."""
        # A way back for all tasks at once needs the columns with gradients first.
        vectors = [
            encoding(torch.cat(_parts(value_BV, self._runs[name]), dim=1)).flatten(1)
            for name, encoding in self.encodings.items()
        ]
        return torch.cat([*vectors, *_parts(value_BV, self._plain)], dim=1)


def _runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending places as ranges of neighbours: reading ranges takes no index on the device."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def _parts(value_BV: Tensor, runs: Sequence[tuple[int, int]]) -> list[Tensor]:
    return [value_BV[:, begin:end] for begin, end in runs]
