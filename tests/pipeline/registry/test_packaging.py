"""What is said of a model beside its files: the example of a request."""

from __future__ import annotations

import polars as pl
import pytest

from features.fitting import fit
from features.spec import FeatureSpec
from pipeline.registry.packaging import example
from pipeline.serving.columns import frame_of

ROWS = pl.DataFrame({"item": [1, 2], "user": ["a", "b"], "at": [0, 1], "sid": [b"a", b"b"], "y": [0, 1]})
ITEM = {"kind": "categorical", "required": True}
PAIR = {"kind": "cross", "columns": ["item", "user"], "buckets": 9}


@pytest.mark.parametrize("order", [("item", "pair"), ("pair", "item")])
def test_a_required_column_has_a_value_whatever_else_reads_it(order: tuple[str, ...]) -> None:
    features = {
        **{name: {"item": ITEM, "pair": PAIR}[name] for name in order},
        "hour": {"kind": "time", "column": "at", "part": "hour", "unit": "ms", "required": True},
        "sid": {"kind": "categorical"},
    }
    spec = FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "y = 1"}}})
    encoder = fit(spec, ROWS.lazy())
    made = example(encoder)
    assert made.notna().to_dict("list") == {
        "item": [True] * 2,
        "at": [True] * 2,
        "user": [True, False],
        "sid": [True, False],
    }
    assert encoder.encode_features(frame_of(made.to_dict("list")).lazy()).collect().height == 2
