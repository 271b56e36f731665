"""Names of values: which are the same, by the newest rule and by that of encoders made before."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.encoder import Encoder
from features.fitting import Fitter, Learnt, fit
from features.naming import Naming, broken_key, is_whole, key_text, name
from features.spec import FeatureSpec
from features.transforms import FIRST_KNOWN, NULL, OUT_OF_VOCABULARY
from tests.conftest import vocabularies


def named(values: list[Any], dtype: Any = None, naming: Naming = 2) -> list[str | None]:
    series = pl.Series("v", values, dtype)
    return series.to_frame().select(name(pl.col("v"), series.dtype, naming)).to_series().to_list()


def spec(**feature: Any) -> FeatureSpec:
    features = {"c": {"kind": "categorical"} | feature}
    return FeatureSpec.model_validate({"features": features, "tasks": {"y": {"positive": "y = 1"}}})


def ids(encoder: Encoder, values: list[Any], dtype: Any = None) -> list[int]:
    rows = pl.DataFrame({"c": pl.Series(values, dtype=dtype)})
    return encoder.encode_features(rows.lazy()).collect().get_column("id.c").to_list()


def made_before() -> Encoder:
    """An encoder of the first rule, for which these are three values."""
    return Encoder(spec(), {"c": pl.Series(["11", "11.0", "true"])}, {}, {"c": "String"}, naming=1)


@pytest.mark.parametrize(
    ("values", "dtype", "names"),
    [
        ([11, -3, None], pl.Int64, ["11", "-3", None]),
        ([2**64 - 1], pl.UInt64, ["18446744073709551615"]),
        ([-(2**127)], pl.Int128, [str(-(2**127))]),
        ([11.0, -0.0, 0.5, float("nan"), float("inf"), None], None, ["11", "0", "0.5", None, None, None]),
        ([2.0**53, -(2.0**53)], None, ["9007199254740992", "-9007199254740992"]),
        ([2.0**24, 0.1], pl.Float32, ["16777216", "0.1"]),
        ([Decimal("11.00"), Decimal("0.00"), Decimal("-1.50"), None], None, ["11", "0", "-1.5", None]),
        ([Decimal(110), Decimal(10**37)], pl.Decimal(38, 0), ["110", str(10**37)]),
        ([True, False, None], None, ["1", "0", None]),
        (["true", "false", "True", "yes"], None, ["1", "0", "True", "yes"]),
        (["11.0", "11.000", "-0.0", "0.0", "-7.0", "110"], None, ["11", "11", "0", "0", "-7", "110"]),
        (["11.", "11.50", "007", "007.0", "-0", "+1.0", "1e3", " 1.0", "1.0\n", ".0", "", "1,0"], None, None),
        (["v1.0", "1.0.0", "10.0.0.0", "1.0a"], None, None),
        ([b"\x00\xffAB", b"", None], None, ["00ff4142", "", None]),
        (
            ["00FF4142-0000-1000-8000-00805f9b34fb", None],
            None,
            ["00ff4142000010008000 00805f9b34fb".replace(" ", ""), None],
        ),
        (["00FF41420000100080000805F9B34FB0", "00ff4142-0000-1000-8000-00805f9b34fg", "-" * 36], None, None),
    ],
)
def test_a_value_has_its_name(values: list[Any], dtype: Any, names: list[str | None] | None) -> None:
    expected = values if names is None else names
    assert named(values, dtype) == expected
    assert named(values * 200, dtype) == expected * 200
    assert [named([value], dtype)[0] for value in values] == expected


@pytest.mark.parametrize("value", [2.0**53 + 2, 1e19, -1e300, 1.7976931348623157e308])
def test_a_rounded_float_is_unseen_and_not_unknown(value: float) -> None:
    """Null, it would be told from no other missing value; a whole number, it could be another's."""
    encoder = fit(spec(), pl.DataFrame({"c": [str(int(value)), "1"], "y": [1, 0]}).lazy())
    assert ids(encoder, [value, 1.0, None]) == [OUT_OF_VOCABULARY, FIRST_KNOWN + 1, NULL]
    assert ids(encoder, [str(int(value))]) == [FIRST_KNOWN]


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_has_one_name(number: int) -> None:
    forms = [
        named([number]),
        named([float(number)]),
        named([Decimal(number)]),
        named([str(number)]),
        named([f"{number}.0"]),
    ]
    assert forms == [[str(number)]] * 5


@given(st.text(max_size=6))
def test_a_text_is_itself_unless_it_reads_as_a_whole_number_or_a_truth(text: str) -> None:
    (found,) = named([text])
    whole, point, zeros = text.partition(".")
    reads = point and zeros and not zeros.strip("0") and whole.lstrip("-").isdecimal() and whole.isascii()
    assert found == text or text in ("true", "false") or (reads and int(whole) == int(found or ""))


