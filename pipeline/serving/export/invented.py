"""Encoded rows that are invented, to hold two ways of scoring against each other."""

from __future__ import annotations

import numpy as np

from features.encoder import Encoder
from features.request.encoder import Encoded
from features.request.form import Part

_LONGEST = 5


def invented_rows(encoder: Encoder, rows: int, seed: int) -> Encoded:
    """Rows with ids of all rows of the tables, lists of one to five ids, and numbers up to some ten deviations."""
    draw, spec = np.random.default_rng(seed), encoder.spec
    table_rows = {name: table.rows for table in encoder.tables() for name in table.features}
    parts: dict[str, Part] = {}
    for name, feature in spec.features.items():
        length_N = draw.integers(1, _LONGEST + 1, rows) if feature.is_multi_hot else None
        entries = rows if length_N is None else int(length_N.sum())
        ids = draw.integers(1, table_rows[name], entries).astype(np.int32) if feature.has_ids else None
        weight_E = draw.random(entries).astype(np.float32) if feature.has_weights else None
        value_N = (3 * draw.standard_normal(rows)).astype(np.float32) if feature.has_value else None
        parts[name] = Part(ids, length_N, weight_E, value_N)
    return Encoded(rows, parts)
