"""A request encoded both ways, by its form and by the expressions, and compared to the bit."""

from __future__ import annotations

import numpy as np
import polars as pl

from features.encoder import ID, VALUE, WEIGHT, Encoder
from features.errors import InputError
from pipeline.serving.columns import RequestRows
from pipeline.serving.encoding import RowEncoder


def by_expressions(made: Encoder, rows: RequestRows) -> pl.DataFrame | str:
    """The encoded rows, or why they are refused."""
    try:
        return RowEncoder(made).encoded(rows.frame())[1]
    except InputError as error:
        return str(error)


def assert_same(made: Encoder, rows: RequestRows) -> bool:
    """Compare both ways; whether the request was read without expressions."""
    found = RowEncoder(made).of_request(rows)
    if found is None:
        return False
    expected = by_expressions(made, rows)
    assert isinstance(expected, pl.DataFrame), f"read, though it is refused: {expected}"
    parts, columns = found.whole().parts, set[str]()
    for name, part in parts.items():
        for prefix, array in ((ID, part.ids), (WEIGHT, part.weight_E), (VALUE, part.value_N)):
            if array is None:
                continue
            columns.add(prefix + name)
            series = expected.get_column(prefix + name)
            if part.length_N is not None:
                assert part.length_N.tolist() == series.list.len().to_list(), name
                series = series.explode(empty_as_null=False)
            wanted = series.to_numpy()
            assert array.dtype == wanted.dtype
            # By their bits: 0 and -0 are told apart.
            assert array.view(np.int32).tolist() == wanted.view(np.int32).tolist(), (name, array, wanted)
    assert columns == set(expected.columns)
    return True
