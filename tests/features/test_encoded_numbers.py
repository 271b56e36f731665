"""Numbers that the network encodes: the stored number and the fitted bins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.testing
import pytest
from pydantic import ValidationError

from features.encoder import EncodedValue, Encoder
from features.fitting import Fitter, Learnt, fit
from features.spec import FeatureSpec
from features.transforms import apart
from tests.conftest import fitted


def spec(**keys: Any) -> FeatureSpec:
    features = {"x": {"kind": "numeric", **keys}, "beside": {"kind": "categorical"}}
    return FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "label = 1"}}})


def rows(*numbers: float | None) -> pl.DataFrame:
    return pl.DataFrame({"x": pl.Series(numbers, dtype=pl.Float64)}).with_columns(beside=pl.lit("b"), label=1)


def bins(*numbers: float | None, **keys: Any) -> list[float]:
    encoder = fit(spec(encoding="piecewise", **keys), rows(*numbers).lazy())
    (one,) = encoder.encoded_values()
    assert (one.place, one.encoding) == (0, "piecewise")
    return list(one.bin_edges)


def stored(encoder: Encoder, frame: pl.DataFrame) -> list[float]:
    return encoder.encode_features(frame.lazy()).collect().get_column("value.x").to_list()


def test_bins_are_quantiles_from_the_lowest_to_the_highest_number() -> None:
    numbers = np.random.default_rng(0).permutation(1001).astype(float)
    edges = bins(*numbers, bins=4, raw=True)
    np.testing.assert_allclose(edges, [0, 250, 500, 750, 1000])


def test_a_value_of_most_rows_begins_a_bin_of_its_own() -> None:
    """Quantiles alone would all be 0 but the last."""
    edges = bins(*[0.0] * 900, *range(1, 101), bins=4, raw=True)
    assert edges[:2] == [0.0, 1.0]
    assert edges[-1] == 100.0
    assert len(edges) >= 4


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], []), ([None, float("nan"), float("inf")], []), ([3.0] * 5, [3.0]), ([1.0, 2.0, None, 1.0], [1.0, 2.0])],
)
def test_few_values_have_few_edges_and_none_have_none(numbers: list[float], expected: list[float]) -> None:
    assert bins(*numbers, raw=True) == expected


@pytest.mark.parametrize(
    "keys", [{}, {"log1p": True}, {"clip": [0.0, 50.0], "log1p": True}, {"raw": True}, {"robust": True}]
)
def test_an_edge_is_to_the_bit_the_number_that_is_stored_of_its_row(keys: dict[str, Any]) -> None:
    numbers = np.random.default_rng(0).lognormal(3.0, 2.0, 500)
    encoder = fit(spec(encoding="piecewise", bins=8, **keys), rows(*numbers).lazy())
    (one,) = encoder.encoded_values()
    assert len(one.bin_edges) >= 5
    assert set(one.bin_edges) <= set(stored(encoder, rows(*numbers)))
    assert list(one.bin_edges) == sorted(set(one.bin_edges))


def test_edges_that_float32_hardly_tells_apart_are_one() -> None:
    assert apart([0.0, 1e-9, 1e-7, 1.0, 1.0 + 1e-7, 2.0, 1e6, 1e6 + 0.5]) == [0.0, 1e-7, 1.0, 2.0, 1e6]
    assert bins(1.0, 1.0 + 1e-12, 2.0, raw=True) == [1.0, 2.0]


@pytest.mark.parametrize("encoding", ["piecewise", "periodic"])
def test_an_encoding_stores_and_reads_nothing_more(encoding: str) -> None:
    numbers = rows(1.0, 5.0, 2.0, None, float("nan"))
    plain, other = (fit(spec(**keys), numbers.lazy()) for keys in ({}, {"encoding": encoding}))
    pl.testing.assert_frame_equal(
        plain.encode_features(numbers.lazy()).collect(), other.encode_features(numbers.lazy()).collect()
    )
    assert plain.encoded_values() == []
    assert other.encoded_values()[0].encoding == encoding


def test_a_feature_without_an_encoding_is_written_as_before_there_were_any(tmp_path: Path) -> None:
    encoder = fit(spec(), rows(1.0, 2.0).lazy())
    encoder.save(tmp_path)
    written = json.loads((tmp_path / "encoder.json").read_text())
    assert written["scales"]["x"].keys() == {"mean", "deviation", "edges"}
    assert written["spec"]["features"]["x"].keys() & {"encoding", "bins", "robust"} == set()


def test_bins_come_back_from_an_encoders_files(tmp_path: Path) -> None:
    encoder = fit(spec(encoding="piecewise", bins=3), rows(1.0, 2.0, 4.0, 8.0, 9.0).lazy())
    encoder.save(tmp_path)
    assert fitted(Encoder.load(tmp_path)) == fitted(encoder)
    assert Encoder.load(tmp_path).encoded_values() == encoder.encoded_values()


def test_bins_stay_when_data_grows() -> None:
    """The weights of a bin keep their meaning, as those of a bucket do."""
    declared = spec(encoding="piecewise", bins=3)
    before = fit(declared, rows(*range(10)).lazy())
    fitter = Fitter(declared, rows().schema, 10, Learnt(before, Fitter(declared, rows().schema, 0).pending(), 10))
    fitter.update(rows(*range(100, 110)))
    assert fitter.finish().encoded_values() == before.encoded_values()


def test_the_place_is_that_among_the_numbers_of_a_row() -> None:
    features = {
        "a": {"kind": "numeric", "value": False},
        "b": {"kind": "numeric"},
        "c": {"kind": "numeric", "encoding": "periodic"},
    }
    declared = FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "label = 1"}}})
    frame = rows(1.0, 2.0).select("label", *(pl.col("x").alias(name) for name in "abc"))
    assert fit(declared, frame.lazy()).encoded_values() == [EncodedValue(1, "periodic")]


@pytest.mark.parametrize("log1p", [False, True])
def test_a_robust_value_is_realmlps(log1p: bool) -> None:
    numbers = np.random.default_rng(0).standard_cauchy(301) * 40
    encoder = fit(spec(robust=True, log1p=log1p), rows(*numbers, None).lazy())
    taken = np.sign(numbers) * np.log1p(np.abs(numbers)) if log1p else numbers
    t = (taken - np.median(taken)) / (np.quantile(taken, 0.75) - np.quantile(taken, 0.25))
    # What is stored is float32.
    np.testing.assert_allclose(stored(encoder, rows(*numbers, None))[:-1], t / np.sqrt(1 + (t / 3) ** 2), rtol=1e-6)
    beyond = stored(encoder, rows(None, float("nan"), 1e300, -1e300))
    assert beyond == [0.0, 0.0, pytest.approx(3, abs=0.01), pytest.approx(-3, abs=0.01)]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.0] * 9 + [8.0], (0.0, 4.0)),  # its quartiles are equal
        ([7.0] * 4, (7.0, 1.0)),
        ([None], (0.0, 1.0)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], (3.0, 2.0)),
    ],
)
def test_a_robust_scale_is_never_zero(numbers: list[float | None], expected: tuple[float, float]) -> None:
    scale = fit(spec(robust=True), rows(*numbers).lazy()).scales["x"]
    assert (scale.mean, scale.deviation) == expected


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"encoding": "piecewise", "value": False}, "give it `value = true`"),
        ({"encoding": "periodic", "bins": 8}, "`bins` are those of"),
        ({"bins": 32}, "`bins` are those of"),
        ({"robust": True, "raw": True}, "`robust` scales the value"),
        ({"robust": True, "value": False}, "`robust` scales the value"),
        ({"encoding": "piecewise", "bins": 1}, "greater than or equal to 2"),
        ({"encoding": "linear"}, "'piecewise' or 'periodic'"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        spec(**keys)
