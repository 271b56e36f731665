"""The sample of scored files: drawn part by part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.data.windows import Window
from pipeline.serving.sample.buffer import SampleBuffer
from pipeline.serving.sample.draw import Draw
from pipeline.serving.sample.folder import SampleFolder
from pipeline.serving.sample.rows import SampledRows

if TYPE_CHECKING:
    from pipeline.serving.scorer import Scorer


class PartSample:
    """A sample of the rows of scored files. Each part with a drawn row becomes a file.

    Args:
        folder: Folder of the files, which is made.
        share: The share of rows that is sampled, in (0, 1].
        most_bytes: Largest number of bytes of the files; the oldest are removed.

    Raises:
        InputError: If the folder cannot be made.
    """

    def __init__(self, folder: Path, share: float, most_bytes: int) -> None:
        self._buffer = SampleBuffer(SampleFolder.made(folder, most_bytes), share)
        self._draw = Draw(share)

    @property
    def rows(self) -> int:
        """The number of rows that were written."""
        return self._buffer.all_written

    @property
    def dropped(self) -> int:
        """The number of rows that were drawn and could not be written."""
        return self._buffer.all_dropped

    def take(self, scorer: Scorer, window: Window, score_NO: npt.NDArray[np.float64]) -> None:
        """Draw from a part, and write what was drawn."""
        if not len(place_K := self._draw.places(len(window))):
            return
        drawn = SampledRows.of(window, score_NO, place_K, scorer.encoder.spec, is_request=False)
        self._buffer.add(scorer, drawn)
        self._buffer.flush()
