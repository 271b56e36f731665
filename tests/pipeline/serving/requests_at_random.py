"""Random encoders of every kind of feature, and random requests for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

from features.encoder import Encoder
from features.fitting import fit
from features.spec import FeatureSpec
from pipeline.serving.columns import RequestRows

ROWS = 12
TEXTS = ["11", "3", "007", "true", "11.0", "red", "", "é漢", "3.00", "-0.0", "1.5", "1e3", "f" * 40]
TEXTS += ["00ff4142-0000-1000-8000-00805f9b34fb", "00FF4142-0000-1000-8000-00805F9B34FB", "-" * 36, "1.0\n"]
MOMENTS = [datetime(2026, 1, 5, 23, 59), datetime(1969, 12, 31, 23), datetime(2026, 12, 6, 0, 0, 1, 250_000)]
TIMES = ["2026-01-31", "2026-01-31T18:30:00.5", "2026-02-30", "2026-01-31 18:30", "2026-01-31T18:30:00+02:00", "x", ""]
TIMES += ["2026-01-31T18:30Z", "2026-01-31 18:30:00-03", "2026-1-5", "0000-01-01", "2026-01-31T23:59:60", "12:30"]
TIMES += ["2026-01-31T18:30:00.123456789", " 2026-01-31", "2026-01-31T24:00:00", "2026-01-31T18:30:00+0230", "20260131"]


def _choice(draw: np.random.Generator, options: list[Any]) -> Any:
    return options[int(draw.integers(len(options)))]


def _features(draw: np.random.Generator) -> dict[str, Any]:
    """A feature or two of each kind, with random keys."""
    buckets, flags = [0, 7, 1000], [True, False]
    width = {"width": 4}
    unit = _choice(draw, [{}, {"unit": "s"}, {"unit": "ms"}, {"unit": "us"}, {"unit": "ns"}])
    weights = _choice(draw, [{}, {"weights": "w"}])
    number = _choice(draw, [{}, {"raw": True}, {"robust": True}, {"log1p": True}, {"log1p": True, "robust": True}])
    number |= _choice(draw, [{}, {"clip": [-1.0, 100.0]}, {"clip": [0.0, 5.0]}])
    number |= _choice(
        draw, [{"buckets": 0}, {"buckets": 3}, {"buckets": 5, "value": "robust" in number or "raw" in number}]
    )
    lists = {"max_length": _choice(draw, [0, 2]), "pooling": _choice(draw, ["sum", "mean"]), **weights}
    found = {
        "c": {"kind": "categorical", "buckets": _choice(draw, buckets)},
        "rare": {"kind": "categorical", "column": "c", "min_count": 2},
        "d": {"kind": "categorical"},
        "pair": {"kind": "cross", "columns": ["c", "d"], "buckets": _choice(draw, buckets[1:])},
        "l": {"kind": "multi_hot", "buckets": _choice(draw, buckets), **lists},
        "s": {"kind": "multi_hot", "separator": _choice(draw, ["|", ", "])},
        "t": {"kind": "time", "part": _choice(draw, ["hour", "weekday", "month"]), **unit},
        "wait": {"kind": "numeric", "column": "t", "until": "u", **unit, "log1p": _choice(draw, flags)},
        "n": {"kind": "numeric", **number},
    }
    kept = {n: f | width for n, f in found.items() if draw.random() < 0.6} or {"c": found["c"]}
    for feature in kept.values():
        feature |= _choice(draw, [{}, {}, {"required": True}, {"optional": True}])
        if feature["kind"] == "numeric" and feature.get("buckets") == 0:
            del feature["width"]
    if not any(f["kind"] != "numeric" for f in kept.values()):
        kept["c"] = found["c"]
    return kept


def _training_rows(draw: np.random.Generator) -> pl.DataFrame:
    """Rows of random types."""

    def some(values: list[Any]) -> list[Any]:
        return [_choice(draw, [*values, None]) for _ in range(ROWS)]

    category = _choice(draw, [TEXTS, [11, 3, 0, 2**53], [True, False], [11.0, 3.0, 1.5]])
    moments = pl.Series(some(MOMENTS), dtype=pl.Datetime("us"))
    numbers = pl.Series(some([0.0, 0.1, 0.3, 7.25, -3.0, 1e6]), dtype=_choice(draw, [pl.Float64, pl.Float32]))
    lists = [some(category)[: draw.integers(4)] if draw.random() < 0.9 else None for _ in range(ROWS)]
    return pl.DataFrame(
        {
            "c": pl.Series(some(category)),
            "d": pl.Series(some([11.0, 3.0]), dtype=_choice(draw, [pl.Float64, pl.Float32])),
            "l": pl.Series(lists, dtype=pl.List(pl.Series(category).dtype)),
            "w": [None if one is None else draw.random(len(one)).tolist() for one in lists],
            "s": some(["a|b", "b, c", " a | a ", "", "|"]),
            "t": moments,
            "u": moments.reverse(),
            "n": numbers,
            "y": [1, 0] * (ROWS // 2),
        }
    )


@cache
def encoder(seed: int) -> Encoder:
    """A random encoder; of each ten, one is of the first rule of names."""
    draw = np.random.default_rng(seed)
    spec = FeatureSpec.model_validate({"features": _features(draw), "tasks": {"y": {"positive": "y = 1"}}})
    found = fit(spec, _training_rows(draw).lazy())
    return replace(found, naming=1) if seed % 10 == 9 else found


_SPECIAL = [0.0, -0.0, 0.1, 0.3, 1.5, 3.0, 11.0, -3.0, 2.0**53, 1e300, 5e-324, 0.1 + 0.2, 1_769_884_200.25, 1e6]
_UNKNOWN = [float("nan"), float("inf"), -float("inf")]
_MOMENT = r"20[0-3]\d-(0[1-9]|1[0-2])-[0-3]\d[T ][01]\d:[0-5]\d(:[0-5]\d)?(\.\d{1,9})?(Z|[+-][01]\d(:?[0-5]\d)?)?"
# Values that are read without expressions, and any values.
_ORDINARY: dict[str, st.SearchStrategy[Any]] = {
    "int": st.sampled_from([0, 1, 3, 11, -7, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 1_769_884_200])
    | st.integers(-10, 20),
    "float": st.sampled_from([*_SPECIAL, *_UNKNOWN]) | st.floats(-1e3, 1e3),
    "whole": st.sampled_from([11.0, 3.0, -0.0, 0.0, 2.0**53, -7.0, *_UNKNOWN]),
    "text": st.sampled_from([*TEXTS, "a|b", " b ,  c|"]) | st.text(st.characters(codec="utf-8"), max_size=4),
    "time": st.from_regex(_MOMENT, fullmatch=True) | st.sampled_from(TIMES[:5]),
    "bool": st.booleans(),
}
_ORDINARY |= {f"lists of {name}": st.lists(one | st.none(), max_size=4) for name, one in _ORDINARY.items()}
_ORDINARY["number"] = _ORDINARY["int"] | _ORDINARY["float"]
_ANY: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**70), 2**70) | st.integers(-(2**130), 2**130),
    "float": st.floats() | st.sampled_from([1e-5, 1e16, 2.0**53 + 2, 1e20, 2.0**63]),
    "text": st.text(max_size=4),
    "time": st.sampled_from(TIMES) | st.datetimes().map(datetime.isoformat) | st.text("0123456789-:T Z+", max_size=20),
    "mixed": st.integers(0, 9) | st.sampled_from(TEXTS) | st.booleans(),
    "objects": st.just({"a": 1}),
}
_ANY |= {f"lists of {name}": st.lists(one | st.none(), max_size=4) for name, one in _ANY.items()}
_USUAL = {
    "c": ["int", "text", "whole", "bool"],
    "d": ["whole", "int", "text"],
    "s": ["text"],
    "n": ["float", "int", "number"],
}
_USUAL |= {"t": ["time"], "u": ["time"], "w": ["lists of float", "lists of int"]}
_USUAL |= {"l": ["lists of text", "lists of int", "lists of whole", "lists of bool"]}


@st.composite
def columns(draw: st.DrawFn, name: str, rows: int, lengths: list[int] | None) -> Any:
    """A column as JSON, pandas or Arrow gives it; seldom of a type that the feature does not read."""
    times = ["int", "float"] if lengths is None and name in "tu" else []
    kind = draw(st.sampled_from([*_USUAL[name], *times]))
    one = _ORDINARY[kind]
    if draw(st.integers(0, 39)) == 39:
        one = draw(st.sampled_from([*_ORDINARY.values(), *_ANY.values()]))
    values = draw(st.lists(one | st.none() if draw(st.booleans()) else one, min_size=rows, max_size=rows))
    if name == "w" and lengths is not None:
        numbers = st.floats(-1, 10) | st.none() | st.sampled_from([1e39, float("nan"), 3])
        values = [draw(st.lists(numbers, min_size=n, max_size=n)) if draw(st.integers(0, 5)) else None for n in lengths]
    way = draw(st.sampled_from(["json", "json", "pandas", "arrow"]))
    return values if way == "json" else _typed(values, way, draw)


def _typed(values: list[Any], way: str, draw: st.DrawFn) -> Any:
    """The values in Arrow's or pandas' types; as they are where they have no common one."""
    try:
        array = pa.array(values, from_pandas=True)
        if pa.types.is_string(array.type):
            other = draw(
                st.sampled_from(
                    [
                        pa.string(),
                        pa.large_string(),
                        pa.dictionary(pa.int32(), pa.string()),
                        pa.timestamp("us"),
                        pa.timestamp("ns", "Europe/Amsterdam"),
                        pa.date32(),
                    ]
                )
            )
        elif pa.types.is_integer(array.type):
            other = draw(
                st.sampled_from(
                    [
                        array.type,
                        pa.int8(),
                        pa.uint16(),
                        pa.uint64(),
                        pa.float32(),
                        pa.timestamp("ms"),
                        pa.timestamp("s"),
                    ]
                )
            )
        else:
            other = (
                draw(st.sampled_from([array.type, pa.float32()])) if pa.types.is_floating(array.type) else array.type
            )
        array = array if other == array.type else array.cast(other)
        return array if way == "arrow" else array.to_pandas()
    except (pa.ArrowException, ValueError, OverflowError, UnicodeEncodeError, AttributeError):
        return values


@st.composite
def requests(draw: st.DrawFn, made: Encoder) -> RequestRows:
    """A request for an encoder: one to four rows, seldom without one of the columns, some with one value for all."""
    rows = draw(st.integers(1, 4))
    names = [*dict.fromkeys(c for name in made.spec.features for c in made.spec.columns(name))]
    found: dict[str, Any] = {}
    for name in names:
        if draw(st.integers(0, 59)) == 59:
            continue
        size = 1 if draw(st.integers(0, 3)) == 3 else rows
        lists = found.get("l")
        # Weights as long as the lists; times may be numbers where there is a unit.
        lengths: list[int] | None = [0] * size
        if name in ("t", "u"):
            lengths = None if any(unit for f in made.spec.features.values() for unit in f.times("").values()) else []
        elif isinstance(lists, list):
            lengths = ([len(one) if isinstance(one, list) else 0 for one in lists] * size)[:size]
        found[name] = draw(columns(name, size, lengths))
    return RequestRows(found, max((len(one) for one in found.values()), default=0))
