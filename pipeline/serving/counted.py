"""The counts of a request that a server sums up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.constants import OUT_OF_VOCABULARY
from features.request.encoder import Encoded
from features.spec import FeatureSpec
from pipeline.data.windows import Window


@dataclass(frozen=True)
class Counted:
    """Counts of encoded rows.

    Args:
        rows: Their number.
        values: Number of their values that have an id.
        unseen: Number of those that are out of vocabulary.
    """

    rows: int
    values: int
    unseen: int

    @classmethod
    def of_window(cls, window: Window) -> Counted:
        """Counts of rows as a model reads them."""
        ids = (window.ids_FN, *(entries.ids_E for entries in window.entries.values()))
        unseen = sum(int((one == OUT_OF_VOCABULARY).sum()) for one in ids)
        return cls(len(window), sum(one.numel() for one in ids), unseen)

    @classmethod
    def of_parts(cls, encoded: Encoded, spec: FeatureSpec) -> Counted:
        """Counts of a request's rows; a part of a single row counts for each of them."""
        values = unseen = 0
        for name in spec.id_features:
            part = encoded.parts[name]
            times = encoded.rows // part.rows
            values += times * len(part.known_ids)
            unseen += times * int(np.count_nonzero(part.known_ids == OUT_OF_VOCABULARY))
        return cls(encoded.rows, values, unseen)
