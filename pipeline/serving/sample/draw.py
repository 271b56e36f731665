"""The draw of a sample: every row has the same probability, whatever else its request holds."""

from __future__ import annotations

import threading

import numpy as np

from pipeline.serving.sample.rows import Places

_NONE = np.empty(0, np.int64)


class Draw:
    """Draws rows; threads may share it.

    Args:
        share: The probability of each row, in (0, 1].
        generator: The source of randomness; a new one by default.
    """

    def __init__(self, share: float, generator: np.random.Generator | None = None) -> None:
        self.share = share
        self._generator = np.random.default_rng() if generator is None else generator
        self._lock = threading.Lock()

    def places(self, rows: int) -> Places:
        """The places of the drawn rows among so many, ascending."""
        if self.share == 1.0:
            return np.arange(rows)
        with self._lock:
            drawn = int(self._generator.binomial(rows, self.share))
            if not drawn:
                return _NONE
            return np.sort(self._generator.choice(rows, drawn, replace=False, shuffle=False))
