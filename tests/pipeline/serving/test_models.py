"""Registered models as users load them: served scores equal the evaluated ones."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import polars as pl
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from features.errors import InputError
from features.spec import FeatureSpec
from pipeline.registry.packaging import fetched
from pipeline.serving.answers import Answers
from pipeline.serving.http_server import MLflowAnswers, answer_requests
from pipeline.serving.requests import Limits
from pipeline.serving.scorer import Scorer
from tests.pipeline.serving.conftest import METHODS, Models


@pytest.mark.parametrize("name", METHODS)
def test_what_is_scored_is_what_was_evaluated(models: Models, name: str) -> None:
    model = models(name)
    with fetched(model.uri) as folder:
        scores = Scorer.load(folder).score(model.rows)
    np.testing.assert_allclose(scores.to_numpy(), model.evaluated, atol=1e-6)
    served = mlflow.pyfunc.load_model(model.uri)
    rows = model.rows.select(served.metadata.get_input_schema().input_names()).to_pandas()
    np.testing.assert_allclose(served.predict(rows).to_numpy(), model.evaluated, atol=1e-6)


def test_what_is_logged_says_what_a_request_may_hold(models: Models) -> None:
    served = mlflow.pyfunc.load_model(models("plain").uri)
    schema = served.metadata.get_input_schema()
    assert schema.optional_input_names() == ["price"]
    assert set(schema.required_input_names()) == {*models("plain").config.spec.sources} & {*schema.input_names()} - {
        "price"
    }
    assert served.metadata.get_output_schema().input_names() == ["purchase", "wish"]
    example = served.input_example
    assert served.predict(example).notna().all(axis=None)
    log = models("plain").rows
    assert example["user"][0] not in log.get_column("user")
    assert example[1:].isna().all(axis=None)


def test_a_frame_that_does_not_fit_is_one_error(models: Models) -> None:
    served = mlflow.pyfunc.load_model(models("plain").uri)
    rows = models("plain").rows.head(3).to_pandas()
    with pytest.raises(MlflowException, match="Model is missing inputs \\['item'\\]"):
        served.predict(rows.drop(columns="item"))
    with pytest.raises(MlflowException, match=r"2 problem(.|\n)*`seen`(.|\n)*`price`") as error:
        served.predict(rows.assign(price="cheap", seen=1))
    assert error.value.get_http_status_code() == 400


@pytest.mark.parametrize("backend", ["numpy", "pyarrow"])
@pytest.mark.parametrize("kind", [pl.Categorical, pl.String, pl.Enum], ids=str)
def test_the_training_data_itself_can_be_asked(models: Models, kind: Any, backend: str, tmp_path: Path) -> None:
    """MLflow holds a frame against the signature before our own code sees it."""
    model = models("plain")
    served = mlflow.pyfunc.load_model(model.uri)
    texts = [c for c, dtype in model.rows.schema.items() if dtype == pl.String]
    kinds = {c: pl.Enum(model.rows.get_column(c).unique().drop_nulls()) if kind is pl.Enum else kind for c in texts}
    model.rows.with_columns(pl.col(c).cast(k) for c, k in kinds.items()).write_parquet(tmp_path / "rows.parquet")
    backends: dict[str, Any] = {"dtype_backend": "pyarrow"} if backend == "pyarrow" else {}
    columns = served.metadata.get_input_schema().input_names()
    rows = pd.read_parquet(tmp_path / "rows.parquet", columns=columns, **backends)
    np.testing.assert_allclose(served.predict(rows).to_numpy(), model.evaluated, atol=1e-6)


@pytest.mark.parametrize("given", [7, 7.0, "7.0", "7", True, 10**20])
def test_a_text_can_be_asked_for_as_a_number(models: Models, scorer: Scorer, given: Any) -> None:
    served = mlflow.pyfunc.load_model(models("plain").uri)
    rows = models("plain").rows.head(2)
    text = {True: "1", 10**20: str(10**20)}.get(given, "7")
    expected = scorer.score(rows.with_columns(country=pl.lit(text))).to_numpy()
    asked = rows.select(served.metadata.get_input_schema().input_names()).to_pandas().assign(country=[given] * 2)
    np.testing.assert_allclose(served.predict(asked).to_numpy(), expected, atol=1e-6)


@pytest.fixture
def scorer(models: Models) -> Scorer:
    with fetched(models("plain").uri) as folder:
        return Scorer.load(folder)


def test_bytecode_that_comes_and_goes_does_not_spoil_a_download(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    download, failures = mlflow.artifacts.download_artifacts, ["No such artifact: 'code/__pycache__/a.pyc.1'"]

    def once_gone(*args: Any, **kwargs: Any) -> str:
        if failures:
            raise MlflowException(failures.pop())
        return download(*args, **kwargs)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", once_gone)
    with fetched(models("plain").uri) as folder:
        assert Scorer.load(folder).tasks


def declared(scorer: Scorer, feature: str, **changes: Any) -> Scorer:
    """The same model, had one of its features been declared otherwise."""
    content = scorer.encoder.spec.model_dump()
    content["features"][feature] |= changes
    return replace(scorer, encoder=replace(scorer.encoder, spec=FeatureSpec.model_validate(content)))


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_required_may_not_be_null(models: Models, scorer: Scorer, value: float | None) -> None:
    rows = models("plain").rows.head(3).with_columns(price=pl.Series([1.0, value, 2.0]))
    scorer.score(rows)
    with pytest.raises(InputError, match=r"`price` .* is null in 1 row.*; it is `required`"):
        declared(scorer, "price", required=True, optional=False).score(rows)


def test_a_number_beyond_float32_is_an_error_and_no_score(models: Models, scorer: Scorer) -> None:
    rows = models("plain").rows.head(3).with_columns(price=pl.Series([1.0, 2.0, 1e300]))
    scorer.score(rows)
    with pytest.raises(InputError, match="cannot score row 2: a number in it is beyond float32"):
        declared(scorer, "price", raw=True, clip=None).score(rows)


def test_a_feature_is_not_required_and_optional(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="a feature is `required` or `optional`, found both"):
        declared(scorer, "price", required=True)


def test_a_column_is_optional_if_all_that_read_it_are(scorer: Scorer) -> None:
    assert declared(scorer, "item", optional=True).encoder.spec.optional_columns == ["item", "price"]
    assert declared(scorer, "user", optional=True).encoder.spec.optional_columns == ["price"], "a cross reads it, too"


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5", ""])
def test_a_limit_is_a_positive_number(text: str) -> None:
    assert Limits.of({"GRADOPS_MAX_REQUEST_ROWS": "7"}) == Limits(rows=7)
    with pytest.raises(
        InputError, match=f"`GRADOPS_MAX_REQUEST_BYTES` should be a positive whole number, found `{text}`"
    ):
        Limits.of({"GRADOPS_MAX_REQUEST_BYTES": text})


@pytest.mark.slow
def test_a_million_categories_fit_where_they_are_allowed(models: Models, scorer: Scorer) -> None:
    row = models("plain").rows.head(1).drop("user", "item")
    numbers = pl.int_range(1_000_000, eager=True)
    rows = row.join(pl.DataFrame({"item": numbers, "user": numbers.cast(pl.String)}), how="cross")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert scorer.score(rows).height == 1_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 << 20, "KiB"


def test_who_answers_only_within_mlflows_server(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    own = scoring_server.invocations
    assert not answer_requests(scorer)
    monkeypatch.setenv("__pyfunc_model_path__", "somewhere")
    monkeypatch.setattr(scoring_server, "invocations", lambda request: request)
    assert not answer_requests(scorer), "another form than the one we know"
    monkeypatch.setattr(scoring_server, "invocations", own)
    assert answer_requests(scorer)
    assert isinstance(scoring_server.invocations, MLflowAnswers)


def test_what_nobody_foresaw_is_not_shown_to_the_caller(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(Scorer, "request", broken)
    answer = Answers(scorer, Limits())(b'{"inputs": [{"item": 1}]}', "application/json")
    assert answer.status == 500
    assert "secret" not in answer.content
