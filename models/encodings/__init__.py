"""Every encoding of numbers by name. A new one is one file here, its import and its field below.

The file's name is that of the field, and of the ``encoding`` of :class:`features.kinds.numeric.Numeric`;
:mod:`models.encodings.base` is its interface.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from features.declared import Declared
from features.encoder import EncodedValue
from models.encodings.numbers import Numbers
from models.encodings.periodic import PeriodicConfig
from models.encodings.piecewise import PiecewiseConfig


class EncodingsConfig(Declared):
    """The keys of ``[model.encoding]``: those of each encoding, for all features that declare it.

    Args:
        piecewise: The keys of ``encoding = "piecewise"``.
        periodic: The keys of ``encoding = "periodic"``.
    """

    piecewise: PiecewiseConfig = PiecewiseConfig()
    periodic: PeriodicConfig = PeriodicConfig()

    def build(self, values: int, encoded: Sequence[EncodedValue]) -> Numbers | None:
        """The encoded numbers, before initialisation; None if all numbers are read as they are."""
        return Numbers(values, encoded, dict(self)) if encoded else None

    def unread(self, encodings: Collection[str]) -> list[str]:
        """The encodings whose keys are not their defaults, though they are none of these, all that features declare."""
        usual = EncodingsConfig()
        return [name for name, keys in self if keys != getattr(usual, name) and name not in encodings]
