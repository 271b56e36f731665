"""Registered models as everybody loads them: what is scored is what was evaluated."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from pipeline.packaging import fetched
from pipeline.scoring import Scorer
from tests.serving.conftest import METHODS, Registered


@pytest.mark.parametrize("name", METHODS)
def test_what_is_scored_is_what_was_evaluated(models: dict[str, Registered], name: str) -> None:
    model = models[name]
    with fetched(model.uri) as folder:
        scores = Scorer.load(folder).score(model.rows)
    np.testing.assert_allclose(scores.to_numpy(), model.evaluated, atol=1e-6)
    served = mlflow.pyfunc.load_model(model.uri)
    rows = model.rows.select(served.metadata.get_input_schema().input_names()).to_pandas()
    np.testing.assert_allclose(served.predict(rows).to_numpy(), model.evaluated, atol=1e-6)
    example = served.input_example
    print(example, served.predict(example), served.metadata.signature)