def test_the_first_rule_names_values_as_before() -> None:
    assert named(["11.0", "true", "-0.0"], naming=1) == ["11.0", "true", "-0.0"]
    assert named([True, False, None], naming=1) == ["true", "false", None]
    assert named([11.0, 1.5, 2.0**60, float("nan")], naming=1) == ["11", "1.5", str(2**60), None]


def test_an_encoder_made_before_keeps_its_rule_and_its_ids(tmp_path: Path) -> None:
    made_before().save(tmp_path)
    assert "naming" not in json.loads((tmp_path / "encoder.json").read_text()), "as it was before rules had numbers"
    found = Encoder.load(tmp_path)
    assert ids(found, ["11", "11.0", "true", "1"]) == [FIRST_KNOWN, FIRST_KNOWN + 1, FIRST_KNOWN + 2, OUT_OF_VOCABULARY]
    assert ids(found, [True]) == [FIRST_KNOWN + 2]
    assert ids(found, [11.0]) == ids(found, [11]) == [FIRST_KNOWN]


def test_an_encoder_says_its_rule(tmp_path: Path) -> None:
    fit(spec(), pl.DataFrame({"c": ["11.0"], "y": [1]}).lazy()).save(tmp_path)
    content = json.loads((tmp_path / "encoder.json").read_text())
    assert content["naming"] == 2
    assert Encoder.load(tmp_path).naming == 2
    (tmp_path / "encoder.json").write_text(json.dumps(content | {"naming": 3}))
    with pytest.raises(ValueError, match="naming"):
        Encoder.load(tmp_path)


def test_what_grows_from_data_made_before_keeps_its_rule() -> None:
    rows = pl.DataFrame({"c": ["7.0", "false", "11.0"], "y": [0, 1, 0]})
    pending = pl.DataFrame(schema={"table": pl.String, "value": pl.String, "count": pl.Int64, "first": pl.Int64})
    fitter = Fitter(spec(), rows.schema, rows.height, Learnt(made_before(), pending, 3))
    fitter.update(rows)
    grown = fitter.finish()
    assert grown.naming == 1
    assert vocabularies(grown) == {"c": ("11", "11.0", "true", "7.0", "false")}


def test_two_spellings_of_training_rows_are_one_value() -> None:
    rows = pl.DataFrame({"c": ["true", "11.0", "1", "11", "1.0"], "y": [0, 1, 0, 1, 1]})
    assert vocabularies(fit(spec(min_count=2), rows.lazy())) == {"c": ("1", "11")}


@pytest.mark.parametrize(
    ("dtype", "whole", "other"),
    [(pl.Float64, 2.0**53, 2.0**53 + 2), (pl.Float32, 2.0**24, 2.0**24 + 2), (pl.Float64, -3.0, 0.5)],
)
def test_a_float_is_whole_as_far_as_all_are_held(dtype: Any, whole: float, other: float) -> None:
    values = pl.Series("v", [whole, other, None, float("nan"), float("inf")], dtype)
    found = values.to_frame().select(is_whole(pl.col("v"), values.dtype)).to_series()
    assert found.to_list() == [True, False, None, None, None]


def test_a_decimal_is_whole_without_a_fraction() -> None:
    values = pl.Series("v", [Decimal("11.00"), Decimal("11.01"), None])
    assert values.to_frame().select(is_whole(pl.col("v"), values.dtype)).to_series().to_list() == [True, False, None]


def test_a_key_is_text_as_ever_and_bytes_are_their_digits() -> None:
    for values in ([3, None], [3.0, 1.5], ["3.0", "x"], [True, None], [b"\xff", None]):
        keys = pl.Series("v", values)
        found = keys.to_frame().select(key_text(pl.col("v"))).to_series()
        assert found.to_list() == (["ff", None] if keys.dtype == pl.Binary else keys.cast(pl.String).to_list())


@pytest.mark.parametrize("dtype", [pl.Duration, pl.List(pl.Int64), pl.Array(pl.Int64, 2), pl.Struct({"a": pl.Int8})])
def test_no_key_is_of_these_types(dtype: Any) -> None:
    assert "one value a row" in (broken_key(dtype) or "")


def test_an_id_of_float32_is_asked_for_exactly() -> None:
    rows = pl.DataFrame({"c": pl.Series([2.0**24, 3.0], dtype=pl.Float32), "y": [0, 1]})
    assert ids(fit(spec(), rows.lazy()), [2.0**24, 2.0**24 + 1, 3.0]) == [
        FIRST_KNOWN,
        OUT_OF_VOCABULARY,
        FIRST_KNOWN + 1,
    ]
