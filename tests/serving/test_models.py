"""Registered models as everybody loads them: what is scored is what was evaluated."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from pipeline.packaging import fetched
from pipeline.scoring import Scorer
from tests.serving.conftest import METHODS, Models


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
