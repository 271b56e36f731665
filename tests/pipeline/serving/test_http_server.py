"""`mlflow models serve`, as a process of its own where neither torchrec nor fbgemm can be imported, and our server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.registry.packaging import fetched
from pipeline.serving.lean_server import LeanServer
from pipeline.serving.scorer import Scorer
from tests.pipeline.serving.conftest import Models
from tests.pipeline.serving.lean import lean_serving
from tests.pipeline.serving.model_server import asked, records, scores, serving, wait

ROW = {
    "user": "user 3",
    "item": 5,
    "seen": [1, 2],
    "tags": ["red"],
    "strength": [0.5],
    "country": "NL",
    "at": "2026-01-02T03:04:05",
    "joined": "2025-06-01T00:00:00",
    "price": 12.5,
}


@pytest.fixture(scope="module", params=["mlflow", "lean"])
def server(models: Models, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    if request.param == "lean":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", models("plain").store)
            with fetched(models("plain").uri) as files:
                scorer = Scorer.load(files)
        with lean_serving(LeanServer(scorer, {})) as address:
            yield address
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", models("plain").store)
        with serving(models("plain").uri, folder) as address:
            wait(address, folder)
            yield address


def test_scores_over_http_are_those_of_the_evaluation(models: Models, server: str) -> None:
    rows = records(models("plain").rows)
    columns = list(rows[0])
    split = {"columns": columns, "data": [[row[c] for c in columns] for row in rows]}
    for body in (
        {"dataframe_split": split},
        {"dataframe_records": rows},
        {"inputs": {c: [row[c] for row in rows] for c in columns}},
        {"instances": rows},
    ):
        np.testing.assert_allclose(scores(asked(server, body)), models("plain").evaluated, atol=1e-6)
    alone = [scores(asked(server, {"inputs": [row]}))[0] for row in rows[:20]]
    np.testing.assert_allclose(alone, models("plain").evaluated[:20], atol=1e-6)


def test_candidates_are_scored_as_rows_are(server: str) -> None:
    own: dict[str, list[Any]] = {
        "item": [5, 7, None, 10**12],
        "price": [12.5, None, 3, 0.1],
        "tags": [["red"], [], None, ["new", None]],
    }
    shared = {name: value for name, value in ROW.items() if name not in own and name != "strength"}
    rows = [{**shared, **{c: values[n] for c, values in own.items()}, "strength": None} for n in range(4)]
    expected = scores(asked(server, {"inputs": rows}))
    for weights in ({"strength": [None]}, {"strength": [None] * 4}):
        status, content = asked(server, {"shared": shared, "rows": {**own, **weights}})
        assert status == 200, content
        assert list(content["predictions"]) == ["purchase", "wish"]
        np.testing.assert_allclose(np.transpose([*content["predictions"].values()]), expected, atol=1e-6)
    status, content = asked(server, {"shared": ROW, "rows": {"page": [1, 2, 3]}})
    assert [len(one) for one in content["predictions"].values()] == [3, 3], "columns that the model does not read count"


@pytest.mark.slow
def test_a_rotated_model_over_http_is_the_evaluated_one(models: Models, tmp_path: Path) -> None:
    with serving(models("turned").uri, tmp_path) as address:
        wait(address, tmp_path)
        found = scores(asked(address, {"inputs": records(models("turned").rows)}))
    np.testing.assert_allclose(found, models("turned").evaluated, atol=1e-6)


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in ROW.items() if name not in names}


FINE: dict[str, list[dict[str, Any]]] = {
    "a value never seen": [{**ROW, "country": "Atlantis", "item": 10**12, "user": ""}],
    "nulls": [dict.fromkeys(ROW)],
    "null in one row": [ROW, dict.fromkeys(ROW)],
    "a column more": [{**ROW, "unheard of": {"deep": [1]}}],
    "an optional column left out": [without("price")],
    "a key left out in one row": [ROW, without("item", "seen", "at")],
    "a number as text and text as a number": [{**ROW, "item": "5", "country": 7}],
    "an integer where floats were": [{**ROW, "price": 12}],
    "numbers without bounds": [
        {**ROW, "price": float("nan")},
        {**ROW, "price": float("-inf")},
        {**ROW, "price": 1e308},
    ],
    "weights without bounds": [{**ROW, "strength": [float("inf")]}, {**ROW, "strength": [-1]}],
    "empty lists": [{**ROW, "seen": [], "tags": [], "strength": []}],
    "null entries": [{**ROW, "seen": [None, 2], "tags": [None], "strength": [None]}],
    "weights of nothing": [{**ROW, "tags": None}],
    "a list without weights": [{**ROW, "strength": None}, {**ROW, "tags": ["red", "new"], "strength": None}],
    "a very long list": [{**ROW, "seen": list(range(200_000)), "tags": ["red"] * 50_000, "strength": [1] * 50_000}],
    "text that is no time": [{**ROW, "at": "yesterday"}],
    "a time of a zone": [{**ROW, "at": "2026-01-02T05:04:05+02:00", "joined": "2025-06-01T00:00:00Z"}],
    "long and odd text": [{**ROW, "user": "x" * 1_000_000, "country": "\x00'; drop table --"}],
    "many categories": [{**ROW, "user": f"user {n}", "item": n} for n in range(10_000)],
}


@pytest.mark.parametrize("name", FINE)
def test_what_a_request_may_hold(server: str, name: str) -> None:
    found = scores(asked(server, {"dataframe_records": FINE[name]}))
    assert found.shape == (len(FINE[name]), 2)
    assert ((found >= 0) & (found <= 1)).all()


def test_a_time_of_a_zone_is_the_same_moment(server: str) -> None:
    times = ["2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05"]
    found = scores(asked(server, {"dataframe_records": [{**ROW, "at": time} for time in times]}))
    assert (found == found[0]).all()


def one(**values: Any) -> dict[str, Any]:
    return {"dataframe_records": [{**ROW, **values}]}


DEEP = 200_000
BAD: dict[str, tuple[bytes | dict[str, Any], str]] = {
    "nothing": (b"", "not readable as JSON"),
    "half of it": (b'{"inputs": [', "not readable as JSON"),
    "no UTF-8": (b'{"inputs": "\xff"}', "not readable as JSON"),
    "a pickle": (b"\x80\x04\x95\x17cposix\nsystem\n(S'id'\ntR.", "not readable as JSON"),
    "deep": (b"[" * DEEP, "not readable as JSON"),
    "deep objects": (b'{"inputs":' * DEEP, "not readable as JSON"),
    "a number of a million digits": (b'{"inputs": [{"price": ' + b"9" * 1_000_000 + b"}]}", "not readable as JSON"),
    "50 MB": (b'{"inputs": "' + b"x" * 50_000_000 + b'"}', "50000014 bytes, more than 16777216"),
    "a list": (b"[1]", "exactly one of the keys"),
    "a text": (b'"hello"', "exactly one of the keys"),
    "no known key": ({"rows": []}, "exactly one of the keys dataframe_split"),
    "two keys": ({"inputs": [], "instances": []}, "exactly one of the keys"),
    "records that are none": ({"dataframe_records": [1, 2]}, "should hold objects, one a row"),
    "records in an object": ({"dataframe_records": {"a": 1}}, "a list of objects"),
    "columns that are no lists": ({"inputs": ROW}, "should hold lists, one a column"),
    "columns of two lengths": ({"inputs": {"item": [1], "user": ["a", "b"]}}, "lists of one length"),
    "a split without data": ({"dataframe_split": {"columns": ["a"]}}, "two lists, `columns` and `data`"),
    "a split of no lists": ({"dataframe_split": {"columns": 1, "data": 2}}, "two lists"),
    "a column twice": (
        {"dataframe_split": {"columns": ["item", "item"], "data": [[1, 2]]}},
        "each of its `columns` once",
    ),
    "rows of two lengths": (
        {"dataframe_split": {"columns": ["item"], "data": [[1], [1, 2]]}},
        "a list of 1 values a row",
    ),
    "no column": ({"dataframe_records": [{}]}, "none of the columns"),
    "no row": ({"dataframe_records": []}, "none of the columns"),
    "a column missing": ({"inputs": [without("item")]}, "column `item` (feature `item`) is missing"),
    "three columns missing": ({"inputs": [without("item", "user", "at")]}, "column `at` (feature `hour`) is missing"),
    "text for a number": (one(price="cheap"), "column `price` (feature `price`) holds String; a numeric is any number"),
    "a number for a list": (one(seen=3), "column `seen` (feature `seen`) holds Int64; a multi-hot is a list"),
    "a list for a category": (one(country=["NL"]), "column `country` (feature `pair`) holds List(String)"),
    "lists in a list": (one(seen=[[1]]), "a multi-hot is a list of text or whole numbers a row"),
    "an object for a category": (one(user={"$ne": 1}), "a categorical is text, a boolean, a whole number or bytes"),
    "an epoch for a time": (one(at=1767322800), "a timestamp is a date, a datetime or its ISO text"),
    "text for weights": (one(strength=["much"]), "weights are a list of numbers a row"),
    "too few weights": (
        one(tags=["red", "new"]),
        "column `strength` (feature `tags`) has the wrong length in 1 row(s)",
    ),
    "text and numbers": (
        {"inputs": {**{c: [v] * 2 for c, v in ROW.items()}, "item": [1, "a"]}},
        "column `item` holds numbers and text; give all its rows values of one type",
    ),
    "true and numbers": (
        {"inputs": {**{c: [v] * 2 for c, v in ROW.items()}, "item": [True, 1]}},
        "column `item` holds true or false and numbers; give all its rows values of one type",
    ),
    "an integer beyond 128 bits": (one(price=10**39), "`price` holds a whole number of more than 128 bits; give its"),
    "a million categories": (
        b'{"inputs": {"item": [' + b",".join(b"%d" % n for n in range(1_000_000)) + b"]}}",
        "1000000 rows, more than 10000; send fewer at a time",
    ),
    "too many rows": ({"inputs": {c: [v] * 10_001 for c, v in ROW.items()}}, "10001 rows, more than 10000"),
    "half a surrogate": (b'{"inputs": [{"user": "\\ud800"}]}', "column `user` holds values that cannot be read"),
    "candidates without what they share": ({"rows": {"item": [1]}}, "or with the two keys shared and rows"),
    "candidates beside another form": ({"shared": {}, "rows": {}, "inputs": []}, "`shared` and `rows` stand alone"),
    "candidates that are no columns": ({"shared": {}, "rows": [ROW]}, "`rows` an object of a list a column"),
    "no candidate's column": ({"shared": ROW, "rows": {}}, "`rows` should hold at least one column"),
    "a candidate's column that is no list": ({"shared": {}, "rows": ROW}, "and a list for each, one value a row"),
    "a column of both": ({"shared": ROW, "rows": {"item": [1]}}, "found in both: `item`"),
    "candidates of two lengths": (
        {"shared": {}, "rows": {"item": [1, 2], "user": ["a", "b", "c"]}},
        "lists of one length, or of length 1; found [2, 3]",
    ),
    "no candidate": ({"shared": without("item"), "rows": {"item": []}}, "`rows` should hold at least one row"),
    "too many candidates": ({"shared": without("item"), "rows": {"item": [1] * 10_001}}, "10001 rows, more than 10000"),
    "a candidate's column missing": ({"shared": without("item", "price"), "rows": {"price": [1.0]}}, "column `item`"),
    "a hundred thousand columns": ({"inputs": [{str(n): n for n in range(100_000)}]}, "none of the columns"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_answered_with_what_is_wrong(server: str, name: str) -> None:
    body, message = BAD[name]
    status, content = asked(server, body)
    assert status == 400
    assert content.keys() == {"error_code", "message"}
    assert message in content["message"]
    assert len(content["message"]) < 2000
    assert scores(asked(server, {"inputs": [ROW]})).shape == (1, 2)


@pytest.mark.parametrize(
    "kind", ["", "text/csv", "application/vnd.apache.parquet", "application/json; charset=latin-1"]
)
def test_only_json_is_read(server: str, kind: str) -> None:
    status, content = asked(server, b"user,item\na,1\n", kind)
    assert status == 415
    assert "should be application/json in UTF-8" in content["message"]
